//! The sink against a broker.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod admin;
mod cluster;
mod down;
mod ends;
mod lag;
mod lost_brokers;
mod order;
mod place;
// Needs OpenSSL; `make test` builds with it.
#[cfg(feature = "tls")]
mod secure;

use std::time::Duration;

use kafka_sink::{Config, Sink};

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
    let mut values = vec![Vec::new(); 3];
    for record in test_support::records(config.client(), topic).await {
        values[usize::try_from(record.partition).unwrap()].push(record.value_text().to_owned());
    }
    values
}
