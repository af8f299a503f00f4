//! How fast changes get into the tables: `cargo run --release -p cdc-handler --example apply_rate`.
//!
//! Starts PostgreSQL, hands `cdc-handler` full events of accounts (a snapshot, then updates of all of them, twice), and
//! prints what that took.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for people, who see why it stops")]

use std::time::Instant;

use cdc_handler::{Config, Deps, handle};
use kafka_batch::PartitionBatch;
use lambda_boot::{Deadline, Vars};
use serde_json::{Value, json};
use stream::Record;
use test_support::postgres_database;

const ACCOUNTS: i64 = 100_000;
const ROUNDS: [(&str, i64); 3] = [("r", 1_000_000), ("u", 2_000_000_000), ("u", 4_000_000_000)];

fn record(op: &str, account: i64, lsn: i64) -> Record {
    let after = json!({"account_id": account, "owner_name": format!("Owner {account}"), "email": format!("{lsn}@example.com"),
        "phone_number": format!("2782{account:07}"), "modified_ts": "2024-03-01T10:00:00.123456Z"});
    let source = json!({"version": "3.7.0.Final", "connector": "postgresql", "name": "crm", "ts_ms": 1_709_287_200_000_i64 + lsn,
        "snapshot": "false", "db": "wtc_prod", "sequence": format!("[\"{lsn}\",\"{lsn}\"]"), "schema": "crm_system",
        "table": "accounts", "txId": 731, "lsn": lsn, "xmin": null});
    let bytes = |value: Value| Some(value.to_string().into_bytes());
    let value = bytes(json!({"before": null, "after": after, "source": source, "transaction": null, "op": op}));
    Record { offset: lsn, timestamp_ms: 0, key: bytes(json!({"account_id": account})), value, headers: Vec::new() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cores = std::thread::available_parallelism().unwrap();
    let profile = if cfg!(debug_assertions) { "unoptimized" } else { "optimized" };
    println!("{cores} cores, {profile}, PostgreSQL on the same machine without fsync");
    for records_per_event in [100, 1_000, 10_000] {
        let url = postgres_database().await;
        cdc_handler::init(&url).await.unwrap();
        let vars: Vars = [("KAFKA_BROKERS", "127.0.0.1:9"), ("DATABASE_URL", &url)].into_iter().collect();
        let deps = Deps::connect(&Config::from_vars(&vars).unwrap()).await.unwrap();
        for (op, first_lsn) in ROUNDS {
            let began = Instant::now();
            for event in (0..ACCOUNTS).collect::<Vec<_>>().chunks(records_per_event) {
                let records = event.iter().map(|account| record(op, *account, first_lsn + account * 100)).collect();
                let topic = "crm.crm_system.accounts".to_owned();
                handle(&deps, vec![PartitionBatch { topic, partition: 0, records }], Deadline::NONE).await.unwrap();
            }
            let rate = ACCOUNTS as f64 / began.elapsed().as_secs_f64();
            println!("{ACCOUNTS} changes ({op}) in events of {records_per_event}: {rate:.0} changes/s");
        }
    }
}
