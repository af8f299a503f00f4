//! The CRM.

use generator::crm;
use indicatif::ProgressBar;
use serde_json::json;
use tokio_postgres::Client;

use super::{FIRST_MARK, MARKS, TABLES, connect, texts};

/// Notes every change of a table's rows, and every TRUNCATE, as the transaction that makes it commits.
const AUDIT: &str = "
CREATE SCHEMA audit;
CREATE TABLE audit.changes (id bigserial PRIMARY KEY, table_name text NOT NULL, key bigint, version jsonb);
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb; after jsonb;
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN before := to_jsonb(OLD); END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN after := to_jsonb(NEW); END IF;
    IF before IS NOT NULL AND before->TG_ARGV[0] IS DISTINCT FROM after->TG_ARGV[0] THEN
        INSERT INTO audit.changes (table_name, key) VALUES (TG_ARGV[1], (before->>TG_ARGV[0])::bigint);
    END IF;
    IF after IS NOT NULL THEN
        INSERT INTO audit.changes (table_name, key, version) VALUES (TG_ARGV[1], (after->>TG_ARGV[0])::bigint, after);
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO audit.changes (table_name) VALUES (TG_ARGV[1]);
    END IF;
    RETURN NULL;
END $$;
";

/// The CRM.
pub(super) struct Source {
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) marks: u32,
}

impl Source {
    /// Filled, and already changed a little.
    pub(super) async fn start() -> Self {
        Self::start_in(test_support::postgres_logical_database().await).await
    }

    /// The same in a database that is there.
    pub(super) async fn start_in(url: String) -> Self {
        Self::start_as(url, "").await
    }

    /// The same with other tables, which these statements make of those that are there.
    pub(super) async fn start_as(url: String, sql: &str) -> Self {
        let mut source = Self { client: connect(&url).await, url, marks: 0 };
        source.change(300, 0).await;
        source.client.batch_execute(sql).await.unwrap();
        source.mark().await;
        source.client.batch_execute(AUDIT).await.unwrap();
        for (table, key, _) in TABLES {
            let triggers = format!(
                "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON crm_system.{table} \
                    FOR EACH ROW EXECUTE FUNCTION audit.note('{key}', '{table}'); \
                 CREATE TRIGGER audit_truncate AFTER TRUNCATE ON crm_system.{table} EXECUTE FUNCTION audit.note('{key}', '{table}')"
            );
            source.client.batch_execute(&triggers).await.unwrap();
        }
        source
    }

    /// Goes on until there were so many changes.
    pub(super) async fn change(&self, changes: u64, rate: u32) {
        Self::change_in(&self.url, changes, rate).await;
    }

    /// The same in the database at this address, while others look at it.
    pub(super) async fn change_in(url: &str, changes: u64, rate: u32) {
        let options = crm::Options { accounts: 600, changes, rate, mix: crm::Mix::Everything, ..Default::default() };
        crm::run(url, &options, &ProgressBar::hidden()).await.unwrap();
    }

    /// Asks Debezium for an incremental snapshot of all tables, as `docs/operations.md` does.
    pub(super) async fn signal_snapshot(&self, id: &str) {
        let tables = TABLES.map(|(table, ..)| format!("crm_system.{table}"));
        let data = json!({"data-collections": tables, "type": "incremental"}).to_string();
        let sql = "INSERT INTO crm_system.debezium_signal VALUES ($1, 'execute-snapshot', $2)";
        self.client.execute(sql, &[&id, &data]).await.unwrap();
    }

    /// A mark behind everything that has happened.
    pub(super) async fn mark(&mut self) {
        self.marks += 1;
        let keys = format!("generate_series({FIRST_MARK}, {}) AS key", i64::from(FIRST_MARK) + MARKS - 1);
        let mark = format!("mark {}", self.marks);
        for (table, key, column) in TABLES {
            let (more, value) = if table == "devices" { (", account_id", ", 0") } else { ("", "") };
            let sql = format!(
                "INSERT INTO crm_system.{table} ({key}, {column}{more}) SELECT key, '{mark}'{value} FROM {keys} \
                 ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}, modified_ts = now()"
            );
            self.client.batch_execute(&sql).await.unwrap();
        }
    }

    /// Addresses with streets so long that PostgreSQL stores them outside the row get other keys, and that alone: they swap them
    /// by way of a third, which other rows had before, within a transaction and in several.
    pub(super) async fn renumber_large(&self) {
        let write = "INSERT INTO crm_system.addresses (account_id, street_address) \
            SELECT key, (SELECT string_agg(md5(key::text || n), '') FROM generate_series(1, 200) AS n) \
            FROM generate_series(1900000000, 1900000039) AS key";
        let swap = "UPDATE crm_system.addresses SET account_id = 1900000100 WHERE account_id = $1; \
            UPDATE crm_system.addresses SET account_id = $1 WHERE account_id = $1 + 20; \
            UPDATE crm_system.addresses SET account_id = $1 + 20 WHERE account_id = 1900000100; \
            UPDATE crm_system.addresses SET city = 'swapped' WHERE account_id = $1;";
        self.client.batch_execute(write).await.unwrap();
        for key in 1_900_000_000..1_900_000_020 {
            let swap = swap.replace("$1", &key.to_string());
            // Statements that are sent together are one transaction.
            let transactions = if key % 2 == 0 { vec![swap.as_str()] } else { swap.split_inclusive(';').collect() };
            for transaction in transactions {
                self.client.batch_execute(transaction).await.unwrap();
            }
        }
    }

    /// Every version of every row since the triggers are there, in its order.
    pub(super) async fn versions(&self) -> Vec<String> {
        texts(
            &self.client,
            "SELECT table_name || ' ' || key || ' ' || version FROM audit.changes WHERE version IS NOT NULL \
             ORDER BY table_name, key, id",
        )
        .await
    }

    /// Every row that is there.
    pub(super) async fn current(&self) -> Vec<String> {
        let tables = TABLES.map(|(table, key, _)| {
            format!("SELECT '{table}' AS name, {key} AS key, to_jsonb(t) AS row FROM crm_system.{table} t")
        });
        let sql = tables.join(" UNION ALL ");
        texts(&self.client, &format!("SELECT name || ' ' || row FROM ({sql}) AS rows ORDER BY name, key")).await
    }
}
