//! The CRM's changes into its tables.

use std::time::{Duration, Instant};

use anyhow::ensure;
use kafka_batch::{PartitionBatch, encode};
use serde_json::{Value, json};
use stream::Record;
use test_support::Sandbox;
use tokio_postgres::NoTls;

use crate::Bench;
use crate::report::{Line, grouped};
use crate::world::{Counters, Kafka, World};

/// What `trunkline init` makes.
const SCHEMA: &str = include_str!("../../../../functions/cdc-handler/src/schema.sql");

/// `BatchSize` of the template.
const BATCH_RECORDS: i64 = 1_000;

const ACCOUNTS: i64 = 50_000;

/// Bytes of the source's log between two changes.
const LSN_STEP: i64 = 100;

/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A snapshot of all accounts, then an update of each.
pub(crate) async fn follow(bench: &mut Bench) -> anyhow::Result<()> {
    let world = World::new(Kafka::Embedded, Counters::Postgres).await?;
    let (database, connection) = tokio_postgres::connect(&world.database, NoTls).await?;
    let connection = tokio::spawn(connection);
    database.batch_execute(SCHEMA).await?;

    let mut function = Sandbox::start(&bench.binary("cdc-handler"), world.vars.iter().cloned()).await?;
    for (pass, (op, what)) in (0..).zip([("r", "a snapshot"), ("u", "updates")]) {
        let (mut bytes, mut seconds) = (0, 0.0);
        for first in (0..ACCOUNTS).step_by(BATCH_RECORDS as usize) {
            let records =
                (first..first + BATCH_RECORDS).map(|account| change(op, account, pass * ACCOUNTS + account)).collect();
            let topic = "crm.crm_system.accounts".to_owned();
            let event = encode(&[PartitionBatch { topic, partition: 0, records }]);
            bytes += event.len() as u64;
            let began = Instant::now();
            function.invoke(event, TIMEOUT).await?;
            seconds += began.elapsed().as_secs_f64();
        }
        bench.add(Line {
            function: "cdc-handler",
            input: format!("{what} of accounts, batches of {}", grouped(BATCH_RECORDS as u64)),
            items: ACCOUNTS as u64,
            unit: "changes",
            bytes,
            seconds,
            peak_bytes: function.peak_memory_bytes()?,
        });
    }
    function.stop().await?;
    let kept: i64 = database.query_one("SELECT count(*) FROM crm_data.accounts", &[]).await?.get(0);
    ensure!(kept == ACCOUNTS, "the table has {kept} of {ACCOUNTS} accounts");
    drop(database);
    Ok(connection.await??)
}

/// The nth change of the source, as Debezium tells it.
fn change(op: &str, account: i64, n: i64) -> Record {
    let lsn = (n + 1) * LSN_STEP;
    let after = json!({
        "account_id": account, "owner_name": format!("Owner {account}"), "email": format!("{lsn}@example.com"),
        "phone_number": format!("2782{account:07}"), "modified_ts": "2024-03-01T10:00:00.123456Z"
    });
    let source = json!({
        "version": "3.7.0.Final", "connector": "postgresql", "name": "crm", "ts_ms": 1_709_287_200_000 + n,
        "snapshot": if op == "r" { "true" } else { "false" }, "db": "wtc_prod", "schema": "crm_system",
        "table": "accounts", "sequence": format!("[\"{lsn}\",\"{lsn}\"]"), "txId": n, "lsn": lsn, "xmin": null
    });
    let bytes = |value: Value| Some(value.to_string().into_bytes());
    Record {
        offset: n,
        timestamp_ms: 1_709_287_200_000 + n,
        key: bytes(json!({"account_id": account})),
        value: bytes(json!({"before": null, "after": after, "source": source, "transaction": null, "op": op})),
        headers: Vec::new(),
    }
}
