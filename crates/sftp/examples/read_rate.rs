//! How fast one connection reads a file from OpenSSH's server, near and far, with what CPU and memory, and how fast
//! OpenSSH's own client is over the same line: `read_rate [GIGABYTES]`.
//!
//! As in a function, the client has a process and one thread of its own. Server and line are on the same machine.
#![expect(clippy::print_stdout, reason = "its results are for people")]

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::TryStreamExt as _;
use lambda_boot::Vars;
use sftp::{Client, Config};
use test_support::{Line, Sshd};
use tokio::process::Command;

/// Each way: 20 ms there and back.
const DELAY: Duration = Duration::from_millis(10);
/// Each client is measured so often, in turn: the machine may have more to do.
const ROUNDS: usize = 2;
/// The kernel counts CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;
const FILE: &str = "file";
/// The argument of the process that is the client.
const CLIENT: &str = "--client";

fn main() -> anyhow::Result<()> {
    let argument = std::env::args().nth(1);
    let runtime = if argument.as_deref() == Some(CLIENT) {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?
    } else {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?
    };
    match argument.as_deref() {
        Some(CLIENT) => runtime.block_on(read()),
        gigabytes => runtime.block_on(compare(gigabytes.unwrap_or("2").parse().context("gigabytes are a number")?)),
    }
}

/// Reads the file of the server that the variables name; prints its bytes, the seconds, and this process's peak memory.
async fn read() -> anyhow::Result<()> {
    let config: Config = Vars::from_env().read()?;
    let client = Client::connect(&config).await?;
    let began = Instant::now();
    let stream = client.read(&format!("{}/{FILE}", config.remote_path)).await?;
    let bytes = stream.try_fold(0, async |sum, bytes| Ok(sum + bytes.len())).await?;
    println!("{bytes} {} {}", began.elapsed().as_secs_f64(), peak_kib()?);
    Ok(())
}

async fn compare(gigabytes: f64) -> anyhow::Result<()> {
    let sshd = test_support::sshd().await;
    let bytes = (gigabytes * 1e9) as u64;
    // Nothing on the way compresses, so holes will do. Read once, they are in the kernel's memory for everybody.
    let file = sshd.upload().join(FILE);
    fs::File::create(&file)?.set_len(bytes)?;
    std::io::copy(&mut fs::File::open(&file)?, &mut std::io::sink())?;
    let far =
        test_support::proxy(format!("{}:{}", sshd.host, sshd.port), Line { delay: DELAY, ..Line::default() }).await;
    println!("{}\nA file of {} MB, each client over one connection.\n", machine().await?, bytes / 1_000_000);
    println!("{:<8} {:<16} {:>8} {:>8} {:>8} {:>8}", "line", "client", "seconds", "MB/s", "CPU s", "peak MB");
    for (line, port) in [("direct", sshd.port), ("20 ms", far.port)] {
        for _ in 0..ROUNDS {
            let before = cpu_seconds_of_children()?;
            let (seconds, peak_kib) = our_client(&sshd, port, bytes).await?;
            let cpu = cpu_seconds_of_children()? - before;
            let peak = peak_kib as f64 * 1024.0 / 1e6;
            let rate = bytes as f64 / 1e6 / seconds;
            println!("{line:<8} {:<16} {seconds:>8.2} {rate:>8.0} {cpu:>8.2} {peak:>8.1}", "this crate");

            let before = cpu_seconds_of_children()?;
            let seconds = openssh_client(&sshd, port).await?;
            let cpu = cpu_seconds_of_children()? - before;
            let rate = bytes as f64 / 1e6 / seconds;
            println!("{line:<8} {:<16} {seconds:>8.2} {rate:>8.0} {cpu:>8.2} {:>8}", "OpenSSH's sftp", "");
        }
    }
    Ok(())
}

/// The seconds of the transfer alone, and the process's peak memory in KiB.
async fn our_client(sshd: &Sshd, port: u16, bytes: u64) -> anyhow::Result<(f64, u64)> {
    let mut client = Command::new(std::env::current_exe()?);
    client.arg(CLIENT).env("SFTP_HOST", &sshd.host).env("SFTP_PORT", port.to_string()).env("SFTP_USER", &sshd.user);
    client.env("SFTP_PRIVATE_KEY", &sshd.private_key).env("SFTP_HOST_KEY", &sshd.host_keys[0]);
    let output = client.env("SFTP_REMOTE_PATH", &sshd.remote_path).stderr(Stdio::inherit()).output().await?;
    ensure!(output.status.success(), "the client failed: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let [read, seconds, peak_kib] = text.split_whitespace().collect::<Vec<_>>()[..] else {
        bail!("the client printed {text:?}")
    };
    ensure!(read.parse::<u64>()? == bytes, "{read} bytes were read instead of {bytes}");
    Ok((seconds.parse()?, peak_kib.parse()?))
}

/// The seconds with connecting, which takes some ten round trips.
async fn openssh_client(sshd: &Sshd, port: u16) -> anyhow::Result<f64> {
    let known_hosts = sshd.upload().with_file_name("known_hosts_of_any_port");
    fs::write(&known_hosts, format!("* {}\n", sshd.host_keys[0]))?;
    let began = Instant::now();
    let mut client = Command::new("sftp");
    client.args(["-q", "-F", "none", "-o", "Ciphers=aes256-gcm@openssh.com", "-P", &port.to_string(), "-o"]);
    client.arg(format!("UserKnownHostsFile={}", known_hosts.display())).arg("-i").arg(&sshd.private_key);
    client.arg(format!("{}@{}:{}/{FILE}", sshd.user, sshd.host, sshd.remote_path)).arg("/dev/null");
    ensure!(client.stdout(Stdio::null()).status().await?.success(), "OpenSSH's sftp failed");
    Ok(began.elapsed().as_secs_f64())
}

/// CPU time of all processes that this one has started and that have ended.
fn cpu_seconds_of_children() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("Linux's /proc is needed")?;
    let (_, fields) = stat.rsplit_once(") ").context("/proc/self/stat has another form")?;
    let ticks = fields.split(' ').skip(13).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

fn peak_kib() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("Linux's /proc is needed")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Ok(peak.context("/proc/self/status has no VmHWM")?.parse()?)
}

/// What the figures were measured on.
async fn machine() -> anyhow::Result<String> {
    let openssh = Command::new("ssh").arg("-V").output().await?.stderr;
    let openssh = String::from_utf8_lossy(&openssh);
    Ok(format!("{}; {}", test_support::machine()?, openssh.split(',').next().unwrap_or_default()))
}
