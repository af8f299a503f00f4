//! Columns that are added, renamed, dropped and retyped, keys that are renamed, and rows that change all the while: each change is
//! here or rejected by the column's name, and when the columns are as before, a snapshot makes all rows equal again.

use std::collections::BTreeSet;

use generator::crm;
use indicatif::ProgressBar;
use kafka_sink::Rejected;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use test_support::{Debezium, Kafka, eventually};
use tokio_postgres::Client;

use super::schema::{Table, Transaction};
use super::target::Target;
use super::{FIRST_MARK, PATIENCE, Place, connect, count, oracle, texts};

/// Another seed: `CDC_SCHEMA_SEED=2 cargo test …`; and so for more statements.
const SEED: Option<&str> = option_env!("CDC_SCHEMA_SEED");
const STATEMENTS: Option<&str> = option_env!("CDC_SCHEMA_STATEMENTS");

/// What the usual seed has, too.
const USUAL: [&str; 4] = ["missing_column", "bad_text", "bad_number", "bad_key"];

fn number(given: Option<&str>, usual: u64) -> u64 {
    given.map_or(usual, |number| number.parse().expect("a number"))
}

/// The CRM's tables, whose columns may be NULL, and triggers that note what happens.
async fn make(url: &str) -> Client {
    let options = crm::Options { accounts: 1, changes: 0, ..Default::default() };
    crm::run(url, &options, &ProgressBar::hidden()).await.unwrap();
    let client = connect(url).await;
    client.batch_execute("SET timezone = 'UTC'").await.unwrap();
    client.batch_execute(oracle::AUDIT).await.unwrap();
    for table in Table::all() {
        let (name, key) = (table.name, table.key);
        let columns: Vec<_> = table
            .columns()
            .map(|(column, _)| format!("ALTER {column} DROP NOT NULL, ALTER {column} DROP DEFAULT"))
            .collect();
        let sql = format!(
            "TRUNCATE crm_system.{name}; ALTER TABLE crm_system.{name} {}; \
             CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON crm_system.{name} \
                FOR EACH ROW EXECUTE FUNCTION audit.note('{key}', '{name}'); \
             CREATE TRIGGER audit_truncate AFTER TRUNCATE ON crm_system.{name} EXECUTE FUNCTION audit.note('{key}', '{name}')",
            columns.join(", ")
        );
        client.batch_execute(&sql).await.unwrap();
    }
    client
}

/// A row that comes last, so that all before it is known to be here.
async fn mark(source: &Client, target: &Target, connector: &Debezium, mark: i32) {
    for table in Table::all() {
        let sql = format!("INSERT INTO crm_system.{} ({}) VALUES ({})", table.name, table.key, FIRST_MARK + mark);
        source.batch_execute(&sql).await.unwrap();
        // A row's partition is its key's: some in each.
        for more in 1..64 {
            let sql =
                format!("INSERT INTO crm_system.{} ({}) VALUES ({})", table.name, table.key, FIRST_MARK + mark + more);
            source.batch_execute(&sql).await.unwrap();
        }
    }
    for table in Table::all() {
        let marks = format!("FROM crm_data.{} WHERE {} >= {}", table.name, table.key, FIRST_MARK + mark);
        eventually(PATIENCE, async || {
            target.assert_works();
            connector.assert_works().await;
            count(&target.client, &marks).await == 64
        })
        .await;
    }
}

async fn records(kafka: &Kafka, topic: &str) -> Vec<test_support::Record> {
    test_support::records(kafka_sink::Config::plaintext(&kafka.bootstrap_servers).client(), topic).await
}

/// What Debezium has told up to now.
struct Progress<'a> {
    kafka: &'a Kafka,
    signals: String,
    made: usize,
}

