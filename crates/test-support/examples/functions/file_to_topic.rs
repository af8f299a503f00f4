//! A landed file onto its topic.

use std::time::{Duration, Instant};

use anyhow::ensure;
use kafka_batch::{PartitionBatch, encode};
use lake::names::VersionKey;
use lake::{Announcement, FileResult};
use stream::Record;
use test_support::Sandbox;

use crate::records::Reader;
use crate::report::{Line, megabytes};
use crate::world::World;
use crate::{Bench, file};

/// A little more than 200 MB.
pub(crate) const LARGE_FILE_ROWS: u64 = 1_850_000;

/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(840);

/// Lands a file and has the function publish it, and its rest where it announces one.
pub(crate) async fn publish(
    bench: &Bench,
    world: &World,
    file: &str,
    rows: u64,
    subscribers: u32,
    brokers: &str,
) -> anyhow::Result<Line> {
    let announcement = file::land(&world.lake, file, rows, subscribers).await?;
    let mut function = Sandbox::start(&bench.binary("file-to-topic"), world.vars.iter().cloned()).await?;
    let announcements = Reader::new(&world.brokers, "landed-files")?;
    let results = lake::names::results(&VersionKey::first(announcement.name).piece());
    let mut event = announced(&announcement)?;
    let mut seconds = 0.0;
    let result: FileResult = loop {
        let began = Instant::now();
        function.invoke(encode(&event), TIMEOUT).await?;
        seconds += began.elapsed().as_secs_f64();
        match world.lake.get_json(&results).await? {
            Some(result) => break result,
            None => event = announcements.batch(1).await?,
        }
    };
    ensure!(result.accepted == rows, "only {} of {rows} rows were accepted", result.accepted);
    let form = if announcement.name.compression().is_some() { "gzip" } else { "CSV" };
    let line = Line {
        function: "file-to-topic",
        input: format!("a file of {:.0} MB, {form}; {brokers}", megabytes(result.bytes)),
        items: result.rows,
        unit: "rows",
        bytes: result.bytes,
        seconds,
        peak_bytes: function.peak_memory_bytes()?,
    };
    function.stop().await?;
    Ok(line)
}

/// The event of an announcement.
fn announced(announcement: &Announcement) -> anyhow::Result<Vec<PartitionBatch>> {
    let value = Some(serde_json::to_vec(announcement)?);
    let record = Record { offset: 0, timestamp_ms: 0, key: None, value, headers: Vec::new() };
    Ok(vec![PartitionBatch { topic: "landed-files".to_owned(), partition: 0, records: vec![record] }])
}
