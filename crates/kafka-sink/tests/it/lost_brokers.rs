//! Brokers that are lost while records are on their way, on a real cluster of three.

use std::time::Duration;

use kafka_sink::admin::create_topics;
use kafka_sink::{Config, Session, Sink, SinkError};

use crate::read_from;

/// Until the cluster has noticed that a broker is gone or back, and moved what it led.
const PATIENCE: Duration = Duration::from_secs(90);

/// Sends the numbers, each with one of 17 keys.
async fn send(session: &mut Session, topic: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        session.send(topic, (number % 17).to_string().as_bytes(), number.to_string().as_bytes()).await.unwrap();
    }
}

/// Every number has arrived once, and each partition has them in the order of sending.
async fn arrived(config: &Config, topic: &str, count: usize) {
    let partitions = read_from(config, topic).await;
    let mut all: Vec<usize> = Vec::new();
    for values in partitions {
        let values: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
        assert!(values.is_sorted());
        all.extend(values);
    }
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lost_broker_and_then_a_lost_majority_lose_repeat_and_reorder_nothing() {
    let kafka = test_support::kafka_of_its_own().await;
    let config = Config::plaintext(&kafka.bootstrap_servers);
    let topic = test_support::topic("lost");
    // Three partitions on three brokers: each leads one.
    create_topics(&config, &[(&topic, 3)]).await.unwrap();
    let sink = Sink::new(&config).unwrap();
    let mut session = sink.session().unwrap();

    send(&mut session, &topic, 0..20_000).await;
    kafka.kill_broker(1).await;
    send(&mut session, &topic, 20_000..40_000).await;
    session.flush(Some(PATIENCE)).await.unwrap();
    arrived(&config, &topic, 40_000).await;

    // One is left: fewer than the two that must have a record before it is acknowledged.
    kafka.kill_broker(2).await;
    send(&mut session, &topic, 40_000..41_000).await;
    let late = session.flush(Some(Duration::from_secs(3))).await;
    assert!(matches!(late, Err(SinkError::NotInTime { waiting: 1.. })), "{late:?}");
    tokio::join!(kafka.start_broker(1), kafka.start_broker(2));
    session.flush(Some(PATIENCE)).await.unwrap();
    arrived(&config, &topic, 41_000).await;
}
