//! The statements for a table. All names in them come from [`TABLES`](crate::table::TABLES).

use crate::table::{Column, Kind, Table};

/// Locks the table for this transaction, and notes how far it has come.
pub(crate) const LOCK: &str = include_str!("sql/lock.sql");
pub(crate) const ADD_TRUNCATIONS: &str = include_str!("sql/add_truncations.sql");
pub(crate) const ADD_DELETIONS: &str = include_str!("sql/add_deletions.sql");
pub(crate) const ADD_UNUSABLE: &str = include_str!("sql/add_unusable.sql");
/// Deletions, truncations and unusable changes of these rows.
pub(crate) const ENDS: &str = include_str!("sql/ends.sql");

/// Ends the versions that a truncation found.
pub(crate) fn close(table: &Table) -> String {
    of(table, include_str!("sql/close.sql"))
}

/// Removes the current rows that have no open version any more.
pub(crate) fn remove_closed(table: &Table) -> String {
    of(table, include_str!("sql/remove_closed.sql"))
}

/// The versions that depend on what was before a truncation.
pub(crate) fn cut(table: &Table) -> String {
    of(table, include_str!("sql/cut.sql"))
}

/// The first place from which each row's versions have to be completed again.
pub(crate) fn touched(table: &Table) -> String {
    of(table, include_str!("sql/touched.sql"))
}

/// Of each row the newest version before a place and, if asked for, all versions from there on.
pub(crate) fn read(table: &Table) -> String {
    let values: Vec<_> = table.columns.iter().map(text).collect();
    of(table, include_str!("sql/read.sql")).replace("{values}", &values.join(", "))
}

/// A value as text, in a form that does not depend on the database's settings.
fn text(column: &Column) -> String {
    let value = format!("version.{}", column.name);
    match column.kind {
        Kind::Text | Kind::Integer => format!("{value}::text"),
        Kind::Time => format!(
            "case when isfinite({value}) \
             then to_char({value} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00\" BC') \
             else {value}::text end"
        ),
    }
}

/// Writes versions.
pub(crate) fn write_versions(table: &Table) -> String {
    write(table, include_str!("sql/write_versions.sql"), 12)
}

/// Writes current rows.
pub(crate) fn write_current(table: &Table) -> String {
    write(table, include_str!("sql/write_current.sql"), 5)
}

/// Removes the current rows of these keys.
pub(crate) fn remove_current(table: &Table) -> String {
    of(table, "delete from crm_data.{table} where {key} = any($1)")
}

/// A statement for this table.
fn of(table: &Table, statement: &str) -> String {
    statement.replace("{table}", table.name).replace("{key}", table.key)
}

/// A statement that writes the table's columns. Their arrays are its parameters from the number `first_array` on.
fn write(table: &Table, statement: &str, first_array: usize) -> String {
    of(table, statement)
        .replace("{names}", &columns(table, |column| column.name.to_owned()))
        .replace("{casts}", &columns(table, |column| format!("{}::{}", column.name, column.kind.sql())))
        .replace("{arrays}", &arrays(table, first_array))
        .replace("{old}", &columns(table, |column| format!("old.{}", column.name)))
        .replace("{excluded}", &columns(table, |column| format!("excluded.{}", column.name)))
}

fn columns(table: &Table, write: impl Fn(&Column) -> String) -> String {
    table.columns.iter().map(write).collect::<Vec<_>>().join(", ")
}

fn arrays(table: &Table, first: usize) -> String {
    (first..).take(table.columns.len()).map(|number| format!("${number}::text[]")).collect::<Vec<_>>().join(", ")
}
