//! The sink against a broker.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod admin;
mod down;
mod lag;
mod lost_brokers;
mod order;
// Needs OpenSSL; `make test` builds with it.
#[cfg(feature = "tls")]
mod secure;

use std::time::{Duration, Instant};

use kafka_sink::{Config, Sink};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

async fn config() -> Config {
    Config::plaintext(test_support::broker().await)
}

/// A sink, and a topic with three partitions.
async fn sink(topic: &str) -> (Sink, String) {
    let config = config().await;
    let topic = test_support::topic(topic);
    kafka_sink::admin::create_topics(&config, &[(&topic, 3)]).await.unwrap();
    (Sink::new(&config).unwrap(), topic)
}

/// All values of each partition.
async fn read(topic: &str) -> Vec<Vec<String>> {
    read_from(&config().await, topic).await
}

/// The same from another cluster.
async fn read_from(config: &Config, topic: &str) -> Vec<Vec<String>> {
    let client = config.client();
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = { client }.set("group.id", "reader").create().unwrap();
        let mut from = TopicPartitionList::new();
        let mut missing = 0;
        for partition in 0..3 {
            from.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
            let asked = Instant::now();
            missing += loop {
                match consumer.fetch_watermarks(&topic, partition, PATIENCE) {
                    Ok((_, end)) => break end,
                    Err(error) => assert!(asked.elapsed() < PATIENCE, "{error}"),
                }
            };
        }
        consumer.assign(&from).unwrap();
        let mut values = vec![Vec::new(); 3];
        let began = Instant::now();
        while missing > 0 {
            assert!(began.elapsed() < PATIENCE, "{missing} messages did not come");
            // It may return early: with nothing, or with the news that a broker is gone, from which the client recovers.
            if let Some(Ok(message)) = consumer.poll(PATIENCE) {
                let value = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
                values[usize::try_from(message.partition()).unwrap()].push(value);
                missing -= 1;
            }
        }
        values
    })
    .await
    .unwrap()
}
