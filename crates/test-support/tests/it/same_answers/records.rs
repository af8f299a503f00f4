//! Producing, fetching, and places in a log.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, FetchRequest, FetchResponse, InitProducerIdRequest, ListOffsetsRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, ProduceResponse,
};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use test_support::eventually;
use uuid::Uuid;

use super::admin::make;
use super::compare;
use super::wire::{Both, Side, name, topic_id};

/// A time of records that is not long ago: old ones go.
static THEN: LazyLock<i64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(since.as_millis()).expect("a time") / 1000 * 1000 - 3_600_000
});

/// A time of records that is long ago.
const LONG_AGO: i64 = 1_700_000_000_000;

/// From this version on Produce and Fetch name topics by their ids.
const IDS_SINCE: i16 = 13;

#[derive(Clone, Copy)]
struct Sender {
    id: i64,
    epoch: i16,
    sequence: i32,
}

const NOBODY: Sender = Sender { id: -1, epoch: -1, sequence: -1 };

/// A batch of records, each a second later than the one before.
fn batch(count: usize, timestamp: i64, sender: Sender) -> Bytes {
    let record = |index: usize| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: sender.id,
        producer_epoch: sender.epoch,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        sequence: if sender.id < 0 { index as i32 - 1 } else { sender.sequence + index as i32 },
        timestamp: timestamp + 1000 * index as i64,
        key: (!index.is_multiple_of(3)).then(|| Bytes::from(format!("key {index}"))),
        value: (index % 3 != 1).then(|| Bytes::from(format!("value {index}"))),
        headers: [("header".to_owned().into(), Some(Bytes::from_static(b"x")))].into_iter().collect(),
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("a batch");
    bytes.freeze()
}

/// Bytes of a batch changed, and its checksum with them.
fn changed(batch: &Bytes, at: usize, to: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// A topic as both know it.
#[derive(Clone)]
struct Topic {
    name: String,
    ids: Vec<(String, Uuid)>,
}

impl Topic {
    fn new(both: &mut Both, partitions: i32, configs: &[(&str, &str)]) -> Self {
        let name = make(both, partitions, configs);
        Self::named(both, &name)
    }

    fn named(both: &mut Both, name: &str) -> Self {
        let ids = [&mut both.ours, &mut both.kafka]
            .map(|side| (side.servers.clone(), topic_id(side, name).unwrap_or(Uuid::from_u128(4242))));
        Self { name: name.to_owned(), ids: ids.to_vec() }
    }

    fn id(&self, side: &Side) -> Uuid {
        self.ids.iter().find(|(servers, _)| *servers == side.servers).expect("a side").1
    }
}

fn produce(
    side: &Side,
    version: i16,
    topic: &Topic,
    partition: i32,
    acks: i16,
    records: Option<Bytes>,
) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(records);
    let data = TopicProduceData::default().with_partition_data(vec![data]);
    let data = match version {
        IDS_SINCE.. => data.with_topic_id(topic.id(side)),
        _ => data.with_name(name(&topic.name)),
    };
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}

/// Kafka tells of its leaders what it does not need to; and of what was refused sometimes more, sometimes less than we do.
fn without_leaders(answer: &mut ProduceResponse) {
    answer.node_endpoints.clear();
    let parts = answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
    for part in parts {
        part.current_leader = Default::default();
        if part.error_code != 0 {
            part.error_message = None;
            part.record_errors.clear();
            part.log_start_offset = -1;
        }
    }
}

fn produced(both: &mut Both, what: &str, version: i16, topic: &Topic, partition: i32, acks: i16, records: &Bytes) {
    let records = Some(records.clone());
    both.same_as(
        what,
        version,
        |side| produce(side, version, topic, partition, acks, records.clone()),
        without_leaders,
    );
}

