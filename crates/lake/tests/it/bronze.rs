//! Bronze: what is written, by any batches in any order, is read once.

use std::future::ready;
use std::ops::Range;

use bytes::Bytes;
use expect_test::expect;
use futures::TryStreamExt;
use lake::bronze::{self, Written};
use lake::{Error, Lake};
use proptest::prelude::*;
use stream::{Header, Lane, Record};

use crate::lake;

/// 2024-03-01 10:00 UTC.
const TEN_O_CLOCK_MS: i64 = 1_709_287_200_000;

fn lane(topic: &str, partition: i32) -> Lane {
    Lane { epoch: 1, topic: topic.to_owned(), partition }
}

/// A record every ten minutes, so six an hour.
fn record(offset: i64) -> Record {
    Record {
        offset,
        timestamp_ms: TEN_O_CLOCK_MS + offset * 600_000,
        key: Some(format!("key {offset}").into()),
        value: Some(vec![offset as u8, 0xff]),
        headers: vec![Header { name: "n".to_owned(), value: None }],
    }
}

fn records(offsets: Range<i64>) -> Vec<Record> {
    offsets.map(record).collect()
}

async fn write(lake: &Lake, lane: &Lane, offsets: Range<i64>) -> Result<Written, Error> {
    bronze::write(lake, lane, &records(offsets), None).await
}

/// `first–last` of what a listing finds.
async fn segments(lake: &Lake, lane: &Lane, from: i64) -> Vec<(i64, i64)> {
    let found = bronze::segments(lake, lane, from, usize::MAX).await.unwrap();
    found.iter().map(|segment| (segment.first, segment.last)).collect()
}

