//! Writes rows into their table.

use std::ops::AddAssign;

use postgres_pool::Transaction;

use crate::chunk::Purpose;
use crate::rows::{Columns, Load};
use crate::run::RunId;
use crate::table::{LoadedTopic, Table};

/// The result of storing rows, as PostgreSQL counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Rows that are new.
    pub(crate) new: u64,
    /// Rows whose key was there before.
    pub(crate) known: u64,
    /// Those of them that replaced a row that models may have seen.
    pub(crate) replaced: u64,
}

impl AddAssign for Stored {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.replaced += other.replaced;
    }
}

/// Copies the rows into their table: directly if none of them can be there, otherwise by way of a temporary table.
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
    // A message may also have come by another lane: one that was sent to another room has another partition.
    let may_be_there = purpose == Purpose::Restore || columns.stream() == LoadedTopic::Messages;
    if !may_be_there {
        let new = columns.copy(transaction, &table.sql_name(), load).await?;
        return Ok(Stored { new, ..Stored::default() });
    }
    let name = table.sql_name();
    transaction
        .batch_execute(&format!(
            "create temp table if not exists incoming (like {name}) on commit drop; truncate incoming"
        ))
        .await?;
    columns.copy(transaction, "incoming", load).await?;
    let withdrawn = match columns.stream().withdrawn_table() {
        Some(withdrawn) => {
            let forget = include_str!("sql/forget_withdrawn.sql").replace("{withdrawn}", &withdrawn.sql_name());
            transaction.execute(&forget, &[]).await?
        }
        None => 0,
    };
    let key = table.sql_key();
    let replaced = match columns.stream() {
        LoadedTopic::Messages => transaction.query_one(&replaced(&name, &key), &[&run.0]).await?.get(0),
        LoadedTopic::CdrData | LoadedTopic::CdrVoice | LoadedTopic::Rejected => 0_i64,
    };
    let new: i64 = transaction.query_one(&insert(table, &key, columns.stream()), &[]).await?.get(0);
    let there = format!("select count(*) from incoming join {name} using ({key})");
    let there: i64 = transaction.query_one(&there, &[]).await?.get(0);
    let known = (there - new).unsigned_abs() + withdrawn;
    Ok(Stored { new: new.unsigned_abs(), known, replaced: replaced.unsigned_abs() })
}

/// Whether one message comes before another one with its id: the earliest stays, whichever lane is loaded first.
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

/// Counts the rows of earlier runs that an earlier message will replace.
fn replaced(table: &str, key: &str) -> String {
    include_str!("sql/count_replaced.sql")
        .replace("{table}", table)
        .replace("{key}", key)
        .replace("{is_earlier}", &is_earlier("incoming", "kept"))
}

/// Writes the incoming rows into the table, and counts those whose keys are new.
fn insert(table: &Table, key: &str, stream: LoadedTopic) -> String {
    let on_conflict = if stream == LoadedTopic::Messages {
        // A message keeps the time of its first upload.
        let others = table.columns.iter().map(|column| column.name);
        let others = others.filter(|name| !table.key.contains(name) && *name != "upload_date");
        let set: Vec<_> = others.map(|name| format!("\"{name}\" = excluded.\"{name}\"")).collect();
        format!("do update set {} where {}", set.join(", "), is_earlier("excluded", "kept"))
    } else {
        "do nothing".to_owned()
    };
    include_str!("sql/insert_incoming.sql")
        .replace("{table}", &table.sql_name())
        .replace("{columns}", &table.sql_columns())
        .replace("{key}", key)
        .replace("{on_conflict}", &on_conflict)
}
