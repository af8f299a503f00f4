//! How fast a large file comes from OpenSSH's server over 20 ms into an S3 protocol server, and in what memory:
//! `land_rate [GIGABYTES]`. The function is its own binary of the same profile, in a process of its own: build it first.
//!
//! Ends with an error where the function needed more memory than it has. Both servers are on the same machine.
#![expect(clippy::print_stdout, reason = "its results are for people")]

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use lake::Lake;
use lake::names::{self, VersionKey};
use lambda_boot::Vars;
use telecom::FileName;
use test_support::{Line, Sandbox};

/// Each way: 20 ms there and back.
const DELAY: Duration = Duration::from_millis(10);
/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(300);
/// `MemorySize` of the template; in the service its MB are larger by a twentieth.
const MEMORY_LIMIT_BYTES: u64 = 128_000_000;
/// Long enough ago for the file to be taken.
const AGE: Duration = Duration::from_hours(1);
const FILE: &str = "cdr_data_20240101_000000.csv";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let gigabytes: f64 = std::env::args().nth(1).as_deref().unwrap_or("2").parse().context("gigabytes are a number")?;
    let bytes = (gigabytes * 1e9) as u64;
    let sshd = test_support::sshd().await;
    let file = fs::File::create(sshd.upload().join(FILE))?;
    file.set_len(bytes)?;
    file.set_modified(SystemTime::now() - AGE)?;
    let far =
        test_support::proxy(format!("{}:{}", sshd.host, sshd.port), Line { delay: DELAY, ..Line::default() }).await;
    let bucket = test_support::object_store().await;
    let vars = [
        ("SFTP_HOST", far.host.clone()),
        ("SFTP_PORT", far.port.to_string()),
        ("SFTP_USER", sshd.user.clone()),
        ("SFTP_PASSWORD", sshd.password.expose().to_owned()),
        ("SFTP_HOST_KEY", sshd.host_keys[0].clone()),
        ("SFTP_REMOTE_PATH", sshd.remote_path.clone()),
        ("KAFKA_BROKERS", test_support::broker().await.to_owned()),
        ("LAKE_BUCKET", bucket.bucket),
        ("AWS_ENDPOINT_URL_S3", bucket.endpoint),
        ("AWS_REGION", bucket.region),
        ("AWS_ACCESS_KEY_ID", bucket.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose().to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ];
    let config: Vars = vars.iter().cloned().collect();
    kafka_sink::admin::create_topics(&config.read()?, &[("landed-files", 1)]).await?;

    let binary = std::env::current_exe()?.ancestors().nth(2).context("the profile's folder")?.join("sftp-poll");
    let mut function = Sandbox::start(&binary, vars).await?;
    let began = Instant::now();
    let report = function.invoke("{}", TIMEOUT).await?;
    let seconds = began.elapsed().as_secs_f64();
    let piece = VersionKey::first(FileName::parse(FILE)?).piece();
    let landed = Lake::connect(&config.read()?).head(&names::landing(&piece)).await?;
    let landed = landed.context("the file has not landed")?;
    ensure!(landed.bytes == bytes, "{} bytes landed instead of {bytes}", landed.bytes);
    let peak = function.peak_memory_bytes()?;
    println!("{}", String::from_utf8_lossy(&report));
    let megabytes = bytes as f64 / 1e6;
    println!(
        "{megabytes:.0} MB in {seconds:.1} s: {:.0} MB/s; peak memory {:.0} MB",
        megabytes / seconds,
        peak as f64 / 1e6
    );
    ensure!(peak < MEMORY_LIMIT_BYTES, "the function needs more memory than it has");
    Ok(())
}
