//! The live counters of the towers, which may be wrong, but never in the way.

use std::time::Duration;

use batch_aggregator::{Outcome, handle};
use bytes::Bytes;
use expect_test::expect;
use lambda_boot::Deadline;
use telecom::Day;
use test_support::cassandra;
use tokio_postgres::NoTls;

use crate::{Scene, check_outcome, event, scene, scene_on};

/// Those of the events.
const TOWERS: [u32; 7] = [119, 149, 309, 664, 749, 1098, 1334];

/// Less than a statement of the store may take, so that one that hangs would be noticed.
fn patience() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

impl Scene {
    async fn tower_activity(&self) -> String {
        let mut shown = String::new();
        let [first, last] = [1, 2].map(|day| Day::from_civil(2024, 1, day).unwrap());
        for tower in TOWERS {
            for (at, totals) in self.store.tower_activity(tower, (first, 0), (last, 23)).await.unwrap() {
                let (up, down, events) = (totals.up_bytes, totals.down_bytes, totals.events);
                shown += &format!("{tower} {} {:02}h: {up} up, {down} down, {events} events\n", at.day, at.hour);
            }
        }
        shown
    }

    /// Somebody else at the database.
    async fn psql(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.database, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn handle(&self, event: Bytes) -> anyhow::Result<Outcome> {
        handle(&self.deps().await, kafka_batch::parse(&event).unwrap(), patience()).await
    }
}

#[tokio::test]
async fn towers_get_what_is_newly_counted() {
    towers_of(scene().await).await;
}

#[tokio::test]
async fn towers_get_what_is_newly_counted_in_cassandra() {
    let keyspace = test_support::topic("towers").replace('-', "_");
    towers_of(scene_on(format!("scylla://{}/{keyspace}", cassandra().await.address)).await).await;
}

async fn towers_of(scene: Scene) {
    // Twice each; the second event has the first one's end and its file under another name, and one record that is new.
    for (name, expect) in [
        (
            "two-partitions",
            expect![[r#"
        149 2024-01-01 10h: 300000 up, 400000 down, 1 events
        309 2024-01-01 10h: 100000 up, 200000 down, 1 events
        664 2024-01-01 10h: 523456 up, 1234567 down, 1 events
        749 2024-01-02 00h: 11 up, 13 down, 1 events
        1098 2024-01-02 00h: 5 up, 7 down, 1 events
        1334 2024-01-01 23h: 1000 up, 2000 down, 1 events
    "#]],
        ),
        (
            "redelivery-and-duplicate-file",
            expect![[r#"
        119 2024-01-02 08h: 1 up, 1 down, 1 events
        149 2024-01-01 10h: 300000 up, 400000 down, 1 events
        309 2024-01-01 10h: 100000 up, 200000 down, 1 events
        664 2024-01-01 10h: 523456 up, 1234567 down, 1 events
        749 2024-01-02 00h: 11 up, 13 down, 1 events
        1098 2024-01-02 00h: 5 up, 7 down, 1 events
        1334 2024-01-01 23h: 1000 up, 2000 down, 1 events
    "#]],
        ),
    ] {
        scene.handle(event(name)).await.unwrap();
        let first = scene.tower_activity().await;
        expect.assert_eq(&first);
        scene.handle(event(name)).await.unwrap();
        assert_eq!(scene.tower_activity().await, first);
    }
}

#[tokio::test]
async fn a_failed_tower_write_does_not_fail_the_batch() {
    let scene = scene().await;
    scene.psql().await.batch_execute("DROP TABLE usage.tower_activity").await.unwrap();
    for expect in [
        expect!["6 records: 6 counted, 0 duplicates, 0 repeats, 0 settled, 0 rejected, 0 missing, 6 missed by towers"],
        expect!["6 records: 0 counted, 0 duplicates, 0 repeats, 6 settled, 0 rejected, 0 missing, 0 missed by towers"],
    ] {
        check_outcome(scene.handle(event("two-partitions")).await.unwrap(), expect);
    }
}

#[tokio::test]
async fn a_tower_write_that_hangs_does_not_hold_up_the_batch() {
    let scene = scene().await;
    let (deps, mut other) = (scene.deps().await, scene.psql().await);
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE usage.tower_activity IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // The first waits in vain; the others don't wait.
    for round in 0..20 {
        let mut event = kafka_batch::parse(&event("two-partitions")).unwrap();
        for record in event.iter_mut().flat_map(|partition| &mut partition.records) {
            record.offset += 3 * round;
            let value = String::from_utf8(record.value.take().unwrap()).unwrap();
            // Of no file, so that it is new each time.
            record.value = Some(value.replace("_source_id", "_no_id").replace("_source_line", "_no_line").into());
        }
        let outcome = handle(&deps, event, patience()).await.unwrap();
        assert_eq!((outcome.counted, outcome.tower_misses), (6, 6));
    }
    lock.rollback().await.unwrap();
}

#[tokio::test]
async fn a_lane_that_fails_keeps_no_other_lane_from_the_towers() {
    let scene = scene().await;
    let unknown = String::from_utf8(event("two-partitions").to_vec()).unwrap();
    let unknown = unknown.replace("cdr-data-2", "cdr-data-7").replace("\"partition\": 2", "\"partition\": 7");
    for _ in 0..2 {
        let error = scene.handle(unknown.clone().into()).await.unwrap_err();
        assert!(error.to_string().contains("lane 1/cdr-data/7 is unknown"), "{error}");
        expect![[r#"
            664 2024-01-01 10h: 523456 up, 1234567 down, 1 events
            1098 2024-01-02 00h: 5 up, 7 down, 1 events
            1334 2024-01-01 23h: 1000 up, 2000 down, 1 events
        "#]]
        .assert_eq(&scene.tower_activity().await);
    }
}
