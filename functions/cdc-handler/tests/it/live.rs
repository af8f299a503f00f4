//! The whole way: a real PostgreSQL that changes, Debezium as `connector.json` configures it, three Kafka brokers, and the
//! function behind the mappings of `template.yaml`. Triggers in the source note what really happened there.

mod ddl;
mod follow;
mod incremental;
mod oracle;
mod partitions;
mod recovery;
mod schema;
mod source;
mod target;
mod values;

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::{Debezium, Kafka};
use tokio_postgres::{Client, Config, NoTls};

/// Changes come in seconds; a worker that starts beside other work on two cores takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Each table's key, and a column of text.
const TABLES: [(&str, &str, &str); 3] = [
    ("accounts", "account_id", "owner_name"),
    ("addresses", "account_id", "city"),
    ("devices", "device_id", "device_os"),
];

/// Keys of rows that nothing else touches: so many that every partition of a topic has some of them.
const FIRST_MARK: i32 = 2_000_000_000;
const MARKS: i64 = 32;

/// Where a test's messages go: names of its own, as all of them share the brokers and the source's server.
struct Place {
    /// Debezium's `topic.prefix`.
    prefix: String,
    /// The connector.
    name: String,
    slot: String,
    rejected: String,
}

impl Place {
    /// Its topics are made, and empty.
    async fn new(kafka: &Kafka) -> Self {
        let prefix = test_support::topic("crm");
        Self::named(kafka, &prefix, &prefix, &prefix.replace('-', "_")).await
    }

    /// With the names that `connector.json` and the documentation have: for one test alone, on a source's server of its own.
    async fn as_documented(kafka: &Kafka) -> Self {
        Self::named(kafka, "crm", "trunkline-crm", "trunkline_crm").await
    }

    async fn named(kafka: &Kafka, prefix: &str, name: &str, slot: &str) -> Self {
        let rejected = test_support::topic("rejected");
        let place = Self { prefix: prefix.to_owned(), name: name.to_owned(), slot: slot.to_owned(), rejected };
        place.make_topics(kafka).await;
        place
    }

    async fn make_topics(&self, kafka: &Kafka) {
        let topics = TABLES.iter().map(|(table, ..)| *table).chain(["debezium_signal"]).map(|table| self.topic(table));
        let topics: Vec<_> = topics.collect();
        let topics: Vec<_> =
            topics.iter().map(|topic| (topic.as_str(), 3)).chain([(self.rejected.as_str(), 3)]).collect();
        let sink = kafka_sink::Config::plaintext(&kafka.bootstrap_servers);
        kafka_sink::admin::create_topics(&sink, &topics).await.unwrap();
    }

    fn topic(&self, table: &str) -> String {
        format!("{}.crm_system.{table}", self.prefix)
    }

    /// The project's connector, with names of the test's own and these settings.
    fn connector(&self, settings: &[(&str, &str)]) -> String {
        let mut connector: Value = serde_json::from_str(include_str!("../../connector.json")).unwrap();
        let config = &mut connector["config"];
        config["topic.prefix"] = json!(self.prefix);
        config["slot.name"] = json!(self.slot);
        config["poll.interval.ms"] = json!("50");
        for (name, value) in settings {
            config[*name] = json!(value);
        }
        connector["name"] = json!(self.name);
        connector.to_string()
    }

    /// Debezium on the way that it has in operation: the project's file, and variables.
    async fn follow(&self, kafka: &Kafka, url: &str, settings: &[(&str, &str)]) -> Debezium {
        let variables = variables(url);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        test_support::debezium(&kafka.bootstrap_servers, &self.connector(settings), &variables).await
    }
}

/// What the connector finds its database by.
fn variables(url: &str) -> [(&'static str, String); 5] {
    let place: Config = url.parse().unwrap();
    let password = std::str::from_utf8(place.get_password().unwrap()).unwrap();
    [
        ("CRM_DATABASE_HOST", "127.0.0.1".to_owned()),
        ("CRM_DATABASE_PORT", place.get_ports()[0].to_string()),
        ("CRM_DATABASE_NAME", place.get_dbname().unwrap().to_owned()),
        ("CRM_DATABASE_USER", place.get_user().unwrap().to_owned()),
        ("CRM_DATABASE_PASSWORD", password.to_owned()),
    ]
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) {sql}"), &[]).await.unwrap().get(0)
}

/// Equal, or where they begin not to be.
#[track_caller]
fn assert_same(what: &str, source: &[String], target: &[String]) {
    let different = (0..source.len().max(target.len())).find(|&index| source.get(index) != target.get(index));
    let Some(index) = different else { return };
    let mut shown = format!("{what}: {} in the source, {} here; from {index}\n", source.len(), target.len());
    for at in index.saturating_sub(2)..index + 3 {
        for (name, rows) in [("source", source), ("here  ", target)] {
            let row: String = rows.get(at).map(|row| row.chars().take(300).collect()).unwrap_or_default();
            writeln!(shown, "{at} {name} {row}").unwrap();
        }
    }
    panic!("{shown}");
}
