//! The topics of an installation.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use crate::{Cluster, Config};

/// How long the cluster may take to create topics, until every broker knows them.
const CREATION: Duration = Duration::from_secs(30);

/// The replicas of a topic, if there are that many brokers.
const REPLICAS: i32 = 3;
const ENOUGH_BROKERS: usize = 3;

/// Creates the topics that don't exist: three replicas if there are three brokers, else one. Waits for a cluster that
/// does not answer, and says so in the log. Topics that exist stay as they are.
///
/// # Errors
/// When the cluster refuses the user or the connection, or a topic exists with another number of partitions: rows are
/// kept by partition, so that needs a new stream epoch, not a silent change.
pub async fn create_topics(config: &Config, topics: &[(&str, i32)]) -> anyhow::Result<()> {
    let cluster = Cluster::reach(config, None).await?;
    for &(name, partitions) in topics {
        if let Some(found) = cluster.topics.get(name)
            && usize::try_from(partitions) != Ok(*found)
        {
            bail!(
                "topic {name} exists with {found} partitions instead of {partitions}: delete it, or begin a new STREAM_EPOCH with other topics"
            );
        }
    }
    create_missing(config, &cluster, topics).await
}

/// The same for topics that may have any number of partitions: those that exist stay as they are, whoever made them.
///
/// # Errors
/// When the cluster refuses the user, the connection or a topic.
pub async fn create_missing_topics(config: &Config, topics: &[(&str, i32)]) -> anyhow::Result<()> {
    let cluster = Cluster::reach(config, None).await?;
    create_missing(config, &cluster, topics).await
}

async fn create_missing(config: &Config, cluster: &Cluster, topics: &[(&str, i32)]) -> anyhow::Result<()> {
    let replicas = if cluster.brokers >= ENOUGH_BROKERS { REPLICAS } else { 1 };
    let missing: Vec<_> = topics
        .iter()
        .filter(|(name, _)| !cluster.topics.contains_key(*name))
        .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(replicas)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = config.client().create().context("the Kafka client can't start")?;
    let options = AdminOptions::new().operation_timeout(Some(CREATION)).request_timeout(Some(CREATION));
    for result in admin.create_topics(&missing, &options).await.context("Kafka did not create the topics")? {
        match result {
            // Another client created it first.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)) => {
                bail!("Kafka does not let this user create topic {topic}: allow it, or create the topic")
            }
            Err((topic, code)) => bail!("Kafka did not create topic {topic}: {code}"),
        }
    }
    Ok(())
}
