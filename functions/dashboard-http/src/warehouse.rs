//! What the warehouse's marts and the loader's accounts say, as typed rows.

use anyhow::Context;
use postgres_pool::Pool;
use telecom::{Cost, Day, Msisdn, Tariff, Totals, UsageKind};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::asked::{Days, MAX_SUBSCRIBERS, Place, Rank, Slot};
use crate::chart::MAX_SERIES;
use crate::text::Text;

/// The channels that are told apart; the rest is summed.
const MAX_CHANNELS: i64 = 6;
const _: () = assert!(MAX_CHANNELS as usize + 1 == MAX_SERIES, "a colour each, and one for the rest");
/// The loads that are shown.
const MAX_RUNS: i64 = 5;
/// The loads whose rows are balanced: a day's, as there is one an hour.
pub(crate) const BALANCED_RUNS: i64 = 24;
/// The reasons for which records are rejected are a few dozen.
const MAX_REASONS: i64 = 20;
/// The files that wait for somebody are few.
const MAX_CONFLICTS: i64 = 100;
/// The names that are shown of files that nobody takes.
const MAX_UNMATCHED: i64 = 20;
/// The newest rejected records, which are summed up: reading all of them would take longer each month.
pub(crate) const MAX_REJECTED: i64 = 100_000;

/// One kind of usage in one slot, of all subscribers or of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) slot: Slot,
    pub(crate) kind: UsageKind,
    pub(crate) totals: Totals,
}

/// A subscriber's usage in the period. The number is kept for the order alone, and shown masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) msisdn: Msisdn,
    pub(crate) bytes: u128,
    pub(crate) seconds: u128,
    pub(crate) events: u128,
    /// Exact, so that it is rounded once, as the API does.
    pub(crate) cost: Cost,
}

/// The two rankings.
#[derive(Clone, Debug)]
pub(crate) struct Top {
    pub(crate) by_cost: Vec<Subscriber>,
    pub(crate) by_data: Vec<Subscriber>,
}

/// Messages of one slot under one heading; `None` is everything under the lesser headings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotMessages {
    pub(crate) slot: Slot,
    pub(crate) heading: Option<Text>,
    pub(crate) messages: u128,
}

/// The messages of the period, twice.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) by_channel: Vec<SlotMessages>,
    pub(crate) by_sender: Vec<SlotMessages>,
}

/// How long customers waited for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) of: WaitsOf,
    pub(crate) answers: u128,
    pub(crate) median_seconds: u128,
    pub(crate) p90_seconds: u128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WaitsOf {
    Period,
    Slot(Slot),
    Channel(Text),
}

/// A run of the loader.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) started_at: Text,
    pub(crate) status: Text,
    /// Since it ended; `None` while it runs.
    pub(crate) ended_seconds_ago: Option<u128>,
    pub(crate) took_seconds: Option<u128>,
    pub(crate) message: Text,
}

/// What went into a table and what came out, in the last runs.
#[derive(Clone, Debug)]
pub(crate) struct Balance {
    pub(crate) layer: Text,
    pub(crate) table: Text,
    pub(crate) rows_in: u128,
    pub(crate) rows_out: u128,
    pub(crate) duplicates: u128,
    pub(crate) rejected: u128,
    pub(crate) withdrawn: u128,
    pub(crate) is_balanced: bool,
}

/// How far a topic has been loaded.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) topic: Text,
    /// What it is to the loader: `cdr_data`, `cdr_voice`, `messages` or `rejected`.
    pub(crate) stream: Text,
    /// Kafka's time of its newest record; `None` where none has one.
    pub(crate) newest: Option<Newest>,
    /// Since its last record was loaded.
    pub(crate) loaded_seconds_ago: u128,
}

/// A record's time by Kafka, which its producer chose.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) at: Text,
    /// How old it is; below zero, a clock is ahead.
    pub(crate) age_seconds: i64,
}

