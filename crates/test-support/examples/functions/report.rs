use std::fs::read_to_string;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_postgres::NoTls;

/// The functions' memory, `MemorySize` in the template; in the service its MB are larger by a twentieth.
const MEMORY_LIMIT_BYTES: u64 = 128_000_000;

/// What was measured.
pub(crate) struct Line {
    pub(crate) function: &'static str,
    /// What it was given.
    pub(crate) input: String,
    pub(crate) rows: u64,
    /// Of the file, or of the events.
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// The most memory that its process has had until then.
    pub(crate) peak_bytes: u64,
}

impl Line {
    pub(crate) fn print_titles() {
        println!(
            "{:<17} {:<44} {:>9} {:>8} {:>9} {:>6} {:>8}",
            "function", "input", "rows", "seconds", "rows/s", "MB/s", "peak MB"
        );
    }

    pub(crate) fn print(&self) {
        let Self { function, input, rows, bytes, seconds, peak_bytes } = self;
        println!(
            "{function:<17} {input:<44} {:>9} {seconds:>8.2} {:>9} {:>6.1} {:>8.1}",
            grouped(*rows),
            grouped((*rows as f64 / seconds) as u64),
            megabytes(*bytes) / seconds,
            megabytes(*peak_bytes)
        );
    }
}

/// Fails where a function needed more memory than it has. How fast they are decides nothing.
pub(crate) fn verdict(lines: &[Line]) -> ExitCode {
    let mut verdict = ExitCode::SUCCESS;
    for Line { function, input, peak_bytes, .. } in lines {
        if *peak_bytes >= MEMORY_LIMIT_BYTES {
            println!("{function} ({input}) needs more than its {} MB", megabytes(MEMORY_LIMIT_BYTES));
            verdict = ExitCode::FAILURE;
        }
    }
    verdict
}

/// What the figures were measured on.
pub(crate) async fn machine() -> anyhow::Result<String> {
    let cpus = read_to_string("/proc/cpuinfo").context("Linux's /proc is needed")?;
    let (database, connection) = tokio_postgres::connect(&test_support::postgres_database().await, NoTls).await?;
    let connection = tokio::spawn(connection);
    let postgres: String = database.query_one("SHOW server_version", &[]).await?.get(0);
    drop(database);
    connection.await??;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(format!(
        "{} × {}; Linux {}; trunkline {}, PostgreSQL {postgres}, librdkafka {}",
        std::thread::available_parallelism()?,
        model.map_or("unknown processor", |(_, model)| model),
        read_to_string("/proc/sys/kernel/osrelease")?.trim(),
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
