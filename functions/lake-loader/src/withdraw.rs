//! Rows that are taken back: out of their table, and into that of the withdrawn.

use std::ops::{AddAssign, Range};

use postgres_pool::Transaction;
use tokio_postgres::types::ToSql;

use crate::chunk::Chunk;
use crate::rows::{Columns, Load};
use crate::store::Stored;

/// What became of records that take rows back, as PostgreSQL counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    /// In the table of the withdrawn.
    pub(crate) stored: Stored,
    /// Rows that went from the other table.
    pub(crate) removed: u64,
}

impl AddAssign for Withdrawn {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.removed += other.removed;
    }
}

/// Takes the rows away that these records name. They were brought by this chunk, whose rows are stored, or one before it.
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
            "CREATE TEMP TABLE IF NOT EXISTS withdrawing (LIKE {name}) ON COMMIT DROP; TRUNCATE withdrawing"
        ))
        .await?;
    columns.copy(transaction, "withdrawing", load).await?;
    let remove = remove(&rows.sql_name());
    let epoch = i64::from(chunk.lane.epoch);
    let mut removed = 0;
    for offsets in brought_at(transaction, chunk).await? {
        let parameters: [&(dyn ToSql + Sync); 4] = [&epoch, &chunk.lane.partition, &offsets.start, &offsets.end];
        removed += transaction.query_one(&remove, &parameters).await?.get::<_, i64>(0).unsigned_abs();
    }
    let (columns, key) = (table.sql_columns(), table.sql_key());
    let insert = format!(
        "INSERT INTO {name} ({columns}) SELECT {columns} FROM withdrawing ORDER BY {key} ON CONFLICT ({key}) DO NOTHING"
    );
    let new = transaction.execute(&insert, &[]).await?;
    let there = format!("SELECT count(*) FROM withdrawing JOIN {name} USING ({key})");
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

/// The offsets of the chunks that brought the rows, this one among them. (Of a source, it is the first that came to its line or
/// beyond it.) Each row gets the number of its chunk, by which models know it.
async fn brought_at(transaction: &Transaction<'_>, chunk: &Chunk) -> anyhow::Result<Vec<Range<i64>>> {
    const NUMBER: &str = "UPDATE withdrawing AS w SET row_batch_id = c.batch_id
        FROM withdrawing AS looked_up
        CROSS JOIN LATERAL (
            SELECT l.start_offset FROM ops.source_lines l
            WHERE l.epoch = $1 AND l.topic = $2 AND l.partition = $3 AND l.source_id = looked_up.source_id
                AND l.last_line >= looked_up.source_line AND l.start_offset < $4
            ORDER BY l.start_offset LIMIT 1
        ) AS first
        JOIN ops.chunks c ON (c.epoch, c.topic, c.partition, c.start_offset) = ($1, $2, $3, first.start_offset)
        WHERE w.kafka_offset = looked_up.kafka_offset";
    const OFFSETS: &str = "SELECT c.start_offset, c.end_offset FROM ops.chunks c
        WHERE c.batch_id IN (SELECT row_batch_id FROM withdrawing) AND c.batch_id <> $1 ORDER BY 1";
    let lane = &chunk.lane;
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&i64::from(lane.epoch), &lane.topic, &lane.partition, &chunk.offsets.start];
    transaction.execute(NUMBER, &parameters).await?;
    let earlier = transaction.query(OFFSETS, &[&chunk.batch_id]).await?;
    let mut offsets: Vec<_> = earlier.iter().map(|row| row.get(0)..row.get(1)).collect();
    offsets.push(chunk.offsets.clone());
    Ok(offsets)
}

/// Takes away what a chunk brought. A row that was put back has another number than its chunk.
fn remove(rows: &str) -> String {
    format!(
        "WITH gone AS (
            DELETE FROM {rows} AS kept USING withdrawing AS w
            WHERE kept.kafka_epoch = $1 AND kept.kafka_partition = $2
                AND kept.kafka_offset >= $3 AND kept.kafka_offset < $4
                AND kept.source_id = w.source_id AND kept.source_line = w.source_line
            RETURNING kept.source_id, kept.source_line, kept.batch_id
        ), numbered AS (
            UPDATE withdrawing AS w SET row_batch_id = gone.batch_id FROM gone
            WHERE w.source_id = gone.source_id AND w.source_line = gone.source_line
        )
        SELECT count(*) FROM gone"
    )
}