#[tokio::test]
async fn records_are_taken_and_refused() {
    compare(|both| {
        for version in 3..=13 {
            let topic = Topic::new(both, 2, &[]);
            let good = batch(3, *THEN, NOBODY);
            for acks in [1, -1] {
                produced(both, "taken", version, &topic, 1, acks, &good);
            }
            produced(both, "without a leader's word", version, &topic, 1, 2, &good);
            produced(both, "of no partition", version, &topic, 2, 1, &good);
            let missing = Topic::named(both, "no-such");
            produced(both, "of no topic", version, &missing, 0, 1, &good);
            let mut torn = good.to_vec();
            torn[70] ^= 1;
            let codec = |codec| changed(&good, 22, &[codec]);
            for (what, bytes) in [
                ("nothing", Bytes::new()),
                ("a part of a header", good.slice(..40)),
                ("a part of a batch", good.slice(..80)),
                ("two batches", [good.to_vec(), good.to_vec()].concat().into()),
                ("an old format", changed(&good, 16, &[1])),
                ("a torn one", torn.into()),
                ("from offset 1", changed(&good, 0, &1_i64.to_be_bytes())),
                ("a control batch", codec(0b10_0000)),
                ("fewer records than it says", changed(&good, 57, &9_i32.to_be_bytes())),
                ("no records", changed(&good, 57, &0_i32.to_be_bytes())),
                ("from the future", batch(1, 33_000_000_000_000, NOBODY)),
            ] {
                produced(both, what, version, &topic, 0, 1, &bytes);
            }
            let small = Topic::new(both, 1, &[("max.message.bytes", "150")]);
            produced(both, "small enough", version, &small, 0, 1, &batch(1, *THEN, NOBODY));
            produced(both, "too large", version, &small, 0, 1, &batch(9, *THEN, NOBODY));
            let careful = Topic::new(both, 1, &[("min.insync.replicas", "2")]);
            produced(both, "with fewer replicas than it wants, which are all", version, &careful, 0, -1, &good);
            let recent = Topic::new(both, 1, &[("message.timestamp.before.max.ms", "1000")]);
            produced(both, "too old", version, &recent, 0, 1, &good);
        }
        // zstd is told from the others by the request's version.
        let topic = Topic::new(both, 1, &[]);
        produced(both, "zstd too early", 6, &topic, 0, 1, &changed(&batch(3, *THEN, NOBODY), 22, &[4]));
    })
    .await;
}

#[tokio::test]
async fn idempotent_producers() {
    compare(|both| {
        let topic = Topic::new(both, 1, &[]);
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let mut ids = Vec::new();
        for side in [&mut both.ours, &mut both.kafka] {
            let id = side.ask(0, &request).expect("an answer").producer_id.0;
            ids.push((side.servers.clone(), id));
        }
        let sent = |both: &mut Both, what: &str, count: usize, epoch: i16, sequence: i32| {
            let of = |side: &Side| {
                let id = ids.iter().find(|(servers, _)| *servers == side.servers).expect("a side").1;
                produce(side, 9, &topic, 0, -1, Some(batch(count, *THEN, Sender { id, epoch, sequence })))
            };
            both.same_as(what, 9, of, without_leaders);
        };
        for sequence in [0, 3, 6, 9, 12, 15] {
            sent(both, "in order", 3, 0, sequence);
        }
        for sequence in [3, 9, 15] {
            sent(both, "again", 3, 0, sequence);
        }
        sent(both, "too old to be known", 3, 0, 0);
        sent(both, "a gap", 3, 0, 21);
        sent(both, "an overlap", 3, 0, 17);
        sent(both, "a part of a known one", 2, 0, 15);
        sent(both, "in the next epoch, not from its beginning", 3, 1, 18);
        sent(both, "in the next epoch", 3, 1, 0);
        sent(both, "again there", 3, 1, 0);
        sent(both, "in the epoch before", 3, 0, 18);
        for (what, sequence) in [("of a producer that is not known", 77), ("its next", 79), ("not its next", 90)] {
            let records = batch(2, *THEN, Sender { id: 987_654, epoch: 3, sequence });
            produced(both, what, 9, &topic, 0, -1, &records);
        }
    })
    .await;
}

fn fetch(
    side: &Side,
    version: i16,
    topic: &Topic,
    parts: &[(i32, i64, i32)],
    bytes_max: i32,
    wait_ms: i32,
) -> FetchRequest {
    let part = |&(index, offset, bytes_max): &(i32, i64, i32)| {
        FetchPartition::default().with_partition(index).with_fetch_offset(offset).with_partition_max_bytes(bytes_max)
    };
    let asked = FetchTopic::default().with_partitions(parts.iter().map(part).collect());
    let asked = match version {
        IDS_SINCE.. => asked.with_topic_id(topic.id(side)),
        _ => asked.with_topic(name(&topic.name)),
    };
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(bytes_max)
        .with_session_epoch(if version >= 7 { -1 } else { 0 })
        .with_topics(vec![asked])
}

/// Kafka may cut the last batch off anywhere: what counts is the whole ones. And after an error it tells of no transactions in two
/// ways.
fn whole_batches(answer: &mut FetchResponse) {
    answer.node_endpoints.clear();
    for part in answer.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        part.current_leader = Default::default();
        if part.error_code != 0 {
            part.aborted_transactions = None;
        }
        let Some(records) = &mut part.records else { continue };
        let mut whole = 0;
        while let Some(length) = records.get(whole + 8..whole + 12) {
            let next = whole + 12 + u32::from_be_bytes(length.try_into().expect("four")) as usize;
            if next > records.len() {
                break;
            }
            whole = next;
        }
        records.truncate(whole);
    }
}

