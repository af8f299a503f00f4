//! Counts full batches into a store, and sends the same rows bare, without the protocol, to see what it costs:
//! `count_rate scylla://host:port` (makes keyspaces of its own) or `count_rate postgres://user:password@host/empty-database`.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Instant, SystemTime};

use ::stream::Lane;
use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::CqlDate;
use telecom::{Action, Day, Msisdn, Source, SourceId, Totals, UsageEvent, UsageKind};
use usage_store::{Buckets, LaneBatch, LaneMemory, LaneRecord, RecordRules, SourcedUsage, Store};

/// The most that an event has.
const BATCH_RECORDS: i64 = 10_000;
const BATCHES: i64 = 10;
const SUBSCRIBERS: [u64; 2] = [50_000, 500];
const LINES_PER_FILE: u64 = 1_000;
const LANES: i32 = 3;
/// As the store sends them: under 50 KiB, and so many at a time.
const BARE_ROWS_PER_BATCH: usize = 260;
const BARE_CONCURRENCY: usize = 16;

#[derive(Clone, Copy)]
struct Round {
    /// It has a lane of its own.
    partition: i32,
    /// Every batch has another day, so that no row is there yet.
    is_cold: bool,
    has_memory: bool,
    /// None for the one in which the server warms up.
    name: &'static str,
}

const ROUNDS: [Round; 4] = [
    Round { partition: 0, is_cold: false, has_memory: false, name: "" },
    Round { partition: 0, is_cold: true, has_memory: false, name: "cold: no rows, no memory" },
    Round { partition: 1, is_cold: false, has_memory: true, name: "warm: with memory" },
    Round { partition: 2, is_cold: false, has_memory: false, name: "warm: all is read" },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("usage: count_rate scylla://host:port | postgres://…/empty-database")?;
    let cpus = std::thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{cpus} processors, client and server on one machine if the address says so; load before {}", load.trim());
    println!("batches of {BATCH_RECORDS} records, {BATCHES} a line, one lane at a time");
    for subscribers in SUBSCRIBERS {
        let url = match url.strip_prefix("scylla://") {
            Some(host) => {
                let made = SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
                format!("scylla://{host}/rate_{made}")
            }
            None => url.clone(),
        };
        let store = Store::connect(&url)?;
        store.init().await?;
        for topic in ["cdr-data", "trial"] {
            store.add_lanes(u32::try_from(subscribers)?, topic, LANES).await?;
        }
        if let Some((host, keyspace)) = url.strip_prefix("scylla://").and_then(|rest| rest.split_once('/')) {
            let session = SessionBuilder::new().known_node(host).build().await?;
            for name in ["", "bare: rows only, new", "bare: rows only, again"] {
                let started = Instant::now();
                let mut rows = 0;
                for batch in batches(subscribers, ROUNDS[1])? {
                    rows += write_bare(&session, keyspace, &batch, name.is_empty()).await?;
                }
                report(subscribers, name, started, rows);
            }
        }
        for round in ROUNDS {
            let batches = batches(subscribers, round)?;
            let mut memory = LaneMemory::default();
            let started = Instant::now();
            let mut rows = 0;
            for batch in &batches {
                store.count(&mut memory, batch).await?;
                rows += fold(batch).len();
                if !round.has_memory {
                    memory.forget();
                }
            }
            report(subscribers, round.name, started, rows);
        }
    }
    Ok(())
}

fn report(subscribers: u64, name: &str, started: Instant, rows: usize) {
    let seconds = started.elapsed().as_secs_f64();
    let (records, milliseconds) = ((BATCH_RECORDS * BATCHES) as f64 / seconds, 1e3 * seconds / BATCHES as f64);
    if !name.is_empty() {
        println!(
            "{subscribers:>6} subscribers  {name:<26} {:>7.0} rows/s {records:>8.0} records/s {milliseconds:>5.0} ms a batch",
            rows as f64 / seconds
        );
    }
}

