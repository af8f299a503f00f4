use std::time::Duration;

use embedded::{Broker, Data};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::survivors::{Victim, victims_folder};

const TOPIC: &str = "t";
const PATIENCE: Duration = Duration::from_secs(30);

fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

async fn create_topic(servers: &str) {
    let admin: AdminClient<_> = config(servers).create().unwrap();
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    let outcome = admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(PATIENCE))).await.unwrap();
    assert!(outcome.iter().all(Result::is_ok), "{outcome:?}");
}

fn producer(servers: &str) -> FutureProducer {
    config(servers).set("enable.idempotence", "true").set("linger.ms", "5").create().unwrap()
}

async fn produce(servers: &str, numbers: std::ops::Range<u32>) {
    let producer = producer(servers);
    let payloads: Vec<String> = numbers.map(|n| n.to_string()).collect();
    let sent = payloads.iter().map(|p| producer.send(FutureRecord::to(TOPIC).key("k").payload(p), PATIENCE));
    for outcome in futures::future::join_all(sent).await {
        outcome.map_err(|(error, _)| error).unwrap();
    }
}

/// The whole topic, read without a group; offsets must have no gap.
async fn read_all(servers: &str) -> Vec<u32> {
    let consumer: StreamConsumer = config(servers).set("group.id", "none").create().unwrap();
    let (start, end) = consumer.fetch_watermarks(TOPIC, 0, PATIENCE).unwrap();
    assert_eq!(start, 0);
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(TOPIC, 0, Offset::Offset(0)).unwrap();
    consumer.assign(&from).unwrap();
    let mut numbers = Vec::new();
    for offset in 0..end {
        let message = tokio::time::timeout(PATIENCE, consumer.recv()).await.expect("a record in time").unwrap();
        assert_eq!(message.offset(), offset);
        numbers.push(number(&message));
    }
    numbers
}

fn number(message: &impl Message) -> u32 {
    std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap()
}

