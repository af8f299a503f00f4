//! Rows a second and peak memory of the hot functions, each its own release binary in its own process: `make bench`, or
//! `functions [FOLDER]` with the folder of the binaries.
//!
//! Ends with 1 where a function needed more memory than it has.
#![expect(clippy::print_stdout, reason = "its results are for people")]

mod file;
mod records;
mod report;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kafka_batch::{PartitionBatch, Record, encode};
use lake::{Announcement, FileResult};
use test_support::Sandbox;

use crate::records::Reader;
use crate::report::{Line, grouped, machine, megabytes, verdict};
use crate::world::World;

const DATA_FILE: &str = "cdr_data_20240101_000000.csv";
const DATA_FILE_GZIP: &str = "cdr_data_20240101_000000.csv.gz";
const VOICE_FILE: &str = "cdr_voice_20240101_000000.csv";

/// A little more than 200 MB.
const LARGE_FILE_ROWS: u64 = 1_850_000;

/// So many that a batch has few of them twice.
const MANY_SUBSCRIBERS: u32 = 50_000;

/// So few that a batch has all of them.
const FEW_SUBSCRIBERS: u32 = 500;

/// The service's largest `BatchSize`. The service would cut these batches: they are larger than its 6 MB.
const BATCH_RECORDS: u64 = 10_000;

/// Enough for the function to remember as many rows of the lanes as it ever does.
const BATCHES: u64 = 80;

/// `Timeout` of the template.
const FILE_TO_TOPIC_TIMEOUT: Duration = Duration::from_secs(840);

/// `Timeout` of the template.
const BATCH_AGGREGATOR_TIMEOUT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let binaries = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => release_binaries()?,
    };
    println!("{}", machine().await?);
    println!(
        "The services run on the same cores. S3 keeps files, the broker memory; PostgreSQL does not wait for the disk.\n"
    );
    Line::print_titles();
    let mut lines = Vec::new();
    let mut add = |line: Line| {
        line.print();
        lines.push(line);
    };

    {
        let world = World::new().await?;
        add(publish(&binaries, &world, DATA_FILE_GZIP, LARGE_FILE_ROWS, MANY_SUBSCRIBERS).await?);
    }
    {
        let world = World::new().await?;
        add(publish(&binaries, &world, DATA_FILE, LARGE_FILE_ROWS, MANY_SUBSCRIBERS).await?);
        publish(&binaries, &world, VOICE_FILE, BATCHES * BATCH_RECORDS / 2, MANY_SUBSCRIBERS).await?;
        count(&binaries, &world, MANY_SUBSCRIBERS, &mut add).await?;
    }
    {
        let world = World::new().await?;
        for file in [DATA_FILE, VOICE_FILE] {
            publish(&binaries, &world, file, BATCHES * BATCH_RECORDS / 2, FEW_SUBSCRIBERS).await?;
        }
        count(&binaries, &world, FEW_SUBSCRIBERS, &mut add).await?;
    }
    Ok(verdict(&lines))
}

/// `target/release`, seen from `target/<profile>/examples/functions`.
fn release_binaries() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(3).context("the target folder")?.join("release"))
}

/// Lands a file and has file-to-topic publish it, and its rest where it announces one.
async fn publish(binaries: &Path, world: &World, file: &str, rows: u64, subscribers: u32) -> anyhow::Result<Line> {
    let announcement = file::land(&world.lake, file, rows, subscribers).await?;
    let mut function = Sandbox::start(&binaries.join("file-to-topic"), world.vars.iter().cloned()).await?;
    let announcements = Reader::new(&world.broker.bootstrap_servers, "landed-files")?;
    let results = lake::names::results(announcement.name.as_str());
    let mut event = announced(&announcement)?;
    let mut seconds = 0.0;
    let result: FileResult = loop {
        let began = Instant::now();
        function.invoke(encode(&event), FILE_TO_TOPIC_TIMEOUT).await?;
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
        input: format!("a file of {:.0} MB, {form}", megabytes(result.bytes)),
        rows: result.rows,
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

/// Has batch-aggregator count full batches of what has been published, of data and of voice in turn.
async fn count(binaries: &Path, world: &World, subscribers: u32, add: &mut impl FnMut(Line)) -> anyhow::Result<()> {
    let mut function = Sandbox::start(&binaries.join("batch-aggregator"), world.vars.iter().cloned()).await?;
    let brokers = &world.broker.bootstrap_servers;
    let topics = [Reader::new(brokers, "cdr-data")?, Reader::new(brokers, "cdr-voice")?];
    let mut topics = topics.iter().cycle();
    for (batches, which) in [(1, "the first"), (BATCHES - 1, "the others")] {
        let (mut bytes, mut seconds) = (0, 0.0);
        for topic in topics.by_ref().take(batches as usize) {
            let event = encode(&topic.batch(BATCH_RECORDS).await?);
            bytes += event.len() as u64;
            let began = Instant::now();
            function.invoke(event, BATCH_AGGREGATOR_TIMEOUT).await?;
            seconds += began.elapsed().as_secs_f64();
        }
        add(Line {
            function: "batch-aggregator",
            input: format!("batches of {} subscribers, {which}", grouped(subscribers.into())),
            rows: batches * BATCH_RECORDS,
            bytes,
            seconds,
            peak_bytes: function.peak_memory_bytes()?,
        });
    }
    function.stop().await?;
    let counted: u64 = world.store.lanes().await?.iter().map(|(_, progress)| progress.records).sum();
    ensure!(counted == BATCHES * BATCH_RECORDS, "only {counted} records were counted");
    Ok(())
}
