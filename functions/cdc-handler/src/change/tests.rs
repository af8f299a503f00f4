use expect_test::{Expect, expect};
use lambda_boot::Vars;
use serde_json::json;
use stream::Header;

use super::*;
use crate::table::TABLES;

fn record(key: Option<&str>, value: &Value) -> Record {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let value = Some(bytes(&value.to_string()));
    Record { offset: 0, timestamp_ms: 0, key: key.map(bytes), value, headers: Vec::new() }
}

fn show(read: Result<Option<Change>, Unusable>) -> String {
    match read {
        Ok(Some(Change::Row { key, cells, .. })) => format!("{key}: {cells:?}"),
        Ok(Some(Change::Deleted { key, .. })) => format!("{key} deleted"),
        Ok(other) => format!("{other:?}"),
        Err(Unusable { reason, row }) => {
            let of = row.map_or(String::new(), |(key, _)| format!("{key}: "));
            format!("{of}{}: {reason}", reason.code())
        }
    }
}

fn source() -> Value {
    json!({"table": "devices", "lsn": 7, "ts_ms": 0})
}

fn check(key: &str, op: &str, after: Value, expect: Expect) {
    let value = json!({"op": op, "source": source(), "after": after});
    let optional = OptionalColumns::default();
    expect.assert_eq(&show(Reader::new(&TABLES[2], &optional).read(&record(Some(key), &value))));
}

const KEY: &str = r#"{"device_id":3}"#;

/// A row of which one column is as given, the others are NULL.
fn row(column: &str, value: Value) -> Value {
    let mut row =
        json!({"account_id": null, "device_name": null, "device_type": null, "device_os": null, "modified_ts": null});
    row[column] = value;
    row
}

#[test]
fn a_row_has_the_tables_columns() {
    check(
        KEY,
        "c",
        json!({"account_id": 9, "device_name": "n", "device_type": null, "device_os": 12, "modified_ts": "1970-01-01T00:00:00Z", "new": []}),
        expect![[
            r#"3: [Value(Some("9")), Value(Some("n")), Value(None), Value(Some("12")), Value(Some("1970-01-01 00:00:00.000000+00"))]"#
        ]],
    );
    check(
        r#"{"schema":{"type":"struct"},"payload":{"device_id":"3"}}"#,
        "u",
        row("device_name", json!("__debezium_unavailable_value")),
        expect!["3: [Value(None), Unchanged, Value(None), Value(None), Value(None)]"],
    );
    check(KEY, "d", Value::Null, expect!["3 deleted"]);
    check(KEY, "c", row("account_id", json!(1.5)), expect!["3: bad_number: account_id is not a whole number"]);
    let not_text = || expect!["3: bad_text: device_name is not text, or text that no database can hold"];
    for value in [json!("a\0b"), json!(1.5), json!(["a"])] {
        check(KEY, "c", row("device_name", value), not_text());
    }
    check(KEY, "u", Value::Null, expect!["3: no_row: the change has no row"]);
}

