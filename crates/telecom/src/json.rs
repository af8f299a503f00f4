//! Messages of the topics `cdr-data` and `cdr-voice`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::column::Column;
use crate::file_name::FileName;
use crate::kind::RecordType;
use crate::reason::Reason;
use crate::record::{MAX_FIELDS, has_control_character, judge};
use crate::source::{Action, Source};
use crate::time::{EventTime, Zone, utc_microseconds};
use crate::usage::UsageEvent;

/// The highest line of a file that stores can keep as a signed 64-bit number.
const MAX_SOURCE_LINE: u64 = i64::MAX as u64;

/// The value of `_action` in a message that takes its row back.
pub const WITHDRAW: &str = "withdraw";

/// A message that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicRecord {
    /// What it adds.
    pub event: UsageEvent,
    /// The tower that served it, where the record names one.
    pub tower_id: Option<u32>,
    /// When it happened, in the operator's zone.
    pub time: EventTime,
    /// The row of a file that it came from. Without one, its Kafka position is its identity.
    pub source: Option<Source>,
    /// Whether it is counted or taken back; what is taken back has a source.
    pub action: Action,
}

/// A message that can be counted, with what it says beside that. Borrows from the message.
#[derive(Clone)]
pub struct FullRecord<'a> {
    /// What is counted, and by which identity.
    pub record: TopicRecord,
    record_type: RecordType,
    /// In the order of [`RecordType::columns`].
    texts: [Cow<'a, str>; MAX_FIELDS],
    source_file: Option<&'a RawValue>,
    ingestion_timestamp: Option<&'a RawValue>,
}

impl FullRecord<'_> {
    /// The text of a column, unescaped. None where the message lacks it, or it is empty, or not of this record type.
    pub fn text(&self, column: Column) -> Option<&str> {
        let index = self.record_type.columns().iter().position(|&candidate| candidate == column)?;
        Some(self.texts[index].as_ref()).filter(|text| !text.is_empty())
    }

    /// The file that it came from, also if the message has no [`Source`]. None if the message names no file, or a name
    /// without the files' form: the name is for people, and such a record still counts.
    pub fn file(&self) -> Option<FileName> {
        self.source_file.and_then(|name| FileName::parse(&scalar(name).ok()?).ok())
    }

    /// When that file was read, in microseconds since 1970 (UTC). None if the message has no time, or one of another
    /// form.
    pub fn ingested_at_us(&self) -> Option<i64> {
        self.ingestion_timestamp.and_then(|time| utc_microseconds(&scalar(time).ok()?))
    }
}

/// Without the texts, which would show the subscriber.
impl fmt::Debug for FullRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FullRecord").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Reads and judges a message's value.
///
/// Numbers may be numbers or text, fields that are not known are ignored, and `null` is as good as absent. The columns
/// that say nothing about usage (`ip_address`, `website_url`, `dest_nr`) may be absent.
pub fn parse(value: &[u8], record_type: RecordType, zone: &Zone) -> Result<TopicRecord, Reason> {
    parse_full(value, record_type, zone).map(|full| full.record)
}

/// Reads and judges a message's value as [`parse`] does, and keeps all of it.
pub fn parse_full<'a>(value: &'a [u8], record_type: RecordType, zone: &Zone) -> Result<FullRecord<'a>, Reason> {
    let text = str::from_utf8(value).map_err(|_| Reason::InvalidUtf8)?;
    // The reader would also take the values as an array.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Reason::BadJson);
    }
    let message: Message<'_> = serde_json::from_str(text).map_err(|_| Reason::BadJson)?;
    if let Some(named) = message._record_type
        && scalar(named)? != record_type.as_str()
    {
        return Err(Reason::WrongRecordType);
    }
    let source = source(&message)?;
    let action = action(&message)?;
    if action == Action::Withdraw && source.is_none() {
        return Err(Reason::BadSource);
    }

    let mut texts = [const { Cow::Borrowed("") }; MAX_FIELDS];
    for (text, &column) in texts.iter_mut().zip(record_type.columns()) {
        *text = match message.column(column) {
            Some(raw) => scalar(raw)?,
            None if is_descriptive(column) => continue,
            None => return Err(Reason::MissingColumn(column)),
        };
    }
    let fields = texts.each_ref().map(|text| text.as_ref());
    let record = judge(record_type, &fields, zone)?;
    let record = TopicRecord { event: record.event, tower_id: record.tower_id, time: record.time, source, action };
    let (source_file, ingestion_timestamp) = (message._source_file, message._ingestion_timestamp);
    Ok(FullRecord { record, record_type, texts, source_file, ingestion_timestamp })
}

