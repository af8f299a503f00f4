//! The events of `events/cdc-handler`, and what they come to.

use std::time::Duration;

use bytes::Bytes;
use cdc_handler::{Config, Deps, Outcome, handle};
use expect_test::{Expect, expect};
use kafka_sink::Rejected;
use lambda_boot::{Deadline, Invocation, Vars};
use test_support::broker;

use crate::scene::{Scene, event};

fn show(outcome: Outcome) -> String {
    let Outcome { records, changes, ignored, rejected, versions, incomplete, unseen } = outcome;
    format!(
        "{records} records: {changes} changes, {ignored} ignored, {rejected} rejected; {versions} versions, {incomplete} \
         incomplete, {unseen} unseen"
    )
}

/// Handles the events one after another, each twice, and shows what that did and what is there then.
async fn check(events: &[&str], outcomes: &[Expect], expect: Expect) {
    let scene = Scene::new().await;
    for (name, expect) in events.iter().zip(outcomes) {
        let outcome = scene.handle(kafka_batch::parse(&event(name)).unwrap()).await;
        expect.assert_eq(&show(outcome));
        let shown = scene.everything().await;
        let again = scene.handle(kafka_batch::parse(&event(name)).unwrap()).await;
        assert_eq!(again, Outcome { versions: 0, ..outcome });
        assert_eq!(scene.everything().await, shown);
    }
    expect.assert_eq(&scene.shown().await);
    // Once more all of them, the last first, and into empty tables: the order does not matter.
    let shown = scene.everything().await;
    let other = Scene::new().await;
    for name in events.iter().rev() {
        for scene in [&scene, &other] {
            scene.handle(kafka_batch::parse(&event(name)).unwrap()).await;
        }
    }
    assert_eq!(scene.everything().await, shown);
    assert_eq!(other.everything().await, shown);
}

