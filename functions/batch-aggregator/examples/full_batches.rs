//! Hands full events to the function and says how fast it is and how much memory it takes:
//! `full_batches postgres://user:password@host/empty-database`.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use kafka_batch::{PartitionBatch, Record};
use lambda_boot::{Deadline, Invocation, Vars};
use usage_store::Store;

const EVENTS: u64 = 30;
/// The most that an event has; over three partitions.
const EVENT_RECORDS: u64 = 10_000;
const PARTITIONS: u64 = 3;
const SUBSCRIBERS: u64 = 50_000;
const LINES_PER_FILE: u64 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("usage: full_batches postgres://user:password@host/empty-database")?;
    let store = Store::connect(&url)?;
    store.init().await?;
    store.add_lanes(1, "cdr-data", PARTITIONS as i32).await?;
    // Nothing is rejected, so nobody needs to listen there.
    let vars: Vars = [("KAFKA_BROKERS", "127.0.0.1:9"), ("USAGE_STORE", &url)].into_iter().collect();
    let function = batch_aggregator::boot(vars).await?;
    let mut seconds = 0.0;
    for number in 0..EVENTS {
        let payload = Bytes::from(event(number));
        let bytes = payload.len();
        let started = Instant::now();
        function(Invocation { payload, deadline: Deadline::NONE, request_id: String::new() }).await?;
        let elapsed = started.elapsed().as_secs_f64();
        seconds += elapsed;
        println!("{bytes} bytes, {:.0} ms, {} at most", 1e3 * elapsed, memory()?);
    }
    println!("{:.0} records/s", (EVENTS * EVENT_RECORDS) as f64 / seconds);
    Ok(())
}

/// The most memory that this process had, as Linux tells.
fn memory() -> anyhow::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().to_owned())
}

fn event(number: u64) -> Vec<u8> {
    let batches = (0..PARTITIONS).map(|partition| PartitionBatch {
        topic: "cdr-data".to_owned(),
        partition: partition as i32,
        records: (number * EVENT_RECORDS..(number + 1) * EVENT_RECORDS)
            .filter(|row| row % PARTITIONS == partition)
            .map(record)
            .collect(),
    });
    kafka_batch::encode(&batches.collect::<Vec<_>>())
}

fn record(row: u64) -> Record {
    // Any step that has no factor in common with the number of subscribers goes through all of them.
    let msisdn = 27_820_000_000 + row * 7_919 % SUBSCRIBERS;
    let kind = ["video", "audio", "image", "text", "application"][(row % 5) as usize];
    let (file, line) = (row / LINES_PER_FILE, row % LINES_PER_FILE + 1);
    let value = format!(
        r#"{{"msisdn":"{msisdn}","tower_id":"17","up_bytes":"523456","down_bytes":"234567","data_type":"{kind}","ip_address":"198.51.100.7","website_url":"https://example.com/a","event_datetime":"2024-01-01 10:15:30","_source_file":"cdr_data_20240101_{:06}.csv","_ingestion_timestamp":"2024-01-01T12:00:04.120031","_record_type":"data","_source_id":"{file:016x}","_source_line":{line}}}"#,
        file % 60 + file / 60 * 100
    );
    Record {
        offset: (row / PARTITIONS) as i64,
        timestamp_ms: 1_704_110_400_000,
        key: Some(msisdn.to_string().into_bytes()),
        value: Some(value.into_bytes()),
        headers: Vec::new(),
    }
}