#[tokio::test]
async fn records_are_given() {
    compare(|both| {
        let topic = Topic::new(both, 3, &[]);
        for _ in 0..10 {
            produced(both, "taken", 9, &topic, 0, 1, &batch(3, *THEN, NOBODY));
        }
        produced(both, "taken", 9, &topic, 1, 1, &batch(20, *THEN, NOBODY));
        let missing = Topic::named(both, "no-such");
        const MUCH: i32 = 1 << 20;
        for version in 4..=18 {
            let mut given = |what: &str, topic: &Topic, parts: &[(i32, i64, i32)], bytes_max: i32| {
                both.same_as(what, version, |side| fetch(side, version, topic, parts, bytes_max, 0), whole_batches);
            };
            given("all", &topic, &[(0, 0, MUCH), (1, 0, MUCH), (2, 0, MUCH)], MUCH);
            given("from the middle of a batch", &topic, &[(0, 10, MUCH)], MUCH);
            given("a few bytes of each", &topic, &[(0, 0, 300), (1, 0, 300)], MUCH);
            given("one byte of each", &topic, &[(0, 0, 1), (1, 0, 1)], MUCH);
            given("few bytes of all", &topic, &[(0, 3, MUCH), (1, 0, MUCH)], 500);
            given("at the end", &topic, &[(0, 30, MUCH)], MUCH);
            given("behind the end", &topic, &[(0, 31, MUCH)], MUCH);
            given("before the beginning", &topic, &[(0, -1, MUCH)], MUCH);
            given("of no partition", &topic, &[(0, 0, MUCH), (7, 0, MUCH)], MUCH);
            given("of no topic", &missing, &[(0, 0, MUCH)], MUCH);
        }
        let unknown =
            |side: &Side| fetch(side, 11, &topic, &[(0, 0, MUCH)], MUCH, 0).with_session_id(77).with_session_epoch(5);
        both.same_as("of no session", 11, unknown, whole_batches);
        let committed = |side: &Side| fetch(side, 11, &topic, &[(0, 0, MUCH)], MUCH, 0).with_isolation_level(1);
        both.same_as("committed ones", 11, committed, whole_batches);
    })
    .await;
}

#[tokio::test]
async fn records_are_waited_for() {
    compare(|both| {
        let topic = Topic::new(both, 1, &[]);
        for (round, min_bytes) in (0..).zip([1, 500]) {
            let before = 10 * round;
            let waits = |side: &Side| {
                fetch(side, 11, &topic, &[(0, before, 1 << 20)], 1 << 20, 60_000).with_min_bytes(min_bytes)
            };
            let requests = [waits(&both.ours), waits(&both.kafka)];
            both.ours.send(11, &requests[0]);
            both.kafka.send(11, &requests[1]);
            // On other connections.
            let mut others = Both::new(&both.ours.servers.clone(), &both.kafka.servers.clone());
            for _ in 0..10 {
                produced(&mut others, "taken", 9, &topic, 0, 1, &batch(1, *THEN, NOBODY));
            }
            others.finish();
            for side in [&mut both.ours, &mut both.kafka] {
                let mut answer: FetchResponse = side.answer::<FetchRequest>(11).expect("records");
                whole_batches(&mut answer);
                let records = answer.responses[0].partitions[0].records.take().expect("records");
                assert!(records.len() >= min_bytes as usize, "{} bytes from {}", records.len(), side.servers);
            }
        }
        both.same_as(
            "nothing in time",
            11,
            |side| fetch(side, 11, &topic, &[(0, 20, 1 << 20)], 1 << 20, 50),
            whole_batches,
        );
    })
    .await;
}

