//! Where what can be read of a topic begins and ends.

use kafka_sink::Extent;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;

async fn extents(config: &Config, topic: &str) -> Vec<(i64, i64)> {
    let mut extents = kafka_sink::extents(config, topic, PATIENCE).await.unwrap();
    extents.sort_unstable_by_key(|extent| extent.partition);
    assert!(extents.iter().map(|extent| extent.partition).eq(0..extents.len() as i32));
    extents.into_iter().map(|Extent { begin, end, .. }| (begin, end)).collect()
}

async fn check(config: &Config) {
    let topic = test_support::topic("ends");
    kafka_sink::admin::create_topics(config, &[(&topic, 2)]).await.unwrap();
    assert_eq!(extents(config, &topic).await, [(0, 0), (0, 0)]);
    let sink = Sink::new(config).unwrap();
    let mut session = sink.session().unwrap();
    for n in 0..40 {
        session.send(&topic, b"one key, one partition", format!("{n}").as_bytes()).await.unwrap();
    }
    session.flush(None).await.unwrap();
    let mut extents = extents(config, &topic).await;
    extents.sort_unstable();
    assert_eq!(extents, [(0, 0), (0, 40)]);
}

#[tokio::test]
async fn a_topic_ends_behind_its_last_record() {
    check(&config().await).await;
}

#[tokio::test]
async fn a_topic_of_kafka_does_too() {
    check(&Config::plaintext(&test_support::kafka().await.bootstrap_servers)).await;
}

#[tokio::test]
async fn an_unknown_topic_is_said() {
    let error = kafka_sink::extents(&config().await, "no-such-topic", PATIENCE).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "there is no topic no-such-topic");
}

/// Behind the last record that can be read there are marks, records that were taken back, and many of them.
#[tokio::test]
async fn the_marks_of_transactions_are_no_records() {
    let config = Config::plaintext(&test_support::kafka().await.bootstrap_servers);
    let topic = test_support::topic("transactions");
    kafka_sink::admin::create_topics(&config, &[(&topic, 1)]).await.unwrap();
    let topic_of_task = topic.clone();
    let client = config.client();
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = client.clone().set("transactional.id", &topic_of_task).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        let send = |records: usize| {
            producer.begin_transaction().unwrap();
            for _ in 0..records {
                producer.send(BaseRecord::<(), _>::to(&topic_of_task).payload("a call")).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
        };
        // Offsets 0 to 2, and a mark.
        send(3);
        producer.commit_transaction(PATIENCE).unwrap();
        for _ in 0..20 {
            send(5);
            producer.abort_transaction(PATIENCE).unwrap();
        }
    })
    .await
    .unwrap();
    assert_eq!(extents(&config, &topic).await, [(0, 3)]);
}
