//! The events of `events/lake-writer`, and what they come to.

use expect_test::{Expect, expect};
use lake_writer::{Config, Deps, Outcome, handle};
use lambda_boot::{Deadline, Vars};

use crate::world::{World, event};

/// Handles the event twice: its records are in the lake, byte by byte, as it is shown.
async fn check(name: &str, expected: Expect) {
    let world = World::new().await;
    let batches = kafka_batch::parse(&event(name)).unwrap();
    let first = world.handle(batches.clone()).await;
    let shown = world.shown().await;
    expected.assert_eq(&shown);
    assert_eq!((first.known, first.objects), (0, batches.len() as u64));
    assert_eq!(world.read(&batches[0].topic).await, batches);

    let again = world.handle(batches).await;
    assert_eq!(again, Outcome { records: first.records, known: first.records, objects: 0, bytes: 0 });
    assert_eq!(world.shown().await, shown);
}

#[tokio::test]
async fn an_object_a_partition() {
    check("call-records", expect![[r#"
        bronze/epoch=1/topic=cdr-data/partition=0/00000000000000000101-00000000000000000100-2.jsonl.zst
        {"offset":100,"timestamp_ms":1709290799000,"key":"27821234501","value":"{\"msisdn\":\"27821234501\",\"tower_id\":\"17\",\"up_bytes\":\"1\",\"down_bytes\":\"10\",\"data_type\":\"video\",\"ip_address\":\"10.0.0.1\",\"websi…
        {"offset":101,"timestamp_ms":1709290800000,"key":"27821234501","value":"{\"msisdn\":\"27821234501\",\"tower_id\":\"17\",\"up_bytes\":\"2\",\"down_bytes\":\"20\",\"data_type\":\"video\",\"ip_address\":\"10.0.0.1\",\"websi…
        bronze/epoch=1/topic=cdr-data/partition=2/00000000000000000040-00000000000000000040-1.jsonl.zst
        {"offset":40,"timestamp_ms":1709290800500,"key":"27821234503","value":"{\"msisdn\":\"27821234503\",\"tower_id\":\"17\",\"up_bytes\":\"3\",\"down_bytes\":\"30\",\"data_type\":\"video\",\"ip_address\":\"10.0.0.1\",\"websit…
    "#]]).await;
}

#[tokio::test]
async fn every_topic() {
    check("voice-records", expect![[r#"
        bronze/epoch=1/topic=cdr-voice/partition=1/00000000000000000007-00000000000000000007-1.jsonl.zst
        {"offset":7,"timestamp_ms":1709287200000,"key":"27821234502","value":"{\"msisdn\":\"27821234502\",\"tower_id\":\"17\",\"call_type\":\"voice\",\"dest_nr\":\"27821234509\",\"call_duration_sec\":\"61\",\"start_time\":\"2024…
    "#]]).await;
    check("messages", expect![[r#"
        bronze/epoch=1/topic=chat-messages/partition=1/00000000000000000012-00000000000000000012-1.jsonl.zst
        {"offset":12,"timestamp_ms":1709287200000,"key":"room-1","value":"{\"message_id\":\"m-1\",\"room_id\":\"room-1\",\"room_created_at\":\"2024-03-01 11:59:00\",\"channel\":\"whatsapp\",\"customer_id\":\"c-1\",\"customer_nam…
    "#]]).await;
    check("crm-changes", expect![[r#"
        bronze/epoch=1/topic=crm.crm_system.accounts/partition=0/00000000000000000004-00000000000000000003-2.jsonl.zst
        {"offset":3,"timestamp_ms":1709287260000,"key":"{\"account_id\":2}","value":"{\"before\":{\"account_id\":2,\"owner_name\":\"Pieter van Wyk\",\"email\":\"pieter@example.com\",\"phone_number\":\"27821234502\",\"modified_ts…
        {"offset":4,"timestamp_ms":1709287260000,"key":"{\"account_id\":2}","value":null,"headers":[{"name":"__debezium.context.connectorLogicalName","value":"crm"},{"name":"__debezium.context.taskId","value":"0"}]}
    "#]]).await;
    check("rejected", expect![[r#"
        bronze/epoch=1/topic=rejected/partition=2/00000000000000000005-00000000000000000005-1.jsonl.zst
        {"offset":5,"timestamp_ms":1709287200000,"key":"2cf24dba5fb0a30e/4","value":"{\"reason\":\"bad_number\",\"detail\":\"up_bytes is not a whole number\",\"rows\":1,\"file\":{\"name\":\"cdr_data_20240301_120000.csv\",\"sourc…
    "#]]).await;
}

#[tokio::test]
async fn any_bytes() {
    check("binary", expect![[r#"
        bronze/epoch=1/topic=cdr-data/partition=1/00000000000000000004-00000000000000000000-4.jsonl.zst
        {"offset":0,"timestamp_ms":1709287200000,"key":null,"value_base64":"AP/+","headers":[{"name":"none","value":null},{"name":"bytes","value_base64":"gIE="},{"name":"empty","value":""},{"name":"empty","value":"twice"}]}
        {"offset":1,"timestamp_ms":1709287200000,"key_base64":"wyg=","value":null,"headers":[]}
        {"offset":3,"timestamp_ms":1709287200000,"key":"","value":"","headers":[]}
        {"offset":4,"timestamp_ms":-1,"key":"null","value":"a\"b\\c\u0000\u001f\n\r ","headers":[]}
    "#]]).await;
}

#[tokio::test]
async fn no_records_are_no_work() {
    let world = World::new().await;
    assert_eq!(world.handle(Vec::new()).await, Outcome::default());
    assert_eq!(world.objects().await, Vec::<String>::new());
}

#[test]
fn what_is_missing_is_named() {
    let error =
        Config::from_vars(&Vars::from_iter([("LAKE_BUCKET", "lake"), ("AWS_REGION", "eu-west-1")])).unwrap_err();
    assert_eq!(error.to_string(), "AWS_ACCESS_KEY_ID is missing: set this environment variable");
}

/// A store that is silent is given up before the service gives the function up.
#[tokio::test]
async fn a_deadline_is_said() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let vars = [
        ("LAKE_BUCKET", "lake"),
        ("AWS_ENDPOINT_URL_S3", &endpoint),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let deps = Deps::connect(&Config::from_vars(&Vars::from_iter(vars)).unwrap());
    let batches = kafka_batch::parse(&event("messages")).unwrap();
    let deadline = Deadline::after(Deadline::FAILURE_MARGIN + std::time::Duration::from_millis(100));
    let error = handle(&deps, batches, deadline).await.unwrap_err();
    expect!["the time is up and the lake still has not answered"].assert_eq(&error.to_string());
}
