//! The moments of messages that a version before this one loaded: it kept what the clocks showed, and nothing else.

use postgres_pool::{Pool, Transaction};
use telecom::Zone;

use crate::run::RunId;
use crate::timeouts;

/// Fills them in, as far as civil time tells them: of an hour that the clocks showed twice, the second.
///
/// # Errors
/// When the database fails, or the run has been taken over.
pub(crate) async fn fill(pool: &Pool, run: RunId, zone: &Zone) -> anyhow::Result<()> {
    let rows = pool.query("SELECT messages_lack_moments FROM ops.state", &[]).await?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(());
    }
    tracing::info!("messages of an earlier version get their moments, and the models of messages see them anew");
    pool.transaction(zone, move |transaction, zone| Box::pin(fill_in(transaction, run, zone))).await
}

async fn fill_in(transaction: &Transaction<'_>, run: RunId, zone: &Zone) -> anyhow::Result<()> {
    // What is made of messages is made anew for each room and day that has newer ones; nothing adds to what it has.
    const FILL: &str = "WITH batch AS (SELECT nextval(pg_get_serial_sequence('ops.chunks', 'batch_id')) AS id)
        UPDATE raw.messages SET message_at = message_date AT TIME ZONE $1, batch_id = batch.id
        FROM batch WHERE message_at IS NULL";
    transaction.batch_execute(&timeouts(lambda_boot::Deadline::NONE)).await?;
    run.hold(transaction).await?;
    transaction.execute(FILL, &[&zone.to_string()]).await?;
    transaction.execute("UPDATE ops.state SET messages_lack_moments = false", &[]).await?;
    Ok(())
}
