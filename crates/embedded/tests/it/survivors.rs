//! What is left when the process is killed with -9. These tests run themselves once more and kill that second process.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use embedded::{Data, ObjectStore, Postgres};

use crate::eventually;

/// Tells a test that it is the process to be killed, and the folder to work on.
const VICTIM: &str = "TRUNKLINE_TEST_VICTIM";

/// A second run of one test, which is to print `name=value` lines and then wait.
pub(crate) struct Victim {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    pub(crate) fn start(test: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(VICTIM, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn value(&mut self, name: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned())).expect(name)
    }

    pub(crate) fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The folder to work on, when this is the process to be killed.
pub(crate) fn victims_folder() -> Option<std::path::PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "how a test talks to its second self")]
    std::env::var_os(VICTIM).map(Into::into)
}

#[tokio::test]
async fn nothing_is_left_of_a_process_that_was_killed() {
    if victims_folder().is_some() {
        let postgres = Postgres::start(Data::Temporary).await.unwrap();
        let store = ObjectStore::start(Data::Temporary).await.unwrap();
        println!("port={}\npostgres={}\ns3={}", postgres.port, postgres.folder().display(), store.folder().display());
        return std::future::pending().await;
    }
    let mut victim = Victim::start("survivors::nothing_is_left_of_a_process_that_was_killed", Path::new(""));
    let port: u16 = victim.value("port").parse().unwrap();
    let folders = ["postgres", "s3"].map(|name| victim.value(name));
    let postmaster = std::fs::read_to_string(Path::new(&folders[0]).join("data/postmaster.pid")).unwrap();
    let postmaster = postmaster.lines().next().unwrap().to_owned();
    assert!(is_alive(&postmaster));
    assert!(folders.iter().all(|folder| Path::new(folder).exists()), "{folders:?}");

    victim.kill_9();
    let patience = Duration::from_secs(10);
    eventually(patience, "PostgreSQL ends", async || !is_alive(&postmaster)).await;
    eventually(patience, "the folders go", async || folders.iter().all(|folder| !Path::new(folder).exists())).await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

fn is_alive(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
}
