//! Shows people the files whose rows wait for a decision: `ops.file_conflicts`.

use std::collections::BTreeSet;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use lake::Lake;
use postgres_pool::{Pool, Transaction};
use serde::Deserialize;

use crate::run::RunId;

/// sftp-poll writes an object here for each file, and deletes it when the file is decided.
const PREFIX: &str = "conflicts/";
/// Each waits for a person, so there are few. Only the first ones of more are shown.
const MAX_CONFLICTS: usize = 1_000;
/// Requests in flight.
const READS_IN_FLIGHT: usize = 8;
/// The reason that is shown for a note that can't be read.
const UNREADABLE: &str = "unreadable";

/// A file that waits.
#[derive(Debug, Deserialize)]
struct Conflict {
    name: String,
    /// The file that it repeats or changes.
    #[serde(default)]
    with: String,
    /// How the two files relate.
    #[serde(default)]
    reason: String,
    /// Rows that wait.
    #[serde(default)]
    rows: u64,
    /// About how many rows both have.
    #[serde(default)]
    shared_rows: u64,
    /// Seconds since 1970.
    #[serde(default)]
    landed_at: Option<u64>,
}

/// Makes the table show what the lake has.
///
/// # Errors
/// When the lake or the database fail, or the run has been taken over.
pub(crate) async fn sync(lake: &Lake, pool: &Pool, run: RunId) -> anyhow::Result<()> {
    let keys = lake.list(PREFIX).take(MAX_CONFLICTS).map_ok(|listed| async move {
        // `None` if the file was decided meanwhile.
        read(lake, &listed.key).await
    });
    let found: Vec<Option<Conflict>> = keys.try_buffered(READS_IN_FLIGHT).try_collect().await?;
    let mut names = BTreeSet::new();
    let conflicts: Vec<Conflict> =
        found.into_iter().flatten().filter(|conflict| names.insert(conflict.name.clone())).collect();
    if !conflicts.is_empty() {
        tracing::warn!(
            files = conflicts.len(),
            "files wait for a decision: look at the dashboard, or `trunkline files`"
        );
    }
    pool.transaction(&conflicts, move |transaction, conflicts| Box::pin(write(transaction, run, conflicts)))
        .await
        .context("noting which files wait for a decision")
}

async fn read(lake: &Lake, key: &str) -> Result<Option<Conflict>, lake::Error> {
    match lake.get_json(key).await {
        Ok(conflict) => Ok(conflict),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            tracing::error!(lake.key = key, error = error.to_string(), "this note of a file that waits can't be read");
            let name = key.strip_prefix(PREFIX).unwrap_or(key);
            let name = name.strip_suffix(".json").unwrap_or(name).to_owned();
            let (with, reason) = (String::new(), UNREADABLE.to_owned());
            Ok(Some(Conflict { name, with, reason, rows: 0, shared_rows: 0, landed_at: None }))
        }
    }
}

async fn write(transaction: &Transaction<'_>, run: RunId, conflicts: &[Conflict]) -> anyhow::Result<()> {
    const GONE: &str = "delete from ops.file_conflicts where file_name <> all($1)";
    const THERE: &str = include_str!("sql/keep_conflicts.sql");
    run.hold(transaction).await?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let names: Vec<&str> = conflicts.iter().map(|conflict| conflict.name.as_str()).collect();
    let others: Vec<&str> = conflicts.iter().map(|conflict| conflict.with.as_str()).collect();
    let reasons: Vec<&str> = conflicts.iter().map(|conflict| conflict.reason.as_str()).collect();
    let rows: Vec<i64> = conflicts.iter().map(|conflict| number(conflict.rows)).collect();
    let shared: Vec<i64> = conflicts.iter().map(|conflict| number(conflict.shared_rows)).collect();
    let landed: Vec<Option<i64>> = conflicts.iter().map(|conflict| conflict.landed_at.map(number)).collect();
    transaction.execute(GONE, &[&names]).await?;
    transaction.execute(THERE, &[&names, &others, &reasons, &rows, &shared, &landed]).await?;
    Ok(())
}
