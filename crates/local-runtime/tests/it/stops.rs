//! Records that can't be delivered: their partitions stand still, the others go on.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Instant;

use local_runtime::{EventSource, Found, MappingState, Progress, SourceConfig, Stop, StopReason, look};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord};
use test_support::eventually;

use crate::fixture::{
    PATIENCE, Recorder, committed, committed_on, create_on, kafka, mapping_template, produce, produce_large,
    produce_on, start_on, status, topic,
};
use crate::mapping::{source, step_until};

const EVERYTHING: &str = "StartingPosition: TRIM_HORIZON, MaximumBatchingWindowInSeconds: 0";

fn stop_of(source: &EventSource, partition: usize) -> Option<Stop> {
    source.status().partitions.get(partition)?.stop.clone()
}

/// Steps until this holds.
fn step_till(source: &mut EventSource, holds: impl Fn(&EventSource) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(source) {
        if let Progress::Idle(until) = source.step() {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
        assert!(Instant::now() < deadline, "{:?}", source.status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_above_the_limit_stops_its_partition_and_no_other() {
    let topic = topic(2).await;
    produce(&topic, 2, 3, 10).await;
    produce(&topic, 1, 1, 10_000).await;
    produce(&topic, 2, 3, 10).await;
    let recorder = Recorder::default();
    let limited = SourceConfig { max_payload_bytes: 10_000, ..source(&topic).await };
    let (invoker, config) = (recorder.invoker(|_| true), limited.clone());
    let runtime = tokio::runtime::Handle::current();
    let drive = move || {
        let mut source = EventSource::open(config, invoker);
        // Three of the one and all of the other, in one batch or several.
        step_till(&mut source, |source| source.status().records == 9);
        let stop = stop_of(&source, 0).unwrap();
        assert_eq!((stop.offset, stop.next_offset), (3, 4));
        let StopReason::TooLarge { payload_bytes, limit_bytes: 10_000 } = stop.reason else { panic!("{stop:?}") };
        assert!((13_336..14_000).contains(&payload_bytes), "{payload_bytes}");
        assert_eq!((source.status().state, stop_of(&source, 1)), (MappingState::Running, None));
        assert_eq!(source.status().lag(), Some(4));
        assert_eq!(runtime.block_on(committed(&topic, 2)), [Some(3), Some(6)]);

        // Only this one is skipped.
        source.skip(0, 2);
        source.skip(1, 3);
        source.skip(0, 4);
        runtime.block_on(produce(&topic, 2, 1, 10));
        step_till(&mut source, |source| source.status().records == 10);
        assert!(stop_of(&source, 0).is_some());
        source.skip(0, 3);
        step_until(&mut source, Progress::Committed(4));
        assert_eq!((source.status().lag(), stop_of(&source, 0)), (Some(0), None));
        assert_eq!(runtime.block_on(committed(&topic, 2)), [Some(8), Some(7)]);
    };
    tokio::task::spawn_blocking(drive).await.unwrap();
    assert_eq!(recorder.accepted(), [(0, vec![0, 1, 2, 4, 5, 6, 7]), (1, (0..7).collect())].into());

    let found = |offset| {
        let limited = limited.clone();
        tokio::task::spawn_blocking(move || look(&limited, 0, offset).unwrap())
    };
    assert_eq!(found(2).await.unwrap(), Found::Record);
    assert_eq!(found(8).await.unwrap(), Found::Nothing);
    let Found::Undeliverable { reason: StopReason::TooLarge { .. }, next_offset: 4, value: Some(value) } =
        found(3).await.unwrap()
    else {
        panic!("not found")
    };
    assert_eq!(value, vec![b'v'; 10_000]);
}

/// A record at the end of its partition: skipping it leaves no lag.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_record_is_skipped_and_the_stop_outlives_a_restart() {
    let topic = topic(1).await;
    produce(&topic, 1, 2, 10).await;
    produce(&topic, 1, 1, 10_000).await;
    let recorder = Recorder::default();
    let config = SourceConfig { max_payload_bytes: 10_000, ..source(&topic).await };
    for is_skipped in [false, true] {
        let (invoker, config) = (recorder.invoker(|_| true), config.clone());
        let drive = move || {
            let mut source = EventSource::open(config, invoker);
            step_till(&mut source, |source| stop_of(source, 0).is_some() && source.status().lag() == Some(1));
            if is_skipped {
                source.skip(0, 2);
                step_till(&mut source, |source| source.status().lag() == Some(0));
            }
        };
        tokio::task::spawn_blocking(drive).await.unwrap();
        let expected = if is_skipped { 3 } else { 2 };
        assert_eq!(committed(&topic, 1).await, [Some(expected)]);
    }
    assert_eq!(recorder.accepted()[&0], [0, 1]);
}

/// A compressed record passes a broker's limit and is 6 MB all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_record_of_six_megabytes_stops_its_partition() {
    let client = kafka().await;
    let topic = test_support::topic("compressed");
    create_on(&client, &topic, 2, 3).await;
    produce_on(&client, &topic, 1, 1, 10).await;
    produce_large(&client, &topic, 0).await;
    let recorder = Recorder::default();
    let runtime = start_on(&client, &mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).partitions.iter().any(|found| found.stop.is_some())).await;
    produce_on(&client, &topic, 2, 5, 10).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 2).await == [Some(1), Some(5)]).await;
    runtime.mappings().skip(&topic, 0, 1);
    eventually(PATIENCE, async || committed_on(&client, &topic, 2).await == [Some(7), Some(5)]).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted(), [(0, vec![0, 2, 3, 4, 5, 6]), (1, (0..5).collect())].into());
}

