//! Turns a message into a change of a table. Pure, and the only place that knows how Debezium writes values.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use stream::Record;

use crate::config::OptionalColumns;
use crate::envelope::{self, Op, Told};
use crate::instant::{Instant, Unit};
use crate::moment::Moment;
use crate::reason::Reason;
use crate::table::{Column, Kind, Table};
use crate::written::{Columns, Schemas, Written};

/// What happened to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Row {
        key: i64,
        /// The key that the row had before, if the change gave it another.
        base_key: Option<i64>,
        op: Op,
        moment: Moment,
        cells: Vec<Cell>,
    },
    Deleted {
        key: i64,
        moment: Moment,
    },
    Truncated {
        moment: Moment,
    },
}

/// A column's value in a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// As PostgreSQL reads it; `None` is NULL.
    Value(Option<String>),
    /// The message leaves it out: the value is that of the row before the change.
    Unchanged,
}

/// A message that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) reason: Reason,
    /// The row that it changes and the change's place, if they can be read: what is known of the row is older.
    pub(crate) row: Option<(i64, Moment)>,
}

impl From<Reason> for Unusable {
    fn from(reason: Reason) -> Self {
        Self { reason, row: None }
    }
}

/// What Debezium writes for a large value (TOAST) that an update did not touch: as text, and for bytes in base64 and in
/// hexadecimal digits.
const UNAVAILABLE: &str = "__debezium_unavailable_value";
const UNAVAILABLE_BYTES: [&str; 2] =
    ["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565"];

/// The header in which Debezium sends a row's old key if a change gave it another one.
const OLD_KEY: &str = "__debezium.oldkey";

/// Reads an event's messages of a table.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) table: &'static Table,
    optional: &'a OptionalColumns,
    schemas: Schemas,
    /// Columns that the messages have and the table has not.
    pub(crate) unknown: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(table: &'static Table, optional: &'a OptionalColumns) -> Self {
        Self { table, optional, schemas: Schemas::default(), unknown: BTreeSet::new() }
    }

    /// A message's change; `None` if the message is not about rows.
    pub(crate) fn read(&mut self, record: &Record) -> Result<Option<Change>, Unusable> {
        let Some(message) = envelope::parse(record.value.as_deref(), &mut self.schemas)? else { return Ok(None) };
        if message.table != self.table.name {
            return Err(Reason::WrongTable.into());
        }
        let (moment, columns) = (message.moment, message.columns.clone());
        if matches!(message.told, Told::Truncated) {
            return Ok(Some(Change::Truncated { moment }));
        }
        let columns = columns.as_deref();
        let unusable = |reason, key: Option<i64>| Unusable { reason, row: key.map(|key| (key, moment)) };
        let key = read_key(self.table, record.key.as_deref(), columns);
        let key = key.map_err(|(reason, likely)| {
            unusable(reason, likely.or_else(|| integer(&message.column(self.table.key)?)))
        })?;
        let Told::Row(op, row) = message.told else { return Ok(Some(Change::Deleted { key, moment })) };
        let cells = self.cells(key, op, row, columns).map_err(|reason| unusable(reason, Some(key)))?;
        let base_key = if op == Op::Created { self.old_key(record, columns) } else { None };
        Ok(Some(Change::Row { key, base_key, op, moment, cells }))
    }

    fn cells(
        &mut self,
        key: i64,
        op: Op,
        row: Option<Map<String, Value>>,
        columns: Option<&Columns>,
    ) -> Result<Vec<Cell>, Reason> {
        let row = row.ok_or(Reason::NoRow)?;
        let row_key = row.get(self.table.key);
        if row_key.is_some_and(|value| integer(value) != Some(key)) {
            return Err(Reason::DifferentKey(self.table.key));
        }
        let missing: Vec<_> = self.table.columns.iter().filter(|column| !row.contains_key(column.name)).collect();
        let known = self.table.columns.len() - missing.len() + usize::from(row_key.is_some());
        if row.len() > known {
            self.unknown.extend(row.keys().filter(|name| !self.table.has(name)).cloned());
        }
        let missing: Vec<_> = missing.into_iter().filter(|column| !self.optional.has(self.table, column)).collect();
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|column| column.name).collect();
            return Err(Reason::MissingColumn(names.join(", ")));
        }
        let cell = |column: &Column| match row.get(column.name) {
            None => Ok(Cell::Value(None)),
            Some(value) => cell(column, value, columns.and_then(|columns| columns.get(column.name)), op),
        };
        self.table.columns.iter().map(cell).collect()
    }

    /// The row's key before a change that gave it another. An unreadable one counts as unknown, so that the rest of the
    /// row can be used.
    fn old_key(&self, record: &Record, columns: Option<&Columns>) -> Option<i64> {
        let header = record.headers.iter().find(|header| header.name == OLD_KEY)?;
        read_key(self.table, header.value.as_deref(), columns).ok()
    }
}

