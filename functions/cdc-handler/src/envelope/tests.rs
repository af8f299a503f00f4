use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn show(parsed: Result<Option<Message>, Reason>) -> String {
    match parsed {
        Ok(Some(Message { table, moment, told, .. })) => {
            let Position { stream_lsn, source_lsn, is_streamed } = moment.position;
            let place = if is_streamed { stream_lsn.to_string() } else { format!("before {stream_lsn}") };
            let moment = format!("{place}/{source_lsn} at {}", moment.at);
            match told {
                Told::Row(op, Some(row)) => format!("{} {table} {moment}: {} columns", op.letter(), row.len()),
                Told::Row(op, None) => format!("{} {table} {moment}: no row", op.letter()),
                Told::Deleted => format!("d {table} {moment}"),
                Told::Truncated => format!("t {table} {moment}"),
            }
        }
        Ok(None) => "nothing".to_owned(),
        Err(reason) => reason.code().to_owned(),
    }
}

fn parsed(value: Option<&[u8]>) -> String {
    show(parse(value, &mut Schemas::default()))
}

#[derive(Deserialize)]
struct Sample {
    value: Option<String>,
}

#[test]
fn reads_what_debezium_writes() {
    let samples = include_str!("../../tests/samples/debezium.jsonl").lines();
    let shown: Vec<_> = samples
        .map(|line| serde_json::from_str::<Sample>(line).unwrap())
        .map(|sample| parsed(sample.value.as_deref().map(str::as_bytes)))
        .collect();
    assert_eq!(shown.len(), 37);
    expect![[r#"
        r orders before 26392896/26392896 at 2026-11-21T05:10:56.726151Z: 13 columns
        d orders 26523984/26523984 at 2026-11-21T05:11:16.77818Z
        nothing
        c orders 26522736/26522736 at 2026-11-21T05:11:16.776949Z: 13 columns
        u orders 26522976/26522976 at 2026-11-21T05:11:16.777504Z: 13 columns
        d orders 26523168/26523168 at 2026-11-21T05:11:16.777675Z
        nothing
        c orders 26523984/26523984 at 2026-11-21T05:11:16.77818Z: 13 columns
        r orders_full before 26392896/26392896 at 2026-11-21T05:10:56.726151Z: 13 columns
        c orders_full 26523296/26523296 at 2026-11-21T05:11:16.777876Z: 13 columns
        u orders_full 26523536/26523536 at 2026-11-21T05:11:16.778014Z: 13 columns
        d orders_full 26523800/26523800 at 2026-11-21T05:11:16.778093Z
        nothing
        r orders_full before 26546280/26546280 at 2026-11-21T05:11:53.035334Z: 13 columns
        c orders_full 26553072/26553072 at 2026-11-21T05:11:53.350734Z: 13 columns
        u orders_full 26553352/26553352 at 2026-11-21T05:11:53.35089Z: 13 columns
        d orders_full 26553704/26553704 at 2026-11-21T05:11:53.350984Z
        nothing
        c toasty 26552576/26552576 at 2026-11-21T05:11:53.350061Z: 3 columns
        u toasty 26552928/26552928 at 2026-11-21T05:11:53.350495Z: 3 columns
        t toasty 26556840/26556840 at 2026-11-21T05:11:53.351443Z
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope
        not_an_envelope"#]]
    .assert_eq(&shown.join("\n"));
}

fn check(message: Value, expect: Expect) {
    expect.assert_eq(&parsed(Some(message.to_string().as_bytes())));
}

#[test]
fn a_change_stands_after_the_commit_before_its_transactions() {
    let message = |lsn: i64, sequence: Value| {
        let source = json!({"table": "accounts", "lsn": lsn, "sequence": sequence, "ts_ms": 1_700_000_000_000_i64});
        json!({"op": "u", "source": source, "after": {}})
    };
    check(message(50, Value::Null), expect!["u accounts 50/50 at 2023-11-14T22:13:20Z: 0 columns"]);
    check(message(50, json!(r#"[null,"50"]"#)), expect!["u accounts 50/50 at 2023-11-14T22:13:20Z: 0 columns"]);
    check(message(50, json!(r#"["40","50"]"#)), expect!["u accounts 50/50 at 2023-11-14T22:13:20Z: 0 columns"]);
    check(message(50, json!(r#"["90","50"]"#)), expect!["u accounts 90/50 at 2023-11-14T22:13:20Z: 0 columns"]);
    check(message(50, json!(r#"["x","50"]"#)), expect!["bad_source"]);
    check(message(50, json!("50")), expect!["bad_source"]);
}

/// The lsn is in the sequence alone: that of the signal that closed the window in which the row was read.
#[test]
fn an_incremental_snapshots_row_stands_where_its_window_was_closed() {
    let message = |snapshot: &str, sequence: Value| {
        let source = json!({"table": "accounts", "lsn": null, "sequence": sequence, "ts_ms": 0, "snapshot": snapshot});
        json!({"op": "r", "source": source, "after": {}})
    };
    let sequence = json!(r#"["40","50"]"#);
    check(
        message("incremental", sequence.clone()),
        expect!["r accounts before 50/50 at 1970-01-01T00:00:00Z: 0 columns"],
    );
    check(
        message("incremental", json!(r#"["60","50"]"#)),
        expect!["r accounts before 60/50 at 1970-01-01T00:00:00Z: 0 columns"],
    );
    check(
        message("incremental", json!(r#"[null,"50"]"#)),
        expect!["r accounts before 50/50 at 1970-01-01T00:00:00Z: 0 columns"],
    );
    for sequence in [Value::Null, json!(r#"["40",null]"#), json!(r#"["40","x"]"#)] {
        check(message("incremental", sequence), expect!["bad_source"]);
    }
    check(message("true", sequence), expect!["bad_source"]);
}

#[test]
fn a_schema_says_how_the_row_is_written() {
    let source = json!({"table": "accounts", "lsn": 1, "ts_ms": 0});
    let columns = json!([{"field": "email", "type": "string"}]);
    let schema = json!({"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": columns}]});
    let message = json!({"schema": schema, "payload": {"op": "c", "source": source, "after": {}}}).to_string();
    let mut schemas = Schemas::default();
    let mut columns = || parse(Some(message.as_bytes()), &mut schemas).unwrap().unwrap().columns.unwrap();
    assert!(columns().contains_key("email"));
}

#[test]
fn a_snapshots_row_is_older_than_a_change_at_the_same_place() {
    let read = Position { stream_lsn: 50, is_streamed: false, source_lsn: 50 };
    let changed = Position { stream_lsn: 50, is_streamed: true, source_lsn: 50 };
    // Written before the snapshot was taken, committed after it.
    let in_flight = Position { stream_lsn: 50, is_streamed: true, source_lsn: 40 };
    assert!(read < in_flight && in_flight < changed);
}

#[test]
fn says_what_is_wrong() {
    let source = json!({"table": "accounts", "lsn": 1, "ts_ms": 0});
    for bytes in [&b""[..], b"{", b"\xff", b"{\"op\":\"u\"} x"] {
        expect!["bad_json"].assert_eq(&parsed(Some(bytes)));
    }
    check(Value::Null, expect!["nothing"]);
    check(json!({"schema": null, "payload": null}), expect!["nothing"]);
    check(json!({"op": "m", "source": source, "message": {"prefix": "p", "content": ""}}), expect!["nothing"]);
    check(json!([]), expect!["not_an_envelope"]);
    check(json!({"account_id": 1, "owner_name": "a"}), expect!["not_an_envelope"]);
    check(json!({"op": "u", "after": {}}), expect!["not_an_envelope"]);
    check(json!({"op": "x", "source": source}), expect!["unknown_operation"]);
    check(json!({"op": "c", "source": source}), expect!["c accounts 1/1 at 1970-01-01T00:00:00Z: no row"]);
    check(json!({"op": "d", "source": {"ts_ms": 0}}), expect!["bad_source"]);
    check(json!({"op": "d", "source": {"lsn": 1}}), expect!["bad_source"]);
    check(json!({"op": "d", "source": {"lsn": 1, "ts_ms": i64::MAX}}), expect!["bad_source"]);
    check(
        json!({"schema": {}, "payload": {"op": "d", "source": source}}),
        expect!["d accounts 1/1 at 1970-01-01T00:00:00Z"],
    );
}
