//! Which run may write, and its row in `ops.runs`.

use std::time::Duration;

use anyhow::Context;
use lambda_boot::Deadline;
use postgres_pool::{Lock, Pool, Transaction};

use crate::event::Event;
use crate::timeouts;

/// The advisory lock of the run that loads: the letters `trunklld`.
const LOCK: i64 = i64::from_be_bytes(*b"trunklld");

/// How often a waiting run checks whether the other one has ended.
const WAIT: Duration = Duration::from_millis(500);

/// A run does not begin with less time left.
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
    /// The first statement of every transaction. It fails once another run has taken over, and keeps others from taking
    /// over until the transaction ends.
    ///
    /// # Errors
    /// When another run has taken over, or the database fails.
    pub(crate) async fn hold(self, transaction: &Transaction<'_>) -> anyhow::Result<()> {
        transaction.execute("select ops.hold($1)", &[&self.0]).await?;
        Ok(())
    }
}

impl Run {
    /// Begins a run; `None` if another run is at work.
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

    /// Records how it ended, and lets others begin.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub(crate) async fn end(self, pool: &Pool, end: End<'_>) -> anyhow::Result<()> {
        const SQL: &str = include_str!("sql/end_run.sql");
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

/// Takes over from the run before. That run may have lost its lock without noticing, as its connection broke, or it was
/// killed while the server still executes a statement: its transaction is waited for, and `hold` refuses it any other.
async fn take(transaction: &Transaction<'_>, event: Event, deadline: Deadline) -> anyhow::Result<RunId> {
    const SQL: &str = include_str!("sql/begin_run.sql");
    transaction.batch_execute(&timeouts(deadline)).await?;
    let row = transaction.query_opt(SQL, &[&event.cause(), &event.request().full_refresh]).await?;
    Ok(RunId(row.context("ops.state has no row: run `trunkline init`")?.get(0)))
}
