//! The CRM's tables as a snapshot of Debezium tells them, for a demo without Debezium.

use anyhow::Context;
use kafka_sink::Sink;
use postgres_pool::{Names, Pool};

use super::DATABASE_URL;

/// The CRM's tables and their keys.
const TABLES: [(&str, &str); 3] = [("accounts", "account_id"), ("addresses", "account_id"), ("devices", "device_id")];

/// Produces every row of the CRM to its table's topic, `<topic prefix>.<table>`, in the form of Debezium's snapshots, and
/// waits until all are acknowledged. Synthetic change messages: what the database says of itself, without its log. Returns
/// how many there were.
///
/// # Errors
/// When the database or Kafka fails. The same call tells everything again, which consumers of change messages allow for.
pub async fn snapshot(database_url: &str, topic_prefix: &str, sink: &Sink) -> anyhow::Result<u64> {
    let pool = Pool::new(database_url, Names { variable: DATABASE_URL, service: "the CRM's database" })?;
    // Before the rows: whatever is changed after them has a later place in the log.
    let places = pool.query("SELECT (pg_current_wal_lsn() - '0/0')::bigint", &[]).await?;
    let lsn: i64 = places.first().context("the CRM's database does not say where its log ends")?.try_get(0)?;
    let mut session = sink.session()?;
    let mut told = 0;
    for (table, key) in TABLES {
        let topic = format!("{topic_prefix}.{table}");
        let rows =
            pool.query(&rows_of(table, key), &[&lsn]).await.with_context(|| format!("reading {table} failed"))?;
        for row in rows {
            let (key, value): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            session.send(&topic, key.as_bytes(), value.as_bytes()).await?;
            told += 1;
        }
    }
    session.flush(None).await?;
    Ok(told)
}

/// Keys and envelopes of a table's rows; `$1` is the snapshot's place in the log.
fn rows_of(table: &str, key: &str) -> String {
    format!(
        "SELECT json_build_object('{key}', {key})::text,
                json_build_object('before', NULL, 'after', to_json(snapshot), 'op', 'r', 'ts_ms', taken.ms,
                    'source', json_build_object('connector', 'generator', 'snapshot', 'true', 'ts_ms', taken.ms,
                        'db', current_database(), 'schema', 'crm_system', 'table', '{table}', 'lsn', $1::bigint))::text
         FROM crm_system.{table} AS snapshot, (SELECT floor(extract(epoch FROM now()) * 1000)::bigint AS ms) AS taken
         ORDER BY {key}"
    )
}
