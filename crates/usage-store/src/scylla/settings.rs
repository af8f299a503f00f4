//! What in the database's own settings breaks the protocol.

use super::connection::Connection;

/// Where Cassandra tells its settings, and where ScyllaDB does.
const TOLD: [&str; 2] =
    ["SELECT value FROM system_views.settings WHERE name = ?", "SELECT value FROM system.config WHERE name = ?"];

/// What the node that is asked is set to, where that loses counts: each in a line that says what to do.
pub(super) async fn faults(connection: &Connection) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(threshold) = setting(connection, "minimum_timestamp_fail_threshold").await {
        faults.push(format!(
            "minimum_timestamp_fail_threshold is {threshold}, so every count is refused: it is written with its offset for \
             a timestamp. Set it to null in cassandra.yaml"
        ));
    }
    if let Some(sync) = setting(connection, "commitlog_sync").await
        && sync == "periodic"
    {
        faults.push(
            "commitlog_sync is periodic, so a node that dies loses what it has acknowledged: set it to batch or group"
                .to_owned(),
        );
    }
    faults
}

/// A setting that has a value. A database that tells none, or not this user, is taken to be well.
pub(super) async fn setting(connection: &Connection, name: &str) -> Option<String> {
    for cql in TOLD {
        let Ok(rows) = connection.query(cql, &(name,)).await else { continue };
        let (value,) = rows.maybe_first_row::<(Option<String>,)>().ok().flatten()?;
        // ScyllaDB writes JSON.
        return value.map(|value| value.trim_matches('"').to_owned()).filter(|value| !["", "null"].contains(&&**value));
    }
    None
}
