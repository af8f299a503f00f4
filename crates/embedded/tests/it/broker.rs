use std::time::{Duration, Instant};

use embedded::{Broker, Data};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};

const TOPIC: &str = "t";
const PATIENCE: Duration = Duration::from_secs(30);

fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.bootstrap_servers);
    config
}

async fn create_topic(broker: &Broker) {
    let admin: AdminClient<_> = config(broker).create().unwrap();
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    let outcome = admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(PATIENCE))).await.unwrap();
    assert!(outcome.iter().all(Result::is_ok), "{outcome:?}");
}

fn producer(broker: &Broker) -> FutureProducer {
    config(broker).set("enable.idempotence", "true").set("linger.ms", "5").create().unwrap()
}

async fn produce(broker: &Broker, numbers: std::ops::Range<u32>) {
    let producer = producer(broker);
    let payloads: Vec<String> = numbers.map(|n| n.to_string()).collect();
    let sent = payloads.iter().map(|p| producer.send(FutureRecord::to(TOPIC).key("k").payload(p), PATIENCE));
    for outcome in futures::future::join_all(sent).await {
        outcome.map_err(|(error, _)| error).unwrap();
    }
}

fn number(message: &impl Message) -> u32 {
    std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap()
}

/// Joins a group, takes `count` records, and commits after them.
async fn consume(broker: &Broker, count: usize) -> Vec<u32> {
    let consumer: StreamConsumer = config(broker)
        .set("group.id", "g")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[TOPIC]).unwrap();
    let mut numbers = Vec::new();
    let mut next = 0;
    while numbers.len() < count {
        let message = tokio::time::timeout(PATIENCE, consumer.recv()).await.expect("a record in time").unwrap();
        numbers.push(number(&message));
        next = message.offset() + 1;
    }
    let mut position = TopicPartitionList::new();
    position.add_partition_offset(TOPIC, 0, Offset::Offset(next)).unwrap();
    consumer.commit(&position, CommitMode::Sync).unwrap();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn produces_consumes_and_lets_a_group_join_quickly() {
    let broker = Broker::start(Data::Temporary).await.unwrap();
    create_topic(&broker).await;
    produce(&broker, 0..100).await;
    let began = Instant::now();
    assert_eq!(consume(&broker, 60).await, (0..60).collect::<Vec<_>>());
    assert!(began.elapsed() < Duration::from_secs(3), "the first join took {:?}", began.elapsed());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_log_with_its_offsets_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = || Data::Kept(folder.path().join("broker"));
    let broker = Broker::start(data()).await.unwrap();
    create_topic(&broker).await;
    produce(&broker, 0..1000).await;
    assert_eq!(consume(&broker, 400).await.len(), 400);
    broker.stop().await;

    let broker = Broker::start(data()).await.unwrap();
    produce(&broker, 1000..1500).await;
    let rest = consume(&broker, 1100).await;
    assert_eq!(rest, (400..1500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_brokers_have_ports_of_their_own() {
    let (a, b) = (Broker::start(Data::Temporary).await.unwrap(), Broker::start(Data::Temporary).await.unwrap());
    assert_ne!(a.bootstrap_servers, b.bootstrap_servers);
}
