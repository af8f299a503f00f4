//! What the page shows, read from the warehouse and Kafka: part by part, side by side. What can't be read is said in
//! its place; the rest is there.

use std::time::Duration;

use http_api::Problem;
use kafka_sink::GroupLag;
use postgres_pool::Pool;
use stream::GROUP_PREFIX;
use telecom::{Msisdn, Tariff};
use tokio::time::{Instant, timeout_at};

use crate::asked::{Days, Period, Place};
use crate::deps::Deps;
use crate::problem::unavailable;
use crate::warehouse::{self, Conflict, Loads, Messages, Rejected, Top, Unmatched, Usage, Waits};

/// Kafka's answer to that takes a quarter of a second; a cluster that takes this long does not hold up the rest of the
/// page longer.
const KAFKA_WAIT: Duration = Duration::from_secs(3);

const USAGE: &str = "analytics.usage_by_day";
const HOURS: &str = "prepared_layers.usage_1h";
const MESSAGES: &str = "analytics.messages_by_day";
const EACH_MESSAGE: &str = "raw.messages";
const WAITS: &str = "analytics.response_times";
const TOP: [&str; 2] = ["prepared_layers.daily_cost", "prepared_layers.daily_usage"];
const LOADS: [&str; 3] = ["ops.runs", "ops.layer_audit", "ops.lanes"];
const CONFLICTS: &str = "ops.file_conflicts";
const UNMATCHED: &str = "ops.unmatched_files";
const REJECTED: [&str; 2] = ["raw.rejected", "ops.unusable_records"];

/// Why a part of the page has no figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Its tables are not there: nothing has been loaded yet.
    NotMade,
    /// The service can't be read now; the log says why.
    Away,
    /// It did not answer in time.
    TooSlow,
    /// Nobody has said where it is.
    Unset(&'static str),
}

pub(crate) type Section<T> = Result<T, Absent>;

/// What the page shows.
pub(crate) struct View {
    pub(crate) marts: Marts,
    pub(crate) lags: Section<Vec<GroupLag>>,
}

/// What a subscriber's page shows.
pub(crate) struct SubscriberView {
    pub(crate) msisdn: Msisdn,
    pub(crate) usage: Section<Option<(Days, Vec<Usage>)>>,
}

/// What the warehouse has. A part that goes by days has none where its table is empty.
pub(crate) struct Marts {
    pub(crate) usage: Section<Option<(Days, Vec<Usage>)>>,
    pub(crate) top: Section<Option<(Days, Top)>>,
    pub(crate) messages: Section<Option<(Days, Messages)>>,
    pub(crate) waits: Section<Option<(Days, Vec<Waits>)>>,
    pub(crate) loads: Section<Loads>,
    pub(crate) rejected: Section<Vec<Rejected>>,
    pub(crate) conflicts: Section<Vec<Conflict>>,
    pub(crate) unmatched: Section<Unmatched>,
}

/// Reads everything side by side.
pub(crate) async fn read(deps: &Deps, period: Period, until: Instant) -> View {
    let lags = async {
        let kafka = deps.kafka.as_ref().ok_or(Absent::Unset("KAFKA_BROKERS"))?;
        let wait = until.duration_since(Instant::now()).min(KAFKA_WAIT);
        section("lag", until, kafka_sink::lag(kafka, GROUP_PREFIX, wait)).await
    };
    let marts = Box::pin(read_marts(&deps.warehouse, &deps.tariff, period, until));
    let (marts, lags) = tokio::join!(marts, lags);
    View { marts, lags }
}

/// `None` where the ranking has changed since the page with the link.
pub(crate) async fn read_subscriber(
    deps: &Deps,
    period: Period,
    place: Place,
    until: Instant,
) -> Result<Option<SubscriberView>, Problem> {
    let pool = &deps.warehouse;
    let tables = Tables::look(pool, until, &[&[USAGE, HOURS], &TOP[..]].concat()).await;
    let read = async {
        tables.are_there(&TOP)?;
        section("subscriber", until, warehouse::subscriber_at(pool, &deps.tariff, place)).await
    };
    let (days, found) = tokio::join!(days(pool, &tables, &[USAGE, HOURS], period, until), read);
    let found = found.map_err(|absent| unavailable(anyhow::anyhow!("the ranking: {absent:?}")))?;
    let Some(msisdn) = found else { return Ok(None) };
    let usage = of_days("usage", until, &days, |days| warehouse::usage(pool, days, Some(msisdn))).await;
    Ok(Some(SubscriberView { msisdn, usage }))
}

