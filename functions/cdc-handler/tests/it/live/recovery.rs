//! `docs/operations.md` walked as it stands: a lost slot, and an incremental snapshot.

use std::process::Stdio;

use test_support::{Kafka, eventually};
use tokio::process::Command;
use tokio_postgres::Client;

use super::source::Source;
use super::target::{Target, check};
use super::{FIRST_MARK, MARKS, PATIENCE, Place, TABLES, assert_same, connect, count, texts};

const PAGE: &str = include_str!("../../../../../docs/operations.md");

/// The commands of a part of the page, which begins with this line, or with a paragraph that begins so.
fn commands(part: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("\n{part}")).unwrap_or_else(|| panic!("the page has no {part}"));
    let part = rest.split("\n### ").next().unwrap();
    let blocks = part.split("\n```sh\n").skip(1).map(|block| block.split("\n```\n").next().unwrap());
    let blocks: Vec<_> = blocks.collect();
    assert!(!blocks.is_empty(), "there are no commands");
    blocks.join("\n")
}

/// What the commands find their way by.
struct Surroundings {
    variables: [(&'static str, String); 3],
}

impl Surroundings {
    fn new(kafka: &Kafka, source: &Source, connect_port: u16) -> Self {
        let connect = format!("http://127.0.0.1:{connect_port}");
        let variables = [
            ("CONNECT", connect),
            ("CRM_DATABASE_URL", source.url.clone()),
            ("KAFKA_BROKERS", kafka.bootstrap_servers.clone()),
        ];
        Self { variables }
    }

    async fn run(&self, script: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]).envs(self.variables.iter().map(|(name, value)| (name, value)));
        shell.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, shell.output()).await.expect("the commands end").unwrap();
        let [printed, complaints] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{script}\n{printed}\n{complaints}");
    }
}

/// So much log that the slot is lost.
async fn lose_slot(client: &Client) {
    client.batch_execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually(PATIENCE, async || {
        let fill = "CREATE TABLE filling AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n; DROP TABLE filling";
        for sql in [fill, "SELECT pg_switch_wal()", "CHECKPOINT"] {
            client.batch_execute(sql).await.unwrap();
        }
        texts(client, "SELECT wal_status FROM pg_replication_slots").await == ["lost"]
    })
    .await;
    client.batch_execute("ALTER SYSTEM RESET max_slot_wal_keep_size").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_is_recovered_from_as_documented() {
    let kafka = test_support::kafka().await;
    let (_server, url) = test_support::postgres_logical_of_its_own().await;
    let mut source = Source::start_in(url).await;
    let place = Place::as_documented(kafka).await;
    let target = Target::start(kafka, &place, "recovery").await;
    let connector = place.follow(kafka, &source.url, &[]).await;
    let page = Surroundings::new(kafka, &source, connector.port);
    source.change(500, 0).await;
    source.mark().await;
    check(&source, &target).await;

    // Changes that nobody is told of: rows come, change and go, and one table is empty then.
    page.run("curl -fsS -X PUT \"$CONNECT/connectors/trunkline-crm/stop\"").await;
    let stopped = "curl -fsS \"$CONNECT/connectors/trunkline-crm/status\" | grep -q STOPPED";
    page.run(&format!("until {stopped}; do sleep 1; done")).await;
    let client = connect(&source.url).await;
    source.change(900, 0).await;
    let gone = "DELETE FROM crm_system.accounts WHERE account_id % 7 = 0; DELETE FROM crm_system.devices";
    client.batch_execute(gone).await.unwrap();
    lose_slot(&client).await;
    page.run("curl -fsS -X PUT \"$CONNECT/connectors/trunkline-crm/resume\"").await;
    let missing = "FROM crm_data.accounts WHERE account_id % 7 = 0";
    assert!(
        count(&target.client, missing).await > 0,
        "rows that are gone are to be seen until somebody does something"
    );

    page.run(&commands("### After a lost slot\n")).await;
    source.change(1_200, 0).await;
    source.mark().await;
    target.has_all_of(&source).await;
    assert_same("rows", &source.current().await, &target.current().await);
    assert_same("open versions", &source.current().await, &target.open().await);
    assert_eq!(count(&target.client, "FROM crm_data.truncations WHERE table_name = 'addresses'").await, 1);

    // Everything again, beside the changes.
    let told = async || {
        let marks = TABLES.map(|(table, key, _)| {
            format!("SELECT FROM crm_data.{table}_history WHERE op = 'r' AND {key} >= {FIRST_MARK}")
        });
        count(&target.client, &format!("FROM ({}) AS marks", marks.join(" UNION ALL "))).await
    };
    let before = told().await;
    page.run(&commands("**Snapshots again.**")).await;
    eventually(PATIENCE, async || told().await == before + 3 * MARKS).await;
    assert_same("rows", &source.current().await, &target.current().await);
    target.runtime.shutdown().await;
    connector.stop().await;
}