/// The loader's last runs, and how far they have come.
#[derive(Clone, Debug)]
pub(crate) struct Loads {
    pub(crate) runs: Vec<Run>,
    pub(crate) balances: Vec<Balance>,
    pub(crate) topics: Vec<Loaded>,
}

/// A file whose rows wait for somebody's decision.
#[derive(Clone, Debug)]
pub(crate) struct Conflict {
    pub(crate) file: Text,
    pub(crate) other: Text,
    pub(crate) reason: Text,
    pub(crate) rows: u128,
    pub(crate) shared_rows: u128,
    pub(crate) waiting_seconds: Option<u128>,
}

/// Files on the SFTP servers that nobody takes.
#[derive(Clone, Debug)]
pub(crate) struct Unmatched {
    /// All of them.
    pub(crate) files: u128,
    /// The first of them.
    pub(crate) names: Vec<UnmatchedFile>,
}

#[derive(Clone, Debug)]
pub(crate) struct UnmatchedFile {
    pub(crate) name: Text,
    pub(crate) noted_seconds_ago: u128,
}

/// Rows that could not be used, for one reason.
#[derive(Clone, Debug)]
pub(crate) struct Rejected {
    /// Whether the loader found them, in its input; else a function did, in a file or a topic.
    pub(crate) by_loader: bool,
    pub(crate) reason: Text,
    pub(crate) rows: u128,
}