impl Progress<'_> {
    /// Waits until Debezium has read everything that has happened.
    async fn catch_up(&mut self, source: &Client, connector: &Debezium) {
        self.made += 1;
        let id = format!("caught up {}", self.made);
        let signal = "INSERT INTO crm_system.debezium_signal VALUES ($1, 'log', '{\"message\": \"caught up\"}')";
        source.execute(signal, &[&id]).await.unwrap();
        eventually(PATIENCE, async || {
            connector.assert_works().await;
            records(self.kafka, &self.signals).await.len() >= self.made
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_may_change_and_no_change_of_a_row_is_lost_silently() {
    let (seed, statements) = (number(SEED, 1), number(STATEMENTS, 1_500));
    eprintln!("seed {seed}, {statements} statements");
    let (kafka, url) = tokio::join!(test_support::kafka(), test_support::postgres_logical_database());
    let source = make(&url).await;
    let place = Place::new(kafka).await;
    let target = Target::start(kafka, &place, "columns").await;
    target.client.batch_execute("SET timezone = 'UTC'").await.unwrap();
    let connector = place.follow(kafka, &url, &[]).await;
    mark(&source, &target, &connector, 0).await;

    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut tables = Table::all();
    let mut progress = Progress { kafka, signals: place.topic("debezium_signal"), made: 0 };
    let mut made = 0;
    while made < statements {
        let table = random.random_range(0..tables.len());
        let Transaction { statements, needs_quiet } = tables[table].next(&mut random);
        made += statements.len() as u64;
        if needs_quiet {
            progress.catch_up(&source, &connector).await;
        }
        if let Err(error) = source.batch_execute(&statements.join("; ")).await {
            panic!("seed {seed}, statement {made}: {error:?}: {statements:?}");
        }
    }
    for table in &mut tables {
        for sql in table.revert(&mut random) {
            progress.catch_up(&source, &connector).await;
            source.batch_execute(&sql).await.unwrap();
        }
    }
    mark(&source, &target, &connector, 100).await;

    // Each change.
    let records = records(kafka, &place.rejected).await;
    let rejections: Vec<_> = records.iter().map(|record| Rejected::from_json(record.value()).unwrap()).collect();
    let summary = oracle::compare(&source, &target.client, &rejections, seed).await;
    eprintln!("seed {seed}: {summary:?}");
    for reason in USUAL.iter().filter(|_| SEED.is_none()) {
        assert!(summary.rejected.contains_key(*reason), "seed {seed}: nothing was rejected as {reason}");
    }
    assert!(summary.rows > statements / 5, "seed {seed}: {} rows", summary.rows);

    // Each row: what a snapshot tells is as in the source; what went unseen is marked.
    let marks = format!("FROM crm_data.devices_history WHERE op = 'r' AND device_id >= {FIRST_MARK}");
    let there = count(&source, &format!("FROM crm_system.devices WHERE device_id >= {FIRST_MARK}")).await;
    let before = count(&target.client, &marks).await;
    let names = Table::all().map(|table| format!("crm_system.{}", table.name));
    let data = json!({"data-collections": names, "type": "incremental"}).to_string();
    let signal = "INSERT INTO crm_system.debezium_signal VALUES ('mend', 'execute-snapshot', $1)";
    source.execute(signal, &[&data]).await.unwrap();
    eventually(PATIENCE, async || count(&target.client, &marks).await == before + there).await;
    let (there, here) = (oracle::rows(&url, "crm_system").await, oracle::rows(&target.url, "crm_data").await);
    let missing: Vec<_> = there.keys().filter(|key| !here.contains_key(key)).collect();
    assert!(missing.is_empty(), "seed {seed}: not here: {missing:?}");
    for (key, (row, is_stale)) in &here {
        match there.get(key) {
            Some((there, _)) => assert_eq!((row, *is_stale), (there, false), "seed {seed}: {key:?}"),
            None => assert!(is_stale, "seed {seed}: {key:?} is gone in the source"),
        }
    }
    let unusable = "SELECT DISTINCT table_name || ' ' || key FROM crm_data.unusable";
    let unusable: BTreeSet<_> = texts(&target.client, unusable).await.into_iter().collect();
    let gone = here.iter().filter(|(key, _)| !there.contains_key(key));
    let unexplained: Vec<_> = gone.filter(|((table, key), _)| !unusable.contains(&format!("{table} {key}"))).collect();
    assert!(unexplained.is_empty(), "seed {seed}: {unexplained:?}");
    target.runtime.shutdown().await;
    connector.stop().await;
}
