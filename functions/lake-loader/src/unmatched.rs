//! Shows people the files on the SFTP servers that no rule takes: `ops.unmatched_files`.

use anyhow::Context;
use lake::Lake;
use lake::names::UNMATCHED;
use lake::registers::UnmatchedNote;
use postgres_pool::{Pool, Transaction};

use crate::run::RunId;

/// Makes the table show what the lake has.
///
/// # Errors
/// When the lake or the database fail, or the run has been taken over.
pub(crate) async fn sync(lake: &Lake, pool: &Pool, run: RunId) -> anyhow::Result<()> {
    let note: Option<UnmatchedNote> = match lake.get_json(UNMATCHED).await {
        Ok(note) => note,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => {
            tracing::error!(
                lake.key = UNMATCHED,
                error = error.to_string(),
                "the note of what nobody takes can't be read"
            );
            return Ok(());
        }
    };
    if let Some(note) = &note {
        tracing::warn!(files = note.files, "files that nobody takes lie on the SFTP servers: look at the dashboard");
    }
    pool.transaction(&note, move |transaction, note| Box::pin(write(transaction, run, note.as_ref())))
        .await
        .context("noting which files nobody takes")
}

async fn write(transaction: &Transaction<'_>, run: RunId, note: Option<&UnmatchedNote>) -> anyhow::Result<()> {
    const GONE: &str = "delete from ops.unmatched_files where file_name <> all($1)";
    const THERE: &str = include_str!("sql/keep_unmatched.sql");
    run.hold(transaction).await?;
    let names = note.map_or(&[][..], |note| &note.names);
    transaction.execute(GONE, &[&names]).await?;
    let Some(note) = note else { return Ok(()) };
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    transaction.execute(THERE, &[&names, &number(note.files), &(number(note.noted_at) as f64)]).await?;
    Ok(())
}
