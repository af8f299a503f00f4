//! Counts full batches into a store: `count_rate postgres://user:password@host/empty-database`.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::time::Instant;

use anyhow::Context;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use telecom::{Day, Msisdn, Source, SourceId, Totals, UsageEvent, UsageKind};
use usage_store::{Lane, LaneBatch, LaneMemory, LaneRecord, SourcedUsage, Store};

const BATCHES: i64 = 20;
/// The most that an event has.
const BATCH_RECORDS: i64 = 10_000;
const SUBSCRIBERS: u64 = 50_000;
const LINES_PER_FILE: u64 = 1_000;
const LANES: i32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("usage: throughput postgres://user:password@host/empty-database")?;
    let store = Store::connect(&url)?;
    store.init().await?;
    store.add_lanes(1, "cdr-data", LANES).await?;
    for (partition, with_memory) in [(0, true), (1, false)] {
        let started = Instant::now();
        count_all(&store, partition, with_memory).await?;
        let seconds = started.elapsed().as_secs_f64();
        let rate = (BATCHES * BATCH_RECORDS) as f64 / seconds;
        println!(
            "one lane, memory {with_memory}: {:.0} ms a batch, {rate:.0} records/s",
            1e3 * seconds / BATCHES as f64
        );
    }
    Ok(())
}

async fn count_all(store: &Store, partition: i32, with_memory: bool) -> anyhow::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut memory = LaneMemory::default();
    for number in 0..BATCHES {
        let lane = Lane { epoch: 1, topic: "cdr-data".to_owned(), partition };
        let first = number * BATCH_RECORDS;
        let records = (first..first + BATCH_RECORDS).map(|offset| record(offset, &mut rng)).collect::<Option<_>>();
        let batch = LaneBatch::new(lane, records.context("a record")?)?;
        let started = Instant::now();
        let counted = store.count(&mut memory, &batch).await?;
        println!("{partition} {number}: {} counted, {} ms", counted.counted, started.elapsed().as_millis());
        if !with_memory {
            memory.forget();
        }
    }
    Ok(())
}

fn record(offset: i64, rng: &mut ChaCha8Rng) -> Option<LaneRecord> {
    let number = offset.unsigned_abs();
    let event = UsageEvent {
        msisdn: Msisdn::from_u64(27_820_000_000 + rng.random_range(0..SUBSCRIBERS)).ok()?,
        day: Day::from_civil(2024, 1, 1)?,
        kind: UsageKind::ALL[rng.random_range(0..5_usize)],
        totals: Totals { up_bytes: 500_000, down_bytes: 500_000, seconds: 0, events: 1 },
    };
    let source =
        Source { id: SourceId((number / LINES_PER_FILE).to_be_bytes()), line: number % LINES_PER_FILE + 1, file: None };
    Some(LaneRecord { offset, timestamp_ms: offset, usage: Some(SourcedUsage { event, source: Some(source) }) })
}