#[test]
fn a_column_that_a_message_lacks_is_named() {
    let mut lacking = row("account_id", json!(1));
    lacking.as_object_mut().unwrap().retain(|name, _| name != "device_os" && name != "device_type");
    lacking["os"] = json!("Android");
    let message = json!({"op": "u", "source": source(), "after": lacking});
    let read = |optional: &str| {
        let optional = [("CRM_OPTIONAL_COLUMNS", optional)].into_iter().collect::<Vars>().read().unwrap();
        let mut reader = Reader::new(&TABLES[2], &optional);
        let shown = show(reader.read(&record(Some(KEY), &message)));
        (shown, reader.unknown.into_iter().collect::<Vec<_>>())
    };
    let (shown, unknown) = read("");
    expect!["3: missing_column: the row has no device_type, device_os: the source has renamed or dropped it, generates it, or the connector leaves it out; where it is to be without, name it in CRM_OPTIONAL_COLUMNS"].assert_eq(&shown);
    assert_eq!(unknown, ["os"]);
    let (shown, unknown) = read("devices.device_os,devices.device_type");
    expect![[r#"3: [Value(Some("1")), Value(None), Value(None), Value(None), Value(None)]"#]].assert_eq(&shown);
    assert_eq!(unknown, ["os"]);
    assert!(read("devices.device_os").0.contains("the row has no device_type:"));
}

/// With the schema that says how a column is written.
fn check_written(column: &str, schema: Value, value: Value, op: &str, expect: Expect) {
    let mut field = schema;
    field["field"] = json!(column);
    let schema = json!({"type": "struct", "fields": [{"type": "struct", "field": "after", "fields": [field]}]});
    let payload = json!({"op": op, "source": source(), "after": row(column, value)});
    let record = record(Some(KEY), &json!({"schema": schema, "payload": payload}));
    let optional = OptionalColumns::default();
    let shown = match Reader::new(&TABLES[2], &optional).read(&record) {
        Ok(Some(Change::Row { cells, .. })) => format!("{:?}", cells.iter().find(|cell| **cell != Cell::Value(None))),
        other => show(other),
    };
    expect.assert_eq(&shown);
}

#[test]
fn a_time_is_what_its_schema_says() {
    let check = |name: &str, value: Value, expect: Expect| {
        let kind = if value.is_string() { "string" } else { "int64" };
        check_written("modified_ts", json!({"type": kind, "name": name}), value, "r", expect);
    };
    let year_9999 = || expect![[r#"Some(Value(Some("9999-12-31 00:00:00.000000+00")))"#]];
    check("io.debezium.time.MicroTimestamp", json!(253_402_214_400_000_000_i64), year_9999());
    check("io.debezium.time.Timestamp", json!(253_402_214_400_000_i64), year_9999());
    check("org.apache.kafka.connect.data.Timestamp", json!(253_402_214_400_000_i64), year_9999());
    check("io.debezium.time.Date", json!(2_932_896), year_9999());
    check("io.debezium.time.IsoTimestamp", json!("9999-12-31T00:00:00Z"), year_9999());
    check("io.debezium.time.IsoDate", json!("9999-12-31Z"), year_9999());
    check("io.debezium.time.ZonedTimestamp", json!("9999-12-31T00:00:00.000000Z"), year_9999());
    check(
        "io.debezium.time.NanoTimestamp",
        Value::Null,
        expect![
            "3: bad_time: modified_ts is null, which nanoseconds also are for a time that they can't hold: set time.precision.mode to isostring"
        ],
    );
    let old = || {
        expect![
            "3: bad_time: modified_ts is a date from before 1582-10-15, which Debezium's snapshots tell wrong: let an update tell it"
        ]
    };
    check("io.debezium.time.IsoDate", json!("0044-03-15Z"), old());
    check("io.debezium.time.Date", json!(-703_383), old());
    check(
        "io.debezium.time.MicroTime",
        json!(36_000_000_000_i64),
        expect![
            "3: bad_time: modified_ts is written as io.debezium.time.MicroTime, which can't be read as a time: see the settings in connector.json"
        ],
    );
    check_written(
        "modified_ts",
        json!({"type": "string", "name": "io.debezium.time.IsoDate"}),
        json!("-0043-03-15Z"),
        "u",
        expect![[r#"Some(Value(Some("0044-03-15 00:00:00.000000+00 BC")))"#]],
    );
    check_written(
        "modified_ts",
        json!({"type": "int64"}),
        json!(1_709_287_200_123_i64),
        "u",
        expect![
            "3: bad_time: modified_ts is written as a whole number, which can't be read as a time: see the settings in connector.json"
        ],
    );
}

#[test]
fn a_number_without_a_schema_is_no_time() {
    let no_unit = || {
        expect![
            "3: bad_time: modified_ts is a number, and the message does not say of what: let the converter write schemas, as connector.json does"
        ]
    };
    for number in [json!(0), json!(19_783), json!(1_709_287_200_123_i64), json!(253_402_214_400_000_000_i64)] {
        check(KEY, "c", row("modified_ts", number), no_unit());
    }
    for value in [json!("soon"), json!(true), json!({"year": 2024})] {
        check(
            KEY,
            "c",
            row("modified_ts", value),
            expect!["3: bad_time: modified_ts is not a time that PostgreSQL has"],
        );
    }
    check(
        KEY,
        "r",
        row("modified_ts", json!("0044-03-15Z")),
        expect![
            "3: bad_time: modified_ts is a date from before 1582-10-15, which Debezium's snapshots tell wrong: let an update tell it"
        ],
    );
}

#[test]
fn text_and_numbers_are_what_their_schema_says() {
    let text = |schema: Value, value: Value, expect: Expect| check_written("device_os", schema, value, "u", expect);
    text(json!({"type": "string"}), json!("YWJj"), expect![[r#"Some(Value(Some("YWJj")))"#]]);
    text(json!({"type": "int64"}), json!(12), expect![[r#"Some(Value(Some("12")))"#]]);
    text(json!({"type": "boolean"}), json!(true), expect![[r#"Some(Value(Some("true")))"#]]);
    for (schema, value) in [
        (json!({"type": "bytes"}), json!("YWJj")),
        (json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"}), json!("BM4=")),
        (json!({"type": "double"}), json!(2.0e10)),
        (json!({"type": "int64", "name": "io.debezium.time.MicroDuration"}), json!(1)),
        (json!({"type": "string", "name": "io.debezium.time.ZonedTimestamp"}), json!("2024-03-01T00:00:00Z")),
        (json!({"type": "array"}), json!(["__debezium_unavailable_value"])),
    ] {
        let name = schema["name"].as_str().or(schema["type"].as_str()).unwrap();
        let name = if name.ends_with("ZonedTimestamp") { "a time" } else { name };
        let mut field = schema.clone();
        field["field"] = json!("device_os");
        let rows = json!({"type": "struct", "field": "after", "fields": [field]});
        let payload = json!({"op": "u", "source": source(), "after": row("device_os", value)});
        let message = json!({"schema": {"type": "struct", "fields": [rows]}, "payload": payload});
        let optional = OptionalColumns::default();
        let read = Reader::new(&TABLES[2], &optional).read(&record(Some(KEY), &message));
        let shown = show(read);
        assert!(shown.starts_with(&format!("3: bad_text: device_os is written as {name},")), "{shown}");
    }
    for bytes in UNAVAILABLE_BYTES {
        check(
            KEY,
            "u",
            row("device_os", json!(bytes)),
            expect![
                "3: bad_text: device_os is written as bytes, which can't be read as text: see the settings in connector.json"
            ],
        );
    }
    check_written(
        "account_id",
        json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"}),
        json!("1234"),
        "u",
        expect![
            "3: bad_number: account_id is written as org.apache.kafka.connect.data.Decimal, which can't be read as a whole number: see the settings in connector.json"
        ],
    );
    check_written(
        "device_id",
        json!({"type": "bytes"}),
        json!(3),
        "u",
        expect!["3: bad_key: the message's key has a device_id that is not a whole number"],
    );
}

#[test]
fn a_key_is_ours_and_no_other() {
    for key in ["", "{}", "3", "null"] {
        check(key, "d", Value::Null, expect!["no_key: the message's key has no device_id"]);
    }
    let bad = expect!["bad_key: the message's key has a device_id that is not a whole number"];
    check(r#"{"device_id":null}"#, "d", Value::Null, bad);
    check(
        r#"{"account_id":3}"#,
        "d",
        Value::Null,
        expect![
            "3: bad_key: the message's key has account_id, and the rows here have device_id alone: one would stand for several, or for others"
        ],
    );
    check(
        r#"{"device_id":3,"kind":"home","part":1}"#,
        "u",
        row("account_id", Value::Null),
        expect![
            "3: bad_key: the message's key has kind, part, and the rows here have device_id alone: one would stand for several, or for others"
        ],
    );
    check(
        KEY,
        "u",
        row("device_id", json!(4)),
        expect!["3: bad_key: the message's key and its row have a different device_id"],
    );
    // Without a key, the row says which one it is.
    for (op, before, after) in
        [("u", Value::Null, row("device_id", json!(7))), ("d", json!({"device_id": 7}), Value::Null)]
    {
        let message = json!({"op": op, "source": source(), "before": before, "after": after});
        expect!["7: no_key: the message's key has no device_id"]
            .assert_eq(&show(Reader::new(&TABLES[2], &OptionalColumns::default()).read(&record(None, &message))));
    }
    let message = json!({"op": "t", "source": {"table": "orders", "lsn": 7, "ts_ms": 0}});
    let optional = OptionalColumns::default();
    expect!["wrong_table: the change is of another table than its topic says"]
        .assert_eq(&show(Reader::new(&TABLES[0], &optional).read(&record(None, &message))));
}

#[test]
fn a_header_tells_the_key_that_a_row_had_before() {
    let base_key = |op: &str, header: Option<&str>| {
        let message = json!({"op": op, "source": source(), "after": row("account_id", Value::Null)});
        let mut record = record(Some(KEY), &message);
        let value = header.map(|text| text.as_bytes().to_vec());
        record.headers = vec![Header { name: "__debezium.oldkey".to_owned(), value }];
        match Reader::new(&TABLES[2], &OptionalColumns::default()).read(&record) {
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
