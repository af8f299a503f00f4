//! Moves rows that are taken back from their table to the table of withdrawn rows.

use std::ops::{AddAssign, Range};

use postgres_pool::Transaction;
use tokio_postgres::types::ToSql;

use crate::chunk::Chunk;
use crate::rows::{Columns, Load};
use crate::store::Stored;

/// The result of records that take rows back, as PostgreSQL counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    /// Rows of the table of withdrawn rows.
    pub(crate) stored: Stored,
    /// Rows that were removed from their own table.
    pub(crate) removed: u64,
}

impl AddAssign for Withdrawn {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.removed += other.removed;
    }
}

/// Removes the rows that these records name. This chunk, whose rows are stored, or an earlier one brought them.
///
/// # Errors
/// When the database fails.
pub(crate) async fn withdraw(
    transaction: &Transaction<'_>,
    chunk: &Chunk,
    columns: &Columns,
    load: Load,
) -> anyhow::Result<Withdrawn> {
    let (table, rows) = (columns.table(), columns.stream().table());
    let name = table.sql_name();
    transaction
        .batch_execute(&format!(
            "create temp table if not exists withdrawing (like {name}) on commit drop; truncate withdrawing"
        ))
        .await?;
    columns.copy(transaction, "withdrawing", load).await?;
    let remove = include_str!("sql/remove_withdrawn.sql").replace("{table}", &rows.sql_name());
    let epoch = i64::from(chunk.lane.epoch);
    let mut removed = 0;
    for offsets in brought_at(transaction, chunk).await? {
        let parameters: [&(dyn ToSql + Sync); 4] = [&epoch, &chunk.lane.partition, &offsets.start, &offsets.end];
        removed += transaction.query_one(&remove, &parameters).await?.get::<_, i64>(0).unsigned_abs();
    }
    let key = table.sql_key();
    let insert = include_str!("sql/insert_withdrawn.sql")
        .replace("{table}", &name)
        .replace("{columns}", &table.sql_columns())
        .replace("{key}", &key);
    let new = transaction.execute(&insert, &[]).await?;
    let there = format!("select count(*) from withdrawing join {name} using ({key})");
    let there: i64 = transaction.query_one(&there, &[]).await?.get(0);
    let known = there.unsigned_abs() - new;
    if removed < new {
        tracing::warn!(
            table = rows.full_name(),
            rows = new - removed,
            "rows that are taken back were not there: somebody has deleted them"
        );
    }
    Ok(Withdrawn { stored: Stored { new, known, replaced: 0 }, removed })
}

/// Gives each row the `batch_id` of the chunk that brought it, and returns the offsets of these chunks and of this one.
async fn brought_at(transaction: &Transaction<'_>, chunk: &Chunk) -> anyhow::Result<Vec<Range<i64>>> {
    const NUMBER: &str = include_str!("sql/number_withdrawing.sql");
    const OFFSETS: &str = include_str!("sql/chunks_of_withdrawing.sql");
    let lane = &chunk.lane;
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&i64::from(lane.epoch), &lane.topic, &lane.partition, &chunk.offsets.start];
    transaction.execute(NUMBER, &parameters).await?;
    let earlier = transaction.query(OFFSETS, &[&chunk.batch_id]).await?;
    let mut offsets: Vec<_> = earlier.iter().map(|row| row.get(0)..row.get(1)).collect();
    offsets.push(chunk.offsets.clone());
    Ok(offsets)
}
