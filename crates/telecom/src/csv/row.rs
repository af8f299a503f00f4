//! A row that can be used, and its JSON.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::file_name::FileName;
use crate::kind::RecordType;
use crate::msisdn::Msisdn;
use crate::record::{MAX_FIELDS, Record};
use crate::source::SourceId;
use crate::time::EventTime;
use crate::usage::UsageEvent;

/// A row of a file, read and judged: it can be counted. Borrows from the line.
#[derive(Clone)]
pub struct Row<'a> {
    record_type: RecordType,
    record: Record,
    /// In the order of [`RecordType::columns`].
    fields: [&'a str; MAX_FIELDS],
}

/// Where and when a file's rows were read: the fields that each row's JSON has beside the row. Made once per file.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The JSON from after the row's last value up to the line's number.
    tail: Vec<u8>,
}

impl Provenance {
    /// For rows of a file, read at this moment.
    pub fn new(file: FileName, id: SourceId, ingested_at: SystemTime) -> Self {
        Self::with_action("", file, id, ingested_at)
    }

    /// For the records that take those of a file back.
    pub fn of_withdrawal(file: FileName, id: SourceId, ingested_at: SystemTime) -> Self {
        Self::with_action(r#""_action":"withdraw","#, file, id, ingested_at)
    }

    fn with_action(action: &str, file: FileName, id: SourceId, ingested_at: SystemTime) -> Self {
        // A clock beyond the year 9999 is wrong anyway.
        let ingested_at = Timestamp::try_from(ingested_at).unwrap_or(Timestamp::MAX);
        let ingested_at = ingested_at.strftime("%Y-%m-%dT%H:%M:%S.%6f");
        let record_type = file.record_type();
        // None of these values has a character that JSON escapes.
        let tail = format!(
            r#"",{action}"_source_file":"{file}","_ingestion_timestamp":"{ingested_at}","_record_type":"{record_type}","_source_id":"{id}","_source_line":"#
        );
        Self { tail: tail.into_bytes() }
    }
}

impl<'a> Row<'a> {
    pub(super) const fn new(record_type: RecordType, record: Record, fields: [&'a str; MAX_FIELDS]) -> Self {
        Self { record_type, record, fields }
    }

    /// The subscriber, whose canonical digits are the Kafka key.
    pub const fn msisdn(&self) -> Msisdn {
        self.record.event.msisdn
    }

    /// What the row adds.
    pub const fn event(&self) -> UsageEvent {
        self.record.event
    }

    /// The tower that served it, where the row names one.
    pub const fn tower_id(&self) -> Option<u32> {
        self.record.tower_id
    }

    /// When it happened, in the operator's zone.
    pub const fn time(&self) -> EventTime {
        self.record.time
    }

    /// The text of its known columns, unquoted, in the order of [`RecordType::columns`].
    pub fn fields(&self) -> &[&'a str] {
        &self.fields[..self.record_type.columns().len()]
    }

    /// Appends the row's JSON: its columns, each value as the text in the file, and its provenance. `line` is the row's
    /// number in the file, from 1.
    pub fn write_json(&self, out: &mut Vec<u8>, provenance: &Provenance, line: u64) {
        let mut before = "{\"";
        for (column, field) in self.record_type.columns().iter().zip(self.fields) {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(column.as_str().as_bytes());
            out.extend_from_slice(b"\":\"");
            write_escaped(out, field);
            before = "\",\"";
        }
        out.extend_from_slice(&provenance.tail);
        write_number(out, line);
        out.push(b'}');
    }
}

/// Without the fields, which would show the subscriber.
impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("record", &self.record).finish_non_exhaustive()
    }
}

/// A row has no control character but the tab, so these are all that JSON wants escaped.
fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    let mut start = 0;
    for position in memchr::memchr3_iter(b'"', b'\\', b'\t', text) {
        out.extend_from_slice(&text[start..position]);
        out.extend_from_slice(match text[position] {
            b'\t' => b"\\t",
            b'"' => b"\\\"",
            _ => b"\\\\",
        });
        start = position + 1;
    }
    out.extend_from_slice(&text[start..]);
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    // The largest has 20 digits.
    let mut digits = [b'0'; 20];
    let mut start = digits.len() - 1;
    loop {
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
        start -= 1;
    }
    out.extend_from_slice(&digits[start..]);
}
