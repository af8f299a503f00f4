use std::process::ExitCode;

use anyhow::Context as _;
use tokio_postgres::NoTls;

const TEMPLATE: &str = include_str!("../../../../template.yaml");

/// What was measured.
pub(crate) struct Line {
    pub(crate) function: &'static str,
    /// What it was given, and by which services where that differs.
    pub(crate) input: String,
    /// How many of what.
    pub(crate) items: u64,
    pub(crate) unit: &'static str,
    /// Of the files, or of the events.
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// The most memory that its process has had until then.
    pub(crate) peak_bytes: u64,
}

impl Line {
    pub(crate) fn print_titles() {
        println!(
            "{:<17} {:<52} {:>18} {:>8} {:>10} {:>7} {:>8}",
            "function", "input", "items", "seconds", "items/s", "MB/s", "peak MB"
        );
    }

    pub(crate) fn print(&self) {
        let Self { function, input, items, unit, bytes, seconds, peak_bytes } = self;
        let rate = *items as f64 / seconds;
        let rate = if rate < 100.0 { format!("{rate:.1}") } else { grouped(rate as u64) };
        println!(
            "{function:<17} {input:<52} {:>18} {seconds:>8.2} {rate:>10} {:>7.1} {:>8.1}",
            format!("{} {unit}", grouped(*items)),
            megabytes(*bytes) / seconds,
            megabytes(*peak_bytes)
        );
    }
}

/// Fails where a function needed more memory than it has. How fast they are decides nothing.
pub(crate) fn verdict(lines: &[Line]) -> anyhow::Result<ExitCode> {
    let mut verdict = ExitCode::SUCCESS;
    println!();
    for Line { function, input, peak_bytes, .. } in lines {
        let limit = memory_limit_bytes(function)?;
        if *peak_bytes >= limit {
            println!("{function} ({input}) needs more than the template's {:.0} MB", megabytes(limit));
            verdict = ExitCode::FAILURE;
        }
    }
    if verdict == ExitCode::SUCCESS {
        println!("None needed more memory than the template gives it.");
    }
    Ok(verdict)
}

/// The template's `MemorySize` of a function, or of all; in the service its MB are larger by a twentieth.
fn memory_limit_bytes(function: &str) -> anyhow::Result<u64> {
    let (globals, resources) = TEMPLATE.split_once("\nResources:").context("the template has no Resources")?;
    let name = format!("-{function}\"");
    let own = resources.split("Type: AWS::Serverless::Function").find(|resource| resource.contains(&name));
    let size = |text: &'static str| text.lines().find_map(|line| line.trim().strip_prefix("MemorySize:"));
    let megabytes = own.with_context(|| format!("the template has no {function}"))?;
    let megabytes = size(megabytes).or_else(|| size(globals)).context("MemorySize in the template")?;
    Ok(1_000_000 * megabytes.trim().parse::<u64>().context("MemorySize in the template")?)
}

/// What the figures were measured on.
pub(crate) async fn machine() -> anyhow::Result<String> {
    let (database, connection) = tokio_postgres::connect(&test_support::postgres_database().await, NoTls).await?;
    let connection = tokio::spawn(connection);
    let postgres: String = database.query_one("SHOW server_version", &[]).await?.get(0);
    drop(database);
    connection.await??;
    Ok(format!(
        "{}; trunkline {}, PostgreSQL {postgres}, librdkafka {}",
        test_support::machine()?,
        env!("CARGO_PKG_VERSION"),
        rdkafka::util::get_rdkafka_version().1,
    ))
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// 1,234,567
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
