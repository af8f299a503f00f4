//! Events in, records out.

mod roundtrip;

use expect_test::{Expect, expect};
use kafka_batch::{BatchResponse, parse};

/// Shows each record as `topic-partition@offset time key value headers`.
fn check(event: &str, expect: Expect) {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    match parse(event.as_bytes()) {
        Ok(batches) => {
            let mut lines = String::new();
            for batch in &batches {
                for record in &batch.records {
                    lines += &format!("{}-{}@{} {}", batch.topic, batch.partition, record.offset, record.timestamp_ms);
                    lines += &format!(" {:?} {:?}", text(&record.key), text(&record.value));
                    for header in &record.headers {
                        lines += &format!(" {}={:?}", header.name, header.value);
                    }
                    lines.push('\n');
                }
            }
            expect.assert_eq(&lines);
        }
        // As a log shows it: each cause once.
        Err(error) => expect.assert_eq(&format!("{:#}", anyhow::Error::from(error))),
    }
}

fn one(record: &str) -> String {
    format!(r#"{{"eventSource":"aws:kafka","records":{{"t-0":[{record}]}}}}"#)
}

#[test]
fn the_events_of_both_sources() {
    check(
        r#"{
            "eventSource": "aws:kafka",
            "eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/c/1",
            "bootstrapServers": "b-1:9092,b-2:9092",
            "records": {
                "my-topic-1": [{
                    "topic": "my-topic", "partition": 1, "offset": 15, "timestamp": 1545084650987,
                    "timestampType": "CREATE_TIME", "key": "a2V5", "value": "SGVsbG8=",
                    "headers": [{"name": [104, -1, -128]}, {"name": []}, {"other": [255]}, {"none": null}]
                }],
                "my-topic-0": [
                    {"topic": "my-topic", "partition": 0, "offset": 8, "timestamp": 2, "value": null, "headers": []},
                    {"topic": "my-topic", "partition": 0, "offset": 7, "timestamp": 1, "key": null, "value": ""}
                ]
            }
        }"#,
        expect![[r#"
            my-topic-0@7 1 None Some("")
            my-topic-0@8 2 None None
            my-topic-1@15 1545084650987 Some("key") Some("Hello") name=Some([104, 255, 128]) name=Some([]) other=Some([255]) none=None
        "#]],
    );
    check(
        r#"{"records": {"t-0": [], "t-10": [{"topic": "t", "partition": 10, "offset": 0, "timestamp": -1}],
                        "t-9": [{"topic": "t", "partition": 9, "offset": 0, "timestamp": -1, "value": "YS\/i"}]},
            "bootstrapServers": "b:9092", "eventSource": "SelfManagedKafka"}"#,
        expect![[r#"
            t-9@0 -1 None Some("a/�")
            t-10@0 -1 None None
        "#]],
    );
    check(r#"{"eventSource":"aws:kafka","records":{}}"#, expect![""]);
}

#[test]
fn what_is_no_kafka_event_is_said_so() {
    check("", expect!["not a Lambda Kafka event: EOF while parsing a value at line 1 column 0"]);
    check(
        "[]",
        expect!["not a Lambda Kafka event: invalid length 0, expected struct Event with 2 elements at line 1 column 2"],
    );
    check(
        r#"{"eventSource":"aws:sqs","records":{}}"#,
        expect![[
            r#"the event is from "aws:sqs", not from Kafka (aws:kafka or SelfManagedKafka): check the function's trigger"#
        ]],
    );
    check(
        r#"{"Records":[{"eventSource":"aws:sqs"}]}"#,
        expect!["not a Lambda Kafka event: missing field `eventSource` at line 1 column 39"],
    );
    check(
        r#"{"eventSource":"aws:kafka"}"#,
        expect!["not a Lambda Kafka event: missing field `records` at line 1 column 27"],
    );
    check(
        r#"{"eventSource":"aws:kafka","records":[]}"#,
        expect![
            "not a Lambda Kafka event: invalid type: sequence, expected an object from topic-partition to records at line 1 column 37"
        ],
    );
    check(
        r#"{"eventSource":"aws:kafka","records":{"t":[]}}"#,
        expect![[r#"not a Lambda Kafka event: "t" is not a topic-partition, such as orders-0 at line 1 column 41"#]],
    );
    check(
        &one(r#"{"topic":"t","partition":1,"offset":0,"timestamp":0}"#),
        expect!["not a Lambda Kafka event: a record of t-1 is listed under t-0 at line 1 column 98"],
    );
    check(
        &one(r#"{"topic":"t","partition":0,"timestamp":0}"#),
        expect!["not a Lambda Kafka event: missing field `offset` at line 1 column 86"],
    );
    check(
        &one(r#"{"topic":"t","partition":0,"offset":0,"timestamp":0,"value":"secret"}"#),
        expect!["not a Lambda Kafka event: malformed base64 at line 1 column 113"],
    );
    check(
        &one(r#"{"topic":"t","partition":0,"offset":0,"timestamp":0,"headers":[{"a":[256]}]}"#),
        expect!["not a Lambda Kafka event: 256 in a header is not a byte at line 1 column 118"],
    );
    let record = r#"{"topic":"t","partition":0,"offset":5,"timestamp":0}"#;
    check(
        &one(&format!("{record},{record}")),
        expect!["not a Lambda Kafka event: t-0 has offset 5 twice at line 1 column 151"],
    );
    check(
        &format!(r#"{{"eventSource":"aws:kafka","records":{{"t-0":[{record}],"t-00":[{record}]}}}}"#),
        expect!["not a Lambda Kafka event: t-0 occurs twice at line 1 column 161"],
    );
}

#[test]
fn the_answer_has_no_failures() {
    expect![[r#"{"batchItemFailures":[]}"#]].assert_eq(&BatchResponse::success().to_json());
}
