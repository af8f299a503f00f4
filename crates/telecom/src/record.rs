//! From a record's fields to what it adds: the one place where fields are judged, for files and messages alike.

use crate::column::Column;
use crate::kind::{RecordType, UsageKind};
use crate::msisdn::Msisdn;
use crate::reason::Reason;
use crate::time::{EventTime, InvalidTime, Zone};
use crate::usage::{Totals, UsageEvent};

/// The number of the rules by which records are read. It is raised with every change after which a record may be read
/// differently: counted instead of rejected, or for another subscriber, day or amount. Totals that were counted under
/// one number are never continued under another, unless everything that was delivered before has been counted.
pub const RULES: u32 = 2;

/// The longest field, in bytes: browsers and proxies cut URLs, the longest field there is, at 8 KiB.
pub const MAX_FIELD_BYTES: usize = 8 * 1024;

/// The most bytes of one record, each way. A link of 900 Mbit/s moves 10 TB in a day, and networks write a session's
/// record at least daily; 900,000 such records still add up within a signed 64-bit integer.
pub const MAX_RECORD_BYTES: u64 = 10_000_000_000_000;

/// The most seconds of one record: networks write partial records of a call that lasts for more than a day.
pub const MAX_CALL_SECONDS: u64 = 86_400;

/// The most columns that either type has.
pub(crate) const MAX_FIELDS: usize = Column::DATA.len();

/// What a record says, judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) event: UsageEvent,
    /// None where the field is empty.
    pub(crate) tower_id: Option<u32>,
    pub(crate) time: EventTime,
}

/// Judges fields given in the order of [`RecordType::columns`]; a record type's unused last fields are empty.
pub(crate) fn judge(record_type: RecordType, fields: &[&str; MAX_FIELDS], zone: &Zone) -> Result<Record, Reason> {
    for (&column, field) in record_type.columns().iter().zip(fields) {
        if field.len() > MAX_FIELD_BYTES {
            return Err(Reason::FieldTooLong(column));
        }
    }
    let [msisdn, tower_id, ..] = *fields;
    let msisdn = Msisdn::parse(msisdn).map_err(|_| Reason::BadMsisdn)?;
    let tower_id = match trimmed(tower_id) {
        "" => None,
        written => Some(number(Column::TowerId, written, u32::MAX.into())? as u32),
    };
    let (kind, totals, time) = match record_type {
        RecordType::Data => {
            let [_, _, up_bytes, down_bytes, data_type, _, _, event_datetime] = *fields;
            let totals = Totals {
                up_bytes: number(Column::UpBytes, up_bytes, MAX_RECORD_BYTES)?,
                down_bytes: number(Column::DownBytes, down_bytes, MAX_RECORD_BYTES)?,
                seconds: 0,
                events: 1,
            };
            let kind = kind(record_type, Column::DataType, data_type)?;
            (kind, totals, time(Column::EventDatetime, event_datetime, zone)?)
        }
        RecordType::Voice => {
            let [_, _, call_type, _, call_duration_sec, start_time, ..] = *fields;
            let seconds = number(Column::CallDurationSec, call_duration_sec, MAX_CALL_SECONDS)?;
            let totals = Totals { seconds, events: 1, ..Totals::default() };
            let kind = kind(record_type, Column::CallType, call_type)?;
            (kind, totals, time(Column::StartTime, start_time, zone)?)
        }
    };
    Ok(Record { event: UsageEvent { msisdn, day: time.day, kind, totals }, tower_id, time })
}

/// Whether a text has a control character other than a tab, which no field of a real record has (and which
/// `PostgreSQL` text cannot hold, when it is NUL).
pub(crate) fn has_control_character(text: &str) -> bool {
    // No early exit, so that it is done many bytes at a time.
    text.bytes().fold(false, |found, byte| found | ((byte < b' ') & (byte != b'\t')))
}

/// Without the blanks around it. Only for fields in which blanks can mean nothing: numbers, types and times.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn kind(record_type: RecordType, column: Column, text: &str) -> Result<UsageKind, Reason> {
    record_type.category().kind_as_written(trimmed(text)).ok_or(Reason::UnknownType(column))
}

fn time(column: Column, text: &str, zone: &Zone) -> Result<EventTime, Reason> {
    EventTime::parse(trimmed(text), zone).map_err(|error| match error {
        InvalidTime::Malformed(fault) => Reason::BadTime(column, fault),
        InvalidTime::OutOfRange => Reason::DayOutOfRange(column),
    })
}

/// A whole number of at most `max`, written in digits only.
fn number(column: Column, text: &str, max: u64) -> Result<u64, Reason> {
    let (negative, digits) = match trimmed(text).as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reason::BadNumber(column));
    }
    if negative {
        return Err(Reason::Negative(column));
    }
    // It saturates far above every limit.
    let number =
        digits.iter().fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    if number > max { Err(Reason::TooLarge(column)) } else { Ok(number) }
}
