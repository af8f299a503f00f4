//! Records of every kind that Kafka takes.

use expect_test::expect;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use test_support::eventually;

use crate::fixture::{PATIENCE, Recorder, create_on, kafka, mapping_template, start_on, status};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_record_may_lack_ends_or_changes_anything() {
    let client = kafka().await;
    let topic = test_support::topic("odd");
    create_on(&client, &topic, 1, 3).await;
    let producer: rdkafka::producer::FutureProducer = client.create().unwrap();
    let to = || FutureRecord::<[u8], [u8]>::to(&topic).partition(0).timestamp(1);
    let header = |value: Option<&'static [u8]>| OwnedHeaders::new().insert(Header { key: "h", value });
    for record in [
        to(),
        to().key(b"a tombstone"),
        to().key(b"").payload(b""),
        to().payload(b"no key"),
        to().payload(b"no value of a header").headers(header(None)),
        to().payload(b"an empty one").headers(header(Some(b""))),
        to().payload(b"no bytes of a text").key(&[0xff, 0x00]),
        to().payload(b"before any time").timestamp(-1),
    ] {
        producer.send(record, PATIENCE).await.unwrap();
    }
    let recorder = Recorder::default();
    let template = mapping_template(&topic, "StartingPosition: TRIM_HORIZON, MaximumBatchingWindowInSeconds: 0");
    let runtime = start_on(&client, &template, recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).records == 8).await;

    let many = (0..10_000).fold(OwnedHeaders::new(), |headers, number| {
        headers.insert(Header { key: &format!("h{number}"), value: Some(&b"v"[..]) })
    });
    producer.send(to().payload(b"10,000 headers").headers(many), PATIENCE).await.unwrap();
    eventually(PATIENCE, async || status(&runtime).records == 9).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    runtime.shutdown().await;

    let events: Vec<_> = recorder.seen().iter().map(crate::fixture::Seen::event).collect();
    let records = events.iter().flat_map(|event| event["records"][format!("{topic}-0")].as_array().unwrap());
    let shown: Vec<_> = records
        .map(|record| {
            let headers = record["headers"].as_array().unwrap();
            let headers = if headers.len() < 9 { format!("{headers:?}") } else { headers.len().to_string() };
            let Some(fields) = record.as_object() else { panic!("{record}") };
            let field = |name: &str| fields[name].to_string();
            let names = ["offset", "timestamp", "timestampType", "key", "value"];
            format!("{} {headers}", names.map(field).join(" "))
        })
        .collect();
    expect![[r#"
        0 1 "CREATE_TIME" null null []
        1 1 "CREATE_TIME" "YSB0b21ic3RvbmU=" null []
        2 1 "CREATE_TIME" "" "" []
        3 1 "CREATE_TIME" null "bm8ga2V5" []
        4 1 "CREATE_TIME" null "bm8gdmFsdWUgb2YgYSBoZWFkZXI=" [Object {"h": Array []}]
        5 1 "CREATE_TIME" null "YW4gZW1wdHkgb25l" [Object {"h": Array []}]
        6 1 "CREATE_TIME" "/wA=" "bm8gYnl0ZXMgb2YgYSB0ZXh0" []
        7 -1 "NO_TIMESTAMP_TYPE" null "YmVmb3JlIGFueSB0aW1l" []
        8 1 "CREATE_TIME" null "MTAsMDAwIGhlYWRlcnM=" 10000"#]]
    .assert_eq(&shown.join("\n"));
}