/// The known fields, not yet read: a value may be text or a number.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    msisdn: Option<&'a RawValue>,
    tower_id: Option<&'a RawValue>,
    up_bytes: Option<&'a RawValue>,
    down_bytes: Option<&'a RawValue>,
    data_type: Option<&'a RawValue>,
    ip_address: Option<&'a RawValue>,
    website_url: Option<&'a RawValue>,
    event_datetime: Option<&'a RawValue>,
    call_type: Option<&'a RawValue>,
    dest_nr: Option<&'a RawValue>,
    call_duration_sec: Option<&'a RawValue>,
    start_time: Option<&'a RawValue>,
    _record_type: Option<&'a RawValue>,
    _action: Option<&'a RawValue>,
    _ingestion_timestamp: Option<&'a RawValue>,
    _source_file: Option<&'a RawValue>,
    _source_id: Option<&'a RawValue>,
    _source_line: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    const fn column(&self, column: Column) -> Option<&'a RawValue> {
        match column {
            Column::Msisdn => self.msisdn,
            Column::TowerId => self.tower_id,
            Column::UpBytes => self.up_bytes,
            Column::DownBytes => self.down_bytes,
            Column::DataType => self.data_type,
            Column::IpAddress => self.ip_address,
            Column::WebsiteUrl => self.website_url,
            Column::EventDatetime => self.event_datetime,
            Column::CallType => self.call_type,
            Column::DestNr => self.dest_nr,
            Column::CallDurationSec => self.call_duration_sec,
            Column::StartTime => self.start_time,
        }
    }
}

const fn is_descriptive(column: Column) -> bool {
    matches!(column, Column::IpAddress | Column::WebsiteUrl | Column::DestNr)
}

/// The text of a value that is text or a number.
fn scalar(raw: &RawValue) -> Result<Cow<'_, str>, Reason> {
    let raw = raw.get();
    match raw.as_bytes() {
        [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => {
            // Unescaped control characters are not JSON, so there are none.
            Ok(Cow::Borrowed(&raw[1..raw.len() - 1]))
        }
        [b'"', ..] => {
            let text: String = serde_json::from_str(raw).map_err(|_| Reason::BadJson)?;
            if has_control_character(&text) { Err(Reason::ControlCharacter) } else { Ok(Cow::Owned(text)) }
        }
        [b'-' | b'0'..=b'9', ..] => Ok(Cow::Borrowed(raw)),
        _ => Err(Reason::BadJson),
    }
}

fn action(message: &Message<'_>) -> Result<Action, Reason> {
    match message._action {
        None => Ok(Action::Count),
        Some(named) if scalar(named)? == WITHDRAW => Ok(Action::Withdraw),
        Some(_) => Err(Reason::UnknownAction),
    }
}

fn source(message: &Message<'_>) -> Result<Option<Source>, Reason> {
    let (id, line) = match (message._source_id, message._source_line) {
        (Some(id), Some(line)) => (scalar(id)?, scalar(line)?),
        (None, None) => return Ok(None),
        _ => return Err(Reason::BadSource),
    };
    let id = id.parse().map_err(|_| Reason::BadSource)?;
    let line = line.parse().ok().filter(|line| (1..=MAX_SOURCE_LINE).contains(line)).ok_or(Reason::BadSource)?;
    // The name is for people: one of another form takes nothing from the record's identity.
    let file = match message._source_file {
        Some(name) => FileName::parse(&scalar(name)?).ok(),
        None => None,
    };
    Ok(Some(Source { id, line, file }))
}