#[tokio::test]
async fn rows_come_change_and_go() {
    check(
        &["snapshot", "create-update-delete", "second-snapshot"],
        &[
            expect!["2 records: 2 changes, 0 ignored, 0 rejected; 2 versions, 0 incomplete, 0 unseen"],
            expect!["4 records: 3 changes, 1 ignored, 0 rejected; 4 versions, 0 incomplete, 0 unseen"],
            expect!["4 records: 4 changes, 0 ignored, 0 rejected; 6 versions, 0 incomplete, 0 unseen"],
        ],
        expect![[r#"
            accounts 1: Thandi Mokoena, thandi.nkosi@example.com, 27821234501, 10:10:01
            accounts 3: Zoë Dlamini, zoe@example.com, 27821234503, 10:10:02
              1 10:00:00–10:01:00 r Thandi Nkosi, thandi@example.com, 27821234501, 10:00:00
              1 10:01:00–10:10:00 u Thandi Nkosi, thandi.nkosi@example.com, 27821234501, 10:01:00
              1 10:10:00–10:10:01 r Thandi Nkosi, thandi.nkosi@example.com, 27821234501, 10:01:00
              1 10:10:01–… u Thandi Mokoena, thandi.nkosi@example.com, 27821234501, 10:10:01
              2 10:00:00–10:02:00 r Pieter van Wyk, pieter@example.com, 27821234502, 10:00:00
              3 10:03:00–10:10:00 c Zoë Dlamini, NULL, +27 82 123 4503, 10:03:00
              3 10:10:00–10:10:02 r Zoë Dlamini, NULL, +27 82 123 4503, 10:03:00
              3 10:10:02–… u Zoë Dlamini, zoe@example.com, 27821234503, 10:10:02
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_truncation_takes_what_is_older_also_what_comes_later() {
    check(
        &["truncate"],
        &[expect!["4 records: 4 changes, 0 ignored, 0 rejected; 3 versions, 0 incomplete, 0 unseen"]],
        expect![[r#"
        addresses 3: 3 Church Street, Pretoria, Gauteng, 0002, ZA, 10:12:40
          1 10:11:40–10:12:40 c 1 Long Street, Cape Town, Western Cape, 8001, ZA, 10:11:40
          2 10:12:10–10:12:40 c 2 Main Road, Durban, KwaZulu-Natal, 4001, ZA, 10:12:10
          3 10:12:40–… c 3 Church Street, Pretoria, Gauteng, 0002, ZA, 10:12:40
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_large_value_that_is_not_told_is_kept() {
    check(
        &["unchanged-large-value"],
        &[expect!["3 records: 3 changes, 0 ignored, 0 rejected; 3 versions, 1 incomplete, 1 unseen"]],
        expect![[r#"
        addresses 4: Unit 7, The Old Bisc, Cape Town, Western Cape, 7915, ZA, 10:14:20
        addresses 5: NULL, Woodstock, Western Cape, 7925, ZA, 10:14:30
          4 10:13:20–10:14:20 c Unit 7, The Old Bisc, Cape Town, Western Cape, 7925, ZA, 10:13:20
          4 10:14:20–… u Unit 7, The Old Bisc, Cape Town, Western Cape, 7915, ZA, 10:14:20; not told: street_address
          5 10:14:30–… u NULL, Woodstock, Western Cape, 7925, ZA, 10:14:30; not told: street_address
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_key_that_changes_is_another_row() {
    check(
        &["key-change", "with-schemas"],
        &[
            expect!["4 records: 3 changes, 1 ignored, 0 rejected; 2 versions, 0 incomplete, 0 unseen"],
            expect!["1 records: 1 changes, 0 ignored, 0 rejected; 1 versions, 0 incomplete, 0 unseen"],
        ],
        expect![[r#"
        devices 11: 1, Thandi's phone, smartphone, Android 14, 10:15:00
        devices 12: 3, Tablet, tablet, iPadOS 17, 10:16:40
          10 10:15:00–10:16:00 c 1, Thandi's phone, smartphone, Android 14, 10:15:00
          11 10:16:00–… c 1, Thandi's phone, smartphone, Android 14, 10:15:00
          12 10:16:40–… c 3, Tablet, tablet, iPadOS 17, 10:16:40
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_large_value_goes_along_with_a_changed_key() {
    check(&["key-change-large-value"], &[expect!["9 records: 7 changes, 2 ignored, 0 rejected; 5 versions, 1 incomplete, 0 unseen"]], expect![[r#"
        addresses 7: Unit 7, The Old Bisc, Cape Town, Western Cape, 7915, ZA, 10:20:40
        addresses 8: NULL, Cape Town, Western Cape, 7915, ZA, 10:20:50
          6 10:20:10–10:20:30 c Unit 7, The Old Bisc, Cape Town, Western Cape, 7925, ZA, 10:20:10
          7 10:20:00–10:20:20 c Unit 1, The Old Bisc, Cape Town, Western Cape, 7925, ZA, 10:20:00
          7 10:20:30–10:20:40 c Unit 7, The Old Bisc, Cape Town, Western Cape, 7925, ZA, 10:20:10; not told: street_address
          7 10:20:40–… u Unit 7, The Old Bisc, Cape Town, Western Cape, 7915, ZA, 10:20:40; not told: street_address
          8 10:20:50–… c NULL, Cape Town, Western Cape, 7915, ZA, 10:20:50; not told: street_address
    "#]]).await;
}

#[tokio::test]
async fn what_cant_be_used_is_rejected_with_its_bytes() {
    let scene = Scene::new().await;
    let event = kafka_batch::parse(&event("bad-messages")).unwrap();
    for _ in 0..2 {
        let Outcome { changes, rejected, .. } = scene.handle(event.clone()).await;
        assert_eq!((changes, rejected), (1, 12));
    }
    expect![[r#"
        devices 20: 1, Phone, smartphone, Android 14, 10:18:20
          20 10:18:20–… u 1, Phone, smartphone, Android 14, 10:18:20
    "#]]
    .assert_eq(&scene.shown().await);
    let rejected = rejected(&scene).await;
    assert_eq!(rejected[..12], rejected[12..]);
    expect![[r#"
        crm.crm_system.devices/1/2 bad_json 10 bytes
        crm.crm_system.devices/1/3 not_an_envelope 160 bytes
        crm.crm_system.devices/1/4 unknown_operation 610 bytes
        crm.crm_system.devices/1/5 wrong_table 609 bytes
        crm.crm_system.devices/1/6 bad_source 606 bytes
        crm.crm_system.devices/1/7 no_row 465 bytes
        crm.crm_system.devices/1/8 no_key 610 bytes
        crm.crm_system.devices/1/9 bad_key 610 bytes
        crm.crm_system.devices/1/10 bad_number 614 bytes
        crm.crm_system.devices/1/11 bad_time 592 bytes
        crm.crm_system.devices/1/12 bad_text 617 bytes
        crm.crm_system.devices/1/13 bad_text 613 bytes"#]]
    .assert_eq(&rejected[..12].join("\n"));
}

/// The rejected records: key, reason, length of the raw bytes.
async fn rejected(scene: &Scene) -> Vec<String> {
    let config: kafka_sink::Config = scene.vars.read().unwrap();
    let shown = |record: &test_support::Record| {
        let rejected = Rejected::from_json(record.value()).unwrap();
        assert_eq!(record.key(), rejected.key());
        format!("{} {} {} bytes", rejected.key(), rejected.reason, rejected.raw.len())
    };
    test_support::records(config.client(), &scene.rejected_topic).await.iter().map(shown).collect()
}

#[tokio::test]
async fn the_service_gets_an_answer_or_an_error() {
    let scene = Scene::new().await;
    let handler = cdc_handler::boot(scene.vars.clone()).await.unwrap();
    let invoke = async |payload: Bytes| {
        let invocation = Invocation { payload, deadline: Deadline::NONE, request_id: "test".to_owned() };
        match handler(invocation).await {
            Ok(answer) => String::from_utf8(answer.to_vec()).unwrap(),
            Err(error) => format!("{error:#}"),
        }
    };
    expect![[r#"{"batchItemFailures":[]}"#]].assert_eq(&invoke(event("snapshot")).await);
    assert!(invoke(Bytes::from_static(b"{}")).await.starts_with("not a Lambda Kafka event"));
    let renamed = String::from_utf8(event("snapshot").to_vec()).unwrap().replace("crm.crm_system", "shop.public");
    expect!["topic shop.public.accounts is none of crm.crm_system.accounts, crm.crm_system.addresses, crm.crm_system.devices: check the function's trigger and CRM_TOPIC_PREFIX"].assert_eq(&invoke(renamed.into()).await);
    scene.database.batch_execute("DELETE FROM crm_data.progress").await.unwrap();
    expect!["crm_data.progress has no row of accounts: run `trunkline init`"]
        .assert_eq(&invoke(event("snapshot")).await);
    scene.database.batch_execute("DROP SCHEMA crm_data CASCADE").await.unwrap();
    expect![[r#"the database failed: relation "crm_data.progress" does not exist: run `trunkline init`"#]]
        .assert_eq(&invoke(event("snapshot")).await);
}

#[tokio::test]
async fn a_database_that_is_down_fails_the_invocation() {
    // Port 9 discards: nobody listens there.
    let vars: Vars = [("KAFKA_BROKERS", broker().await), ("DATABASE_URL", "postgres://nobody@127.0.0.1:9/none")]
        .into_iter()
        .collect();
    let deps = Deps::connect(&Config::from_vars(&vars).unwrap()).await.unwrap();
    let event = kafka_batch::parse(&event("snapshot")).unwrap();
    let error = handle(&deps, event, Deadline::after(Duration::from_secs(60))).await.unwrap_err();
    expect!["the database failed: error connecting to server: Connection refused (os error 111)"]
        .assert_eq(&format!("{error:#}"));
}

#[tokio::test]
async fn every_table_and_column_says_what_it_is() {
    let scene = Scene::new().await;
    let undescribed = "SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'crm_data' AND c.relkind = 'r' \
        JOIN LATERAL (SELECT NULL::name AS attname, 0 AS attnum UNION ALL \
            SELECT attname, attnum FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) a ON true \
        WHERE col_description(c.oid, a.attnum) IS NULL AND (a.attnum > 0 OR obj_description(c.oid) IS NULL)";
    let undescribed: Vec<String> =
        scene.database.query(undescribed, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(undescribed.is_empty(), "without a comment: {undescribed:?}");
}
