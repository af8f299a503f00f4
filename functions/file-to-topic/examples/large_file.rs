//! How fast the function reads a large file, and in how much memory: `large_file [MiB] [plain|gzip|zstd]`.
//!
//! The services run in this process, the function in one of its own, so its memory is its own.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use kafka_batch::{PartitionBatch, Record, encode};
use lake::{Announcement, Digest, Lake};
use lambda_boot::{Deadline, Invocation, Vars};
use telecom::FileName;

/// The first argument of the process with the function; the announcement is the second.
const FUNCTION: &str = "--function";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [function, announcement] if function == FUNCTION => run_function(announcement).await,
        [] => run_services(200, "plain").await,
        [mebibytes] => run_services(mebibytes.parse()?, "plain").await,
        [mebibytes, form] => run_services(mebibytes.parse()?, form).await,
        _ => bail!("large_file [MiB] [plain|gzip|zstd]"),
    }
}

async fn run_services(mebibytes: usize, form: &str) -> anyhow::Result<()> {
    let store = test_support::object_store().await;
    let vars = [
        ("KAFKA_BROKERS", test_support::broker().await),
        ("LAKE_BUCKET", &store.bucket),
        ("AWS_ENDPOINT_URL_S3", &store.endpoint),
        ("AWS_REGION", &store.region),
        ("AWS_ACCESS_KEY_ID", &store.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", store.secret_access_key.expose()),
        ("RUST_LOG", "info"),
    ];
    let config = file_to_topic::Config::from_vars(&vars.into_iter().collect::<Vars>())?;
    let topics = ["cdr-data", "cdr-voice", "landed-files", "rejected"].map(|topic| (topic, 3));
    kafka_sink::admin::create_topics(&config.kafka, &topics).await?;

    let name = FileName::parse("cdr_data_20240101_120000.csv")?;
    let bytes = Bytes::from(file(mebibytes << 20, form)?);
    let announcement = Announcement::new(name, Digest::of(&bytes), bytes.len() as u64);
    println!("{mebibytes} MiB of rows as {} bytes ({form})", bytes.len());
    Lake::connect(&config.lake).put_if_absent(&announcement.key, bytes, &[]).await?;

    let mut function = Command::new(std::env::current_exe()?);
    function.args([FUNCTION, &serde_json::to_string(&announcement)?]).envs(vars);
    let status = tokio::task::spawn_blocking(move || function.status()).await??;
    if !status.success() {
        bail!("the function failed");
    }
    Ok(())
}

fn file(bytes: usize, form: &str) -> anyhow::Result<Vec<u8>> {
    let mut rows = Vec::with_capacity(bytes + 200);
    telecom::csv::write_header(&mut rows, telecom::RecordType::Data);
    let mut number = 0_u64;
    while rows.len() < bytes {
        number += 1;
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(
            rows,
            "+2782{:07},{},{},{},video,41.202.{}.{},https://example.com/{},2024-01-01 10:15:{:02}",
            random % 50_000,
            random >> 50,
            random >> 44,
            random >> 40,
            random >> 56,
            random >> 48 & 0xff,
            random % 1000,
            number % 60
        )?;
    }
    match form {
        "plain" => Ok(rows),
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&rows)?;
            Ok(encoder.finish()?)
        }
        "zstd" => Ok(zstd::encode_all(&rows[..], 3)?),
        _ => bail!("{form} is none of plain, gzip, zstd"),
    }
}

async fn run_function(announcement: &str) -> anyhow::Result<()> {
    lambda_boot::init_logs();
    let record = Record {
        offset: 0,
        timestamp_ms: 0,
        key: None,
        value: Some(announcement.as_bytes().to_vec()),
        headers: Vec::new(),
    };
    let batch = PartitionBatch { topic: "landed-files".to_owned(), partition: 0, records: vec![record] };
    let payload = encode(&[batch]).into();
    let handler = file_to_topic::boot(Vars::from_env()).await?;
    let before_kib = peak_kib()?;
    let began = Instant::now();
    handler(Invocation { payload, deadline: Deadline::NONE, request_id: "1".to_owned() }).await?;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{seconds:.1} s, {:.1} s of processor time; memory at most {} MiB, before the file {} MiB",
        processor_seconds()?,
        peak_kib()? >> 10,
        before_kib >> 10
    );
    Ok(())
}

/// What all threads of this process have used.
fn processor_seconds() -> anyhow::Result<f64> {
    // The fields after the name, which is in brackets; the kernel counts in hundredths.
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc is needed")?;
    let fields = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace();
    let hundredths: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(hundredths.iter().sum::<f64>() / 100.0)
}

/// The most memory that this process has had.
fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc is needed")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
