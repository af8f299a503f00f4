//! Debezium's envelope, for any table. Pure: bytes in, an operation out.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::moment::{Moment, Position};
use crate::reason::Reason;
use crate::written::{Columns, Schemas};

/// A message about a table.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) table: String,
    pub(crate) moment: Moment,
    pub(crate) told: Told,
    /// The row before, as far as the message has it: only its key is reliable.
    before: Option<Box<RawValue>>,
    /// How its values are written, if the message says so.
    pub(crate) columns: Option<Arc<Columns>>,
}

impl Message {
    /// A column's value in the row, or in the row before if there is no row.
    pub(crate) fn column(&self, name: &str) -> Option<Value> {
        match &self.told {
            Told::Row(_, Some(row)) => row.get(name).cloned(),
            _ => serde_json::from_str::<Map<String, Value>>(self.before.as_ref()?.get()).ok()?.remove(name),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Told {
    /// A row was read by a snapshot, created or updated. The message may lack its values.
    Row(Op, Option<Map<String, Value>>),
    /// The row of the message's key was deleted. Its other values are missing, or made up by Debezium.
    Deleted,
    /// All rows were deleted.
    Truncated,
}

/// Which operation wrote a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A snapshot read it.
    Read,
    Created,
    Updated,
}

impl Op {
    /// Debezium's letter.
    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Created => "c",
            Self::Updated => "u",
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    op: String,
    #[serde(default)]
    before: Option<Box<RawValue>>,
    #[serde(default)]
    after: Option<Map<String, Value>>,
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    table: String,
    /// Null in an incremental snapshot's rows.
    lsn: Option<i64>,
    /// JSON in a string: the end of the last commit before the transaction's, or null, and the lsn.
    sequence: Option<String>,
    snapshot: Option<String>,
    ts_ms: Option<i64>,
    /// Since Debezium 2.5.
    ts_us: Option<i64>,
}

/// Reads a message's value; `None` if it is not about rows: a tombstone, which lets Kafka forget a deleted key, or a
/// message that an application wrote into the log.
pub(crate) fn parse(value: Option<&[u8]>, schemas: &mut Schemas) -> Result<Option<Message>, Reason> {
    let Some(value) = value else { return Ok(None) };
    let (schema, payload) = unwrap(value);
    let Some(Envelope { op, before, after, source }) = read(payload)? else { return Ok(None) };
    let told = match op.as_str() {
        "r" => Told::Row(Op::Read, after),
        "c" => Told::Row(Op::Created, after),
        "u" => Told::Row(Op::Updated, after),
        "d" => Told::Deleted,
        "t" => Told::Truncated,
        "m" => return Ok(None),
        _ => return Err(Reason::UnknownOperation),
    };
    let moment = source.moment(!matches!(told, Told::Row(Op::Read, _)))?;
    let columns = schema.and_then(|schema| schemas.columns(schema));
    Ok(Some(Message { table: source.table, moment, told, before, columns }))
}

/// What the JSON converter writes with `schemas.enable=true`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<'a> {
    #[serde(borrow)]
    schema: &'a RawValue,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// Removes the wrapper that the JSON converter adds with `schemas.enable=true`. Returns the schema and the payload.
pub(crate) fn unwrap(json: &[u8]) -> (Option<&str>, &[u8]) {
    match serde_json::from_slice::<Wrapped<'_>>(json) {
        Ok(Wrapped { schema, payload }) => (Some(schema.get()), payload.get().as_bytes()),
        Err(_) => (None, json),
    }
}

/// `None` is JSON's null.
fn read(json: &[u8]) -> Result<Option<Envelope>, Reason> {
    serde_json::from_slice(json).map_err(|_| match serde_json::from_slice::<IgnoredAny>(json) {
        Ok(_) => Reason::NotAnEnvelope,
        Err(_) => Reason::BadJson,
    })
}

impl Source {
    fn moment(&self, is_streamed: bool) -> Result<Moment, Reason> {
        let (commit_before, own_lsn) = self.sequence().ok_or(Reason::BadSource)?;
        let is_incremental = self.snapshot.as_deref() == Some("incremental");
        let source_lsn = self.lsn.or(own_lsn.filter(|_| is_incremental)).ok_or(Reason::BadSource)?;
        let at = match (self.ts_us, self.ts_ms) {
            (Some(us), _) => Timestamp::from_microsecond(us),
            (None, Some(ms)) => Timestamp::from_millisecond(ms),
            (None, None) => return Err(Reason::BadSource),
        };
        Ok(Moment {
            position: Position {
                stream_lsn: commit_before.unwrap_or(source_lsn).max(source_lsn),
                is_streamed,
                source_lsn,
            },
            at: at.map_err(|_| Reason::BadSource)?,
        })
    }

    /// The end of the commit before, and the lsn, if the sequence has them; `None` if it is malformed.
    fn sequence(&self) -> Option<(Option<i64>, Option<i64>)> {
        let Some(sequence) = &self.sequence else { return Some((None, None)) };
        let (commit, own): (Option<String>, Option<String>) = serde_json::from_str(sequence).ok()?;
        let number = |lsn: Option<String>| lsn.map(|lsn| lsn.parse().ok()).map_or(Some(None), |lsn| lsn.map(Some));
        Some((number(commit)?, number(own)?))
    }
}

#[cfg(test)]
mod tests;