/// The row's key, from the message's key. Of a deleted row, Debezium sends only the key; other values are made up.
///
/// # Errors
/// With the reason, and the row that is probably meant: by the key's column or, if the message's key has a single
/// column (a renamed one), by that.
fn read_key(table: &Table, key: Option<&[u8]>, columns: Option<&Columns>) -> Result<i64, (Reason, Option<i64>)> {
    let missing = || (Reason::NoKey(table.key), None);
    let (_, key) = envelope::unwrap(key.ok_or_else(missing)?);
    let key: Map<String, Value> = serde_json::from_slice(key).map_err(|_| missing())?;
    let others: Vec<_> = key.keys().map(String::as_str).filter(|name| *name != table.key).collect();
    let value = key.get(table.key).or_else(|| key.values().next().filter(|_| key.len() == 1));
    let number = value.and_then(integer);
    if !others.is_empty() {
        return Err((Reason::OtherKey { key: table.key, other: others.join(", ") }, number));
    }
    if key.is_empty() {
        return Err(missing());
    }
    let is_whole = |columns: &Columns| matches!(columns.get(table.key), None | Some(Written::Whole | Written::Text));
    number.filter(|_| columns.is_none_or(is_whole)).ok_or((Reason::BadKey(table.key), None))
}

fn cell(column: &Column, value: &Value, written: Option<&Written>, op: Op) -> Result<Cell, Reason> {
    match value {
        // Debezium also writes null for a time that nanoseconds can't hold.
        Value::Null if written == Some(&Written::Number(Unit::Nanoseconds)) => {
            return Err(Reason::NullOrTooLarge(column.name));
        }
        Value::Null => return Ok(Cell::Value(None)),
        Value::String(text) if text == UNAVAILABLE => return Ok(Cell::Unchanged),
        _ => {}
    }
    let text = match column.kind {
        Kind::Text => text(column, value, written),
        Kind::Integer => whole(column, value, written).map(|number| number.to_string()),
        Kind::Time => time(column, value, written, op).map(Instant::text),
    };
    Ok(Cell::Value(Some(text?)))
}

/// The reason for a value that is not written as the column's kind requires.
fn otherwise(column: &Column, written: impl Into<String>) -> Reason {
    Reason::Written { column: column.name, kind: column.kind, written: written.into() }
}

fn text(column: &Column, value: &Value, written: Option<&Written>) -> Result<String, Reason> {
    match written {
        None if UNAVAILABLE_BYTES.iter().any(|bytes| value == bytes) => return Err(otherwise(column, "bytes")),
        None | Some(Written::Text | Written::Whole | Written::Boolean) => {}
        Some(written) => return Err(otherwise(column, written.name())),
    }
    match value {
        // PostgreSQL's text can't hold NUL.
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Bool(is_so) => Ok(is_so.to_string()),
        _ => Err(Reason::BadText(column.name)),
    }
}

fn whole(column: &Column, value: &Value, written: Option<&Written>) -> Result<i64, Reason> {
    match written {
        None | Some(Written::Text | Written::Whole) => integer(value).ok_or(Reason::BadNumber(column.name)),
        Some(written) => Err(otherwise(column, written.name())),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A time, as Debezium writes it with any of its settings. For `timestamp` and `date`, Debezium takes the civil time
/// for UTC, and so does this function; `timestamptz` is text with an offset.
fn time(column: &Column, value: &Value, written: Option<&Written>, op: Op) -> Result<Instant, Reason> {
    let (instant, is_date) = match (written, value) {
        (None | Some(Written::Text | Written::Moment | Written::Date), Value::String(text)) => {
            (Instant::from_text(text), !text.contains(':'))
        }
        (Some(Written::Number(unit)), Value::Number(number)) => {
            (number.as_i64().and_then(|number| Instant::from_number(number, *unit)), *unit == Unit::Days)
        }
        (None, Value::Number(_)) => return Err(Reason::NoUnit(column.name)),
        (None, _) => return Err(Reason::BadTime(column.name)),
        (Some(written), _) => return Err(otherwise(column, written.name())),
    };
    let instant = instant.ok_or(Reason::BadTime(column.name))?;
    if is_date && op == Op::Read && instant.is_before_gregorian() {
        return Err(Reason::OldDate(column.name));
    }
    Ok(instant)
}

#[cfg(test)]
mod tests;