fn batches(subscribers: u64, round: Round) -> anyhow::Result<Vec<LaneBatch>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // A lane has its share of the subscribers and of the buckets.
    let all = (0..subscribers).map(|number| Msisdn::from_u64(27_820_000_000 + number));
    let mut mine = all.collect::<Result<Vec<_>, _>>()?;
    mine.retain(|msisdn| i32::from(Buckets::default().of(*msisdn)) % LANES == round.partition);
    let topic = if round.name.is_empty() { "trial" } else { "cdr-data" };
    let lane = Lane { epoch: u32::try_from(subscribers)?, topic: topic.to_owned(), partition: round.partition };
    let batch = |number: i64| {
        let day = Day::from_civil(2024, 1, if round.is_cold { 1 + number as u32 } else { 20 }).context("a day")?;
        let first = number * BATCH_RECORDS;
        let records = (first..first + BATCH_RECORDS).map(|offset| record(offset, &lane, &mine, day, &mut rng));
        Ok(LaneBatch::new(lane.clone(), RecordRules::default(), records.collect())?)
    };
    (0..BATCHES).map(batch).collect()
}

fn record(offset: i64, lane: &Lane, subscribers: &[Msisdn], day: Day, rng: &mut ChaCha8Rng) -> LaneRecord {
    let number = offset.unsigned_abs();
    let event = UsageEvent {
        msisdn: subscribers[rng.random_range(0..subscribers.len())],
        day,
        kind: UsageKind::ALL[rng.random_range(0..5_usize)],
        totals: Totals { up_bytes: 500_000, down_bytes: 500_000, seconds: 0, events: 1 },
    };
    let file = number / LINES_PER_FILE;
    let id = u64::from(lane.epoch) << 32
        | (lane.topic.len() as u64) << 24
        | u64::from(lane.partition.unsigned_abs()) << 16
        | file;
    let source = Source { id: SourceId(id.to_be_bytes()), line: number % LINES_PER_FILE + 1, file: None };
    let usage = SourcedUsage { event, source: Some(source), action: Action::Count, tower: None };
    LaneRecord { offset, timestamp_ms: offset, usage: Some(usage) }
}

fn fold(batch: &LaneBatch) -> BTreeMap<(i16, Msisdn, Day, UsageKind), Totals> {
    let mut rows = BTreeMap::<_, Totals>::new();
    for usage in batch.records().iter().filter_map(|record| record.usage) {
        let event = usage.event;
        let row = rows.entry((Buckets::default().of(event.msisdn), event.msisdn, event.day, event.kind)).or_default();
        *row = row.checked_add(event.totals).unwrap_or_default();
    }
    rows
}

async fn write_bare(session: &Session, keyspace: &str, batch: &LaneBatch, is_trial: bool) -> anyhow::Result<usize> {
    let insert = session
        .prepare(format!(
            "INSERT INTO {keyspace}.usage (month, bucket, msisdn, day, category, usage_type, lane, \
             up_bytes, down_bytes, seconds, events, upto) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        ))
        .await?;
    let lane = if is_trial { "trial" } else { "1/bare-rows/0" };
    let rows = fold(batch);
    let mut partitions = BTreeMap::<_, Vec<_>>::new();
    for ((bucket, msisdn, day, kind), totals) in &rows {
        let date = CqlDate(day.epoch_days().cast_unsigned().wrapping_add(1 << 31));
        let month = day.month().number();
        let figures = [totals.up_bytes, totals.down_bytes, totals.seconds, totals.events].map(u64::cast_signed);
        let [up_bytes, down_bytes, seconds, events] = figures;
        partitions.entry((month, *bucket)).or_default().push((
            month,
            *bucket,
            msisdn.as_u64().cast_signed(),
            date,
            kind.category().as_str(),
            kind.usage_type(),
            lane,
            up_bytes,
            down_bytes,
            seconds,
            events,
            batch.end(),
            batch.end(),
        ));
    }
    let write = async |values: &[_]| {
        let batch = Batch::new_with_statements(BatchType::Unlogged, vec![insert.clone().into(); values.len()]);
        session.batch(&batch, values).await.map(drop)
    };
    let parts = partitions.values().flat_map(|values| values.chunks(BARE_ROWS_PER_BATCH));
    stream::iter(parts).map(Ok).try_for_each_concurrent(BARE_CONCURRENCY, write).await?;
    Ok(rows.len())
}
