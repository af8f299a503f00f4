//! Tests at once, each with a runtime of its own, on the same services.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod cassandra;
mod debezium;
mod kafka;
mod proxy;
mod same_answers;
mod sshd;
mod survivors;

use std::path::Path;
use std::time::Duration;

use test_support::Sandbox;
use tokio_postgres::NoTls;

async fn use_all_of_them() {
    let url = test_support::postgres_database().await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    // Fails where two tests share a database.
    client.batch_execute("CREATE TABLE mine (x int)").await.expect("an empty database");
    drop(client);
    connection.await.expect("no panic").expect("a clean end");

    assert_ne!(test_support::object_store().await.bucket, test_support::object_store().await.bucket);
    assert_ne!(test_support::topic("t"), test_support::topic("t"));
    let server = test_support::sftp_server().await;
    assert_eq!(std::fs::read_dir(server.upload()).expect("the folder").count(), 0);
    let broker = test_support::broker().await;
    test_support::eventually(Duration::from_secs(5), async || tokio::net::TcpStream::connect(broker).await.is_ok())
        .await;
}

#[tokio::test]
async fn one_test() {
    use_all_of_them().await;
}

#[tokio::test]
async fn another_test() {
    use_all_of_them().await;
}

#[tokio::test]
#[should_panic(expected = "the condition did not hold within 20ms")]
async fn eventually_is_bounded() {
    test_support::eventually(Duration::from_millis(20), async || false).await;
}

#[tokio::test]
async fn a_program_that_is_no_function_does_not_start() {
    let no_vars: [(&str, &str); 0] = [];
    let error = Sandbox::start(Path::new("/bin/false"), no_vars).await.err().expect("no sandbox");
    assert_eq!(error.to_string(), "/bin/false ended at its start: exit status: 1");
}
