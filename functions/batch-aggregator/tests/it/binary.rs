//! The function's own binary, as the service runs it.

use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use test_support::{Sandbox, eventually};

use crate::{SUBSCRIBERS, event, scene};

const BINARY: &str = env!("CARGO_BIN_EXE_batch-aggregator");
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn answers_and_fails_as_the_service_expects() {
    let scene = scene().await;
    let vars = ["KAFKA_BROKERS", "REJECTED_TOPIC", "USAGE_STORE"].map(|name| (name, scene.vars.get(name).unwrap()));
    let mut function = Sandbox::start(Path::new(BINARY), vars).await.unwrap();
    for _ in 0..2 {
        let answer = function.invoke(event("two-partitions"), PATIENCE).await.unwrap();
        expect![[r#"{"batchItemFailures":[]}"#]].assert_eq(std::str::from_utf8(&answer).unwrap());
        expect![[r#"
            27821234501 2024-01-01 data/video: 524456 up, 1236567 down, 0 s, 2 events
            27821234501 2024-01-02 data/application: 5 up, 7 down, 0 s, 1 events
            27821234500 2024-01-01 data/text: 100000 up, 200000 down, 0 s, 1 events
            27821234500 2024-01-02 data/text: 11 up, 13 down, 0 s, 1 events
            27821234503 2024-01-01 data/audio: 300000 up, 400000 down, 0 s, 1 events
        "#]]
        .assert_eq(&scene.usage(&SUBSCRIBERS).await);
    }
    // A failed invocation does not end the process.
    let mut failed = async |event: String| function.invoke(event, PATIENCE).await.unwrap_err().to_string();
    expect![[r#"{"errorType":"InvalidEvent","errorMessage":"not a Lambda Kafka event: missing field `eventSource` at line 1 column 2"}"#]].assert_eq(&failed("{}".to_owned()).await);
    let renamed = String::from_utf8(event("two-partitions").to_vec()).unwrap().replace("cdr-data", "orders");
    expect![[r#"{"errorType":"InvocationFailed","errorMessage":"topic orders is neither CDR_DATA_TOPIC nor CDR_VOICE_TOPIC: check the function's trigger and variables"}"#]].assert_eq(&failed(renamed).await);
    function.invoke(event("two-partitions"), PATIENCE).await.unwrap();

    let count = |what: &str| function.logs().lines().filter(|line| line.contains(what)).count();
    eventually(PATIENCE, async || count("batch counted") == 3).await;
    // Each failure is one line.
    assert_eq!((count("ERROR"), count("the invocation failed")), (2, 2));
    assert!((1..128_000_000).contains(&function.peak_memory_bytes().unwrap()));
    function.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_variable_stops_the_start() {
    let error =
        Sandbox::start(Path::new(BINARY), [("KAFKA_BROKERS", "a:9092"), ("RUST_LOG", "off")]).await.err().unwrap();
    let error = error.to_string();
    assert!(error.ends_with("ended at its start: exit status: 1"), "{error}");
}
