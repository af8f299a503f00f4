//! Servers in processes of their own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use embedded::Supervised;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// A JVM beside other builds on two cores needs seconds; a minute means that something is wrong.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// Kafka hands its partitions over before it ends.
const STOP_SIGNALS: &[(&str, Duration)] = &[("TERM", Duration::from_secs(30)), ("KILL", Duration::from_secs(10))];

const KILL_SIGNALS: &[(&str, Duration)] = &[("KILL", Duration::from_secs(10))];

/// Fetching a service's jars over a slow line.
const PROVISION_PATIENCE: Duration = Duration::from_secs(600);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How much of a service's log an error shows.
const LOG_TAIL_LINES: usize = 12;

/// A server in a process of its own, which can be ended and started again with the same arguments. It can't outlive us.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Begun anew at each start.
    pub(crate) log: PathBuf,
    /// What the log says when the server is about to serve. An answering port alone could be another program's.
    pub(crate) ready: &'static str,
    /// Its port of 127.0.0.1.
    pub(crate) port: u16,
    pub(crate) process: Mutex<Option<Supervised>>,
}

impl Service {
    /// Returns when the server serves; at once if it runs already.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let mut process = self.process.lock().await;
        if process.is_some() {
            return Ok(());
        }
        let mut started = Supervised::spawn(&self.program, &self.arguments, None, &self.log, "KILL")?;
        let began = Instant::now();
        while !(read_lossy(&self.log).contains(self.ready)
            && TcpStream::connect(("127.0.0.1", self.port)).await.is_ok())
        {
            if let Some(status) = started.try_ended()? {
                bail!("{} ended at its start ({status}); it said:\n{}", self.name, tail(&self.log));
            }
            if began.elapsed() > START_PATIENCE {
                bail!("{} was not ready within {START_PATIENCE:?}; it said:\n{}", self.name, tail(&self.log));
            }
            sleep(POLL_INTERVAL).await;
        }
        *process = Some(started);
        Ok(())
    }

    /// An error when the server has ended by itself.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        match self.process.lock().await.as_mut().map(Supervised::try_ended).transpose()?.flatten() {
            Some(status) => bail!("{} has ended ({status}); it said:\n{}", self.name, tail(&self.log)),
            None => Ok(()),
        }
    }

    /// Asks the server to end, and waits until it has. Nothing, if it has ended already.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        self.end(STOP_SIGNALS).await
    }

    /// The same as kill -9.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        self.end(KILL_SIGNALS).await
    }

    async fn end(&self, signals: &[(&str, Duration)]) -> anyhow::Result<()> {
        let Some(process) = self.process.lock().await.take() else { return Ok(()) };
        process.stop(signals).await.with_context(|| format!("can't end {}", self.name))?;
        Ok(())
    }

    /// Sends a signal to the running server.
    pub(crate) async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let mut process = self.process.lock().await;
        process.as_mut().with_context(|| format!("{} does not run", self.name))?.signal(name).await
    }
}

/// The arguments of a JVM that starts quickly and stays small. The rest is for the program.
pub(crate) fn jvm(heap: &str, arguments: impl IntoIterator<Item = String>) -> Vec<OsString> {
    let small = [
        "-Xms64m".into(),
        format!("-Xmx{heap}"),
        "-XX:+UseSerialGC".into(),
        "-XX:TieredStopAtLevel=1".into(),
        // Maven has compared the checksums of the jars: verifying each class again is a fifth of a start.
        "-XX:+UnlockDiagnosticVMOptions".into(),
        "-XX:-BytecodeVerificationRemote".into(),
        "-XX:-UsePerfData".into(),
        "-Djava.awt.headless=true".into(),
        "-Djava.net.preferIPv4Stack=true".into(),
    ];
    small.into_iter().chain(arguments).map(OsString::from).collect()
}

/// Java 17, which Cassandra insists on: Debian's own if it is there, else whichever is on `PATH`.
pub(crate) fn java() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    installed
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"java-17-openjdk"))
        .map(|entry| entry.path().join("bin/java"))
        .find(|java| java.is_file())
        .unwrap_or_else(|| "java".into())
}

/// The folder with a service's jars, which are fetched if they are not there.
pub(crate) async fn provision(name: &str) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("services/provision.sh");
    let home = run(Command::new(script).arg(name), PROVISION_PATIENCE).await?;
    Ok(home.trim_end().into())
}

/// Runs a program to its end and returns what it printed.
pub(crate) async fn run(command: &mut Command, patience: Duration) -> anyhow::Result<String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let running = command.stdin(std::process::Stdio::null()).kill_on_drop(true).output();
    let output = timeout(patience, running)
        .await
        .with_context(|| format!("{name} took longer than {patience:?}"))?
        .with_context(|| format!("can't start {name}; services/prerequisites.sh names what is missing"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed ({}); it said:\n{}", output.status, said.trim_end());
    String::from_utf8(output.stdout).with_context(|| format!("{name} printed no UTF-8"))
}

/// Ports of 127.0.0.1 that were free a moment ago, for servers that must know theirs before they start.
///
/// They lie below the range from which the system takes clients' ports: a client that tries to reach a server which is down
/// can thus never be given the server's own port, and connect to itself and hold it.
pub(crate) async fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    const ATTEMPTS: u32 = 1_000;
    let mut held: Vec<TcpListener> = Vec::new();
    for _ in 0..ATTEMPTS {
        if held.len() == N {
            break;
        }
        let random = uuid::Uuid::new_v4().into_bytes();
        let port = FIRST + u16::from_le_bytes([random[0], random[1]]) % COUNT;
        // Taken by somebody: the next.
        held.extend(TcpListener::bind(("127.0.0.1", port)).await);
    }
    let mut ports = [0; N];
    ensure!(held.len() == N, "127.0.0.1 has no free ports");
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Tries again where another program took one of [`free_ports`] first.
pub(crate) async fn on_free_ports<T, F>(start: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    const ATTEMPTS: u32 = 3;
    let mut attempt = 1;
    loop {
        match start().await {
            Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains("in use") => attempt += 1,
            outcome => return outcome,
        }
    }
}

/// The last lines of a log, without the frames of Java's stack traces.
fn tail(log: &Path) -> String {
    let text = read_lossy(log);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("at ")).collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

fn read_lossy(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}
