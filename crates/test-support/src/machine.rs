//! What a benchmark ran on.

use std::fs::read_to_string;

use anyhow::Context as _;

/// Processors, kernel, and how busy this machine is.
///
/// # Errors
/// Where there is no Linux.
pub fn machine() -> anyhow::Result<String> {
    let cpus = read_to_string("/proc/cpuinfo").context("Linux's /proc is needed")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(format!(
        "{} × {}; Linux {}; load of the last minute {}",
        std::thread::available_parallelism()?,
        model.map_or("unknown processor", |(_, model)| model),
        read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or("unknown"),
    ))
}
