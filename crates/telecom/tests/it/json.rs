use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use telecom::{Column, FileFault, MAX_FIELD_BYTES, Reason, RecordType, TimeFault, Zone, csv, json};

fn read(record_type: RecordType, value: &[u8]) -> String {
    match json::parse(value, record_type, &Zone::default()) {
        Ok(record) => {
            let event = record.event;
            format!(
                "{} {} {} {:?} tower {} at {} from {:?}",
                event.msisdn,
                event.day,
                event.kind,
                event.totals,
                record.tower_id.map_or("none".to_owned(), |tower| tower.to_string()),
                record.time,
                record.source
            )
        }
        Err(reason) => format!("{}: {reason}", reason.code()),
    }
}

fn check_data(value: &str, expected: Expect) {
    expected.assert_eq(&read(RecordType::Data, value.as_bytes()));
}

fn check_voice(value: &str, expected: Expect) {
    expected.assert_eq(&read(RecordType::Voice, value.as_bytes()));
}

const CALL: &str = r#"{"msisdn":"27821234567","tower_id":"1","call_type":"voice","dest_nr":"112","call_duration_sec":"60","start_time":"2024-01-01 10:15:30"}"#;

/// A good call with further or other members: a member that is there already is replaced.
fn call_with(members: &str) -> String {
    let mut call: serde_json::Map<String, serde_json::Value> = serde_json::from_str(CALL).unwrap();
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(members).unwrap();
    call.extend(members);
    serde_json::to_string(&call).unwrap()
}

fn check_call_with(members: &str, expected: Expect) {
    check_voice(&call_with(members), expected);
}

#[test]
fn the_ingesters_messages() {
    check_data(
        r#"{
          "msisdn": "+27821234567",
          "tower_id": "1523",
          "up_bytes": "523456",
          "down_bytes": "1234567",
          "data_type": "video",
          "ip_address": "41.202.45.12",
          "website_url": "https://example.com",
          "event_datetime": "2024-01-01 10:15:30",
          "_source_file": "cdr_data_20240101_101530.csv",
          "_ingestion_timestamp": "2024-12-07T15:23:45.123456",
          "_record_type": "data"
        }"#,
        expect![
            "27821234567 2024-01-01 data/video Totals { up_bytes: 523456, down_bytes: 1234567, seconds: 0, events: 1 } tower 1523 at 2024-01-01 10:15:30 from None"
        ],
    );
    check_voice(
        CALL,
        expect![
            "27821234567 2024-01-01 call/voice Totals { up_bytes: 0, down_bytes: 0, seconds: 60, events: 1 } tower 1 at 2024-01-01 10:15:30 from None"
        ],
    );
}

#[test]
fn messages_that_are_written_otherwise() {
    // Numbers as numbers, unknown members of any form, escapes in names and values, null as absent.
    check_data(
        r#"{"msisdn":27821234567,"tower_id":7,"up_bytes":1,"down_bytes":2,"data_type":"\u0074ext","event\u005fdatetime":"2024-01-01T10:15:30+00:00","website_url":null,"ip_address":"a\"b","extra":{"a":[1,{"b":null}]},"_record_type":null}"#,
        expect![
            "27821234567 2024-01-01 data/text Totals { up_bytes: 1, down_bytes: 2, seconds: 0, events: 1 } tower 7 at 2024-01-01 12:15:30 from None"
        ],
    );
    check_call_with(
        r#"{"_source_file":"cdr_voice_20240101_101530.csv.gz","_source_id":"00ff00ff00ff00ff","_source_line":17}"#,
        expect![[
            r#"27821234567 2024-01-01 call/voice Totals { up_bytes: 0, down_bytes: 0, seconds: 60, events: 1 } tower 1 at 2024-01-01 10:15:30 from Some(Source { id: 00ff00ff00ff00ff, line: 17, file: Some("cdr_voice_20240101_101530.csv.gz") })"#
        ]],
    );
    check_call_with(
        r#"{"_source_file":"elsewhere.csv","_source_id":"00FF00FF00FF00FF","_source_line":"17"}"#,
        expect![
            "27821234567 2024-01-01 call/voice Totals { up_bytes: 0, down_bytes: 0, seconds: 60, events: 1 } tower 1 at 2024-01-01 10:15:30 from Some(Source { id: 00ff00ff00ff00ff, line: 17, file: None })"
        ],
    );
}

