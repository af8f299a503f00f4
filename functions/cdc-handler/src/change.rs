//! A message becomes a change of one of our tables. Pure, and the only place that knows how Debezium writes values.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use kafka_batch::Record;
use serde_json::{Map, Value};

use crate::envelope::{self, Message, Op};
use crate::moment::Moment;
use crate::reason::Reason;
use crate::table::{Column, Kind, Table};

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
    /// Not told: the value is that of the row before the change.
    Unchanged,
}

/// What Debezium writes for a large value (TOAST) that an update did not touch.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// Where Debezium tells the old key of a row that comes under a new one.
const OLD_KEY: &str = "__debezium.oldkey";

/// Reads a message of a table's topic; `None` if it says nothing about rows.
pub(crate) fn read(table: &Table, record: &Record) -> Result<Option<Change>, Reason> {
    let key = record.key.as_deref();
    let message = envelope::parse(record.value.as_deref())?;
    let (Message::Row { table: name, .. }
    | Message::Deleted { table: name, .. }
    | Message::Truncated { table: name, .. }) = &message
    else {
        return Ok(None);
    };
    if name != table.name {
        return Err(Reason::WrongTable);
    }
    Ok(Some(match message {
        Message::Nothing => return Ok(None),
        Message::Truncated { moment, .. } => Change::Truncated { moment },
        Message::Deleted { moment, .. } => Change::Deleted { key: read_key(table, key)?, moment },
        Message::Row { op, moment, row, .. } => {
            let cells = table.columns.iter().map(|column| cell(column, &row)).collect::<Result<_, _>>()?;
            let base_key = if op == Op::Created { old_key(table, record) } else { None };
            Change::Row { key: read_key(table, key)?, base_key, op, moment, cells }
        }
    }))
}

/// The row's key, from the message's: what Debezium writes of a deleted row is made up, but for this.
fn read_key(table: &Table, key: Option<&[u8]>) -> Result<i64, Reason> {
    let missing = Reason::NoKey(table.key);
    let json = serde_json::from_slice(key.ok_or(missing)?).map_err(|_| missing)?;
    let value = envelope::unwrap(json).get_mut(table.key).map(Value::take).ok_or(missing)?;
    integer(&value).ok_or(Reason::BadKey(table.key))
}

/// The row's key before a change that gave it another. One that can't be read is not known, which the rest of the row
/// does not have to suffer for.
fn old_key(table: &Table, record: &Record) -> Option<i64> {
    let header = record.headers.iter().find(|header| header.name == OLD_KEY)?;
    read_key(table, header.value.as_deref()).ok()
}

fn cell(column: &Column, row: &Map<String, Value>) -> Result<Cell, Reason> {
    let value = match row.get(column.name) {
        // A column that the source no longer has, or that the connector leaves out.
        None => return Ok(Cell::Unchanged),
        Some(Value::Null) => return Ok(Cell::Value(None)),
        Some(Value::String(text)) if text == UNAVAILABLE => return Ok(Cell::Unchanged),
        Some(value) => value,
    };
    let text = match column.kind {
        Kind::Text => text(value).ok_or(Reason::BadText(column.name)),
        Kind::Integer => integer(value).map(|number| number.to_string()).ok_or(Reason::BadNumber(column.name)),
        Kind::Time => time(value).ok_or(Reason::BadTime(column.name)),
    };
    Ok(Cell::Value(Some(text?)))
}

