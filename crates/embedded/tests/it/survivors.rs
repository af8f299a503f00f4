//! Nothing may be left when the process is killed with -9: this test runs itself once more and kills that.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use embedded::{Data, ObjectStore, Postgres};

use crate::eventually;

/// Tells the test below that it is the process to be killed.
const VICTIM: &str = "TRUNKLINE_TEST_VICTIM";

#[tokio::test]
async fn nothing_is_left_of_a_process_that_was_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the test talks to its second self")]
    if std::env::var_os(VICTIM).is_some() {
        return victim().await;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survivors::nothing_is_left_of_a_process_that_was_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut value = |name: &str| {
        let line = lines.by_ref().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line[name.len()..].to_owned()
    };
    let (port, folders) = (value("port=").parse::<u16>().unwrap(), value("folders="));
    let folders: Vec<&Path> = folders.split(' ').map(Path::new).collect();
    assert!(folders.iter().all(|folder| folder.exists()), "{folders:?}");
    let postmaster = std::fs::read_to_string(folders[0].join("data/postmaster.pid")).unwrap();
    let postmaster = postmaster.lines().next().unwrap().to_owned();
    assert!(is_alive(&postmaster));

    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let patience = Duration::from_secs(10);
    eventually(patience, "PostgreSQL has ended", async || !is_alive(&postmaster)).await;
    eventually(patience, "the folders are gone", async || folders.iter().all(|folder| !folder.exists())).await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

async fn victim() {
    let postgres = Postgres::start(Data::Temporary).await.unwrap();
    let store = ObjectStore::start(Data::Temporary).await.unwrap();
    println!("port={}\nfolders={} {}", postgres.port, postgres.folder().display(), store.folder().display());
    std::future::pending::<()>().await;
}

fn is_alive(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
}