/// The file of a partition's records on the only broker that has it.
fn log_file(topic: &str, partition: i32, broker: usize, folder: &std::path::Path) -> PathBuf {
    folder.join(format!("data-{broker}/{topic}-{partition}/00000000000000000000.log"))
}

/// Changes a byte in the first occurrence of `text`, or changes it back.
fn flip(path: &std::path::Path, text: &[u8]) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(text.len()).position(|window| window[1..] == text[1..]).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[bytes[at] ^ 1]).unwrap();
}

/// What a disk has spoiled is no record. A partition with it stands still until it is repaired, or skipped.
#[tokio::test(flavor = "multi_thread")]
async fn spoiled_bytes_stop_their_partition_until_they_are_repaired_or_skipped() {
    let cluster = test_support::kafka().await;
    let folder = cluster.ca_pem.parent().unwrap();
    let client = kafka().await;
    let topic = test_support::topic("spoiled");
    let admin: AdminClient<_> = client.create().unwrap();
    let apart =
        NewTopic::new(&topic, 3, TopicReplication::Variable(&[&[1], &[1], &[2]])).set("min.insync.replicas", "1");
    for result in admin.create_topics([&apart], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    // A batch of one record, one of four, one of one.
    for text in ["before", "spoiled", "behind"] {
        let producer: FutureProducer = client.clone().set("linger.ms", "100").create().unwrap();
        let count = if text == "spoiled" { 4 } else { 1 };
        let mut sent = Vec::new();
        for _ in 0..count {
            for partition in 0..3 {
                sent.push(
                    producer.send_result(FutureRecord::<str, str>::to(&topic).partition(partition).payload(text)),
                );
            }
        }
        for delivery in sent {
            delivery.unwrap().await.unwrap().unwrap();
        }
    }
    for partition in 0..2 {
        flip(&log_file(&topic, partition, 1, folder), b"spoiled");
    }
    let recorder = Recorder::default();
    let runtime = start_on(&client, &mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(1), Some(1), Some(6)]).await;
    eventually(PATIENCE, async || status(&runtime).partitions.iter().filter(|found| found.stop.is_some()).count() == 2)
        .await;
    for found in &status(&runtime).partitions[..2] {
        let stop = found.stop.as_ref().unwrap();
        assert_eq!((stop.offset, stop.next_offset), (1, 5), "{stop:?}");
        assert!(matches!(&stop.reason, StopReason::Unreadable { detail } if !detail.is_empty()), "{stop:?}");
    }
    runtime.mappings().skip(&topic, 1, 1);
    eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(1), Some(6), Some(6)]).await;
    flip(&log_file(&topic, 0, 1, folder), b"spoiled");
    eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(6); 3]).await;
    assert_eq!(status(&runtime).lag(), Some(0));
    runtime.shutdown().await;
    let all: Vec<i64> = (0..6).collect();
    assert_eq!(recorder.accepted(), [(0, all.clone()), (1, vec![0, 5]), (2, all)].into());
}