/// Joins a group, takes `count` records, and commits after them.
async fn consume(servers: &str, count: usize) -> Vec<u32> {
    let consumer: StreamConsumer = config(servers)
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
async fn produces_consumes_and_lets_a_group_join() {
    let broker = Broker::start(Data::Temporary).await.unwrap();
    create_topic(&broker.bootstrap_servers).await;
    produce(&broker.bootstrap_servers, 0..100).await;
    assert_eq!(consume(&broker.bootstrap_servers, 60).await, (0..60).collect::<Vec<_>>());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_log_with_its_offsets_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = || Data::Kept(folder.path().join("broker"));
    let broker = Broker::start(data()).await.unwrap();
    create_topic(&broker.bootstrap_servers).await;
    produce(&broker.bootstrap_servers, 0..1000).await;
    assert_eq!(consume(&broker.bootstrap_servers, 400).await.len(), 400);
    broker.stop().await;

    let broker = Broker::start(data()).await.unwrap();
    produce(&broker.bootstrap_servers, 1000..1500).await;
    let rest = consume(&broker.bootstrap_servers, 1100).await;
    assert_eq!(rest, (400..1500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_brokers_have_ports_of_their_own() {
    let (a, b) = (Broker::start(Data::Temporary).await.unwrap(), Broker::start(Data::Temporary).await.unwrap());
    assert_ne!(a.bootstrap_servers, b.bootstrap_servers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_exactly_once_after_a_kill() {
    const ENOUGH: usize = 3000;
    if let Some(folder) = victims_folder() {
        let broker = Broker::start(Data::Kept(folder)).await.unwrap();
        println!("broker={}", broker.bootstrap_servers);
        return std::future::pending().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut victim = Victim::start("broker::what_was_acknowledged_is_there_exactly_once_after_a_kill", folder.path());
    let servers = victim.value("broker");
    create_topic(&servers).await;
    // Small batches, so that there are many transactions to be killed in.
    let producer: FutureProducer = config(&servers)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "50")
        .set("message.timeout.ms", "5000")
        .create()
        .unwrap();
    let mut victim = Some(victim);
    let mut waiting = std::collections::VecDeque::new();
    let mut acknowledged = 0;
    for n in 0u32.. {
        let payload = n.to_string();
        waiting.push_back(
            producer.send_result(FutureRecord::to(TOPIC).key("k").payload(&payload)).map_err(|e| e.0).unwrap(),
        );
        if waiting.len() < 500 {
            continue;
        }
        if waiting.pop_front().unwrap().await.unwrap().is_err() {
            break;
        }
        acknowledged += 1;
        if acknowledged >= ENOUGH
            && let Some(victim) = victim.take()
        {
            victim.kill_9();
        }
    }
    let broker = Broker::start(Data::Kept(folder.path().to_owned())).await.unwrap();
    let numbers = read_all(&broker.bootstrap_servers).await;
    assert!(numbers.len() >= acknowledged, "{} of {acknowledged} acknowledged records", numbers.len());
    assert!(numbers.iter().copied().eq(0..u32::try_from(numbers.len()).unwrap()), "{numbers:?}");
}

/// What a killed broker is asked to remember: numbers on its partitions, and how far a group is.
async fn work(servers: &str, from: u32, enough: usize, acknowledged: &mut Vec<u32>) -> i64 {
    let producer: FutureProducer = config(servers)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "20")
        .set("message.timeout.ms", "5000")
        .create()
        .unwrap();
    let consumer: BaseConsumer = config(servers).set("group.id", "g").create().unwrap();
    let mut committed = 0;
    for n in (from..).take(enough) {
        let (key, payload) = (n.to_string(), n.to_string());
        let sent = producer.send_result(FutureRecord::to(TOPIC).key(&key).payload(&payload)).map_err(|e| e.0).unwrap();
        if n % 10 == 0 {
            producer.flush(PATIENCE).unwrap();
            let mut position = TopicPartitionList::new();
            position.add_partition_offset(TOPIC, 0, Offset::Offset(i64::from(n))).unwrap();
            consumer.commit(&position, CommitMode::Sync).unwrap();
            committed = i64::from(n);
        }
        if n % 10 == 0 || n + 1 == from + u32::try_from(enough).unwrap() {
            sent.await.unwrap().unwrap();
            acknowledged.push(n);
        }
    }
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_after_kill_nothing_acknowledged_is_lost() {
    if let Some(folder) = victims_folder() {
        let broker = Broker::start(Data::Kept(folder)).await.unwrap();
        println!("broker={}", broker.bootstrap_servers);
        return std::future::pending().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut next) = (Vec::new(), 0);
    for enough in [1, 7, 60, 331, 11] {
        let mut victim = Victim::start("broker::kill_after_kill_nothing_acknowledged_is_lost", folder.path());
        let servers = victim.value("broker");
        if next == 0 {
            create_topic(&servers).await;
        }
        let committed = work(&servers, next, enough, &mut acknowledged).await;
        // More is under way when it dies.
        let busy = tokio::spawn(async move { produce_until_it_fails(&servers).await });
        victim.kill_9();
        busy.await.unwrap();
        next += u32::try_from(enough).unwrap();

        let broker = Broker::start(Data::Kept(folder.path().to_owned())).await.unwrap();
        let numbers = read_all(&broker.bootstrap_servers).await;
        assert!(acknowledged.iter().all(|n| numbers.iter().filter(|other| *other == n).count() == 1), "{numbers:?}");
        let consumer: BaseConsumer = config(&broker.bootstrap_servers).set("group.id", "g").create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(TOPIC, 0);
        let found = consumer.committed_offsets(asked, PATIENCE).unwrap().elements()[0].offset();
        assert!(found == Offset::Offset(committed) || committed == 0, "{found:?} instead of {committed}");
        broker.stop().await;
    }
}

/// Numbers that nobody counts, until the broker is gone.
async fn produce_until_it_fails(servers: &str) {
    let producer: FutureProducer =
        config(servers).set("batch.num.messages", "1000").set("message.timeout.ms", "1000").create().unwrap();
    let payload = u32::MAX.to_string();
    while producer.send(FutureRecord::to(TOPIC).key("k").payload(&payload), PATIENCE).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_that_is_not_known_is_named() {
    let error = Broker::start_with(Data::Temporary, &[("log.retention.mss", "1")]).await.unwrap_err().to_string();
    assert!(error.contains("log.retention.mss"), "{error}");
    let error = Broker::start_with(Data::Temporary, &[("num.partitions", "many")]).await.unwrap_err().to_string();
    assert!(error.contains("num.partitions=many"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_no_kafka_is_hung_up_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let broker = Broker::start(Data::Temporary).await.unwrap();
    for words in ["GET / HTTP/1.1\r\n\r\n", "\0\0\0\u{2}xx", "\0\0\0\u{8}\0\u{7f}\0\0\0\0\0\0"] {
        let mut stream = tokio::net::TcpStream::connect(&broker.bootstrap_servers).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end").unwrap();
        assert_eq!(answer, b"", "{words:?}");
    }
    create_topic(&broker.bootstrap_servers).await;
    broker.stop().await;
}
