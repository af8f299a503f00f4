//! Debezium's envelope, whatever table it is of. Pure: bytes in, what happened out.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::moment::{Moment, Position};
use crate::reason::Reason;

/// What a message says.
#[derive(Debug)]
pub(crate) enum Message {
    /// A row is there: read by a snapshot, created or updated.
    Row { op: Op, table: String, moment: Moment, row: Map<String, Value> },
    /// The row of the message's key is gone. Its other values are not told: Debezium makes some up.
    Deleted { table: String, moment: Moment },
    /// All rows are gone.
    Truncated { table: String, moment: Moment },
    /// Nothing about rows: a tombstone, which lets Kafka forget a deleted key, or a message that an application wrote
    /// into the log.
    Nothing,
}

/// Why a row is there.
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
    after: Option<Map<String, Value>>,
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    table: String,
    lsn: Option<i64>,
    /// JSON in a string: the end of the last commit before the transaction's, or null, and the lsn.
    sequence: Option<String>,
    ts_ms: Option<i64>,
    /// Since Debezium 2.5.
    ts_us: Option<i64>,
}

/// Reads a message's value.
pub(crate) fn parse(value: Option<&[u8]>) -> Result<Message, Reason> {
    let Some(value) = value else { return Ok(Message::Nothing) };
    let payload = unwrap(serde_json::from_slice(value).map_err(|_| Reason::BadJson)?);
    if payload.is_null() {
        return Ok(Message::Nothing);
    }
    let Envelope { op, after, source } = serde_json::from_value(payload).map_err(|_| Reason::NotAnEnvelope)?;
    let op = match op.as_str() {
        "r" => Op::Read,
        "c" => Op::Created,
        "u" => Op::Updated,
        "d" => return Ok(Message::Deleted { moment: source.moment(true)?, table: source.table }),
        "t" => return Ok(Message::Truncated { moment: source.moment(true)?, table: source.table }),
        "m" => return Ok(Message::Nothing),
        _ => return Err(Reason::UnknownOperation),
    };
    let row = after.ok_or(Reason::NoRow)?;
    Ok(Message::Row { op, moment: source.moment(op != Op::Read)?, table: source.table, row })
}

/// Takes the JSON converter's wrapper off, which is there with `schemas.enable=true`.
pub(crate) fn unwrap(json: Value) -> Value {
    match json {
        Value::Object(mut object) if object.len() == 2 && object.contains_key("schema") => {
            object.remove("payload").unwrap_or(Value::Object(object))
        }
        other => other,
    }
}

impl Source {
    fn moment(&self, is_streamed: bool) -> Result<Moment, Reason> {
        let source_lsn = self.lsn.ok_or(Reason::BadSource)?;
        let commit_before = self.commit_before().ok_or(Reason::BadSource)?;
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

    /// `None` if the sequence is malformed; there may be none, and it may not know the commit before.
    fn commit_before(&self) -> Option<Option<i64>> {
        let Some(sequence) = &self.sequence else { return Some(None) };
        let (commit, _): (Option<String>, Option<String>) = serde_json::from_str(sequence).ok()?;
        commit.map(|lsn| lsn.parse().ok()).map_or(Some(None), |lsn| lsn.map(Some))
    }
}

#[cfg(test)]
mod tests;
