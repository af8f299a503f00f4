//! Files from OpenSSH's server into the lake.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;
use test_support::Sandbox;

use crate::Bench;
use crate::report::{Line, grouped, megabytes};
use crate::world::{Counters, Kafka, World};

/// The largest that users are known to send.
const LARGE_FILE_BYTES: u64 = 2_000_000_000;

/// More than a poll reads ahead.
const SMALL_FILES: u64 = 500;

/// About a minute's records of the generator.
const SMALL_FILE_BYTES: u64 = 100_000;

/// Long enough ago for a file to be taken.
const AGE: Duration = Duration::from_hours(1);

/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) async fn large_file(bench: &mut Bench) -> anyhow::Result<()> {
    poll(bench, 1, LARGE_FILE_BYTES).await
}

pub(crate) async fn small_files(bench: &mut Bench) -> anyhow::Result<()> {
    poll(bench, SMALL_FILES, SMALL_FILE_BYTES).await
}

/// One invocation that lands so many files of so many bytes.
async fn poll(bench: &mut Bench, files: u64, bytes: u64) -> anyhow::Result<()> {
    let world = World::new(Kafka::Embedded, Counters::Postgres).await?;
    let sshd = test_support::sshd().await;
    for second in 0..files {
        let name = format!("cdr_voice_20240101_{:02}{:02}{:02}.csv", second / 3600, second / 60 % 60, second % 60);
        let file = write_calls(File::create(sshd.upload().join(name))?, second, bytes)?;
        file.set_modified(SystemTime::now() - AGE)?;
    }
    let mut vars = world.vars.clone();
    vars.extend([
        ("SFTP_HOST", sshd.host.clone()),
        ("SFTP_PORT", sshd.port.to_string()),
        ("SFTP_USER", sshd.user.clone()),
        ("SFTP_PASSWORD", sshd.password.expose().to_owned()),
        ("SFTP_HOST_KEY", sshd.host_keys[0].clone()),
        ("SFTP_REMOTE_PATH", sshd.remote_path.clone()),
    ]);
    let mut function = Sandbox::start(&bench.binary("sftp-poll"), vars).await?;
    let began = Instant::now();
    let report = function.invoke("{}", TIMEOUT).await?;
    let seconds = began.elapsed().as_secs_f64();
    let report: serde_json::Value = serde_json::from_slice(&report)?;
    ensure!(report["announced"] == files, "not all of the {files} files have landed: {report}");
    bench.add(Line {
        function: "sftp-poll",
        input: match files {
            1 => format!("a file of {} MB", grouped(bytes / 1_000_000)),
            _ => format!("files of {:.1} MB, connecting included", megabytes(bytes)),
        },
        items: files,
        unit: "files",
        bytes: files * bytes,
        seconds,
        peak_bytes: function.peak_memory_bytes()?,
    });
    function.stop().await
}

/// Fills a file with rows of calls, which are no other file's: what counts of a file is found by its rows.
fn write_calls(file: File, number: u64, bytes: u64) -> std::io::Result<File> {
    let mut out = BufWriter::new(file);
    out.write_all(b"msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n")?;
    let (mut row, mut written) = (0_u64, 0);
    while written < bytes {
        let (minute, second) = (row / 60 % 60, row % 60);
        let line = format!(
            "27{number:03}{row:06},{},voice,27820000000,{},2024-01-01 10:{minute:02}:{second:02}\n",
            row % 50,
            row % 600
        );
        out.write_all(line.as_bytes())?;
        (row, written) = (row + 1, written + line.len() as u64);
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)
}
