//! What a cluster says of itself.

use kafka_sink::{Cluster, Retention, retention};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::*;
use test_support::eventually;

#[tokio::test]
async fn brokers_that_do_not_answer_are_waited_for_this_long() {
    let nobody = Config::plaintext("127.0.0.1:1");
    let error = Cluster::reach(&nobody, Some(Duration::from_secs(1))).await.unwrap_err().to_string();
    assert!(error.starts_with("no Kafka broker answers at 127.0.0.1:1 within 1 s: check KAFKA_BROKERS"), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn how_long_topics_keep_their_records() {
    for config in [config().await, Config::plaintext(&test_support::kafka().await.bootstrap_servers)] {
        let (short, compacted) = (test_support::topic("short"), test_support::topic("compacted"));
        let admin: AdminClient<DefaultClientContext> = config.client().create().unwrap();
        let new = |name| NewTopic::new(name, 2, TopicReplication::Fixed(1));
        let topics = [
            new(&short).set("retention.ms", "3600000").set("retention.bytes", "1000000"),
            new(&compacted).set("cleanup.policy", "compact"),
        ];
        for made in admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(PATIENCE))).await.unwrap()
        {
            made.unwrap();
        }
        // Of several brokers, those that were not asked hear of a new topic a moment later.
        eventually(PATIENCE, async || {
            let cluster = Cluster::reach(&config, Some(PATIENCE)).await.unwrap();
            cluster.brokers > 0 && cluster.topics.get(&short) == Some(&2) && cluster.topics.contains_key(&compacted)
        })
        .await;
        let missing = test_support::topic("missing");
        let told = retention(&config, &[&short, &compacted, &missing], PATIENCE).await.unwrap();
        let hour =
            Retention { age: Some(Duration::from_secs(3_600)), partition_bytes: Some(1_000_000), is_compacted: false };
        assert_eq!(told[&short], Some(hour));
        assert_eq!(told[&compacted], Some(Retention { age: None, partition_bytes: None, is_compacted: true }));
        assert_eq!(told[&missing], None);
    }
}
