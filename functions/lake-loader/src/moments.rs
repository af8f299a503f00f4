//! The moments of messages that an earlier version loaded: it kept only the operator's civil time.

use postgres_pool::{Pool, Transaction};
use telecom::Zone;

use crate::run::RunId;
use crate::timeouts;

/// Fills in the moments from civil time. For an hour that the clocks showed twice, it takes the second one.
///
/// # Errors
/// When the database fails, or the run has been taken over.
pub(crate) async fn fill(pool: &Pool, run: RunId, zone: &Zone) -> anyhow::Result<()> {
    let rows = pool.query("select messages_lack_moments from ops.state", &[]).await?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(());
    }
    tracing::info!("messages of an earlier version get their moments, and the models of messages read them again");
    pool.transaction(zone, move |transaction, zone| Box::pin(fill_in(transaction, run, zone))).await
}

async fn fill_in(transaction: &Transaction<'_>, run: RunId, zone: &Zone) -> anyhow::Result<()> {
    transaction.batch_execute(&timeouts(lambda_boot::Deadline::NONE)).await?;
    run.hold(transaction).await?;
    transaction.execute(include_str!("sql/give_messages_their_moments.sql"), &[&zone.to_string()]).await?;
    transaction.execute("update ops.state set messages_lack_moments = false", &[]).await?;
    Ok(())
}
