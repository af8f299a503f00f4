//! How long it takes from a file's delivery to the API's answer that counts it: `put_to_api TRUNKLINE [FILES]`, with the program to
//! measure. On OpenSSH's server, Kafka and Cassandra, for each value of `SftpReady`; files come at random moments, each with calls
//! of a subscriber of its own. Prints the median, the 99th percentile and the longest.
#![expect(clippy::print_stdout, reason = "its results are for people")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rand::{RngExt as _, SeedableRng as _};
use test_support::Sshd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Enough for a 99th percentile that is no maximum.
const FILES: u32 = 150;
/// The mean pause between two files: they come all through the minute, and many minutes.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Between two questions for one file.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// What takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(180);
const LISTEN: &str = "127.0.0.1:18099";
const USER: &str = "measure";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let program = PathBuf::from(args.next().context("which program? put_to_api target/cli/trunkline")?);
    let files = args.next().map_or(Ok(FILES), |text| text.parse()).context("FILES is a number")?;
    let sshd = Arc::new(test_support::sshd().await);
    let password = test_support::topic("password");
    let folder = tempfile::tempdir()?;
    let parameters = folder.path().join("parameters");
    fs::write(&parameters, parameters_of(&sshd, &password).await?)?;
    ensure!(trunkline(&program, &parameters, "init", &[])?.wait()?.success(), "init failed");
    for (number, ready) in ["settle", "rename", "marker:.done"].into_iter().enumerate() {
        let setting = format!("SftpReady={ready}");
        let mut up = trunkline(&program, &parameters, "up", &["--listen", LISTEN, "--parameter-overrides", &setting])?;
        let measured = measure(&sshd, &password, ready, number as u32 + 1, files).await;
        up.kill()?;
        up.wait()?;
        let mut seconds = measured?;
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).ceil() as usize];
        println!(
            "SFTP_READY={ready}: {files} files, p50 {:.1} s, p99 {:.1} s, longest {:.1} s",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

async fn parameters_of(sshd: &Sshd, password: &str) -> anyhow::Result<String> {
    let (kafka, cassandra) = (test_support::kafka().await, test_support::cassandra().await);
    let bucket = test_support::object_store().await;
    let hash = http_api::auth::hash_password(password)?;
    let parameters = [
        ("KafkaBrokers", kafka.bootstrap_servers.clone()),
        ("SftpHost", sshd.host.clone()),
        ("SftpPort", sshd.port.to_string()),
        ("SftpUser", sshd.user.clone()),
        ("SftpPassword", sshd.password.expose().to_owned()),
        ("SftpHostKey", sshd.host_keys[0].clone()),
        ("SftpRemotePath", sshd.remote_path.clone()),
        ("LakeBucket", bucket.bucket),
        ("LakeEndpoint", bucket.endpoint),
        ("UsageStore", format!("scylla://{}/put_to_api", cassandra.address)),
        ("DatabaseUrl", test_support::postgres_database().await),
        ("ApiUsers", format!(r#"[{{"user":"{USER}","password_hash":"{hash}","msisdns":"*"}}]"#)),
        ("AWS_REGION", bucket.region),
        ("AWS_ACCESS_KEY_ID", bucket.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose().to_owned()),
    ];
    Ok(parameters.map(|(name, value)| format!("{name}={value}\n")).concat())
}

fn trunkline(program: &Path, parameters: &Path, command: &str, args: &[&str]) -> anyhow::Result<Child> {
    let mut child = Command::new(program);
    child.arg(command).args(args).arg("--parameters").arg(parameters);
    child.args(["--template", concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml")]);
    Ok(child.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// Delivers files, and how many seconds each took.
async fn measure(sshd: &Sshd, password: &str, ready: &str, round: u32, files: u32) -> anyhow::Result<Vec<f64>> {
    let mut random = rand::rngs::StdRng::seed_from_u64(round.into());
    let mut waiting = JoinSet::new();
    // What has only just started is not what is measured: the consumers have not joined their groups yet.
    let first = format!("278{round}9999999");
    counted(password, &first, None).await?;
    deliver(sshd, ready, &format!("cdr_voice_2024010{round}_235959.csv"), &first)?;
    counted(password, &first, Some(100)).await?;
    for file in 0..files {
        tokio::time::sleep(PAUSE.mul_f64(random.random_range(0.0..2.0))).await;
        let msisdn = format!("278{round}{file:07}");
        let began = Instant::now();
        deliver(sshd, ready, &format!("cdr_voice_2024010{round}_{:02}{:02}00.csv", file / 60, file % 60), &msisdn)?;
        let password = password.to_owned();
        waiting.spawn(async move {
            counted(&password, &msisdn, Some(100)).await?;
            anyhow::Ok(began.elapsed().as_secs_f64())
        });
    }
    waiting.join_all().await.into_iter().collect()
}

/// As the sender does it whose files are whole in this way.
fn deliver(sshd: &Sshd, ready: &str, name: &str, msisdn: &str) -> anyhow::Result<()> {
    let path = sshd.upload().join(name);
    let rows = format!(
        "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n{msisdn},7,voice,27820090000,100,2024-03-01 10:00:00"
    );
    match ready {
        "rename" => {
            let unfinished = path.with_extension("part");
            fs::write(&unfinished, rows)?;
            fs::rename(unfinished, path)?;
        }
        "settle" => fs::write(path, rows + "\n")?,
        _ => {
            fs::write(&path, rows)?;
            fs::write(sshd.upload().join(format!("{name}.done")), "")?;
        }
    }
    Ok(())
}

/// Asks until the subscriber's calls have so many seconds; `None`: until the API answers at all.
async fn counted(password: &str, msisdn: &str, seconds: Option<u32>) -> anyhow::Result<()> {
    let began = Instant::now();
    let expected = seconds.map(|seconds| format!("\"seconds\":{seconds},"));
    loop {
        let answer = ask(password, msisdn).await.unwrap_or_default();
        if answer.starts_with("HTTP/1.1 200") && expected.as_ref().is_none_or(|expected| answer.contains(expected)) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{msisdn} is not counted; the API's last answer: {answer}");
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask(password: &str, msisdn: &str) -> anyhow::Result<String> {
    use base64::Engine as _;
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
    let request = format!(
        "GET /v1/usage/{msisdn}?from=2024-03-01&to=2024-03-01 HTTP/1.1\r\nHost: {LISTEN}\r\nAuthorization: Basic {login}\r\n\
         Connection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(LISTEN).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