/// Which tables are not there, if that is known.
struct Tables(Section<Vec<&'static str>>);

impl Tables {
    async fn look(pool: &Pool, until: Instant, tables: &[&'static str]) -> Self {
        Self(section("tables", until, warehouse::missing(pool, tables)).await)
    }

    fn are_there(&self, tables: &[&'static str]) -> Section<()> {
        let missing = self.0.as_ref().map_err(|absent| *absent)?;
        if tables.iter().any(|table| missing.contains(table)) { Err(Absent::NotMade) } else { Ok(()) }
    }
}

/// The days of the period, as the first of the tables has them.
async fn days(
    pool: &Pool,
    there: &Tables,
    tables: &[&'static str],
    period: Period,
    until: Instant,
) -> Section<Option<Days>> {
    there.are_there(tables)?;
    match period {
        Period::Between(from, to) => Ok(Some(Days::between(from, to))),
        Period::Last(count) => section("days", until, warehouse::last_days(pool, tables[0], count)).await,
    }
}

async fn read_marts(pool: &Pool, tariff: &Tariff, period: Period, until: Instant) -> Marts {
    let tables =
        [&[USAGE, HOURS, MESSAGES, EACH_MESSAGE, WAITS, CONFLICTS, UNMATCHED], &TOP[..], &LOADS, &REJECTED].concat();
    let tables = Tables::look(pool, until, &tables).await;
    let (usage_days, message_days) = tokio::join!(
        days(pool, &tables, &[USAGE, HOURS], period, until),
        days(pool, &tables, &[MESSAGES, EACH_MESSAGE], period, until),
    );
    let top_days = tables.are_there(&TOP).and_then(|()| usage_days.clone());
    let wait_days = tables.are_there(&[WAITS]).and_then(|()| message_days.clone());
    let loads = async {
        tables.are_there(&LOADS)?;
        section("loads", until, warehouse::loads(pool)).await
    };
    let rejected = async {
        tables.are_there(&REJECTED)?;
        section("rejected", until, warehouse::rejected(pool)).await
    };
    let conflicts = async {
        tables.are_there(&[CONFLICTS])?;
        section("conflicts", until, warehouse::conflicts(pool)).await
    };
    let unmatched = async {
        tables.are_there(&[UNMATCHED])?;
        section("unmatched", until, warehouse::unmatched(pool)).await
    };
    let (usage, top, messages, waits, loads, rejected, conflicts, unmatched) = tokio::join!(
        of_days("usage", until, &usage_days, |days| warehouse::usage(pool, days, None)),
        of_days("top", until, &top_days, |days| warehouse::top(pool, days, tariff)),
        of_days("messages", until, &message_days, |days| warehouse::messages(pool, days)),
        of_days("waits", until, &wait_days, |days| warehouse::waits(pool, days)),
        loads,
        rejected,
        conflicts,
        unmatched,
    );
    Marts { usage, top, messages, waits, loads, rejected, conflicts, unmatched }
}

async fn of_days<'a, T, F: Future<Output = anyhow::Result<T>>>(
    name: &'static str,
    until: Instant,
    days: &'a Section<Option<Days>>,
    read: impl FnOnce(&'a Days) -> F,
) -> Section<Option<(Days, T)>> {
    let Some(days) = days.as_ref().map_err(|absent| *absent)? else { return Ok(None) };
    Ok(Some((days.clone(), section(name, until, read(days)).await?)))
}

/// A part of the page: a failure is logged here, and said there.
async fn section<T>(name: &'static str, until: Instant, read: impl Future<Output = anyhow::Result<T>>) -> Section<T> {
    match timeout_at(until, read).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            let error = format!("{error:#}");
            tracing::error!(dashboard.section = name, error, "a part of the dashboard can't be read");
            Err(Absent::Away)
        }
        Err(_) => {
            tracing::error!(dashboard.section = name, "a part of the dashboard was not read in time");
            Err(Absent::TooSlow)
        }
    }
}
