//! A topic that is deleted and created again under a running mapping.

use std::collections::BTreeMap;
use std::time::Duration;

use local_runtime::Runtime;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::producer::{FutureProducer, FutureRecord};
use test_support::{eventually, eventually_or};

use crate::fixture::{
    PATIENCE, Recorder, committed_on, create_on, embedded, kafka, mapping_template, start_on, status,
};

/// `count` records to each partition, whose values name the topic's generation.
async fn produce(client: &ClientConfig, topic: &str, partitions: i32, generation: char, count: usize) {
    let producer: FutureProducer = client.clone().set("linger.ms", "5").create().unwrap();
    let mut sent = Vec::new();
    for number in 0..count {
        for partition in 0..partitions {
            let value = format!("{generation}{number}");
            let record = FutureRecord::<str, str>::to(topic).partition(partition).payload(&value);
            sent.push(producer.send_result(record).unwrap());
        }
    }
    for delivery in futures::future::join_all(sent).await {
        delivery.unwrap().unwrap();
    }
}

async fn delete(client: &ClientConfig, topic: &str) {
    let admin: AdminClient<_> = client.create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    for result in admin.delete_topics(&[topic], &options).await.unwrap() {
        result.unwrap();
    }
}

/// Per partition the offsets of this generation's records that the function has accepted, each once.
fn delivered(recorder: &Recorder, generation: char) -> BTreeMap<i64, Vec<i64>> {
    let mut offsets: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (partition, offset, value) in recorder.accepted_values() {
        if value.starts_with(generation) {
            offsets.entry(partition).or_default().push(offset);
        }
    }
    for offsets in offsets.values_mut() {
        offsets.sort_unstable();
        offsets.dedup();
    }
    offsets
}

fn all(partitions: i32, count: usize) -> BTreeMap<i64, Vec<i64>> {
    (0..partitions.into()).map(|partition| (partition, (0..i64::try_from(count).unwrap()).collect())).collect()
}

/// All of this generation's records are delivered; else shows what was, and what the mapping said.
async fn await_all(
    runtime: &Runtime,
    recorder: &Recorder,
    topic: &str,
    generation: char,
    all: BTreeMap<i64, Vec<i64>>,
) {
    let instead = || {
        let log = test_support::log().text();
        let said: Vec<_> = log.lines().filter(|line| line.contains(topic)).collect();
        let delivered = delivered(recorder, generation);
        format!("{generation}: {delivered:?} instead of {all:?}, {:#?}\n{}", status(runtime), said.join("\n"))
    };
    eventually_or(PATIENCE, async || delivered(recorder, generation) == all, instead).await;
}

struct Case {
    partitions: (i32, i32),
    records: (usize, usize),
    pause: Duration,
    start: &'static str,
}

/// Everything of both topics is delivered, and the group stands at the new one's end.
async fn check(client: ClientConfig, replicas: i32, case: Case) {
    let Case { partitions, records, pause, start } = case;
    let topic = test_support::topic("again");
    test_support::log();
    create_on(&client, &topic, partitions.0, replicas).await;
    let recorder = Recorder::default();
    let properties = format!("StartingPosition: {start}, MaximumBatchingWindowInSeconds: 0");
    let runtime = start_on(&client, &mapping_template(&topic, &properties), recorder.invoker(|_| true)).await;
    // LATEST begins where it is known to begin.
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    produce(&client, &topic, partitions.0, 'a', records.0).await;
    await_all(&runtime, &recorder, &topic, 'a', all(partitions.0, records.0)).await;

    delete(&client, &topic).await;
    tokio::time::sleep(pause).await;
    create_on(&client, &topic, partitions.1, replicas).await;
    produce(&client, &topic, partitions.1, 'b', records.1).await;
    await_all(&runtime, &recorder, &topic, 'b', all(partitions.1, records.1)).await;
    let end = Some(i64::try_from(records.1).unwrap());
    let ends = vec![end; usize::try_from(partitions.1).unwrap()];
    eventually(PATIENCE, async || committed_on(&client, &topic, partitions.1).await == ends).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    runtime.shutdown().await;
}

const AT_ONCE: Duration = Duration::ZERO;
/// Longer than the client's look at the topics takes.
const LATER: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_topic_that_is_made_again_is_delivered() {
    let case = |partitions, records, pause, start| Case { partitions, records, pause, start };
    tokio::join!(
        check(kafka().await, 3, case((1, 1), (100, 10), AT_ONCE, "TRIM_HORIZON")),
        check(kafka().await, 3, case((3, 3), (10, 100), LATER, "TRIM_HORIZON")),
        check(kafka().await, 3, case((3, 1), (20, 20), AT_ONCE, "LATEST")),
        check(kafka().await, 3, case((1, 3), (20, 40), AT_ONCE, "TRIM_HORIZON")),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_broker_s_topics_too() {
    let case = |partitions, records, pause, start| Case { partitions, records, pause, start };
    tokio::join!(
        check(embedded().await, 1, case((1, 1), (100, 10), AT_ONCE, "TRIM_HORIZON")),
        check(embedded().await, 1, case((3, 3), (10, 100), AT_ONCE, "LATEST")),
        check(embedded().await, 1, case((1, 3), (20, 20), LATER, "TRIM_HORIZON")),
    );
}