fn text(value: &Value) -> Option<String> {
    match value {
        // PostgreSQL's text has no NUL.
        Value::String(text) if !text.contains('\0') => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_so) => Some(is_so.to_string()),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A number below this is milliseconds, from here on microseconds: as milliseconds it would be the year 5138, as
/// microseconds March 1973.
const FIRST_MICROSECONDS: u64 = 100_000_000_000_000;
/// Likewise from microseconds to nanoseconds.
const FIRST_NANOSECONDS: u64 = FIRST_MICROSECONDS * 1_000;
/// Debezium's numbers for `infinity` and `-infinity` lie beyond, which no nanoseconds of this century do.
const FIRST_INFINITE: u64 = 9_200_000_000_000_000_000;

/// A time as any of Debezium's settings writes it. `timestamp` comes as a number that takes the civil time for UTC, and
/// that is what we take it for; `timestamptz` comes as text with an offset.
fn time(value: &Value) -> Option<String> {
    let timestamp = match value {
        Value::Number(number) => {
            let number = number.as_i64()?;
            match number.unsigned_abs() {
                FIRST_INFINITE.. => return Some(if number > 0 { "infinity" } else { "-infinity" }.to_owned()),
                FIRST_NANOSECONDS.. => Timestamp::from_nanosecond(number.into()),
                FIRST_MICROSECONDS.. => Timestamp::from_microsecond(number),
                _ => Timestamp::from_millisecond(number),
            }
        }
        Value::String(text) if text == "infinity" || text == "-infinity" => return Some(text.clone()),
        Value::String(text) => text
            .parse()
            .or_else(|_| Ok::<_, jiff::Error>(text.parse::<DateTime>()?.to_zoned(TimeZone::UTC)?.timestamp())),
        _ => return None,
    };
    let timestamp = timestamp.ok()?.round(Unit::Microsecond).ok()?;
    // Years as both sides write them: four digits.
    let is_written_alike = (1..=9999).contains(&timestamp.to_zoned(TimeZone::UTC).year());
    is_written_alike.then(|| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use kafka_batch::Header;
    use serde_json::json;

    use super::*;
    use crate::table::TABLES;

    fn check_time(value: Value, expect: Expect) {
        expect.assert_eq(&time(&value).unwrap_or_else(|| "none".to_owned()));
    }

    #[test]
    fn a_time_comes_in_many_forms() {
        let local = expect!["2024-03-01T10:00:00.123Z"];
        check_time(json!(1_709_287_200_123_i64), local);
        check_time(json!(1_709_287_200_123_456_i64), expect!["2024-03-01T10:00:00.123456Z"]);
        check_time(json!(1_709_287_200_123_456_789_i64), expect!["2024-03-01T10:00:00.123457Z"]);
        check_time(json!("2024-03-01T10:00:00.123456Z"), expect!["2024-03-01T10:00:00.123456Z"]);
        check_time(json!("2024-03-01T10:00:00+02:00"), expect!["2024-03-01T08:00:00Z"]);
        check_time(json!("2024-03-01T10:00:00"), expect!["2024-03-01T10:00:00Z"]);
        check_time(json!("infinity"), expect!["infinity"]);
        check_time(json!(9_223_372_036_825_200_000_i64), expect!["infinity"]);
        check_time(json!(-9_223_372_036_832_400_000_i64), expect!["-infinity"]);
        check_time(json!(0), expect!["1970-01-01T00:00:00Z"]);
        for value in [json!("yesterday"), json!(""), json!(1.5), json!(true), json!("-000044-03-15T00:00:00Z")] {
            check_time(value, expect!["none"]);
        }
    }

    fn record(key: Option<&str>, value: &Value) -> Record {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let value = Some(bytes(&value.to_string()));
        Record { offset: 0, timestamp_ms: 0, key: key.map(bytes), value, headers: Vec::new() }
    }

    fn check(key: &str, op: &str, after: Value, expect: Expect) {
        let source = json!({"table": "devices", "lsn": 7, "ts_ms": 0});
        let value = json!({"op": op, "source": source, "after": after});
        expect.assert_eq(&match read(&TABLES[2], &record(Some(key), &value)) {
            Ok(Some(Change::Row { key, cells, .. })) => format!("{key}: {cells:?}"),
            Ok(Some(Change::Deleted { key, .. })) => format!("{key} deleted"),
            Ok(other) => format!("{other:?}"),
            Err(reason) => format!("{}: {reason}", reason.code()),
        });
    }

    #[test]
    fn a_row_has_the_tables_columns() {
        let key = r#"{"device_id":3}"#;
        check(
            key,
            "c",
            json!({"account_id": 9, "device_name": "n", "device_type": null, "device_os": 12, "modified_ts": 0, "new": []}),
            expect![[
                r#"3: [Value(Some("9")), Value(Some("n")), Value(None), Value(Some("12")), Value(Some("1970-01-01T00:00:00Z"))]"#
            ]],
        );
        check(
            r#"{"schema":{"type":"struct"},"payload":{"device_id":"3"}}"#,
            "u",
            json!({"account_id": "9", "device_name": "__debezium_unavailable_value"}),
            expect![[r#"3: [Value(Some("9")), Unchanged, Unchanged, Unchanged, Unchanged]"#]],
        );
        check(key, "d", Value::Null, expect!["3 deleted"]);
        check(key, "c", json!({"account_id": 1.5}), expect!["bad_number: account_id is not a whole number"]);
        check(
            key,
            "c",
            json!({"device_name": "a\0b"}),
            expect!["bad_text: device_name is not text, or text that no database can hold"],
        );
        check(key, "c", json!({"modified_ts": "soon"}), expect!["bad_time: modified_ts is not a time"]);
    }

    #[test]
    fn a_key_is_needed_and_nothing_else_of_a_deleted_row() {
        for key in ["", "{}", "3", "null", r#"{"account_id":3}"#] {
            check(key, "d", Value::Null, expect!["no_key: the message's key has no device_id"]);
        }
        let bad = expect!["bad_key: the message's key has a device_id that is not a whole number"];
        check(r#"{"device_id":null}"#, "d", Value::Null, bad);
        let source = json!({"table": "orders", "lsn": 7, "ts_ms": 0});
        let value = json!({"op": "t", "source": source});
        assert_eq!(read(&TABLES[0], &record(None, &value)), Err(Reason::WrongTable));
    }

    #[test]
    fn a_header_tells_the_key_that_a_row_had_before() {
        let base_key = |op: &str, header: Option<&str>| {
            let source = json!({"table": "devices", "lsn": 7, "ts_ms": 0});
            let mut record = record(Some(r#"{"device_id":3}"#), &json!({"op": op, "source": source, "after": {}}));
            let value = header.map(|text| text.as_bytes().to_vec());
            record.headers = vec![Header { name: "__debezium.oldkey".to_owned(), value }];
            match read(&TABLES[2], &record) {
                Ok(Some(Change::Row { base_key, .. })) => base_key,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(base_key("c", Some(r#"{"device_id":2}"#)), Some(2));
        assert_eq!(base_key("c", Some(r#"{"schema":{"type":"struct"},"payload":{"device_id":2}}"#)), Some(2));
        assert_eq!(base_key("u", Some(r#"{"device_id":2}"#)), None);
        for unreadable in [None, Some(""), Some("Struct{device_id=2}"), Some(r#"{"account_id":2}"#)] {
            assert_eq!(base_key("c", unreadable), None);
        }
    }
}
