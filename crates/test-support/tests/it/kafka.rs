//! The real brokers, by a real client.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use test_support::Kafka;

/// Leadership moves some seconds after a broker is lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn plain(kafka: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &kafka.bootstrap_servers);
    client
}

fn sasl(kafka: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &kafka.sasl_bootstrap_servers)
        .set("security.protocol", "sasl_ssl")
        .set("sasl.mechanism", "SCRAM-SHA-512")
        .set("sasl.username", &kafka.user)
        .set("sasl.password", kafka.password.expose())
        .set("ssl.ca.location", kafka.ca_pem.to_str().unwrap());
    client
}

/// A fresh topic of one partition.
async fn make_topic(client: &ClientConfig) -> String {
    let topic = test_support::topic("t");
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let wanted = NewTopic::new(&topic, 1, TopicReplication::Fixed(3));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for outcome in admin.create_topics([&wanted], &options).await.unwrap() {
        outcome.unwrap();
    }
    topic
}

async fn produce(client: &ClientConfig, topic: &str, text: &str) {
    let producer: FutureProducer = client.clone().set("acks", "all").create().unwrap();
    producer.send(FutureRecord::<(), _>::to(topic).payload(text), PATIENCE).await.unwrap();
}

async fn consume(client: &ClientConfig, topic: &str) -> Vec<String> {
    test_support::records(client.clone(), topic).await.iter().map(|record| record.value_text().to_owned()).collect()
}

/// The leader and the in-sync replicas of the topic's partition.
fn replicas(client: &ClientConfig, topic: &str) -> (i32, Vec<i32>) {
    let consumer: BaseConsumer = client.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partition = &metadata.topics()[0].partitions()[0];
    let mut in_sync = partition.isr().to_vec();
    in_sync.sort_unstable();
    (partition.leader(), in_sync)
}

#[tokio::test]
async fn records_go_over_tls_with_a_login() {
    let kafka = test_support::kafka().await;
    let topic = make_topic(&sasl(kafka)).await;
    produce(&sasl(kafka), &topic, "over TLS").await;
    produce(&plain(kafka), &topic, "without").await;
    assert_eq!(consume(&sasl(kafka), &topic).await, ["over TLS", "without"]);
    let printed = test_support::kcat(&["-b", &kafka.bootstrap_servers, "-C", "-t", &topic, "-e", "-q"]).await;
    assert_eq!(printed, "over TLS\nwithout\n");
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let kafka = test_support::kafka().await;
    let client = sasl(kafka).set("sasl.password", "another").clone();
    let consumer: BaseConsumer = client.create().unwrap();
    assert!(consumer.fetch_metadata(None, Duration::from_secs(3)).is_err());
}

#[tokio::test]
async fn a_lost_leader_is_replaced_and_taken_in_again() {
    let kafka = test_support::kafka_of_its_own().await;
    let client = plain(&kafka);
    let topic = make_topic(&client).await;
    produce(&client, &topic, "before").await;
    let (first, in_sync) = replicas(&client, &topic);
    assert_eq!(in_sync, [1, 2, 3]);

    kafka.kill_broker(first as usize).await;
    test_support::eventually(PATIENCE, async || {
        let (leader, in_sync) = replicas(&client, &topic);
        leader != first && leader > 0 && in_sync.len() == 2
    })
    .await;
    produce(&client, &topic, "without it").await;

    kafka.start_broker(first as usize).await;
    test_support::eventually(PATIENCE, async || replicas(&client, &topic).1 == [1, 2, 3]).await;
    let (second, _) = replicas(&client, &topic);
    kafka.stop_broker(second as usize).await;
    produce(&client, &topic, "without another").await;
    assert_eq!(consume(&client, &topic).await, ["before", "without it", "without another"]);
}
