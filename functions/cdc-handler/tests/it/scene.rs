//! The function's surroundings, of one test's own.

use std::path::Path;

use bytes::Bytes;
use cdc_handler::{Config, Deps, Outcome, handle};
use kafka_batch::PartitionBatch;
use kafka_sink::admin;
use lambda_boot::{Deadline, Vars};
use test_support::{broker, postgres_database, topic};
use tokio_postgres::{Client, NoTls};

pub(crate) struct Scene {
    pub(crate) deps: Deps,
    pub(crate) vars: Vars,
    pub(crate) rejected_topic: String,
    pub(crate) database: Client,
}

/// Each table's key and other columns.
const TABLES: [(&str, &str, &str); 3] = [
    ("accounts", "account_id", "owner_name, email, phone_number"),
    ("addresses", "account_id", "left(street_address, 20), city, state, postal_code, country"),
    ("devices", "device_id", "account_id, device_name, device_type, device_os"),
];

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables besides.
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        let (url, brokers, rejected_topic) = (postgres_database().await, broker().await, topic("rejected"));
        let vars: Vars = [("KAFKA_BROKERS", brokers), ("REJECTED_TOPIC", &rejected_topic), ("DATABASE_URL", &url)]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        admin::create_topics(&vars.read().unwrap(), &[(&rejected_topic, 1)]).await.unwrap();
        for _ in 0..2 {
            cdc_handler::init(&url).await.unwrap();
        }
        let (database, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let deps = Deps::connect(&Config::from_vars(&vars).unwrap()).await.unwrap();
        Self { deps, vars, rejected_topic, database }
    }

    pub(crate) async fn handle(&self, event: Vec<PartitionBatch>) -> Outcome {
        handle(&self.deps, event, Deadline::NONE).await.unwrap()
    }

    /// The current rows, then all versions, with the times of day at which they begin and end.
    pub(crate) async fn shown(&self) -> String {
        let mut shown = String::new();
        for (table, key, columns) in TABLES {
            let values = format!("{columns}, to_char(modified_ts, 'HH24:MI:SS')");
            let values = format!(
                "array_to_string(ARRAY[{}], ', ', 'NULL') || coalesce(to_char(stale_since, '; \"stale since\" HH24:MI:SS'), '')",
                values.replace("account_id,", "account_id::text,")
            );
            let now = format!("SELECT '{table} ' || {key} || ': ' || {values} FROM crm_data.{table} ORDER BY {key}");
            let history = format!(
                "SELECT '  ' || {key} || ' ' || to_char(valid_from, 'HH24:MI:SS') || '–' || \
                    coalesce(to_char(valid_to, 'HH24:MI:SS'), '…') || ' ' || op || ' ' || {values} || \
                    CASE WHEN unchanged = '{{}}' THEN '' ELSE '; not told: ' || array_to_string(unchanged, ', ') END \
                 FROM crm_data.{table}_history ORDER BY {key}, stream_lsn, is_streamed, source_lsn"
            );
            for sql in [now, history] {
                for row in self.database.query(&sql, &[]).await.unwrap() {
                    shown += &format!("{}\n", row.get::<_, &str>(0));
                }
            }
        }
        shown
    }

    /// What a statement returns, as text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        self.database.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Every row of the schema, as text.
    pub(crate) async fn everything(&self) -> Vec<String> {
        let tables = TABLES.iter().flat_map(|(table, ..)| [(*table).to_owned(), format!("{table}_history")]);
        let others = ["deletions", "truncations", "unusable", "progress"].map(str::to_owned);
        let selects =
            tables.chain(others).map(|table| format!("SELECT '{table} ' || t::text AS row FROM crm_data.{table} t"));
        let sql = format!("{} ORDER BY row", selects.collect::<Vec<_>>().join(" UNION ALL "));
        self.texts(&sql).await
    }
}

pub(crate) fn event(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/cdc-handler").join(name);
    std::fs::read(path.with_extension("json")).unwrap().into()
}
