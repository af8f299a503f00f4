//! The topics of an installation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;

use crate::Config;
use crate::sink::Live;

/// One attempt to reach the cluster; short, because a thread waits for it.
const ATTEMPT: Duration = Duration::from_secs(3);

/// How long the cluster may take to create topics, until every broker knows them.
const CREATION: Duration = Duration::from_secs(30);

/// The replicas of a topic where there are as many brokers.
const REPLICAS: i32 = 3;

/// Creates the topics that don't exist: three replicas where there are three brokers, else one. Waits for a cluster
/// that does not answer, and says so in the log. Topics that exist stay as they are.
///
/// # Errors
/// When the cluster refuses the user or the connection, or a topic exists with another number of partitions: rows are kept by partition, so that
/// needs a new stream epoch, not a silent change.
pub async fn create_topics(config: &Config, topics: &[(&str, i32)]) -> anyhow::Result<()> {
    let client = config.client();
    let cluster = cluster(config, &client).await?;
    for &(name, partitions) in topics {
        if let Some((_, found)) = cluster.1.iter().find(|(topic, _)| topic == name)
            && *found != partitions
        {
            bail!(
                "topic {name} exists with {found} partitions instead of {partitions}: delete it, or begin a new STREAM_EPOCH with other topics"
            );
        }
    }
    create_missing(&client, cluster, topics).await
}

/// The same for topics that may have any number of partitions: those that exist stay as they are, whoever made them.
///
/// # Errors
/// When the cluster refuses the user, the connection or a topic.
pub async fn create_missing_topics(config: &Config, topics: &[(&str, i32)]) -> anyhow::Result<()> {
    let client = config.client();
    let cluster = cluster(config, &client).await?;
    create_missing(&client, cluster, topics).await
}

async fn create_missing(
    client: &ClientConfig,
    (brokers, existing): Cluster,
    topics: &[(&str, i32)],
) -> anyhow::Result<()> {
    let replicas = if brokers >= REPLICAS { REPLICAS } else { 1 };
    let missing: Vec<_> = topics
        .iter()
        .filter(|(name, _)| !existing.iter().any(|(topic, _)| topic == name))
        .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(replicas)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = client.create().context("the Kafka client can't start")?;
    let options = AdminOptions::new().operation_timeout(Some(CREATION)).request_timeout(Some(CREATION));
    for result in admin.create_topics(&missing, &options).await.context("Kafka did not create the topics")? {
        match result {
            // Somebody else was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)) => {
                bail!("Kafka does not let this user create topic {topic}: allow it, or create the topic")
            }
            Err((topic, code)) => bail!("Kafka did not create topic {topic}: {code}"),
        }
    }
    Ok(())
}

/// The number of brokers, and each topic with its number of partitions.
type Cluster = (i32, Vec<(String, i32)>);

async fn cluster(config: &Config, client: &ClientConfig) -> anyhow::Result<Cluster> {
    // A producer, because its thread hears why a connection fails; an admin client's does not.
    let live = Live::start(client, config.brokers())?;
    let began = Instant::now();
    let metadata = loop {
        let asked = Arc::clone(&live);
        let attempt = move || asked.producer().client().fetch_metadata(None, ATTEMPT);
        let error = match tokio::task::spawn_blocking(attempt).await? {
            Ok(metadata) => break metadata,
            Err(error) => error,
        };
        let complaint = live.deliveries().complaint(began.elapsed()).map_err(anyhow::Error::msg)?.text;
        tracing::warn!(kafka.brokers = config.brokers(), %error, complaint, "Kafka does not answer; waiting for it");
    };
    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Ok((
        i32::try_from(metadata.brokers().len()).unwrap_or(i32::MAX),
        topics
            .map(|topic| (topic.name().to_owned(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)))
            .collect(),
    ))
}
