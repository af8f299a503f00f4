//! Changes of a real PostgreSQL, as Debezium reports them.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use serde_json::{Value, json};
use tokio_postgres::{Client, Config, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn connector(prefix: &str) -> String {
    let settings = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": "${env:HOST}",
        "database.port": "${env:PORT}",
        "database.user": "${env:USER}",
        "database.password": "${env:PASSWORD}",
        "database.dbname": "${env:DATABASE}",
        "topic.prefix": prefix,
        "plugin.name": "pgoutput",
        "slot.name": prefix.replace('-', "_"),
        "publication.name": prefix.replace('-', "_"),
        "poll.interval.ms": "50",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "-1",
    });
    json!({"name": prefix, "config": settings}).to_string()
}

/// What became of the row, by the next message.
async fn next(messages: &StreamConsumer) -> Value {
    let message = tokio::time::timeout(PATIENCE, messages.recv()).await.expect("a message").unwrap();
    let message: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
    json!([message["op"], message["after"]["id"]])
}

#[tokio::test]
async fn changes_arrive_also_those_made_while_it_was_down() {
    let kafka = test_support::kafka().await;
    let url = test_support::postgres_logical_database().await;
    let source = connect(&url).await;
    source.batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
    let place: Config = url.parse().unwrap();
    let port = place.get_ports()[0].to_string();
    let variables = [
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("USER", place.get_user().unwrap()),
        ("PASSWORD", std::str::from_utf8(place.get_password().unwrap()).unwrap()),
        ("DATABASE", place.get_dbname().unwrap()),
    ];
    let prefix = test_support::topic("dbz");
    let debezium = test_support::debezium(&kafka.bootstrap_servers, &connector(&prefix), &variables).await;

    let messages: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &prefix)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let topic = format!("{prefix}.public.t");
    test_support::eventually(PATIENCE, async || {
        let metadata = messages.fetch_metadata(None, PATIENCE).unwrap();
        metadata.topics().iter().any(|known| known.name() == topic)
    })
    .await;
    messages.subscribe(&[&topic]).unwrap();
    assert_eq!(next(&messages).await, json!(["r", 1]));
    source.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(next(&messages).await, json!(["c", 2]));

    debezium.stop().await;
    source.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    debezium.start().await;
    assert_eq!(next(&messages).await, json!(["c", 3]));
}
