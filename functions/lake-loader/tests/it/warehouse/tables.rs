//! What a database's tables are, to be compared with another's.

use std::collections::BTreeMap;

use tokio_postgres::{Client, NoTls};

/// The schemas that the models fill.
const SCHEMAS: &str = "('staging', 'prepared_layers', 'analytics')";

pub(super) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Every table and view that the models made: its rows, each as text, in order.
pub(super) async fn rows(client: &Client) -> BTreeMap<String, Vec<String>> {
    let names = format!(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema IN {SCHEMAS} ORDER BY 1"
    );
    let mut tables = BTreeMap::new();
    for name in texts(client, &names).await {
        let rows = texts(client, &format!("SELECT t::text FROM {name} AS t ORDER BY t::text COLLATE \"C\"")).await;
        tables.insert(name, rows);
    }
    tables
}

/// What the tables are: columns with their types and comments, constraints, indexes. Names that a tool makes up are
/// left out.
pub(super) async fn shapes(client: &Client) -> Vec<String> {
    let sql = format!(
        "WITH relations AS (
            SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname IN {SCHEMAS} AND c.relkind IN ('r', 'v')
        )
        SELECT concat_ws(' ', name, relkind, obj_description(oid, 'pg_class')) FROM relations
        UNION ALL
        SELECT concat_ws(' ', name, attname, format_type(atttypid, atttypmod), attnotnull, col_description(oid, attnum))
        FROM relations JOIN pg_attribute ON attrelid = oid WHERE attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT concat_ws(' ', name, pg_get_constraintdef(pg_constraint.oid))
        FROM relations JOIN pg_constraint ON conrelid = relations.oid
        UNION ALL
        SELECT concat_ws(' ', name, regexp_replace(pg_get_indexdef(indexrelid), 'INDEX \\S+', 'INDEX'))
        FROM relations JOIN pg_index ON indrelid = oid
        ORDER BY 1"
    );
    texts(client, &sql).await
}

pub(super) async fn texts(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Fails with the first few rows that only one of them has.
#[track_caller]
pub(super) fn assert_same(what: &str, ours: &[String], theirs: &[String]) {
    if ours == theirs {
        return;
    }
    let without = |rows: &[String], others: &[String]| {
        let others: std::collections::HashSet<_> = others.iter().collect();
        rows.iter().filter(|row| !others.contains(row)).take(5).cloned().collect::<Vec<_>>().join("\n  ")
    };
    panic!(
        "{what}: {} and {} rows\nonly here:\n  {}\nonly there:\n  {}",
        ours.len(),
        theirs.len(),
        without(ours, theirs),
        without(theirs, ours)
    );
}
