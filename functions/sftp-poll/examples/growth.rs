//! How many bytes come over SFTP when a large file has grown a little: `growth [MEGABYTES] [GROWN BY, MEGABYTES]`, 2,000 and 1 where
//! nothing is said. The file is like a switch's `Master.csv`: written to for ever, and never done.
//!
//! Ends with an error where more than the new part, a few blocks and the folder's listing were read.
#![expect(clippy::print_stdout, reason = "its results are for people")]

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use embedded::{Data, SftpServer};
use kafka_batch::PartitionBatch;
use lambda_boot::{Deadline, Vars};
use sftp_poll::{Config, Deps, Event, Report, handle};
use stream::{Record, Topic};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const FILE: &str = "cdr_voice_20240101_000000.csv";
const HEADER: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n";
/// What may be read beside the new part.
const BESIDE_BYTES: u64 = 1 << 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let megabytes = |at: usize, default: u64| -> anyhow::Result<u64> {
        let text = std::env::args().nth(at);
        Ok(text.map_or(Ok(default), |text| text.parse()).context("megabytes are a number")? * 1_000_000)
    };
    let (bytes, grown_by) = (megabytes(1, 2_000)?, megabytes(2, 1)?);
    let server = SftpServer::start(Data::Temporary).await?;
    let path = server.root().join("upload").join(FILE);
    let mut file = fs::File::create(&path)?;
    file.write_all(HEADER.as_bytes())?;
    append(&mut file, 0, bytes)?;
    let line = CountingLine::start(format!("{}:{}", server.host, server.port)).await?;
    let vars = vars(&server, &line).await?;
    let config = Config::from_vars(&vars)?;
    kafka_sink::admin::create_topics(&config.kafka, &[("landed-files", 1), ("rejected", 1)]).await?;

    let began = Instant::now();
    let first = poll(&config).await?;
    ensure!(first.landed == 1, "the file has not landed: {first:?}");
    say("first landing", &line, began);
    publish(&config, &vars).await?;
    append(&mut file, bytes, grown_by)?;
    let began = Instant::now();
    let second = poll(&config).await?;
    ensure!(second.grown == 1, "the file's growth was not taken: {second:?}");
    let read = say("growth", &line, began);
    ensure!(read < grown_by + BESIDE_BYTES, "{read} bytes were read for {grown_by} new ones");
    Ok(())
}

/// Shows what has come over the line since the last time.
fn say(what: &str, line: &CountingLine, began: Instant) -> u64 {
    let read = line.bytes.swap(0, Ordering::Relaxed);
    println!("{what}: {:.1} MB over SFTP in {:.1} s", read as f64 / 1e6, began.elapsed().as_secs_f64());
    read
}

/// Rows of calls, so many bytes of them.
fn append(file: &mut fs::File, from: u64, bytes: u64) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for number in from.. {
        if text.len() as u64 >= bytes.min(1 << 24) {
            break;
        }
        let (hour, minute, second) = (number / 3600 % 24, number / 60 % 60, number % 60);
        writeln!(
            text,
            "2782{:07},7,voice,27820090000,{},2024-03-01 {hour:02}:{minute:02}:{second:02}",
            number,
            number % 3600
        )?;
    }
    let mut left = bytes;
    while left > 0 {
        let part = &text[..text.len().min(left as usize)];
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(file.write_all(b"\n")?)
}

async fn poll(config: &Config) -> anyhow::Result<Report> {
    let deps = Deps::connect(config).await?;
    handle(&deps, Event::Poll, Deadline::NONE).await
}

/// Growth waits until what came before is published: the results are what this needs of it, so the rows are counted alone.
async fn publish(config: &Config, vars: &Vars) -> anyhow::Result<()> {
    let settings: file_to_topic::Settings = vars.read()?;
    let names = Topic::CALL_RECORDS.map(|topic| (&settings.topics[topic], 3));
    kafka_sink::admin::create_topics(&config.kafka, &names).await?;
    let deps = file_to_topic::Deps::connect(&file_to_topic::Config {
        kafka: config.kafka.clone(),
        lake: config.lake.clone(),
        settings,
    })
    .await?;
    let records = test_support::records(config.kafka.client(), "landed-files").await;
    let record = records.last().context("nothing was announced")?;
    let mut announced: serde_json::Value = serde_json::from_slice(record.value())?;
    announced["action"] = "drop".into();
    let value = Some(serde_json::to_vec(&announced)?);
    let record = Record { offset: 0, timestamp_ms: 0, key: None, value, headers: Vec::new() };
    let batch = PartitionBatch { topic: "landed-files".to_owned(), partition: 0, records: vec![record] };
    file_to_topic::handle(&deps, vec![batch], Deadline::NONE).await
}

async fn vars(server: &SftpServer, line: &CountingLine) -> anyhow::Result<Vars> {
    let bucket = test_support::object_store().await;
    let vars = [
        ("SFTP_HOST", "127.0.0.1".to_owned()),
        ("SFTP_PORT", line.port.to_string()),
        ("SFTP_USER", server.user.clone()),
        ("SFTP_PASSWORD", server.password.expose().to_owned()),
        ("SFTP_HOST_KEY", server.host_key.clone()),
        ("SFTP_REMOTE_PATH", server.remote_path.to_owned()),
        ("SFTP_SETTLE_SECONDS", "0".to_owned()),
        ("KAFKA_BROKERS", test_support::broker().await.to_owned()),
        ("LAKE_BUCKET", bucket.bucket),
        ("AWS_ENDPOINT_URL_S3", bucket.endpoint),
        ("AWS_REGION", bucket.region),
        ("AWS_ACCESS_KEY_ID", bucket.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose().to_owned()),
    ];
    Ok(vars.into_iter().collect())
}

/// A line that counts what comes from the server.
struct CountingLine {
    port: u16,
    bytes: Arc<AtomicU64>,
}

impl CountingLine {
    async fn start(target: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let line = Self { port: listener.local_addr()?.port(), bytes: Arc::default() };
        let bytes = Arc::clone(&line.bytes);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target.clone(), Arc::clone(&bytes)));
            }
        });
        Ok(line)
    }
}

async fn carry(client: TcpStream, target: String, bytes: Arc<AtomicU64>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(target).await?.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut chunk = vec![0; 1 << 17];
    loop {
        let read = from_server.read(&mut chunk).await?;
        if read == 0 {
            up.abort();
            return Ok(());
        }
        bytes.fetch_add(read as u64, Ordering::Relaxed);
        to_client.write_all(&chunk[..read]).await?;
    }
}
