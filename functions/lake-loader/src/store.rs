//! Rows into their table.

use std::ops::AddAssign;

use postgres_pool::Transaction;

use crate::load::Purpose;
use crate::rows::{Columns, Load};
use crate::run::RunId;
use crate::table::{Stream, Table};

/// What became of rows, as PostgreSQL counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Rows that are new.
    pub(crate) new: u64,
    /// Rows whose key was there.
    pub(crate) known: u64,
    /// Of those, rows that took the place of one that models may have seen.
    pub(crate) replaced: u64,
}

impl AddAssign for Stored {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.replaced += other.replaced;
    }
}

/// Copies the rows into their table: straight, where none of them can be there, else past those that are.
///
/// # Errors
/// When the database fails.
pub(crate) async fn store(
    transaction: &Transaction<'_>,
    run: RunId,
    columns: &Columns,
    load: Load,
    purpose: Purpose,
) -> anyhow::Result<Stored> {
    let table = columns.table();
    // A message may also have come by another lane: its room's partition is another when it was sent to another room.
    let may_be_there = purpose == Purpose::Restore || columns.stream() == Stream::Messages;
    if !may_be_there {
        let new = columns.copy(transaction, &table.sql_name(), load).await?;
        return Ok(Stored { new, ..Stored::default() });
    }
    let name = table.sql_name();
    transaction
        .batch_execute(&format!(
            "CREATE TEMP TABLE IF NOT EXISTS incoming (LIKE {name}) ON COMMIT DROP; TRUNCATE incoming"
        ))
        .await?;
    columns.copy(transaction, "incoming", load).await?;
    let withdrawn = match columns.stream().withdrawn_table() {
        Some(withdrawn) => transaction.execute(&forget_withdrawn(withdrawn), &[]).await?,
        None => 0,
    };
    let key = table.sql_key();
    let replaced = match columns.stream() {
        Stream::Messages => transaction.query_one(&replaced(&name, &key), &[&run.0]).await?.get(0),
        Stream::CdrData | Stream::CdrVoice | Stream::Rejected => 0_i64,
    };
    let new: i64 = transaction.query_one(&insert(table, &key, columns.stream()), &[]).await?.get(0);
    let there = format!("SELECT count(*) FROM incoming JOIN {name} USING ({key})");
    let there: i64 = transaction.query_one(&there, &[]).await?.get(0);
    let known = (there - new).unsigned_abs() + withdrawn;
    Ok(Stored { new: new.unsigned_abs(), known, replaced: replaced.unsigned_abs() })
}

/// Rows that were taken back later are not put back: they are in the other table.
fn forget_withdrawn(withdrawn: &Table) -> String {
    let withdrawn = withdrawn.sql_name();
    format!(
        "DELETE FROM incoming USING {withdrawn} AS gone
        WHERE gone.source_id = incoming.source_id AND gone.source_line = incoming.source_line
            AND gone.kafka_epoch = incoming.kafka_epoch AND gone.kafka_partition = incoming.kafka_partition"
    )
}

/// Of the messages with one id the earliest stays, whichever lane is loaded first.
fn is_earlier(row: &str, than: &str) -> String {
    const PLACE: [&str; 4] = ["kafka_epoch", "kafka_timestamp", "kafka_partition", "kafka_offset"];
    let place = |row: &str| {
        let columns = PLACE.map(|column| match column {
            "kafka_timestamp" => format!("coalesce({row}.{column}, '-infinity')"),
            column => format!("{row}.{column}"),
        });
        columns.join(", ")
    };
    format!("({}) < ({})", place(row), place(than))
}

/// Counts the rows that will go for an earlier one and that an earlier run has loaded.
fn replaced(table: &str, key: &str) -> String {
    format!(
        "SELECT count(*) FROM incoming JOIN {table} AS kept USING ({key}) LEFT JOIN ops.chunks c ON c.batch_id = kept.batch_id
        WHERE c.run_id IS DISTINCT FROM $1 AND {}",
        is_earlier("incoming", "kept")
    )
}

/// Puts the incoming rows into the table and counts those whose keys are new.
fn insert(table: &Table, key: &str, stream: Stream) -> String {
    let name = table.sql_name();
    let columns = table.sql_columns();
    let conflict = if stream == Stream::Messages {
        // With the time of the first upload.
        let others = table.columns.iter().map(|column| column.name);
        let others = others.filter(|name| !table.key.contains(name) && *name != "upload_date");
        let set: Vec<_> = others.map(|name| format!("\"{name}\" = excluded.\"{name}\"")).collect();
        format!("DO UPDATE SET {} WHERE {}", set.join(", "), is_earlier("excluded", "kept"))
    } else {
        "DO NOTHING".to_owned()
    };
    // In the order of the key: lanes side by side then wait for one another, and never in a circle.
    format!(
        "WITH written AS (
            INSERT INTO {name} AS kept ({columns}) SELECT {columns} FROM incoming ORDER BY {key}
            ON CONFLICT ({key}) {conflict} RETURNING xmax = 0 AS is_new)
        SELECT count(*) FILTER (WHERE is_new) FROM written"
    )
}
