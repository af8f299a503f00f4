//! Mappings on a real cluster of three brokers: its encryption and login, and brokers that are lost.

use std::collections::BTreeMap;

use local_runtime::{MappingState, Options, Runtime};
use rdkafka::ClientConfig;
use test_support::{Kafka, eventually};

use crate::fixture::{PATIENCE, Recorder, committed_on, create_on, mapping_template, produce_on, status};

const EVERYTHING: &str = "StartingPosition: TRIM_HORIZON, BatchSize: 100, MaximumBatchingWindowInSeconds: 0";

fn plaintext(kafka: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &kafka.bootstrap_servers);
    client
}

/// What it takes to get in.
fn login(kafka: &Kafka) -> BTreeMap<String, String> {
    [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", &kafka.user),
        ("sasl.password", kafka.password.expose()),
        ("ssl.ca.location", kafka.ca_pem.to_str().unwrap()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

async fn start(topic: &str, recorder: &Recorder, brokers: &str, properties: BTreeMap<String, String>) -> Runtime {
    let options = Options { brokers: Some(brokers.to_owned()), kafka_properties: properties, ..Options::default() };
    Runtime::start(&mapping_template(topic, EVERYTHING), recorder.invoker(|_| true), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_reads_and_commits_over_sasl_and_tls() {
    let kafka = test_support::kafka().await;
    let client = plaintext(kafka);
    let topic = test_support::topic("secure");
    create_on(&client, &topic, 3, 3).await;
    produce_on(&client, &topic, 3, 500, 50).await;
    let recorder = Recorder::default();
    let runtime = start(&topic, &recorder, &kafka.sasl_bootstrap_servers, login(kafka)).await;
    eventually(PATIENCE, async || status(&runtime).records == 1_500).await;
    runtime.shutdown().await;
    for (partition, offsets) in recorder.accepted() {
        assert_eq!(offsets, (0..500).collect::<Vec<_>>(), "partition {partition}");
    }
    assert_eq!(committed_on(&client, &topic, 3).await, [Some(500); 3]);
}

/// A mapping that can't get in says why, and goes on trying.
async fn check(brokers: &str, properties: BTreeMap<String, String>, said: &str) {
    let runtime = start("t", &Recorder::default(), brokers, properties).await;
    let wanted = MappingState::Waiting(said.replace("BROKERS", brokers));
    tokio::select! {
        () = eventually(PATIENCE, async || status(&runtime).state == wanted) => {}
        () = tokio::time::sleep(PATIENCE / 2) => assert_eq!(status(&runtime).state, wanted),
    }
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_says_why() {
    let kafka = test_support::kafka().await;
    let with = |name: &str, value: &str| {
        let mut properties = login(kafka);
        properties.insert(name.to_owned(), value.to_owned());
        properties
    };
    let tls = &kafka.sasl_bootstrap_servers;
    tokio::join!(
        check(
            tls,
            with("sasl.password", "wrong"),
            "the Kafka brokers at BROKERS refuse the user or the password: check both; trying again",
        ),
        check(
            tls,
            with("ssl.ca.location", "probe"),
            "no TLS connection to the Kafka brokers at BROKERS: check the certificate authority, the hosts' names and that \
             this is the TLS port; trying again",
        ),
        check(
            &kafka.bootstrap_servers,
            login(kafka),
            "no TLS connection to the Kafka brokers at BROKERS: check the certificate authority, the hosts' names and that \
             this is the TLS port; trying again",
        ),
        check(
            tls,
            BTreeMap::new(),
            "the Kafka brokers at BROKERS hang up on a connection without TLS: do they ask for it? Trying again",
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_broker_and_rebalances_lose_nothing() {
    const RECORDS: i64 = 4_000;
    let kafka = test_support::kafka_of_its_own().await;
    let client = plaintext(&kafka);
    let topic = test_support::topic("lost");
    create_on(&client, &topic, 3, 3).await;
    produce_on(&client, &topic, 3, RECORDS as usize / 2, 50).await;
    let recorder = Recorder::default();
    let first = start(&topic, &recorder, &kafka.bootstrap_servers, BTreeMap::new()).await;
    eventually(PATIENCE, async || status(&first).records > 100).await;
    // It leads a partition, and perhaps coordinates the group.
    kafka.kill_broker(1).await;
    produce_on(&client, &topic, 3, RECORDS as usize / 2, 50).await;
    let second = start(&topic, &recorder, &kafka.bootstrap_servers, BTreeMap::new()).await;
    eventually(PATIENCE, async || !status(&second).partitions.is_empty()).await;
    kafka.start_broker(1).await;
    kafka.kill_broker(2).await;
    first.shutdown().await;
    eventually(PATIENCE, async || committed_on(&client, &topic, 3).await == [Some(RECORDS); 3]).await;
    second.shutdown().await;
    let seen = recorder.accepted();
    assert_eq!(seen.len(), 3);
    for (partition, mut offsets) in seen {
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets, (0..RECORDS).collect::<Vec<_>>(), "partition {partition}");
    }
}