#[test]
fn a_row_is_counted_or_taken_back() {
    let action = |members: &str| {
        let value = call_with(members);
        match json::parse(value.as_bytes(), RecordType::Voice, &Zone::default()) {
            Ok(record) => {
                let full = json::parse_full(value.as_bytes(), RecordType::Voice, &Zone::default()).unwrap();
                assert_eq!(full.record.action, record.action);
                format!("{:?}", record.action)
            }
            Err(reason) => reason.code().to_owned(),
        }
    };
    let row = r#""_source_id":"00ff00ff00ff00ff","_source_line":17"#;
    expect!["Count"].assert_eq(&action(&format!("{{{row}}}")));
    expect!["Count"].assert_eq(&action(&format!(r#"{{{row},"_action":null}}"#)));
    expect!["Withdraw"].assert_eq(&action(&format!(r#"{{{row},"_action":"withdraw"}}"#)));
    expect!["unknown_action"].assert_eq(&action(&format!(r#"{{{row},"_action":"count"}}"#)));
    expect!["unknown_action"].assert_eq(&action(&format!(r#"{{{row},"_action":1}}"#)));
    expect!["bad_json"].assert_eq(&action(&format!(r#"{{{row},"_action":["withdraw"]}}"#)));
    expect!["bad_source"].assert_eq(&action(r#"{"_action":"withdraw"}"#));
}

fn check_full(record_type: RecordType, value: &str, expected: Expect) {
    let full = json::parse_full(value.as_bytes(), record_type, &Zone::default()).unwrap();
    assert_eq!(full.record, json::parse(value.as_bytes(), record_type, &Zone::default()).unwrap());
    let texts: Vec<_> = [Column::IpAddress, Column::WebsiteUrl, Column::DestNr].map(|c| full.text(c)).into();
    expected.assert_eq(&format!("{texts:?} {:?} {:?}", full.file(), full.ingested_at_us()));
}

#[test]
fn all_that_a_message_says() {
    let data = r#"{"msisdn":27821234567,"tower_id":7,"up_bytes":1,"down_bytes":2,"data_type":"text","event_datetime":"2024-01-01 10:15:30""#;
    check_full(
        RecordType::Data,
        &format!(
            r#"{data},"website_url":"","ip_address":"a\"b","dest_nr":"no column of data","_source_file":"cdr_data_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456"}}"#
        ),
        expect![[r#"[Some("a\"b"), None, None] Some("cdr_data_20240101_101530.csv") Some(1733585025123456)"#]],
    );
    // What is for people takes nothing from the record, whatever its form.
    check_full(
        RecordType::Data,
        &format!(
            r#"{data},"website_url":"https://example.com","_source_file":["a"],"_ingestion_timestamp":"yesterday"}}"#
        ),
        expect![[r#"[None, Some("https://example.com"), None] None None"#]],
    );
    check_full(
        RecordType::Voice,
        &call_with(
            r#"{"_source_file":"cdr_voice_20240101_101530.csv","_source_id":"00ff00ff00ff00ff","_source_line":17,"_ingestion_timestamp":"1969-12-31T23:59:59.5+01:00"}"#,
        ),
        expect![[r#"[None, None, Some("112")] Some("cdr_voice_20240101_101530.csv") Some(-3600500000)"#]],
    );
}

#[test]
fn messages_that_cannot_be_used() {
    check_voice("", expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"]);
    check_voice(
        "null",
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_voice(
        "[]",
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    let array = format!("[{}null]", "\"1\",".repeat(15));
    check_voice(
        &array,
        expect![["bad_json: the message is not a JSON object whose columns are text or numbers, each once"]],
    );
    check_voice(
        "27821234567",
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_voice("{}", expect!["missing_column: msisdn is missing"]);
    check_voice(
        &CALL[..CALL.len() - 1],
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_voice(
        &format!("{CALL}{CALL}"),
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_voice(
        &CALL.replacen('{', r#"{"tower_id":1,"#, 1),
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_voice(
        &CALL.replace("112", "\\ud800"),
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_voice(
        &CALL.replace("112", "1\t2"),
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_voice(
        &CALL.replace("112", "1\\u00002"),
        expect!["control_character: the record contains a control character"],
    );
    check_data(CALL, expect!["missing_column: up_bytes is missing"]);
    check_call_with(r#"{"_record_type":"data"}"#, expect!["wrong_record_type: _record_type is not that of the topic"]);
    check_call_with(
        r#"{"_source_id":"00ff00ff00ff00ff"}"#,
        expect!["bad_source: _source_id and _source_line do not name a row of a file"],
    );
    check_call_with(
        r#"{"_source_line":1}"#,
        expect!["bad_source: _source_id and _source_line do not name a row of a file"],
    );
    check_call_with(
        r#"{"_source_id":"00ff00ff00ff00ff","_source_line":0}"#,
        expect!["bad_source: _source_id and _source_line do not name a row of a file"],
    );
    check_call_with(
        r#"{"_source_id":"00ff00ff00ff00ff","_source_line":9223372036854775808}"#,
        expect!["bad_source: _source_id and _source_line do not name a row of a file"],
    );
    check_call_with(
        r#"{"_source_id":"+0ff00ff00ff00ff","_source_line":1}"#,
        expect!["bad_source: _source_id and _source_line do not name a row of a file"],
    );
    check_call_with(
        r#"{"_source_id":"00ff00ff00ff00ff","_source_line":1.5}"#,
        expect!["bad_source: _source_id and _source_line do not name a row of a file"],
    );
    check_call_with(r#"{"msisdn":null}"#, expect!["missing_column: msisdn is missing"]);
    check_call_with(
        r#"{"msisdn":27821234567.0}"#,
        expect![
            "bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00"
        ],
    );
    check_call_with(
        r#"{"tower_id":[1]}"#,
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_call_with(
        r#"{"tower_id":true}"#,
        expect!["bad_json: the message is not a JSON object whose columns are text or numbers, each once"],
    );
    check_call_with(r#"{"tower_id":-1}"#, expect!["negative: tower_id is negative"]);
    check_call_with(r#"{"call_duration_sec":60.5}"#, expect!["bad_number: call_duration_sec is not a whole number"]);
    check_call_with(r#"{"call_duration_sec":1e3}"#, expect!["bad_number: call_duration_sec is not a whole number"]);
    check_call_with(r#"{"call_duration_sec":-60}"#, expect!["negative: call_duration_sec is negative"]);
    check_call_with(
        r#"{"call_duration_sec":86401}"#,
        expect!["too_large: call_duration_sec is larger than any real record's"],
    );
    check_call_with(r#"{"call_type":"fax"}"#, expect!["unknown_type: call_type is unknown"]);
    check_call_with(
        r#"{"start_time":1704104130}"#,
        expect![
            "bad_time: start_time: it is a number without separators; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset"
        ],
    );
    check_call_with(
        r#"{"start_time":"1969-12-31 23:59:59"}"#,
        expect!["day_out_of_range: start_time: the day lies outside 1970-01-01 to 2100-12-31"],
    );
    check_call_with(
        &format!(r#"{{"dest_nr":"{}"}}"#, "1".repeat(MAX_FIELD_BYTES + 1)),
        expect!["field_too_long: dest_nr is longer than 8192 bytes"],
    );
    let invalid = [CALL.as_bytes(), b"\xff"].concat();
    expect!["invalid_utf8: the record is not valid UTF-8"].assert_eq(&read(RecordType::Voice, &invalid));
}

#[test]
fn the_documentation_lists_every_reason() {
    let column = Column::Msisdn;
    let reasons = [
        Reason::RowTooLong,
        Reason::InvalidUtf8,
        Reason::ControlCharacter,
        Reason::UnterminatedQuote,
        Reason::BadQuote,
        Reason::WrongFieldCount { expected: 1, found: 2 },
        Reason::NoValue,
        Reason::BadJson,
        Reason::WrongRecordType,
        Reason::BadSource,
        Reason::UnknownAction,
        Reason::MissingColumn(column),
        Reason::FieldTooLong(column),
        Reason::BadMsisdn,
        Reason::BadNumber(column),
        Reason::Negative(column),
        Reason::TooLarge(column),
        Reason::UnknownType(column),
        Reason::BadTime(column, TimeFault::Empty),
        Reason::DayOutOfRange(column),
    ];
    let faults = [FileFault::BadHeader(csv::Header::parse(b"", RecordType::Data).unwrap_err()), FileFault::Damaged];
    let codes: Vec<&str> = faults.iter().map(FileFault::code).chain(reasons.iter().map(Reason::code)).collect();
    let (_, section) = include_str!("../../README.md").split_once("## Reasons").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let documented: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(codes, documented);
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
}
