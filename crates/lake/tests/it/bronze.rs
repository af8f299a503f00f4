//! Bronze: what is written, by any batches in any order, is read once.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Range;

use bytes::Bytes;
use expect_test::expect;
use futures::TryStreamExt;
use lake::bronze::{self, Hour, Lane, Record, Written};
use lake::{Error, Lake};
use proptest::prelude::*;

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
        headers: vec![("n".to_owned(), None)],
    }
}

fn records(offsets: Range<i64>) -> Vec<Record> {
    offsets.map(record).collect()
}

async fn write(lake: &Lake, lane: &Lane, offsets: Range<i64>) -> Result<Written, Error> {
    bronze::write(lake, lane, &records(offsets)).await
}

/// `first–last` of what a listing finds.
async fn segments(lake: &Lake, topic: &str, since: Option<Hour>, known: &[&str]) -> BTreeMap<i32, Vec<(i64, i64)>> {
    let found = bronze::segments(lake, 1, topic, since, |key| known.contains(&key)).await.unwrap();
    let ranges =
        |segments: Vec<bronze::Segment>| segments.iter().map(|segment| (segment.first, segment.last)).collect();
    found.into_iter().map(|(partition, segments)| (partition, ranges(segments))).collect()
}

#[tokio::test]
async fn a_batch_is_written_once() {
    let lake = lake().await;
    let lane = lane("cdr-data", 2);
    let first = write(&lake, &lane, 3..10).await.unwrap();
    assert_eq!((first.objects, first.records), (1, 7));
    for known in [3..10, 3..5, 10..10] {
        assert_eq!(write(&lake, &lane, known).await.unwrap(), Written::default());
    }
    // Other boundaries: what is left is an object of its own.
    assert_eq!(write(&lake, &lane, 3..14).await.unwrap().records, 4);
    // It begins where no object does, so it overlaps.
    assert_eq!(write(&lake, &lane, 8..12).await.unwrap().records, 4);

    let keys: Vec<_> = lake.list("").map_ok(|listed| listed.key).try_collect().await.unwrap();
    expect![[r#"
        bronze/epoch=1/topic=cdr-data/date=2024-03-01/hour=10/partition=2/00000000000000000003.jsonl.zst
        bronze/epoch=1/topic=cdr-data/date=2024-03-01/hour=11/partition=2/00000000000000000008.jsonl.zst
        bronze/epoch=1/topic=cdr-data/date=2024-03-01/hour=11/partition=2/00000000000000000010.jsonl.zst"#]]
    .assert_eq(&keys.join("\n"));
    let all = BTreeMap::from([(2, vec![(3, 9), (8, 11), (10, 13)])]);
    assert_eq!(segments(&lake, "cdr-data", None, &[]).await, all);
    let eleven = Hour::of(TEN_O_CLOCK_MS + 3_600_000);
    let late = BTreeMap::from([(2, vec![(8, 11), (10, 13)])]);
    assert_eq!(segments(&lake, "cdr-data", Some(eleven), &[]).await, late);
    let unknown = BTreeMap::from([(2, vec![(8, 11)])]);
    assert_eq!(segments(&lake, "cdr-data", None, &[&keys[0], &keys[2]]).await, unknown);
    assert!(segments(&lake, "cdr", None, &[]).await.is_empty());
}

#[tokio::test]
async fn a_topic_that_was_created_again_is_said() {
    let lake = lake().await;
    let lane = lane("cdr-data", 0);
    write(&lake, &lane, 0..3).await.unwrap();
    let mut again = records(0..5);
    again.iter_mut().for_each(|record| record.timestamp_ms += 1);
    expect!["putting records of lane 1/cdr-data/0: bronze/epoch=1/topic=cdr-data/date=2024-03-01/hour=10/partition=0/00000000000000000000.jsonl.zst has another record at offset 0; the topic was created again: take a new STREAM_EPOCH"]
        .assert_eq(&bronze::write(&lake, &lane, &again).await.unwrap_err().to_string());
    // In another hour it has another name.
    again.iter_mut().for_each(|record| record.timestamp_ms += 3_600_000);
    bronze::write(&lake, &lane, &again).await.unwrap();
    let error = bronze::segments(&lake, 1, "cdr-data", None, |_| false).await.unwrap_err();
    assert!(error.to_string().ends_with("the topic was created again: take a new STREAM_EPOCH"), "{error}");
}

#[tokio::test]
async fn objects_that_lost_their_metadata_are_read_instead() {
    let lake = lake().await;
    let lane = lane("cdr-data", 0);
    write(&lake, &lane, 0..3).await.unwrap();
    let listed: Vec<_> = lake.list("").try_collect().await.unwrap();
    let key = &listed[0].key;
    let bytes = lake.get_stream(key).await.unwrap().into_bytes().await.unwrap();
    lake.delete(key).await.unwrap();
    lake.put_if_absent(key, bytes, &[]).await.unwrap();
    assert_eq!(write(&lake, &lane, 0..5).await.unwrap().records, 2);
    assert_eq!(segments(&lake, "cdr-data", None, &[]).await, BTreeMap::from([(0, vec![(0, 2), (3, 4)])]));
}

#[tokio::test]
async fn what_others_put_there_is_passed_and_what_is_broken_is_said() {
    let lake = lake().await;
    write(&lake, &lane("cdr-data", 0), 0..3).await.unwrap();
    let hour = "bronze/epoch=1/topic=cdr-data/date=2024-03-01/hour=10";
    for other in ["_SUCCESS", "partition=0/1.csv", "partition=x/1.jsonl.zst"] {
        lake.put_if_absent(&format!("{hour}/{other}"), Bytes::new(), &[]).await.unwrap();
    }
    assert_eq!(segments(&lake, "cdr-data", None, &[]).await, BTreeMap::from([(0, vec![(0, 2)])]));
    let broken = format!("{hour}/partition=0/00000000000000000007.jsonl.zst");
    lake.put_if_absent(&broken, Bytes::from_static(b"no zstd"), &[("last-offset", "8")]).await.unwrap();
    let error = bronze::read(&lake, &broken).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        format!("reading {broken}: Unknown frame descriptor; look at the object, and at who wrote it")
    );
    let gone = bronze::read(&lake, &broken.replace('7', "9")).await.unwrap_err();
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
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let delivery = (prop_oneof![3 => Just(0), 2 => 0..12_i64], 1..10_i64, any::<bool>());
    proptest::collection::vec(delivery.prop_map(|(back, records, late)| Delivery { back, records, late }), 1..12)
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
            let lane = &lane;
            futures::future::join_all(now.map(|batch| async move { bronze::write(lake, lane, &batch).await.unwrap() }))
                .await;
        }
    }
    for batch in late {
        bronze::write(lake, &lane, &batch).await.unwrap();
    }
    let mut found = bronze::segments(lake, 1, topic, None, |_| false).await.unwrap();
    let segments = found.remove(&1).unwrap_or_default();
    assert!(found.is_empty());
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
