//! Kafka's timestamps are their producers', and objects of older versions lie by them: no clock hides a record.

use expect_test::expect;
use lake_loader::table::LoadedTopic::{self, CdrData, Messages};
use lake_loader::{LaneReport, Request};
use stream::Record;

use crate::world::{HOUR_MS, START_MS, World, message, record, session, shown};

/// 2099-01-01.
const FAR_AHEAD_MS: i64 = 4_070_908_800_000;
/// What clocks may say: now, 72 hours ahead, 48 hours and two years behind, nothing, 1970, 2099, and what is no time at
/// all.
const CLOCKS_MS: [i64; 9] = [
    START_MS,
    START_MS + 72 * HOUR_MS,
    START_MS - 48 * HOUR_MS,
    START_MS - 2 * 365 * 24 * HOUR_MS,
    -1,
    0,
    FAR_AHEAD_MS,
    i64::MAX,
    i64::MIN,
];

fn sample(stream: LoadedTopic, partition: i32, offset: i64) -> Record {
    let line = offset.unsigned_abs() + 1;
    match stream {
        LoadedTopic::CdrData => session(offset, partition.unsigned_abs().into(), line, "2024-01-01 12:00:00"),
        LoadedTopic::CdrVoice => record(
            offset,
            0,
            format!(
                r#"{{"msisdn":"27821234567","tower_id":1,"call_type":"voice","call_duration_sec":1,"start_time":"2024-01-01 12:00:00","_source_id":"{partition:016x}","_source_line":{line}}}"#
            ),
        ),
        LoadedTopic::Messages => message(offset, 0, &format!("m-{partition}-{offset}"), &format!("r-{partition}")),
        LoadedTopic::Rejected => record(
            offset,
            0,
            format!(
                r#"{{"reason":"bad_json","detail":"none","rows":1,"kafka":{{"topic":"t","partition":{partition},"offset":{offset}}},"raw":"AA==","truncated":false}}"#
            ),
        ),
    }
}

