//! What is left when the process is killed with -9. The test runs itself once more and kills that second process.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

/// Tells the test that it is the process to be killed.
const VICTIM: &str = "TRUNKLINE_TEST_VICTIM";

/// How the victim's lines begin: the rest is an address or a folder.
const MARK: &str = "survives? ";

#[tokio::test]
async fn nothing_is_left_of_a_process_that_was_killed() {
    #[expect(clippy::disallowed_methods, reason = "how a test talks to its second self")]
    if std::env::var_os(VICTIM).is_some() {
        let cassandra = test_support::cassandra().await;
        let kafka = test_support::kafka().await;
        let sshd = test_support::sshd().await;
        let brokers = kafka.bootstrap_servers.split(',');
        let addresses =
            brokers.map(str::to_owned).chain([cassandra.address.clone(), format!("127.0.0.1:{}", sshd.port)]);
        for address in addresses {
            println!("{MARK}{address}");
        }
        println!("{MARK}{}\n{MARK}{}\n{MARK}", kafka.ca_pem.display(), sshd.remote_path);
        return std::future::pending().await;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survivors::nothing_is_left_of_a_process_that_was_killed", "--nocapture"])
        .env(VICTIM, "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.filter_map(|line| Some(line.strip_prefix(MARK)?.to_owned()));
    let (folders, addresses): (Vec<_>, Vec<_>) =
        said.take_while(|said| !said.is_empty()).partition(|said| said.starts_with('/'));
    let answering = async || {
        let mut count = 0;
        for address in &addresses {
            count += usize::from(TcpStream::connect(address).await.is_ok());
        }
        count
    };
    let existing = || folders.iter().filter(|folder| std::fs::exists(folder).unwrap()).count();
    assert_eq!((answering().await, existing()), (5, 2));

    victim.kill().unwrap();
    victim.wait().unwrap();
    test_support::eventually(Duration::from_secs(30), async || (answering().await, existing()) == (0, 0)).await;
}
