//! Rates and peak memory of every function, each its own release binary in its own process, on the services that it
//! works with: `make bench`, or `functions [FOLDER [FUNCTION…]]` with the folder of the binaries, and with the functions
//! to measure where that is not all of them.
//!
//! Ends with 1 where a function needed more memory than the template gives it.
#![expect(clippy::print_stdout, reason = "its results are for people")]

mod batch_aggregator;
mod cdc_handler;
mod file;
mod file_to_topic;
mod intake_http;
mod lake_writer;
mod records;
mod report;
mod sftp_poll;
mod usage_http;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::file_to_topic::{LARGE_FILE_ROWS, publish};
use crate::report::{Line, machine, verdict};
use crate::world::{Counters, Kafka, World};

const DATA_FILE: &str = "cdr_data_20240101_000000.csv";
const DATA_FILE_GZIP: &str = "cdr_data_20240101_000000.csv.gz";
const VOICE_FILE: &str = "cdr_voice_20240101_000000.csv";

/// So many that a batch has few of them twice.
const MANY_SUBSCRIBERS: u32 = 50_000;

/// So few that a batch has all of them.
const FEW_SUBSCRIBERS: u32 = 500;

const FUNCTIONS: [&str; 7] =
    ["sftp-poll", "file-to-topic", "batch-aggregator", "usage-http", "cdc-handler", "lake-writer", "intake-http"];

/// The binaries to measure, and what has been measured.
struct Bench {
    binaries: PathBuf,
    lines: Vec<Line>,
}

impl Bench {
    fn binary(&self, function: &str) -> PathBuf {
        self.binaries.join(function)
    }

    fn add(&mut self, line: Line) {
        line.print();
        self.lines.push(line);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let binaries = match arguments.next() {
        Some(folder) => PathBuf::from(folder),
        None => release_binaries()?,
    };
    let asked: Vec<String> = arguments.collect();
    if let Some(unknown) = asked.iter().find(|asked| !FUNCTIONS.contains(&asked.as_str())) {
        bail!("{unknown} is none of {}", FUNCTIONS.join(", "));
    }
    let wants = |function: &str| asked.is_empty() || asked.iter().any(|asked| asked == function);
    println!("{}; the functions of {}", machine().await?, binaries.display());
    println!(
        "The services run on the same cores: OpenSSH's sshd; an S3 server that keeps files; one broker that keeps records"
    );
    println!("in memory, or Kafka's three; PostgreSQL, which does not wait for the disk; Cassandra, which does.");
    if cfg!(debug_assertions) {
        println!("S3 and the one broker are compiled without optimization: rates are lower bounds.");
    }
    println!();
    Line::print_titles();
    let mut bench = Bench { binaries, lines: Vec::new() };
    if wants("sftp-poll") {
        sftp_poll::large_file(&mut bench).await?;
        sftp_poll::small_files(&mut bench).await?;
    }
    if wants("file-to-topic") {
        publish_large(&mut bench, Kafka::Embedded, DATA_FILE_GZIP).await?;
        publish_large(&mut bench, Kafka::Embedded, DATA_FILE).await?;
        publish_large(&mut bench, Kafka::Cluster, DATA_FILE).await?;
    }
    // One asks for what the other has counted.
    if wants("batch-aggregator") || wants("usage-http") {
        for counters in [Counters::Postgres, Counters::Cassandra] {
            for subscribers in [MANY_SUBSCRIBERS, FEW_SUBSCRIBERS] {
                count_and_ask(&mut bench, counters, subscribers).await?;
            }
        }
    }
    if wants("cdc-handler") {
        cdc_handler::follow(&mut bench).await?;
    }
    if wants("lake-writer") {
        lake_writer::keep(&mut bench).await?;
    }
    if wants("intake-http") {
        intake_http::post(&mut bench).await?;
    }
    verdict(&bench.lines)
}

/// `target/release`, seen from `target/<profile>/examples/functions`.
fn release_binaries() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(3).context("the target folder")?.join("release"))
}

async fn publish_large(bench: &mut Bench, kafka: Kafka, file: &str) -> anyhow::Result<()> {
    let world = World::new(kafka, Counters::Postgres).await?;
    let brokers = match kafka {
        Kafka::Embedded => "one broker",
        Kafka::Cluster => "three Kafka brokers",
    };
    let line = publish(bench, &world, file, LARGE_FILE_ROWS, MANY_SUBSCRIBERS, brokers).await?;
    bench.add(line);
    Ok(())
}

async fn count_and_ask(bench: &mut Bench, counters: Counters, subscribers: u32) -> anyhow::Result<()> {
    let world = World::new(Kafka::Embedded, counters).await?;
    for file in [DATA_FILE, VOICE_FILE] {
        publish(bench, &world, file, batch_aggregator::TOPIC_ROWS, subscribers, "").await?;
    }
    batch_aggregator::count(bench, &world, counters, subscribers).await?;
    if subscribers == MANY_SUBSCRIBERS {
        usage_http::ask(bench, &world, counters).await?;
    }
    Ok(())
}
