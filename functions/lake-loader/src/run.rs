//! Which run may write, and what is said of it.

use std::time::Duration;

use anyhow::Context;
use lambda_boot::Deadline;
use postgres_pool::{Lock, Pool, Transaction};

use crate::event::Event;
use crate::timeouts;

/// The advisory lock of whoever loads: the letters `trunklld`.
const LOCK: i64 = i64::from_be_bytes(*b"trunklld");

/// How often it is looked whether another run has ended.
const WAIT: Duration = Duration::from_millis(500);

/// Less is not worth a beginning.
const LEAST_TIME: Duration = Duration::from_secs(5);

/// A run's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunId(pub(crate) i64);

/// A run that holds the warehouse.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    lock: Lock,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    Succeeded,
    /// The time was up.
    Incomplete(&'a str),
    Failed(&'a str),
}

impl RunId {
    /// To be done first in each transaction: fails when another run has taken over, and keeps others from doing so until the
    /// transaction ends.
    ///
    /// # Errors
    /// That, or what the database answers.
    pub(crate) async fn hold(self, transaction: &Transaction<'_>) -> anyhow::Result<()> {
        transaction.execute("SELECT ops.hold($1)", &[&self.0]).await?;
        Ok(())
    }
}

impl Run {
    /// Takes the warehouse; `None` while another run has it.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub(crate) async fn begin(pool: &Pool, event: Event, deadline: Deadline) -> anyhow::Result<Option<Self>> {
        let request = event.request();
        loop {
            if let Some(lock) = pool.try_lock(LOCK).await? {
                let id = pool.transaction(&(), |transaction, ()| Box::pin(take(transaction, event, deadline))).await?;
                return Ok(Some(Self { id, lock }));
            }
            if !request.wait || deadline.is_within(LEAST_TIME) {
                return Ok(None);
            }
            tokio::time::sleep(WAIT).await;
        }
    }

    /// Says how it ended, and lets others begin.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub(crate) async fn end(self, pool: &Pool, end: End<'_>) -> anyhow::Result<()> {
        const SQL: &str = "UPDATE ops.runs SET status = $2, message = $3, finished_at = now()
            WHERE run_id = $1 AND status = 'running'";
        let (status, message) = match end {
            End::Succeeded => ("succeeded", None),
            End::Incomplete(left) => ("incomplete", Some(left)),
            End::Failed(why) => ("failed", Some(why)),
        };
        let said = pool.query(SQL, &[&self.id.0, &status, &message]).await;
        self.lock.release().await;
        said.map(drop)
    }
}

/// Takes the warehouse from the run before. That one may have lost its lock (its connection broke) and not know it, or have been killed while
/// a statement goes on in the server: its transaction is waited for, and `hold` refuses it any other.
async fn take(transaction: &Transaction<'_>, event: Event, deadline: Deadline) -> anyhow::Result<RunId> {
    const SQL: &str = "WITH ended AS (
            UPDATE ops.runs SET status = 'interrupted', finished_at = now() WHERE status = 'running'
        ), begun AS (
            INSERT INTO ops.runs (cause, is_full_refresh) VALUES ($1, $2) RETURNING run_id
        )
        UPDATE ops.state SET run_id = begun.run_id FROM begun RETURNING begun.run_id";
    transaction.batch_execute(&timeouts(deadline)).await?;
    let row = transaction.query_opt(SQL, &[&event.cause(), &event.request().full_refresh]).await?;
    Ok(RunId(row.context("ops.state has no row: run `trunkline init`")?.get(0)))
}
