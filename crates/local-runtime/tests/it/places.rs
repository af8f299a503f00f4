//! Where a mapping goes on when its place is not there, and partitions that come, or are not led, while it runs.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use test_support::eventually;

use crate::fixture::{
    PATIENCE, Recorder, client_of, committed_on, create_on, kafka, mapping_template, produce_on, start_on, status,
};

const EVERYTHING: &str = "StartingPosition: TRIM_HORIZON, MaximumBatchingWindowInSeconds: 0";
const LATEST: &str = "StartingPosition: LATEST, MaximumBatchingWindowInSeconds: 0";

fn admin(client: &ClientConfig) -> AdminClient<DefaultClientContext> {
    client.create().unwrap()
}

/// Deletes what lies below these offsets, as retention does.
async fn delete_below(client: &ClientConfig, topic: &str, offsets: &[i64]) {
    let mut below = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        below.add_partition_offset(topic, partition, Offset::Offset(*offset)).unwrap();
    }
    admin(client).delete_records(&below, &AdminOptions::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_counted_and_the_rest_delivered() {
    let client = kafka().await;
    for position in [EVERYTHING, LATEST] {
        let topic = test_support::topic("retention");
        create_on(&client, &topic, 2, 3).await;
        produce_on(&client, &topic, 2, 100, 10).await;
        test_support::commit(client.clone(), &format!("g-{topic}"), &topic, &[Some(10), Some(60)]).await;
        delete_below(&client, &topic, &[50, 50]).await;
        let recorder = Recorder::default();
        let runtime = start_on(&client, &mapping_template(&topic, position), recorder.invoker(|_| true)).await;
        eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
        assert_eq!(status(&runtime).lost_offsets, 40);
        runtime.shutdown().await;
        assert_eq!(recorder.accepted(), [(0, (50..100).collect()), (1, (60..100).collect())].into(), "{position}");
        assert_eq!(committed_on(&client, &topic, 2).await, [Some(100); 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_behind_the_end_is_said_and_the_starting_position_taken() {
    let client = kafka().await;
    for (position, expected) in [(EVERYTHING, (0..12).collect::<Vec<i64>>()), (LATEST, vec![10, 11])] {
        let topic = test_support::topic("beyond");
        create_on(&client, &topic, 1, 3).await;
        produce_on(&client, &topic, 1, 10, 10).await;
        test_support::commit(client.clone(), &format!("g-{topic}"), &topic, &[Some(1_000)]).await;
        let recorder = Recorder::default();
        let runtime = start_on(&client, &mapping_template(&topic, position), recorder.invoker(|_| true)).await;
        // Nobody has to wait for a record to see where the group stands.
        eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(10)]).await;
        produce_on(&client, &topic, 1, 2, 10).await;
        eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(12)]).await;
        runtime.shutdown().await;
        assert_eq!(recorder.accepted()[&0], expected, "{position}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_partition_that_is_added_is_delivered() {
    let client = kafka().await;
    for position in [EVERYTHING, LATEST] {
        let topic = test_support::topic("added");
        create_on(&client, &topic, 1, 3).await;
        produce_on(&client, &topic, 1, 10, 10).await;
        let recorder = Recorder::default();
        let runtime = start_on(&client, &mapping_template(&topic, position), recorder.invoker(|_| true)).await;
        eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
        let more = NewPartitions::new(&topic, 3);
        for result in admin(&client).create_partitions([&more], &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
        // Before the mapping knows of them.
        produce_on(&client, &topic, 3, 20, 10).await;
        eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(30), Some(20), Some(20)]).await;
        runtime.shutdown().await;
        let first = if position == LATEST { 10 } else { 0 };
        let expected = [(0, (first..30).collect()), (1, (0..20).collect::<Vec<_>>()), (2, (0..20).collect())];
        assert_eq!(recorder.accepted(), expected.into(), "{position}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_keeps_no_other_waiting() {
    let kafka = test_support::kafka_of_its_own().await;
    let client = client_of(&kafka.bootstrap_servers);
    let topic = test_support::topic("leaderless");
    // Each partition has one replica, so that the broker takes it along.
    let apart =
        NewTopic::new(&topic, 3, TopicReplication::Variable(&[&[1], &[2], &[3]])).set("min.insync.replicas", "1");
    for result in admin(&client).create_topics([&apart], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    produce_on(&client, &topic, 3, 10, 10).await;
    kafka.kill_broker(3).await;
    let recorder = Recorder::default();
    let runtime = start_on(&client, &mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || recorder.accepted().values().map(Vec::len).sum::<usize>() == 20).await;
    assert_eq!(recorder.accepted().into_keys().collect::<Vec<_>>(), [0, 1]);
    kafka.start_broker(3).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(10); 3]).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted()[&2], (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_group_can_t_be_deleted_and_a_deleted_one_begins_anew() {
    let client = kafka().await;
    let topic = test_support::topic("group");
    let group = format!("g-{topic}");
    create_on(&client, &topic, 1, 3).await;
    produce_on(&client, &topic, 1, 5, 10).await;
    let recorder = Recorder::default();
    let template = mapping_template(&topic, EVERYTHING);
    let runtime = start_on(&client, &template, recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(5)]).await;
    let delete = async || {
        let results = admin(&client).delete_groups(&[&group], &AdminOptions::new()).await.unwrap();
        results.into_iter().all(|result| result.is_ok())
    };
    assert!(!delete().await);
    produce_on(&client, &topic, 1, 5, 10).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 1).await == [Some(10)]).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted()[&0], (0..10).collect::<Vec<_>>());

    eventually(PATIENCE, delete).await;
    let again = Recorder::default();
    let runtime = start_on(&client, &template, again.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).records == 10).await;
    runtime.shutdown().await;
    assert_eq!(again.accepted()[&0], (0..10).collect::<Vec<_>>());
}

/// A mapping whose partitions are all idle commits where it is, also at the end, from where it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_between_two_runs_at_latest_is_delivered() {
    let client = kafka().await;
    let topic = test_support::topic("idle");
    create_on(&client, &topic, 3, 3).await;
    produce_on(&client, &topic, 3, 7, 10).await;
    let recorder = Recorder::default();
    let template = mapping_template(&topic, LATEST);
    let runtime = start_on(&client, &template, recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(7); 3]).await;
    runtime.shutdown().await;
    produce_on(&client, &topic, 3, 3, 10).await;
    let runtime = start_on(&client, &template, recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(10); 3]).await;
    tokio::time::timeout(Duration::from_secs(10), runtime.shutdown()).await.unwrap();
    assert_eq!(recorder.accepted(), (0..3).map(|partition| (partition, vec![7, 8, 9])).collect());
}
