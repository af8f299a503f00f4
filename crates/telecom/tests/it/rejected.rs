use expect_test::{Expect, expect};
use stream::KafkaPosition;
use telecom::{FilePosition, RAW_LIMIT_BYTES, Rejected};

fn check(rejected: &Rejected<'_>, expect: Expect) {
    let json = rejected.to_json();
    assert_eq!(Rejected::from_json(&json).unwrap(), *rejected);
    expect.assert_eq(&format!("{} {}", rejected.key(), String::from_utf8(json).unwrap()));
}

#[test]
fn the_record_says_what_where_and_why() {
    let file = FilePosition {
        name: "cdr_data_20240101_120000.csv".into(),
        source_id: "2cf24dba5fb0a30e".into(),
        line: 7,
        object: "landing/cdr_data_20240101_120000.csv".into(),
        from_byte: 700,
        to_byte: 703,
    };
    check(
        &Rejected { file: Some(file), ..Rejected::new("bad_msisdn", "msisdn: an MSISDN has 5 to 15 digits", b"a,b") },
        expect![[
            r#"2cf24dba5fb0a30e/7 {"reason":"bad_msisdn","detail":"msisdn: an MSISDN has 5 to 15 digits","rows":1,"file":{"name":"cdr_data_20240101_120000.csv","source_id":"2cf24dba5fb0a30e","line":7,"object":"landing/cdr_data_20240101_120000.csv","from_byte":700,"to_byte":703},"raw":"YSxi","truncated":false}"#
        ]],
    );
    let kafka = KafkaPosition { topic: "landed-files".into(), partition: 2, offset: 5 };
    check(
        &Rejected { rows: 0, kafka: Some(kafka), ..Rejected::new("bad_announcement", "not an announcement", b"\xff") },
        expect![[
            r#"landed-files/2/5 {"reason":"bad_announcement","detail":"not an announcement","rows":0,"kafka":{"topic":"landed-files","partition":2,"offset":5},"raw":"/w==","truncated":false}"#
        ]],
    );
}

#[test]
fn of_long_bytes_the_beginning_is_kept() {
    let long = vec![b'x'; RAW_LIMIT_BYTES + 1];
    let rejected = Rejected::new("row_too_long", "", &long);
    assert_eq!((rejected.raw.len(), rejected.truncated), (RAW_LIMIT_BYTES, true));
    let rejected = Rejected::new("row_too_long", "", &long[1..]);
    assert_eq!((rejected.raw.len(), rejected.truncated), (RAW_LIMIT_BYTES, false));
}
