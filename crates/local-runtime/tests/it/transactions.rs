//! Offsets that hold no record: a transaction's marks, what it wrote before it was aborted, what was compacted away.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use test_support::eventually;

use crate::fixture::{
    PATIENCE, Recorder, committed_on, create_on, kafka, mapping_template, produce_on, start_on, status,
};

const EVERYTHING: &str = "StartingPosition: TRIM_HORIZON, MaximumBatchingWindowInSeconds: 0";

/// A transaction with so many records for each partition.
async fn transaction(client: &ClientConfig, topic: &str, partitions: i32, records: usize, commits: bool) {
    let mut client = client.clone();
    client.set("transactional.id", format!("{topic}-{commits}"));
    let topic = topic.to_owned();
    let run = move || {
        let producer: BaseProducer = client.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for _ in 0..records {
            for partition in 0..partitions {
                let record = BaseRecord::<str, str>::to(&topic).partition(partition).payload("in a transaction");
                producer.send(record).unwrap();
            }
        }
        producer.flush(PATIENCE).unwrap();
        let end = if commits { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) };
        end.unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

/// Where the partitions end, whatever lies before that.
async fn ends(client: &ClientConfig, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let (client, topic) = (client.clone(), topic.to_owned());
    let ask = move || {
        let consumer: BaseConsumer = client.create().unwrap();
        let end = |partition| consumer.fetch_watermarks(&topic, partition, PATIENCE).unwrap().1;
        (0..partitions).map(|partition| Some(end(partition))).collect()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_and_aborted_records_are_no_records_and_no_lag() {
    let client = kafka().await;
    let topic = test_support::topic("transactions");
    create_on(&client, &topic, 2, 3).await;
    produce_on(&client, &topic, 2, 5, 10).await;
    transaction(&client, &topic, 2, 3, false).await;
    transaction(&client, &topic, 2, 4, true).await;
    transaction(&client, &topic, 2, 2, false).await;
    let recorder = Recorder::default();
    let runtime = start_on(&client, &mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    // 5, 3 aborted and a mark, 4 and a mark, 2 aborted and a mark.
    let delivered: Vec<i64> = (0..5).chain(9..13).collect();
    eventually(PATIENCE, async || committed_on(&client, &topic, 2).await == [Some(17); 2]).await;
    assert_eq!(ends(&client, &topic, 2).await, [Some(17); 2]);
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    assert_eq!(recorder.accepted(), [(0, delivered.clone()), (1, delivered)].into());

    // And when it has been idle.
    transaction(&client, &topic, 2, 3, false).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 2).await == [Some(21); 2]).await;
    produce_on(&client, &topic, 2, 1, 10).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 2).await == [Some(22); 2]).await;
    assert_eq!((status(&runtime).records, status(&runtime).lost_offsets), (20, 0));
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_holds_nothing_but_an_aborted_transaction_is_read() {
    let client = kafka().await;
    let topic = test_support::topic("aborted");
    create_on(&client, &topic, 1, 3).await;
    transaction(&client, &topic, 1, 1, false).await;
    let recorder = Recorder::default();
    let runtime = start_on(&client, &mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(2)]).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    runtime.shutdown().await;
    assert_eq!(recorder.seen().len(), 0);
}

/// Nobody looks at what a transaction has written before it ends, and nobody waits for it as for lag.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_waited_for_quietly() {
    let client = kafka().await;
    let topic = test_support::topic("open");
    create_on(&client, &topic, 1, 3).await;
    produce_on(&client, &topic, 1, 2, 10).await;
    let mut transactional = client.clone();
    transactional.set("transactional.id", &topic);
    let open = {
        let topic = topic.clone();
        move || {
            let producer: BaseProducer = transactional.create().unwrap();
            producer.init_transactions(PATIENCE).unwrap();
            producer.begin_transaction().unwrap();
            producer.send(BaseRecord::<str, str>::to(&topic).partition(0).payload("open")).unwrap();
            producer.flush(PATIENCE).unwrap();
            producer
        }
    };
    let producer = tokio::task::spawn_blocking(open).await.unwrap();
    produce_on(&client, &topic, 1, 3, 10).await;
    let recorder = Recorder::default();
    let runtime = start_on(&client, &mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(2)]).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    assert_eq!(recorder.accepted()[&0], [0, 1]);
    tokio::task::spawn_blocking(move || producer.commit_transaction(PATIENCE)).await.unwrap().unwrap();
    eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(7)]).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted()[&0], (0..6).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_records_are_passed() {
    const RECORDS: usize = 40;
    let client = kafka().await;
    let topic = test_support::topic("compacted");
    let admin: AdminClient<_> = client.create().unwrap();
    let compacted = NewTopic::new(&topic, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("segment.ms", "50")
        .set("min.insync.replicas", "1");
    for result in admin.create_topics([&compacted], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    // All have one key, so that of each segment that was closed only the last record may stay.
    let closed_by_time = Duration::from_millis(60);
    for _ in 0..4 {
        produce_on(&client, &topic, 1, RECORDS / 4, 10).await;
        tokio::time::sleep(closed_by_time).await;
    }
    let is_compacted = async || offsets_of(&client, &topic).await.len() < RECORDS;
    eventually(PATIENCE, is_compacted).await;
    let recorder = Recorder::default();
    let runtime = start_on(&client, &mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    let end = i64::try_from(RECORDS).unwrap();
    eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(end)]).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    assert_eq!(status(&runtime).lost_offsets, 0);
    runtime.shutdown().await;
    let offsets = recorder.accepted().remove(&0).unwrap();
    assert!(offsets.len() < RECORDS && offsets.last() == Some(&(end - 1)), "{offsets:?}");
}

/// The offsets of the topic's only partition that can be read now.
async fn offsets_of(client: &ClientConfig, topic: &str) -> Vec<i64> {
    let (mut client, topic) = (client.clone(), topic.to_owned());
    client.set("group.id", "offsets").set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    client.set("enable.auto.commit", "false");
    let read = move || {
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut offsets = Vec::new();
        loop {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => offsets.push(message.offset()),
                Some(Err(KafkaError::PartitionEOF(_))) => return offsets,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}
