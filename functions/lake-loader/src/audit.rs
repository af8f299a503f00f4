//! Counts what a run brought into each table: `ops.layer_audit`.

use std::fmt;

use postgres_pool::{Pool, Transaction};
use tokio_postgres::GenericClient;

use crate::run::RunId;

/// A step on the way of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Records into Parquet.
    #[default]
    Silver,
    /// Those rows into PostgreSQL.
    Raw,
    /// What the models wrote.
    Models,
}

/// The counts of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) layer: Layer,
    pub(crate) table_name: String,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) withdrawn: u64,
    pub(crate) chunks: u64,
    pub(crate) gap_offsets: u64,
    pub(crate) bytes: u64,
}

/// The counts do not add up: rows were lost, or came from elsewhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} {} does not balance: {} in, {} out, {} duplicates, {} rejected, {} withdrawn. Nothing of this chunk was kept; \
     the tables are as they were. Look for triggers, rules and rows that somebody else writes or deletes",
    .0.layer, .0.table_name, .0.rows_in, .0.rows_out, .0.duplicates, .0.rejected, .0.withdrawn
)]
pub(crate) struct Imbalance(pub(crate) Box<Audit>);

impl Audit {
    /// Checks that every row that came in is accounted for.
    ///
    /// # Errors
    /// When the counts do not add up.
    pub(crate) fn balance(&self) -> Result<(), Imbalance> {
        if self.is_balanced() { Ok(()) } else { Err(Imbalance(Box::new(self.clone()))) }
    }

    fn is_balanced(&self) -> bool {
        self.rows_in == self.rows_out + self.duplicates + self.rejected + self.withdrawn
    }

    /// Adds it to the run's counts, in the transaction that writes the rows.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn add(&self, transaction: &Transaction<'_>, run: RunId) -> anyhow::Result<()> {
        self.put(&**transaction, run, self.is_balanced()).await
    }

    async fn put(&self, client: &impl GenericClient, run: RunId, is_balanced: bool) -> anyhow::Result<()> {
        const SQL: &str = include_str!("sql/add_to_audit.sql");
        let Self { layer, table_name, .. } = self;
        let [rows_in, rows_out, duplicates, rejected, chunks, gap_offsets, bytes, withdrawn] = [
            self.rows_in,
            self.rows_out,
            self.duplicates,
            self.rejected,
            self.chunks,
            self.gap_offsets,
            self.bytes,
            self.withdrawn,
        ]
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        client
            .execute(
                SQL,
                &[
                    &run.0,
                    &layer.as_str(),
                    table_name,
                    &rows_in,
                    &rows_out,
                    &duplicates,
                    &rejected,
                    &is_balanced,
                    &chunks,
                    &gap_offsets,
                    &bytes,
                    &withdrawn,
                ],
            )
            .await?;
        Ok(())
    }
}

/// Writes the counts that no transaction of rows has written: those of failed chunks, and of models. It replaces
/// earlier ones.
///
/// # Errors
/// When the database fails.
pub(crate) async fn keep(pool: &Pool, run: RunId, audits: &[(Audit, bool)]) -> anyhow::Result<()> {
    pool.transaction(audits, move |transaction, audits| {
        Box::pin(async move {
            const FORGET: &str = "delete from ops.layer_audit where run_id = $1 and layer = $2 and table_name = $3";
            run.hold(transaction).await?;
            for (audit, is_balanced) in audits {
                transaction.execute(FORGET, &[&run.0, &audit.layer.as_str(), &audit.table_name]).await?;
                audit.put(&**transaction, run, *is_balanced).await?;
            }
            Ok(())
        })
    })
    .await
}

impl Layer {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Silver => "silver",
            Self::Raw => "raw",
            Self::Models => "models",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
