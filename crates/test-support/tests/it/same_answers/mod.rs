//! The embedded broker beside Kafka itself: the same calls, the same answers.

mod admin;
mod clients;
mod groups;
mod records;
mod wire;

use embedded::{Broker, Data};
use test_support::LoneKafka;
use tokio::sync::OnceCell;

/// What both are started with.
const PROPERTIES: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "true"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.retention.check.interval.ms", "500"),
    ("num.partitions", "2"),
];

/// This process's two brokers, by their addresses: ours, and Kafka's.
async fn brokers() -> [String; 2] {
    static BROKERS: OnceCell<(Broker, LoneKafka)> = OnceCell::const_new();
    let start = async || {
        let ours = Broker::start_with(Data::Temporary, PROPERTIES).await.expect("our broker");
        let kafka = test_support::lone_kafka(PROPERTIES).await;
        let servers = kafka.bootstrap_servers.clone();
        tokio::task::spawn_blocking(move || wire::wait_for_groups(&servers)).await.expect("groups");
        (ours, kafka)
    };
    let (ours, kafka) = BROKERS.get_or_init(start).await;
    [ours.bootstrap_servers.clone(), kafka.bootstrap_servers.clone()]
}

/// Compares them on a thread that may block.
async fn compare(scenario: impl FnOnce(&mut wire::Both) + Send + 'static) {
    let [ours, kafka] = brokers().await;
    let compared = tokio::task::spawn_blocking(move || {
        let mut both = wire::Both::new(&ours, &kafka);
        scenario(&mut both);
        both.finish();
    });
    if let Err(failed) = compared.await {
        std::panic::resume_unwind(failed.into_panic());
    }
}