async fn keys(lake: &Lake) -> Vec<String> {
    lake.list("").map_ok(|listed| listed.key).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_batch_is_written_once() {
    let lake = lake().await;
    let lane = lane("cdr-data", 2);
    let first = write(&lake, &lane, 3..10).await.unwrap();
    assert_eq!((first.objects, first.records), (1, 7));
    for known in [3..10, 3..5, 5..10, 9..10, 10..10] {
        assert_eq!(write(&lake, &lane, known).await.unwrap(), Written::default());
    }
    // Other boundaries: what is left is an object of its own.
    assert_eq!(write(&lake, &lane, 3..14).await.unwrap().records, 4);
    assert_eq!(write(&lake, &lane, 8..12).await.unwrap(), Written::default());
    // Who goes on where he ended need not look; who is late, and does not, leaves objects that overlap.
    assert_eq!(bronze::write(&lake, &lane, &records(14..16), Some(14)).await.unwrap().records, 2);
    assert_eq!(bronze::write(&lake, &lane, &records(8..12), Some(8)).await.unwrap().records, 4);
    // He that thinks to have ended elsewhere looks.
    assert_eq!(bronze::write(&lake, &lane, &records(14..16), Some(13)).await.unwrap(), Written::default());

    expect![[r#"
        bronze/epoch=1/topic=cdr-data/partition=2/00000000000000000009-00000000000000000003-7.jsonl.zst
        bronze/epoch=1/topic=cdr-data/partition=2/00000000000000000011-00000000000000000008-4.jsonl.zst
        bronze/epoch=1/topic=cdr-data/partition=2/00000000000000000013-00000000000000000010-4.jsonl.zst
        bronze/epoch=1/topic=cdr-data/partition=2/00000000000000000015-00000000000000000014-2.jsonl.zst"#]]
    .assert_eq(&keys(&lake).await.join("\n"));
    assert_eq!(segments(&lake, &lane, 0).await, [(3, 9), (8, 11), (10, 13), (14, 15)]);
    assert_eq!(segments(&lake, &lane, 9).await, [(3, 9), (8, 11), (10, 13), (14, 15)]);
    assert_eq!(segments(&lake, &lane, 10).await, [(8, 11), (10, 13), (14, 15)]);
    assert_eq!(segments(&lake, &lane, 12).await, [(10, 13), (14, 15)]);
    assert_eq!(segments(&lake, &lane, 16).await, []);
    let first_two = bronze::segments(&lake, &lane, 0, 2).await.unwrap();
    assert_eq!(first_two.iter().map(|segment| segment.last).collect::<Vec<_>>(), [9, 11]);
    assert_eq!(bronze::partitions(&lake, 1, "cdr-data").await.unwrap(), [2]);
    assert!(bronze::partitions(&lake, 1, "cdr").await.unwrap().is_empty());
}

#[tokio::test]
async fn names_say_nothing_of_time() {
    let lake = lake().await;
    let lane = lane("cdr-data", 11);
    let at = |offset, timestamp_ms| Record { timestamp_ms, ..record(offset) };
    let wild = [at(0, i64::MAX), at(1, -1), at(7, i64::MIN), at(9, 0)];
    bronze::write(&lake, &lane, &wild, None).await.unwrap();
    let found = bronze::segments(&lake, &lane, 0, usize::MAX).await.unwrap();
    assert_eq!(bronze::read(&lake, &found[0].key).await.unwrap(), wild);
    assert_eq!(keys(&lake).await, [found[0].key.clone()]);
}

#[tokio::test]
async fn a_topic_that_was_created_again_is_said() {
    let lake = lake().await;
    let lane = lane("cdr-data", 0);
    write(&lake, &lane, 5..8).await.unwrap();
    write(&lake, &lane, 8..11).await.unwrap();
    let other = |offsets| {
        let mut other = records(offsets);
        other.iter_mut().for_each(|record| record.timestamp_ms += 1);
        other
    };
    expect!["putting records of lane 1/cdr-data/0: the lake goes further, and has not this record at offset 5; the topic was created again: take a new STREAM_EPOCH; or its group was set back to before where the lake begins: set it to where it was"]
        .assert_eq(&bronze::write(&lake, &lane, &other(5..20), None).await.unwrap_err().to_string());
    // With fewer records than before, with more, and where the lake has none.
    for offsets in [0..1, 0..5, 0..7, 0..20, 5..6, 6..7, 10..11, 10..12] {
        let written = bronze::write(&lake, &lane, &other(offsets.clone()), None).await;
        assert!(!written.unwrap_err().is_transient(), "{offsets:?}");
    }
    assert_eq!(keys(&lake).await.len(), 2);
    // Beyond what the lake has, nobody can tell.
    bronze::write(&lake, &lane, &other(11..12), None).await.unwrap();
}

#[tokio::test]
async fn what_a_long_object_has_is_found_behind_shorter_ones() {
    let lake = lake().await;
    let lane = lane("cdr-data", 0);
    write(&lake, &lane, 0..30).await.unwrap();
    bronze::write(&lake, &lane, &records(8..20), Some(8)).await.unwrap();
    assert_eq!(write(&lake, &lane, 5..12).await.unwrap(), Written::default());
}

/// Puts records where versions before this one have put them.
async fn write_by_hour(lake: &Lake, lane: &Lane, offsets: Range<i64>, last_offset: Option<&str>) -> String {
    let records = records(offsets);
    let [first, ..] = &records[..] else { panic!("there are records") };
    let key = bronze::by_hour::key(lane, first.offset, first.timestamp_ms);
    // As they are written today: the lines are the same.
    let elsewhere = Lane { topic: "elsewhere".to_owned(), ..lane.clone() };
    bronze::write(lake, &elsewhere, &records, None).await.unwrap();
    let written = bronze::segments(lake, &elsewhere, first.offset, 1).await.unwrap();
    let bytes = lake.get_stream(&written[0].key).await.unwrap().into_bytes().await.unwrap();
    lake.delete(&written[0].key).await.unwrap();
    let kept: Vec<_> = last_offset.into_iter().map(|last| ("last-offset", last)).collect();
    lake.put_if_absent(&key, bytes, &kept).await.unwrap();
    key
}

#[tokio::test]
async fn objects_by_hour_are_still_read() {
    let lake = lake().await;
    let lane = lane("cdr-data", 0);
    assert!(!bronze::by_hour::is_there(&lake, 1, "cdr-data").await.unwrap());
    write(&lake, &lane, 10..12).await.unwrap();
    assert!(!bronze::by_hour::is_there(&lake, 1, "cdr-data").await.unwrap());
    let key = write_by_hour(&lake, &lane, 0..3, Some("2")).await;
    assert_eq!(key, "bronze/epoch=1/topic=cdr-data/date=2024-03-01/hour=10/partition=0/00000000000000000000.jsonl.zst");
    // What is kept with it was lost.
    write_by_hour(&lake, &lane, 7..10, None).await;
    for other in ["_SUCCESS", "partition=0/1.csv", "partition=x/1.jsonl.zst"] {
        let key = format!("bronze/epoch=1/topic=cdr-data/date=2024-03-01/hour=10/{other}");
        lake.put_if_absent(&key, Bytes::new(), &[]).await.unwrap();
    }
    assert!(bronze::by_hour::is_there(&lake, 1, "cdr-data").await.unwrap());
    let mut found = Vec::new();
    for object in bronze::by_hour::objects(&lake, 1, "cdr-data").try_collect::<Vec<_>>().await.unwrap() {
        found.push(object.look(&lake).await.unwrap());
    }
    let shown: Vec<_> = found.iter().map(|segment| (segment.first, segment.last)).collect();
    assert_eq!(shown, [(0, 2), (7, 9)]);
    assert_eq!(found[1].hour.unwrap().to_string(), "date=2024-03-01/hour=11");
    found.extend(bronze::segments(&lake, &lane, 0, usize::MAX).await.unwrap());
    let read: Vec<Record> = bronze::read_range(&lake, &found, 1..11).try_concat().await.unwrap();
    assert_eq!(read, [records(1..3), records(7..11)].concat());
    assert_eq!(bronze::partitions(&lake, 1, "cdr-data").await.unwrap(), [0]);
}

#[tokio::test]
async fn what_others_put_there_is_passed_and_what_is_broken_is_said() {
    let lake = lake().await;
    let lane = lane("cdr-data", 0);
    write(&lake, &lane, 0..3).await.unwrap();
    let topic = "bronze/epoch=1/topic=cdr-data";
    for other in ["_SUCCESS", "partition=0/1.csv", "partition=x/1.jsonl.zst", "partition=0/7.jsonl.zst"] {
        lake.put_if_absent(&format!("{topic}/{other}"), Bytes::new(), &[]).await.unwrap();
    }
    assert_eq!(segments(&lake, &lane, 0).await, [(0, 2)]);
    assert_eq!(bronze::partitions(&lake, 1, "cdr-data").await.unwrap(), [0]);
    let broken = format!("{topic}/partition=0/00000000000000000008-00000000000000000007-2.jsonl.zst");
    lake.put_if_absent(&broken, Bytes::from_static(b"no zstd"), &[]).await.unwrap();
    let error = bronze::read(&lake, &broken).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        format!("reading {broken}: Unknown frame descriptor; look at the object, and at who wrote it")
    );
    let gone = bronze::read(&lake, &broken.replace('8', "9")).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
}

/// What a mapping may hand over: batches of consecutive records, the next one or one from further back, again with other
/// boundaries, several at once.
#[derive(Debug, Clone)]
struct Delivery {
    back: i64,
    records: i64,
    /// A function that wakes up late writes this one beside the next.
    late: bool,
    /// Whether it looks what the lake has.
    does_look: bool,
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let delivery = (prop_oneof![3 => Just(0), 2 => 0..12_i64], 1..10_i64, any::<bool>(), any::<bool>());
    let delivery = delivery.prop_map(|(back, records, late, does_look)| Delivery { back, records, late, does_look });
    proptest::collection::vec(delivery, 1..12)
}

/// Compaction and control records: every fifth offset holds nothing.
fn log(offsets: Range<i64>) -> Vec<Record> {
    offsets.filter(|offset| offset % 5 != 4).map(record).collect()
}

async fn each_offset_is_read_once(lake: &Lake, topic: &str, deliveries: &[Delivery], asked: &Range<i64>) {
    let lane = lane(topic, 1);
    let mut end = 0;
    let mut late = Vec::new();
    for delivery in deliveries {
        let first = (end - delivery.back).max(0);
        let batch = log(first..first + delivery.records);
        end = end.max(first + delivery.records);
        if delivery.late {
            late.push(batch);
        } else {
            let now = late.drain(..).chain([batch]);
            let (lane, does_look) = (&lane, delivery.does_look);
            let write = |batch: Vec<Record>| async move {
                let ended = batch.first().filter(|_| !does_look).map(|first| first.offset);
                bronze::write(lake, lane, &batch, ended).await.unwrap()
            };
            futures::future::join_all(now.map(write)).await;
        }
    }
    for batch in late {
        bronze::write(lake, &lane, &batch, None).await.unwrap();
    }
    let segments = bronze::segments(lake, &lane, 0, usize::MAX).await.unwrap();
    // What reaches to an offset is all that a reader from there on needs.
    let reaching = bronze::segments(lake, &lane, asked.start, usize::MAX).await.unwrap();
    let from_there: Vec<Record> =
        bronze::read_range(lake, &reaching, asked.start..i64::MAX).try_concat().await.unwrap();
    assert_eq!(from_there, log(asked.start..end), "{asked:?} of {reaching:?}");
    for range in [0..end, asked.clone(), asked.start..end] {
        let read: Vec<Record> = bronze::read_range(lake, &segments, range.clone()).try_concat().await.unwrap();
        assert_eq!(read, log(range.start..range.end.min(end)), "{range:?} of {segments:?}");
    }
    // Each object is whole.
    for segment in &segments {
        let read = bronze::read(lake, &segment.key).await.unwrap();
        assert_eq!(read, log(segment.first..segment.last + 1));
    }
    let no_others = bronze::read_range(lake, &segments, end..i64::MAX).try_filter(|read| ready(!read.is_empty()));
    assert_eq!(no_others.try_collect::<Vec<_>>().await.unwrap(), Vec::<Vec<Record>>::new());
}

#[test]
fn any_deliveries_are_read_as_the_topic() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lake = runtime.block_on(lake());
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let asked = (0..40_i64, 0..40_i64).prop_map(|(from, len)| from..from + len);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&(deliveries(), asked), |(deliveries, asked)| {
            let topic = test_support::topic("t");
            runtime.block_on(each_offset_is_read_once(&lake, &topic, &deliveries, &asked));
            Ok(())
        })
        .unwrap();
}
