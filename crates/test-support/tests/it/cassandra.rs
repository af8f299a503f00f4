//! The real node, by the real driver.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use test_support::Cassandra;

const PATIENCE: Duration = Duration::from_secs(60);

/// A session in a fresh keyspace with a table.
async fn session(builder: SessionBuilder) -> Session {
    let session = builder.build().await.unwrap();
    let keyspace = test_support::topic("ks").replace('-', "_");
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    for statement in [
        format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}"),
        format!("CREATE TABLE {keyspace}.t (k int PRIMARY KEY, v int)"),
    ] {
        session.query_unpaged(statement, ()).await.unwrap();
    }
    session.use_keyspace(keyspace, false).await.unwrap();
    session
}

async fn count(session: &Session) -> Option<i64> {
    let rows = session.query_unpaged("SELECT count(*) FROM t", ()).await.ok()?.into_rows_result().ok()?;
    Some(rows.first_row::<(i64,)>().ok()?.0)
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let cassandra = test_support::cassandra_of_its_own().await;
    let session = session(SessionBuilder::new().known_node(&cassandra.address)).await;
    for k in 0..100 {
        session.query_unpaged("INSERT INTO t (k, v) VALUES (?, ?)", (k, k)).await.unwrap();
    }
    cassandra.kill().await;
    assert_eq!(count(&session).await, None);
    cassandra.start().await;
    test_support::eventually(PATIENCE, async || count(&session).await == Some(100)).await;
}

#[tokio::test]
async fn a_paused_node_answers_nothing_until_it_goes_on() {
    let cassandra = test_support::cassandra_of_its_own().await;
    let session = session(SessionBuilder::new().known_node(&cassandra.address)).await;
    cassandra.pause().await;
    let answer = tokio::time::timeout(Duration::from_secs(1), count(&session)).await;
    assert!(answer.is_err(), "{answer:?}");
    cassandra.resume().await;
    test_support::eventually(PATIENCE, async || count(&session).await == Some(0)).await;
}

#[tokio::test]
async fn a_node_may_want_a_password() {
    let cassandra = test_support::cassandra_with_password().await;
    let node = || SessionBuilder::new().known_node(&cassandra.address);
    session(node().user(Cassandra::USER, Cassandra::PASSWORD)).await;
    assert!(node().user(Cassandra::USER, "another").build().await.is_err());
    assert!(node().build().await.is_err());
}