/// Which of the tables are there.
///
/// # Errors
/// When the database can't be reached.
pub(crate) async fn missing(pool: &Pool, tables: &[&'static str]) -> anyhow::Result<Vec<&'static str>> {
    let rows =
        pool.query("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL", &[&tables]).await?;
    Ok(tables.iter().copied().filter(|table| rows.iter().any(|row| row.get::<_, &str>(0) == *table)).collect())
}

/// So many last days with data of a table with a few rows a day; `None` where it is empty.
pub(crate) async fn last_days(pool: &Pool, table: &str, count: i64) -> anyhow::Result<Option<Days>> {
    let sql = format!(
        "SELECT day::text FROM (SELECT DISTINCT day FROM {table} ORDER BY day DESC LIMIT $1) AS last ORDER BY last.day"
    );
    let rows = pool.query(&sql, &[&count]).await?;
    Ok(Days::with_data(rows.iter().map(|row| day(row, 0)).collect::<anyhow::Result<_>>()?))
}

/// The rows of these days: of a table by day, or, of one day, of a table with times.
struct Source {
    table: &'static str,
    /// A row's slot, which is grouped by as it is: as texts, or computed, a million would take seconds.
    at: &'static str,
    /// Selects day and hour of `at`.
    slot: &'static str,
    within: String,
}

impl Source {
    fn of(days: &Days, by_day: &'static str, [table, time, at]: [&'static str; 3]) -> Self {
        if !days.are_hours() {
            let within = "day = ANY ($1::text[]::date[])".to_owned();
            return Self { table: by_day, at: "day", slot: "at::text, NULL::integer", within };
        }
        Self {
            table,
            at,
            slot: "at::date::text, extract(hour FROM at)::integer",
            within: format!("{time} >= ($1::text[]::date[])[1] AND {time} < ($1::text[]::date[])[1] + 1"),
        }
    }
}

/// Everybody's usage, or a subscriber's.
pub(crate) async fn usage(pool: &Pool, days: &Days, subscriber: Option<Msisdn>) -> anyhow::Result<Vec<Usage>> {
    let by_day = if subscriber.is_some() { "prepared_layers.daily_usage" } else { "analytics.usage_by_day" };
    let by_hour = ["prepared_layers.usage_1h", "window_start", "window_start"];
    let Source { table, at, slot, within } = Source::of(days, by_day, by_hour);
    let whose = if subscriber.is_some() { "AND msisdn = $2" } else { "" };
    let sql = format!(
        "WITH sums AS (SELECT {at} AS at, category, usage_type, sum(up_bytes)::bigint AS up_bytes, sum(down_bytes)::bigint AS down_bytes, \
                              sum(seconds)::bigint AS seconds, sum(events)::bigint AS events \
                       FROM {table} WHERE {within} {whose} GROUP BY 1, 2, 3) \
         SELECT {slot}, category, usage_type, up_bytes, down_bytes, seconds, events FROM sums ORDER BY at, category, usage_type"
    );
    let msisdn = subscriber.map(|msisdn| msisdn.to_string());
    let parameter: Option<&(dyn ToSql + Sync)> = msisdn.as_ref().map(|msisdn| msisdn as _);
    let rows = query(pool, &sql, days, parameter.as_slice()).await?;
    rows.iter().map(|row| Ok(Usage { slot: read_slot(row)?, kind: kind(row, 2)?, totals: totals(row, 4)? })).collect()
}

pub(crate) async fn top(pool: &Pool, days: &Days, tariff: &Tariff) -> anyhow::Result<Top> {
    let (by_cost, by_data) =
        tokio::try_join!(ranking(pool, days, tariff, Rank::Cost), ranking(pool, days, tariff, Rank::Data))?;
    Ok(Top { by_cost, by_data })
}

/// Who stands at a place of a ranking; `None` where the ranking has changed since.
pub(crate) async fn subscriber_at(pool: &Pool, tariff: &Tariff, place: Place) -> anyhow::Result<Option<Msisdn>> {
    let ranking = ranking(pool, &place.days(), tariff, place.rank).await?;
    let found = ranking.get(usize::from(place.place) - 1).map(|subscriber| subscriber.msisdn);
    Ok(found.filter(|msisdn| place.is_of(*msisdn)))
}

/// The first subscribers, with their usage of the period.
async fn ranking(pool: &Pool, days: &Days, tariff: &Tariff, rank: Rank) -> anyhow::Result<Vec<Subscriber>> {
    let top = match rank {
        Rank::Cost => {
            "SELECT msisdn, sum(cost_zar) AS rank FROM prepared_layers.daily_cost \
             WHERE day = ANY ($1::text[]::date[]) GROUP BY msisdn ORDER BY rank DESC, msisdn LIMIT $2"
        }
        Rank::Data => {
            "SELECT msisdn, sum(up_bytes + down_bytes) AS rank FROM prepared_layers.daily_usage \
             WHERE category = 'data' AND day = ANY ($1::text[]::date[]) \
             GROUP BY msisdn ORDER BY rank DESC, msisdn LIMIT $2"
        }
    };
    let mut subscribers = usage_of(pool, days, tariff, top).await?;
    match rank {
        Rank::Cost => subscribers.sort_by_key(|it| (std::cmp::Reverse(it.cost), it.msisdn.to_string())),
        Rank::Data => subscribers.sort_by_key(|it| (std::cmp::Reverse(it.bytes), it.msisdn.to_string())),
    }
    Ok(subscribers)
}

/// The subscribers that `top` selects, with their usage of the period.
async fn usage_of(pool: &Pool, days: &Days, tariff: &Tariff, top: &str) -> anyhow::Result<Vec<Subscriber>> {
    let sql = format!(
        "WITH top AS ({top}) \
         SELECT msisdn, day::text, category, usage_type, up_bytes::bigint, down_bytes::bigint, seconds::bigint, events::bigint \
         FROM top JOIN prepared_layers.daily_usage USING (msisdn) \
         WHERE day = ANY ($1::text[]::date[]) ORDER BY msisdn, day"
    );
    let rows = query(pool, &sql, days, &[&i64::from(MAX_SUBSCRIBERS)]).await?;
    let mut subscribers: Vec<Subscriber> = Vec::new();
    for row in &rows {
        let msisdn = Msisdn::parse(row.try_get(0)?)?;
        let totals = totals(row, 4)?;
        let cost = tariff.cost(day(row, 1)?, [(kind(row, 2)?, totals)]);
        if subscribers.last().is_none_or(|last| last.msisdn != msisdn) {
            subscribers.push(Subscriber { msisdn, bytes: 0, seconds: 0, events: 0, cost: Cost::ZERO });
        }
        if let Some(subscriber) = subscribers.last_mut() {
            subscriber.bytes += totals.bytes();
            subscriber.seconds += u128::from(totals.seconds);
            subscriber.events += u128::from(totals.events);
            subscriber.cost += cost;
        }
    }
    Ok(subscribers)
}

pub(crate) async fn messages(pool: &Pool, days: &Days) -> anyhow::Result<Messages> {
    let (by_channel, by_sender) =
        tokio::try_join!(messages_by(pool, days, "channel"), messages_by(pool, days, "sender_type"))?;
    Ok(Messages { by_channel, by_sender })
}

async fn messages_by(pool: &Pool, days: &Days, column: &str) -> anyhow::Result<Vec<SlotMessages>> {
    let by_hour = ["raw.messages", "message_date", "date_trunc('hour', message_date)"];
    let Source { table, at, slot, within } = Source::of(days, "analytics.messages_by_day", by_hour);
    let messages = if days.are_hours() { "count(*)" } else { "sum(messages)" };
    let sql = format!(
        "WITH asked AS (SELECT {at} AS at, {column} AS heading, {messages} AS messages FROM {table} WHERE {within} GROUP BY 1, 2), \
              top AS (SELECT heading FROM asked GROUP BY heading ORDER BY sum(messages) DESC, heading LIMIT $2), \
              sums AS (SELECT at, top.heading, sum(messages)::bigint AS messages FROM asked LEFT JOIN top USING (heading) GROUP BY 1, 2) \
         SELECT {slot}, heading, messages FROM sums ORDER BY at, heading"
    );
    let rows = query(pool, &sql, days, &[&MAX_CHANNELS]).await?;
    let message = |row: &Row| {
        let heading = row.try_get::<_, Option<String>>(2)?.map(Text::new);
        Ok(SlotMessages { slot: read_slot(row)?, heading, messages: number(row, 3)? })
    };
    rows.iter().map(message).collect()
}

pub(crate) async fn waits(pool: &Pool, days: &Days) -> anyhow::Result<Vec<Waits>> {
    let hour = if days.are_hours() { "extract(hour FROM asked_at)::integer" } else { "NULL::integer" };
    // Slots and the whole period first: it is channels of which there may be too many.
    let sql = format!(
        "WITH asked AS (SELECT day, {hour} AS hour, channel, response_seconds FROM analytics.response_times \
                        WHERE day = ANY ($1::text[]::date[]) AND response_seconds IS NOT NULL) \
         SELECT day::text, hour, channel, count(*), \
                percentile_disc(0.5) WITHIN GROUP (ORDER BY response_seconds)::bigint, \
                percentile_disc(0.9) WITHIN GROUP (ORDER BY response_seconds)::bigint \
         FROM asked GROUP BY GROUPING SETS ((), (day, hour), (channel)) HAVING count(*) > 0 \
         ORDER BY grouping(channel) DESC, day NULLS FIRST, hour, count(*) DESC, channel LIMIT $2"
    );
    let limit = 1 + i64::try_from(days.slots().len())? + MAX_CHANNELS;
    let rows = query(pool, &sql, days, &[&limit]).await?;
    let wait = |row: &Row| {
        let of = match (row.try_get::<_, Option<&str>>(0)?, row.try_get::<_, Option<&str>>(2)?) {
            (Some(_), _) => WaitsOf::Slot(read_slot(row)?),
            (None, Some(channel)) => WaitsOf::Channel(Text::new(channel)),
            (None, None) => WaitsOf::Period,
        };
        Ok(Waits { of, answers: number(row, 3)?, median_seconds: number(row, 4)?, p90_seconds: number(row, 5)? })
    };
    rows.iter().map(wait).collect()
}

pub(crate) async fn loads(pool: &Pool) -> anyhow::Result<Loads> {
    let runs = "SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), status, \
                       greatest(extract(epoch FROM now() - finished_at), 0)::bigint, \
                       greatest(extract(epoch FROM finished_at - started_at), 0)::bigint, coalesce(message, '') \
                FROM ops.runs ORDER BY run_id DESC LIMIT $1";
    let balances = "SELECT layer, CASE layer WHEN 'models' THEN '' ELSE table_name END AS name, sum(rows_in)::bigint, sum(rows_out)::bigint, \
                           sum(duplicates)::bigint, sum(rejected)::bigint, sum(withdrawn)::bigint, bool_and(is_balanced) \
                    FROM ops.layer_audit WHERE run_id IN (SELECT run_id FROM ops.runs ORDER BY run_id DESC LIMIT $1) \
                    GROUP BY layer, name ORDER BY array_position('{silver,raw,models}'::text[], layer), name";
    // Clocks that are ahead do not speak for those that are not.
    let topics = "SELECT topic, stream, to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), \
                         extract(epoch FROM now() - newest)::bigint, \
                         greatest(extract(epoch FROM now() - loaded_at), 0)::bigint \
                  FROM (SELECT topic, min(stream) AS stream, max(loaded_at) AS loaded_at, \
                               coalesce(max(last_record_at) FILTER (WHERE last_record_at <= now()), min(last_record_at)) AS newest \
                        FROM ops.lanes WHERE epoch = (SELECT max(epoch) FROM ops.lanes) AND loaded_at IS NOT NULL \
                        GROUP BY topic) AS topics ORDER BY topic";
    let (runs, balances, topics) = tokio::try_join!(
        pool.query(runs, &[&MAX_RUNS]),
        pool.query(balances, &[&BALANCED_RUNS]),
        pool.query(topics, &[])
    )?;
    let run = |row: &Row| {
        let seconds = |at| anyhow::Ok(row.try_get::<_, Option<i64>>(at)?.map(i64::unsigned_abs).map(u128::from));
        Ok(Run {
            started_at: text(row, 0)?,
            status: text(row, 1)?,
            ended_seconds_ago: seconds(2)?,
            took_seconds: seconds(3)?,
            message: text(row, 4)?,
        })
    };
    let balance = |row: &Row| {
        Ok(Balance {
            layer: text(row, 0)?,
            table: text(row, 1)?,
            rows_in: number(row, 2)?,
            rows_out: number(row, 3)?,
            duplicates: number(row, 4)?,
            rejected: number(row, 5)?,
            withdrawn: number(row, 6)?,
            is_balanced: row.try_get(7)?,
        })
    };
    let loaded = |row: &Row| {
        let age_seconds: Option<i64> = row.try_get(3)?;
        let newest =
            age_seconds.map(|age_seconds| anyhow::Ok(Newest { at: text(row, 2)?, age_seconds })).transpose()?;
        let (topic, stream) = (text(row, 0)?, text(row, 1)?);
        Ok(Loaded { topic, stream, newest, loaded_seconds_ago: number(row, 4)? })
    };
    Ok(Loads {
        runs: runs.iter().map(run).collect::<anyhow::Result<_>>()?,
        balances: balances.iter().map(balance).collect::<anyhow::Result<_>>()?,
        topics: topics.iter().map(loaded).collect::<anyhow::Result<_>>()?,
    })
}

pub(crate) async fn conflicts(pool: &Pool) -> anyhow::Result<Vec<Conflict>> {
    let sql = "SELECT file_name, other_file, reason, rows, shared_rows, \
                      greatest(extract(epoch FROM now() - landed_at), 0)::bigint \
               FROM ops.file_conflicts ORDER BY landed_at, file_name LIMIT $1";
    let rows = pool.query(sql, &[&MAX_CONFLICTS]).await?;
    let conflict = |row: &Row| {
        Ok(Conflict {
            file: text(row, 0)?,
            other: text(row, 1)?,
            reason: text(row, 2)?,
            rows: number(row, 3)?,
            shared_rows: number(row, 4)?,
            waiting_seconds: row.try_get::<_, Option<i64>>(5)?.map(i64::unsigned_abs).map(u128::from),
        })
    };
    rows.iter().map(conflict).collect()
}

pub(crate) async fn unmatched(pool: &Pool) -> anyhow::Result<Unmatched> {
    let sql = "SELECT file_name, greatest(extract(epoch FROM now() - noted_at), 0)::bigint, max(files) OVER () \
               FROM ops.unmatched_files ORDER BY file_name LIMIT $1";
    let rows = pool.query(sql, &[&MAX_UNMATCHED]).await?;
    let file = |row: &Row| Ok(UnmatchedFile { name: text(row, 0)?, noted_seconds_ago: number(row, 1)? });
    Ok(Unmatched {
        files: rows.first().map_or(Ok(0), |row| number(row, 2))?,
        names: rows.iter().map(file).collect::<anyhow::Result<_>>()?,
    })
}

pub(crate) async fn rejected(pool: &Pool) -> anyhow::Result<Vec<Rejected>> {
    let sql = "SELECT false, reason, sum(rows)::bigint AS total \
               FROM (SELECT reason, rows FROM raw.rejected ORDER BY batch_id DESC LIMIT $1) AS newest GROUP BY reason \
               UNION ALL \
               SELECT true, reason, count(*) \
               FROM (SELECT reason FROM ops.unusable_records ORDER BY batch_id DESC LIMIT $1) AS newest GROUP BY reason \
               ORDER BY total DESC, reason LIMIT $2";
    let rows = pool.query(sql, &[&MAX_REJECTED, &MAX_REASONS]).await?;
    let rejected =
        |row: &Row| Ok(Rejected { by_loader: row.try_get(0)?, reason: text(row, 1)?, rows: number(row, 2)? });
    rows.iter().map(rejected).collect()
}

async fn query(pool: &Pool, sql: &str, days: &Days, more: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<Row>> {
    let days: Vec<String> = days.all().iter().map(ToString::to_string).collect();
    let days: [&(dyn ToSql + Sync); 1] = [&days];
    pool.query(sql, &[&days, more].concat()).await
}

/// From the first two columns: the day and, perhaps, the hour.
fn read_slot(row: &Row) -> anyhow::Result<Slot> {
    let hour = row.try_get::<_, Option<i32>>(1)?.map(u8::try_from).transpose()?;
    Ok(Slot { day: day(row, 0)?, hour })
}

fn day(row: &Row, at: usize) -> anyhow::Result<Day> {
    Ok(Day::parse(row.try_get(at)?)?)
}

fn text(row: &Row, at: usize) -> anyhow::Result<Text> {
    Ok(Text::new(row.try_get::<_, String>(at)?))
}

fn number(row: &Row, at: usize) -> anyhow::Result<u128> {
    Ok(u128::try_from(row.try_get::<_, i64>(at)?)?)
}

/// From a column with the category on, and the next with the type.
fn kind(row: &Row, at: usize) -> anyhow::Result<UsageKind> {
    let (category, usage_type): (&str, &str) = (row.try_get(at)?, row.try_get(at + 1)?);
    UsageKind::from_parts(category, usage_type)
        .with_context(|| format!("the warehouse has a kind of usage that is not known: {usage_type:?}"))
}

/// From the column with the bytes up on.
fn totals(row: &Row, at: usize) -> anyhow::Result<Totals> {
    let number = |at| anyhow::Ok(u64::try_from(row.try_get::<_, i64>(at)?)?);
    Ok(Totals { up_bytes: number(at)?, down_bytes: number(at + 1)?, seconds: number(at + 2)?, events: number(at + 3)? })
}
