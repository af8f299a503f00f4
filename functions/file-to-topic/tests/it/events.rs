//! The events in `events/file-to-topic`, as the service sends them.

use std::path::Path;

use bytes::Bytes;
use lambda_boot::{Deadline, Invocation};

use crate::world::World;

/// The file that the events announce.
const NAME: &str = "cdr_data_20240101_120000.csv";
const FILE: &[u8] = include_bytes!("cdr_data_20240101_120000.csv");

/// Two deliveries of an event of the folder, through the function's outermost form.
async fn deliver(world: &World, event: &str) {
    let event = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/file-to-topic").join(event);
    let payload: Bytes = std::fs::read(event).unwrap().into();
    let handler = file_to_topic::boot(world.vars.clone()).await.unwrap();
    for _ in 0..2 {
        let request_id = "1".to_owned();
        let invocation = Invocation { payload: payload.clone(), deadline: Deadline::NONE, request_id };
        assert_eq!(handler(invocation).await.unwrap(), r#"{"batchItemFailures":[]}"#);
    }
}

#[tokio::test]
async fn a_file_announced_whole() {
    let world = World::new().await;
    world.land(NAME, FILE).await;
    deliver(&world, "file.json").await;
    let results = world.results(NAME).await.unwrap();
    expect_test::expect![[r#"
        {
          "accepted": 3,
          "bytes": 398,
          "continued": 0,
          "filtered": 0,
          "first_line": 0,
          "name": "cdr_data_20240101_120000.csv",
          "reasons": {
            "bad_msisdn": 1
          },
          "rejected": 1,
          "rows": 4,
          "rules": {
            "number": 2,
            "zone": "Africa/Johannesburg"
          },
          "sha256": "1077953a794cf342dc025204eed8224c194e79e4cd19110ae8aec2f59d31cd10",
          "source_id": "1077953a794cf342"
        }"#]]
    .assert_eq(&format!("{results:#}"));
}

#[tokio::test]
async fn the_rest_of_a_file() {
    let world = World::new().await;
    world.land(NAME, FILE).await;
    deliver(&world, "rest.json").await;
    let results = world.results(NAME).await.unwrap();
    expect_test::expect![[r#"
        {
          "accepted": 3,
          "bytes": 398,
          "continued": 0,
          "filtered": 0,
          "first_line": 0,
          "name": "cdr_data_20240101_120000.csv",
          "reasons": {
            "bad_msisdn": 1
          },
          "rejected": 1,
          "rows": 4,
          "rules": {
            "number": 2,
            "zone": "Africa/Johannesburg"
          },
          "sha256": "1077953a794cf342dc025204eed8224c194e79e4cd19110ae8aec2f59d31cd10",
          "source_id": "1077953a794cf342"
        }"#]]
    .assert_eq(&format!("{results:#}"));
}

#[tokio::test]
async fn announcements_that_are_none() {
    let world = World::new().await;
    deliver(&world, "malformed.json").await;
    let reasons: Vec<_> = world.rejected().await.into_iter().map(|rejected| rejected.detail).collect();
    expect_test::expect![[r#"
        [
            "not an announcement: expected value at line 1 column 1",
            "not an announcement: EOF while parsing a value at line 1 column 0",
            "not an announcement: expected value at line 1 column 1",
            "not an announcement: EOF while parsing a value at line 1 column 0",
            "not an announcement: the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst at line 1 column 47",
            "not an announcement: the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst at line 1 column 47",
        ]
    "#]].assert_debug_eq(&reasons);
}