#[tokio::test]
async fn places_in_a_log() {
    compare(|both| {
        let topic = Topic::new(both, 2, &[]);
        for n in [0, 5, 3, 20, 10] {
            produced(both, "taken", 9, &topic, 0, 1, &batch(3, *THEN + 1000 * n, NOBODY));
        }
        let list = |called: &str, partition: i32, timestamp: i64, epoch: i32| {
            let part = ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_timestamp(timestamp)
                .with_current_leader_epoch(epoch);
            let topic = ListOffsetsTopic::default().with_name(name(called)).with_partitions(vec![part]);
            ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
        };
        for version in 1..=10 {
            let mut found = |what: &str, called: &str, partition: i32, timestamp: i64| {
                both.same(what, version, |_| list(called, partition, timestamp, -1));
            };
            let specials: &[i64] = if version >= 8 {
                &[-1, -2, -3, -4]
            } else if version >= 7 {
                &[-1, -2, -3]
            } else {
                &[-1, -2]
            };
            for special in specials {
                found("a special place", &topic.name, 0, *special);
                found("a special place of nothing", &topic.name, 1, *special);
            }
            for seconds in [-1, 0, 1, 2, 3, 5, 6, 10, 20, 22, 23] {
                found("a time", &topic.name, 0, *THEN + 1000 * seconds);
                found("between times", &topic.name, 0, *THEN + 1000 * seconds + 500);
            }
            found("a time of nothing", &topic.name, 1, *THEN);
            found("of no partition", &topic.name, 2, -1);
            found("of no topic", "no-such", 0, -1);
        }
        for version in 2..=4 {
            let end = |called: &str, partition: i32, now: i32, epoch: i32| {
                let part = OffsetForLeaderPartition::default()
                    .with_partition(partition)
                    .with_current_leader_epoch(now)
                    .with_leader_epoch(epoch);
                let topic = OffsetForLeaderTopic::default().with_topic(name(called)).with_partitions(vec![part]);
                OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
            };
            both.same("an epoch's end", version, |_| end(&topic.name, 0, -1, 0));
            both.same("an epoch's end, now", version, |_| end(&topic.name, 0, 0, 0));
            both.same("of no epoch", version, |_| end(&topic.name, 0, 0, 5));
            both.same("in a later epoch", version, |_| end(&topic.name, 0, 5, 0));
            both.same("of no partition", version, |_| end(&topic.name, 5, 0, 0));
            both.same("of no topic", version, |_| end("no-such", 0, 0, 0));
        }
        for (version, upto) in [(0, 2), (1, 7), (2, 7)] {
            let delete = |called: &str, partition: i32, offset: i64| {
                let part = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
                let topic = DeleteRecordsTopic::default().with_name(name(called)).with_partitions(vec![part]);
                DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
            };
            both.same("deleted", version, |_| delete(&topic.name, 0, upto));
            both.same("less than is deleted", version, |_| delete(&topic.name, 0, 1));
            both.same("more than there is", version, |_| delete(&topic.name, 0, 16));
            both.same("of no partition", version, |_| delete(&topic.name, 9, 1));
            both.same("of no topic", version, |_| delete("no-such", 0, 1));
            both.same("the first", 7, |_| list(&topic.name, 0, -2, -1));
            both.same("the first since", 7, |_| list(&topic.name, 0, *THEN, -1));
            both.same_as(
                "what is left",
                11,
                |side| fetch(side, 11, &topic, &[(0, upto, 1 << 20)], 1 << 20, 0),
                whole_batches,
            );
            both.same_as(
                "what is gone",
                11,
                |side| fetch(side, 11, &topic, &[(0, 1, 1 << 20)], 1 << 20, 0),
                whole_batches,
            );
            both.same("all deleted", version, |_| delete(&topic.name, 1, -1));
        }
    })
    .await;
}

#[tokio::test]
async fn the_log_s_own_time() {
    compare(|both| {
        let topic = Topic::new(both, 1, &[("message.timestamp.type", "LogAppendTime")]);
        let request = |side: &Side| produce(side, 9, &topic, 0, 1, Some(batch(3, *THEN, NOBODY)));
        both.same_as("taken", 9, request, |answer| {
            without_leaders(answer);
            let part = &mut answer.responses[0].partition_responses[0];
            // It is now.
            part.log_append_time_ms = part.log_append_time_ms.signum();
        });
        // The checksums say that both have changed the batch alike, but for the time.
        both.same_as(
            "given",
            11,
            |side| fetch(side, 11, &topic, &[(0, 0, 1 << 20)], 1 << 20, 0),
            |answer| {
                whole_batches(answer);
                let records = answer.responses[0].partitions[0].records.take().expect("records");
                let crc = crc32c::crc32c(&records[21..]);
                assert_eq!(crc.to_be_bytes(), records[17..21]);
                let timeless = changed(&records, 35, &[0; 8]);
                answer.responses[0].partitions[0].records = Some(timeless);
            },
        );
    })
    .await;
}

#[tokio::test]
async fn old_records_go() {
    let [ours, kafka] = super::brokers().await;
    let called = tokio::task::spawn_blocking(move || {
        let mut both = Both::new(&ours, &kafka);
        let topic = Topic::new(&mut both, 1, &[("retention.ms", "1000")]);
        produced(&mut both, "taken", 9, &topic, 0, 1, &batch(3, LONG_AGO, NOBODY));
        both.finish();
        topic.name
    });
    let called = called.await.expect("no panic");
    for servers in super::brokers().await {
        eventually(Duration::from_secs(60), async || {
            let listed = test_support::kcat(&["-Q", "-b", &servers, "-t", &format!("{called}:0:-2")]).await;
            listed.trim().ends_with("offset 3")
        })
        .await;
    }
}
