//! Turns records of the lake into rows: judged as the counters judge them, then kept column by column.

mod call;
mod columns;
mod copy;
mod message;
mod rejected;

use stream::Record;
use telecom::json::FullRecord;
use telecom::{Action, EventTime, Message, MessageFault, Reason, RecordType, SourceId, Zone};

use crate::table::LoadedTopic;
use rejected::RejectedRow;

pub use columns::Columns;
pub(crate) use columns::{Cells, Value, Values, span};
pub use copy::Load;

/// A usable record, which it borrows from. Whether it is a duplicate is not decided yet.
#[derive(Debug)]
pub struct Row<'a> {
    content: Content<'a>,
    offset: i64,
    timestamp_us: Option<i64>,
}

#[derive(Debug)]
enum Content<'a> {
    Call(RecordType, FullRecord<'a>),
    /// With its moment, in microseconds since 1970 (UTC).
    Message(Message, i64),
    Rejected(RejectedRow<'a>),
}

/// By what a repeated row is recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity<'a> {
    /// The row of a file: a line at or below the last one of its source is a duplicate.
    Line {
        /// The file's content.
        source: SourceId,
        /// The data row, from 1; it fits a `bigint`.
        line: u64,
    },
    /// The message's id, or the key of what was rejected.
    Key(&'a str),
    /// Only its place in the topic: it is never a duplicate.
    Position,
}

/// Why a record can't be used. The detail never repeats the record's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Unusable {
    /// The reason's code, `snake_case`: those of [`Reason`] and [`MessageFault`], and `bad_rejected`.
    pub reason: &'static str,
    /// The reason in words.
    pub detail: String,
}

/// Reads and judges a record. A call record is judged by the function that the counters use, so what is counted and
/// what is stored are the same records.
///
/// # Errors
/// When it can't be used.
pub fn read<'a>(stream: LoadedTopic, record: &'a Record, zone: &Zone) -> Result<Row<'a>, Unusable> {
    let value = record.value.as_deref().ok_or(Reason::NoValue)?;
    let content = match stream {
        LoadedTopic::CdrData => {
            Content::Call(RecordType::Data, telecom::json::parse_full(value, RecordType::Data, zone)?)
        }
        LoadedTopic::CdrVoice => {
            Content::Call(RecordType::Voice, telecom::json::parse_full(value, RecordType::Voice, zone)?)
        }
        LoadedTopic::Messages => {
            let message = Message::parse(value, zone)?;
            let at_us = message.message_date.utc_microseconds(zone);
            Content::Message(message, at_us)
        }
        LoadedTopic::Rejected => Content::Rejected(RejectedRow::read(record, value, zone)?),
    };
    Ok(Row { content, offset: record.offset, timestamp_us: timestamp_us(record) })
}

impl Row<'_> {
    /// By what a repetition of it is recognized.
    pub fn identity(&self) -> Identity<'_> {
        match &self.content {
            Content::Call(_, call) => match call.record.source {
                Some(source) => Identity::Line { source: source.id, line: source.line },
                None => Identity::Position,
            },
            Content::Message(message, _) => Identity::Key(&message.message_id),
            Content::Rejected(row) => Identity::Key(&row.key),
        }
    }

    /// Its place in its partition.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Whether it adds a row or takes one back. Only call records can take rows back.
    pub fn action(&self) -> Action {
        match &self.content {
            Content::Call(_, call) => call.record.action,
            Content::Message(..) | Content::Rejected(_) => Action::Count,
        }
    }

    fn stream(&self) -> LoadedTopic {
        match self.content {
            Content::Call(RecordType::Data, _) => LoadedTopic::CdrData,
            Content::Call(RecordType::Voice, _) => LoadedTopic::CdrVoice,
            Content::Message(..) => LoadedTopic::Messages,
            Content::Rejected(_) => LoadedTopic::Rejected,
        }
    }

    /// When it happened; for a rejected record, when it was rejected.
    fn time(&self) -> Option<EventTime> {
        match &self.content {
            Content::Call(_, call) => Some(call.record.time),
            Content::Message(message, _) => Some(message.message_date.time),
            Content::Rejected(row) => row.rejected_at,
        }
    }

    fn timestamp_us(&self) -> Option<i64> {
        self.timestamp_us
    }

    /// Passes on the values of the table's columns, up to those of the record's place.
    fn values(&self, next: &mut impl FnMut(Option<Value<'_>>)) {
        match &self.content {
            Content::Call(RecordType::Data, call) => call::data_values(call, next),
            Content::Call(RecordType::Voice, call) => call::voice_values(call, next),
            Content::Message(message, at_us) => message::values(message, *at_us, next),
            Content::Rejected(row) => row.values(next),
        }
    }
}

impl From<MessageFault> for Unusable {
    fn from(fault: MessageFault) -> Self {
        Self { reason: fault.code(), detail: fault.to_string() }
    }
}

impl From<Reason> for Unusable {
    fn from(reason: Reason) -> Self {
        Self { reason: reason.code(), detail: reason.to_string() }
    }
}

/// The last microsecond of the year 9999; later times have no common text form.
const MAX_TIMESTAMP_US: i64 = 253_402_300_799_999_999;

/// Kafka's timestamp; a record without one has -1.
fn timestamp_us(record: &Record) -> Option<i64> {
    record.timestamp_ms.checked_mul(1_000).filter(|microseconds| (0..=MAX_TIMESTAMP_US).contains(microseconds))
}

fn text(text: &str) -> Option<Value<'_>> {
    Some(Value::Bytes(text.as_bytes()))
}

fn number(number: u64) -> Option<Value<'static>> {
    Some(Value::Number(i64::try_from(number).expect("the record's numbers are judged and small")))
}

fn time(time: EventTime) -> Option<Value<'static>> {
    Some(Value::Number(time.civil_microseconds()))
}