/// Each clock has the last word once: then come a lane that is behind it, and one that has never been heard of.
#[tokio::test]
async fn no_clock_hides_a_record_of_any_topic() {
    let world = World::new().await;
    let mut next = [0_i64; 12];
    let mut loaded = 0;
    for (turn, clock) in CLOCKS_MS.into_iter().enumerate() {
        for stream in LoadedTopic::ALL {
            for (partition, timestamp_ms) in [(0, clock), (1, START_MS), (2 + turn, START_MS - 48 * HOUR_MS)] {
                let offset = &mut next[partition];
                let partition = i32::try_from(partition).unwrap();
                let records = [sample(stream, partition, *offset), sample(stream, partition, *offset + 1)];
                let records = records.map(|record| Record { timestamp_ms, ..record });
                world.put(stream, partition, &records).await;
            }
        }
        for partition in [0, 1, 2 + turn] {
            next[partition] += 2;
        }
        let report = world.load().await;
        loaded += 6;
        for stream in &report.streams {
            assert_eq!((stream.records, stream.stored, stream.gap_offsets), (6, 6, 0), "{clock}: {stream:?}");
        }
        let lanes = |topic: &'static str| {
            let lane = move |(partition, next_offset): (usize, i64)| LaneReport {
                topic: topic.to_owned(),
                partition: i32::try_from(partition).unwrap(),
                next_offset,
            };
            next.into_iter().enumerate().filter(|(_, next)| *next > 0).map(lane)
        };
        let expected: Vec<_> =
            ["cdr-data", "cdr-voice", "chat-messages", "rejected"].into_iter().flat_map(lanes).collect();
        assert_eq!(report.lanes, expected);
    }
    for stream in LoadedTopic::ALL {
        let count = format!("SELECT count(*) FROM {}", stream.table().sql_name());
        assert_eq!(world.texts(&count).await, [format!("({loaded})")], "{stream:?}");
    }
    expect![[r#"
        Succeeded
    "#]]
    .assert_eq(&shown(&world.load().await));
}

/// What is loaded again is found by all records of an object, not by the first one's clock.
#[tokio::test]
async fn an_hour_is_loaded_again_whatever_stands_before_it() {
    let world = World::new().await;
    let at = |offset, timestamp_ms| Record { timestamp_ms, ..sample(CdrData, 0, offset) };
    world.put(CdrData, 0, &[at(0, FAR_AHEAD_MS), at(1, START_MS), at(2, -1)]).await;
    world.load().await;
    world.client.batch_execute("DELETE FROM cdr_data.data").await.unwrap();
    let hour = |from: &str, to: &str| Request {
        from: Some(from.parse().unwrap()),
        to: Some(to.parse().unwrap()),
        ..Request::default()
    };
    world.ask(hour("2100-01-01T00", "2101-01-01T00")).await.unwrap();
    assert_eq!(world.texts("SELECT 1 FROM cdr_data.data").await, [""; 0]);
    let report = world.ask(hour("2024-01-01T10", "2024-01-01T11")).await.unwrap();
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 3 records = 3 accepted + 0 duplicates + 0 rejected; gap 0; 3 new rows
    "#]]
    .assert_eq(&shown(&report));
    let times = "SELECT earliest_at AT TIME ZONE 'UTC', latest_at AT TIME ZONE 'UTC', last_record_at FROM ops.chunks";
    expect![[r#"("1970-01-01 00:00:00","2099-01-01 00:00:00",)"#]].assert_eq(&world.texts(times).await.concat());
}

const OFFSETS: &str = "SELECT kafka_partition, kafka_offset FROM cdr_data.data ORDER BY 1, 2";

/// Objects that older versions left, by hour, with clocks as above; then this version's; then a late one of the older.
#[tokio::test]
async fn what_older_versions_left_is_loaded_in_its_place() {
    let world = World::new().await;
    let at = |offset, hours: i64| Record { timestamp_ms: START_MS + hours * HOUR_MS, ..sample(CdrData, 0, offset) };
    world.put_by_hour(CdrData, 0, &[at(0, 0), at(1, 0)]).await;
    world.put_by_hour(CdrData, 0, &[at(2, 72)]).await;
    world.put_by_hour(CdrData, 0, &[at(3, -48)]).await;
    world.put_by_hour(CdrData, 1, &[at(0, -1_000)]).await;
    // A redelivery with other boundaries, by this version; what it goes on with.
    world.put(CdrData, 0, &[at(3, -48), at(4, 1)]).await;
    world.load().await;
    expect!["(0,0)(0,1)(0,2)(0,3)(0,4)(1,0)"].assert_eq(&world.texts(OFFSETS).await.concat());
    assert_eq!(world.texts("SELECT sum(gap_offsets) FROM ops.chunks").await, ["(0)"]);

    // For a day the older version may be at work, on lanes that have no object of this one.
    world.put_by_hour(CdrData, 1, &[at(1, -2_000)]).await;
    world.put_by_hour(CdrData, 2, &[at(0, -2_000)]).await;
    world.load().await;
    expect!["(0,0)(0,1)(0,2)(0,3)(0,4)(1,0)(1,1)(2,0)"].assert_eq(&world.texts(OFFSETS).await.concat());

    // Then its objects are looked for where something lacks before one of this version.
    world.client.batch_execute("UPDATE ops.topics_by_hour SET looked_until = now()").await.unwrap();
    world.put_by_hour(CdrData, 1, &[at(2, 5_000)]).await;
    world.load().await;
    assert_eq!(world.texts(OFFSETS).await.len(), 8);
    world.put(CdrData, 1, &[at(3, 0)]).await;
    world.load().await;
    expect!["(0,0)(0,1)(0,2)(0,3)(0,4)(1,0)(1,1)(1,2)(1,3)(2,0)"].assert_eq(&world.texts(OFFSETS).await.concat());
    assert_eq!(world.texts("SELECT sum(gap_offsets) FROM ops.chunks").await, ["(0)"]);
}

/// A message may come by two lanes, long after one another by their clocks.
#[tokio::test]
async fn a_lane_that_lies_behind_is_not_waited_for_its_next_record() {
    let world = World::new().await;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    world.put(Messages, 0, &[message(0, now, "m-1", "r-1")]).await;
    world.load().await;
    world.put(Messages, 1, &[message(0, now - 48 * HOUR_MS, "m-2", "r-2")]).await;
    world.load().await;
    assert_eq!(world.texts("SELECT message_id FROM raw.messages ORDER BY 1").await.concat(), "(m-1)(m-2)");
}
