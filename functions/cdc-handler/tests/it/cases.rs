//! The project's `cases/cdc`, what an ordinary source does that nobody thinks of: real messages of Debezium, and what they come to.

use bytes::Bytes;
use cdc_handler::Outcome;
use expect_test::{Expect, expect};
use kafka_batch::PartitionBatch;
use kafka_sink::Rejected;
use serde_json::{Value, json};
use stream::Record;

use crate::scene::Scene;

fn event(case: &str) -> Bytes {
    let path = format!("{}/../../cases/cdc/{case}/event.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap().into()
}

/// What was rejected, each once, and why, up to what is to be done about it.
async fn rejected(scene: &Scene) -> String {
    let config: kafka_sink::Config = scene.vars.read().unwrap();
    let mut shown: Vec<_> = Vec::new();
    for record in test_support::records(config.client(), &scene.rejected_topic).await {
        let rejected = Rejected::from_json(record.value()).unwrap();
        let detail = rejected.detail.split([':', ',']).next().unwrap_or_default();
        let line = format!("{} {}: {detail}\n", rejected.key(), rejected.reason);
        if !shown.contains(&line) {
            shown.push(line);
        }
    }
    shown.concat()
}

/// Handles an event twice, and shows what became of its messages, why some were rejected, and what is there then.
async fn check(scene: &Scene, name: &str, outcome: (u64, u64, u64), rejections: Expect, shown: Expect) {
    let first = scene.handle(kafka_batch::parse(&event(name)).unwrap()).await;
    let Outcome { changes, rejected: count, unseen, .. } = first;
    assert_eq!((changes, count, unseen), outcome, "changes, rejected, unseen");
    rejections.assert_eq(&rejected(scene).await);
    shown.assert_eq(&scene.shown().await);
    let everything = scene.everything().await;
    let again = scene.handle(kafka_batch::parse(&event(name)).unwrap()).await;
    assert_eq!(again, Outcome { versions: 0, ..first });
    assert_eq!(scene.everything().await, everything);
}

async fn modified(scene: &Scene) -> String {
    let sql = "SET timezone = 'UTC'; SET datestyle = 'ISO'";
    scene.database.batch_execute(sql).await.unwrap();
    let rows = scene.texts("SELECT account_id || ' ' || modified_ts FROM crm_data.accounts ORDER BY account_id").await;
    rows.join("\n")
}

#[tokio::test]
async fn an_incremental_snapshot_tells_rows() {
    let scene = Scene::new().await;
    check(
        &scene,
        "incremental-snapshot",
        (2, 0, 0),
        expect![""],
        expect![[r#"
        accounts 1: Owner 1, n@example.org, 27820000099, 00:00:00
        accounts 2: Owner 2, o2@example.org, 27820000002, NULL
          1 16:18:51–… r Owner 1, n@example.org, 27820000099, 00:00:00
          2 16:18:51–… r Owner 2, o2@example.org, 27820000002, NULL
    "#]],
    )
    .await;
    expect![[r#"
        1 2024-01-01 00:00:00+00
        2 infinity"#]]
    .assert_eq(&modified(&scene).await);
}

#[tokio::test]
async fn a_renamed_column_freezes_nothing() {
    let scene = Scene::new().await;
    check(
        &scene,
        "renamed-column",
        (1, 2, 0),
        expect![[r#"
        crm.crm_system.accounts/0/15 missing_column: the row has no phone_number
        crm.crm_system.accounts/0/16 missing_column: the row has no phone_number
    "#]],
        expect![[r#"
        accounts 1: Owner 1, o1@example.org, 27820000001, 00:00:00; stale since 16:19:04
          1 16:11:17–… r Owner 1, o1@example.org, 27820000001, 00:00:00; stale since 16:19:04
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_generated_column_freezes_nothing() {
    let scene = Scene::new().await;
    check(
        &scene,
        "generated-column",
        (1, 2, 0),
        expect![[r#"
        crm.crm_system.devices/0/16 missing_column: the row has no device_os
        crm.crm_system.devices/1/11 missing_column: the row has no device_os
    "#]],
        expect![[r#"
        devices 11: 1, phone, mobile, os, 00:00:00; stale since 16:19:40
          11 16:11:17–… r 1, phone, mobile, os, 00:00:00; stale since 16:19:40
    "#]],
    )
    .await;
    // Where it is to be without.
    let scene = Scene::with(&[("CRM_OPTIONAL_COLUMNS", "devices.device_os")]).await;
    check(
        &scene,
        "generated-column",
        (3, 0, 0),
        expect![""],
        expect![[r#"
        devices 11: 2, tablet, mobile, NULL, 16:17:03
        devices 300: 1, n, t, NULL, 16:19:40
          11 16:11:17–16:19:40 r 1, phone, mobile, os, 00:00:00
          11 16:19:40–… u 2, tablet, mobile, NULL, 16:17:03
          300 16:19:40–… c 1, n, t, NULL, 16:19:40
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_row_does_not_stand_for_several() {
    let scene = Scene::new().await;
    check(
        &scene,
        "composite-key",
        (0, 4, 0),
        expect![[r#"
        crm.crm_system.addresses/0/0 bad_key: the message's key has kind
        crm.crm_system.addresses/0/1 bad_key: the message's key has kind
        crm.crm_system.addresses/2/0 bad_key: the message's key has kind
        crm.crm_system.addresses/2/1 bad_key: the message's key has kind
    "#]],
        expect![[r#""#]],
    )
    .await;
}

#[tokio::test]
async fn a_number_is_not_taken_for_a_time_by_its_size() {
    let scene = Scene::new().await;
    check(
        &scene,
        "timestamp-without-zone-9999",
        (0, 3, 0),
        expect![[r#"
        crm.crm_system.accounts/0/0 bad_time: modified_ts is a number
        crm.crm_system.accounts/0/1 bad_time: modified_ts is a number
        crm.crm_system.accounts/0/2 bad_time: modified_ts is a number
    "#]],
        expect![[r#""#]],
    )
    .await;
}

/// The same messages, with the schemas that the connector writes.
#[tokio::test]
async fn a_schema_tells_the_unit() {
    let scene = Scene::new().await;
    let mut event = kafka_batch::parse(&event("timestamp-without-zone-9999")).unwrap();
    for record in event.iter_mut().flat_map(|partition| &mut partition.records) {
        let payload: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let modified =
            json!({"type": "int64", "name": "io.debezium.time.MicroTimestamp", "version": 1, "field": "modified_ts"});
        let rows = json!({"type": "struct", "field": "after", "fields": [modified]});
        let schema = json!({"type": "struct", "fields": [rows]});
        record.value = Some(json!({"schema": schema, "payload": payload}).to_string().into_bytes());
    }
    assert_eq!(scene.handle(event).await.rejected, 0);
    expect![[r#"
        1 9999-12-31 00:00:00+00
        2 1972-06-01 00:00:00+00
        5 2999-12-31 00:00:00+00"#]]
    .assert_eq(&modified(&scene).await);
}

#[tokio::test]
async fn the_last_moment_of_9999_is_one() {
    let scene = Scene::new().await;
    check(
        &scene,
        "timestamptz-9999-12-31",
        (1, 0, 1),
        expect![""],
        expect![[r#"
        accounts 4: Owner 4, o4@example.org, 27820000004, 23:59:59
          4 16:17:54–… u Owner 4, o4@example.org, 27820000004, 23:59:59
    "#]],
    )
    .await;
    expect!["4 9999-12-31 23:59:59.999999+00"].assert_eq(&modified(&scene).await);
}

#[tokio::test]
async fn changes_of_rows_that_were_never_told_are_counted() {
    let scene = Scene::new().await;
    check(
        &scene,
        "replica-identity-using-index",
        (7, 0, 3),
        expect![""],
        expect![[r#"
        accounts 1: a, a, NULL, 16:23:22
        accounts 2: b, b, NULL, 16:23:22
        accounts 3: c, cc, NULL, 16:23:22
        accounts 22: b, b, NULL, 16:23:22
          1 16:23:22–… r a, a, NULL, 16:23:22
          2 16:23:22–… r b, b, NULL, 16:23:22
          3 16:23:22–16:23:27 r c, c, NULL, 16:23:22
          3 16:23:27–… c c, cc, NULL, 16:23:22
          22 16:23:27–… u b, b, NULL, 16:23:22
    "#]],
    )
    .await;
}

/// One message of `accounts`.
fn record(offset: i64, op: &str, lsn: i64, after: Value) -> Record {
    let source = json!({"table": "accounts", "lsn": lsn, "ts_ms": 1_709_287_200_000_i64 + lsn * 1_000});
    let value = json!({"op": op, "source": source, "after": after}).to_string().into_bytes();
    let key = Some(json!({"account_id": 1}).to_string().into_bytes());
    Record { offset, timestamp_ms: 0, key, value: Some(value), headers: Vec::new() }
}

fn account(name: &str, email: &str) -> Value {
    json!({"account_id": 1, "owner_name": name, "email": email, "phone_number": "x", "modified_ts": null})
}

fn event_of(records: &[Record]) -> Vec<PartitionBatch> {
    let topic = "crm.crm_system.accounts".to_owned();
    vec![PartitionBatch { topic, partition: 0, records: records.to_vec() }]
}

/// A change that can't be used may have changed what a later one does not tell.
#[tokio::test]
async fn nothing_is_taken_from_before_a_change_that_could_not_be_used() {
    let large = "__debezium_unavailable_value";
    let unusable = json!({"account_id": 1, "owner_name": "two", "email": "new and large", "phone_number": "x"});
    let records = [
        record(0, "c", 10, account("one", "old and large")),
        record(1, "u", 20, unusable.clone()),
        record(2, "u", 30, account("three", large)),
        record(3, "u", 40, unusable),
        record(4, "t", 50, Value::Null),
        record(5, "c", 60, account("six", "other")),
    ];
    let mut tables = Vec::new();
    for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 4, 3, 5, 1], [4, 1, 3, 5, 0, 2]] {
        let scene = Scene::new().await;
        for index in order {
            scene.handle(event_of(&records[index..=index])).await;
        }
        tables.push((scene.shown().await, scene.everything().await));
    }
    expect![[r#"
        accounts 1: six, other, x, NULL
          1 10:00:10–10:00:30 c one, old and large, x, NULL; stale since 10:00:20
          1 10:00:30–10:00:50 u three, NULL, x, NULL; stale since 10:00:40; not told: email
          1 10:01:00–… c six, other, x, NULL
    "#]]
    .assert_eq(&tables[0].0);
    assert!(tables.windows(2).all(|tables| tables[0] == tables[1]));
    // The same place again, in a way that can be used: as when it is handled anew, with a column that may be missing.
    let scene = Scene::new().await;
    scene.handle(event_of(&records[..4])).await;
    scene.handle(event_of(&[record(1, "u", 20, account("two", "new and large"))])).await;
    expect![[r#"
        accounts 1: three, new and large, x, NULL; stale since 10:00:40
          1 10:00:10–10:00:20 c one, old and large, x, NULL
          1 10:00:20–10:00:30 u two, new and large, x, NULL
          1 10:00:30–… u three, new and large, x, NULL; stale since 10:00:40; not told: email
    "#]]
    .assert_eq(&scene.shown().await);
}

#[tokio::test]
async fn a_column_that_is_not_followed_is_said_once() {
    let (scene, log) = (Scene::new().await, test_support::log());
    for offset in 0..3 {
        let mut after = account("one", "e");
        after["unknown_here"] = json!(true);
        scene.handle(event_of(&[record(offset, "u", 10 + offset, after)])).await;
    }
    let text = log.text();
    let said: Vec<_> = text.lines().filter(|line| line.contains("unknown_here")).collect();
    expect![[r#"{"level":"WARN","message":"a column of the CRM is not followed: its values are left out","crm.table":"accounts","crm.column":"unknown_here"}"#]].assert_eq(&said.join("\n"));
}
