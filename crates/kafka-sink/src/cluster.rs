//! What a cluster says of itself: its brokers and topics, how long these keep records, and what a group may do.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer as _;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::Config;
use crate::ends::left;
use crate::sink::Live;

/// One attempt to reach the cluster; short, because a thread waits for it.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Between two questions to a group whose coordinator is being chosen.
const PAUSE: Duration = Duration::from_millis(200);

/// A partition that no topic has.
const NO_PARTITION: i32 = i32::MAX;

/// Brokers that answer, and what they have.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// How many brokers there are.
    pub brokers: usize,
    /// The topics that this user may see, each with its number of partitions.
    pub topics: BTreeMap<String, usize>,
}

/// How long a topic keeps its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this are deleted; `None`: never for their age.
    pub age: Option<Duration>,
    /// A partition's oldest records are deleted above this; `None`: never for their size.
    pub partition_bytes: Option<u64>,
    /// Whether a record goes when another one with its key comes.
    pub is_compacted: bool,
}

impl Cluster {
    /// Asks the brokers until they answer, however long that takes or `within` this time; says in the log that it
    /// waits.
    ///
    /// # Errors
    /// When they refuse the user or the connection, or the time is up: with what stood in the way.
    pub async fn reach(config: &Config, within: Option<Duration>) -> anyhow::Result<Self> {
        // A producer, because its thread hears why a connection fails; an admin client's does not.
        let live = Live::start(&config.client(), config.brokers())?;
        let began = Instant::now();
        loop {
            let asked = Arc::clone(&live);
            let attempt = within.map_or(ATTEMPT, |within| ATTEMPT.min(within.saturating_sub(began.elapsed())));
            let ask = move || asked.producer().client().fetch_metadata(None, attempt);
            let error = match tokio::task::spawn_blocking(ask).await? {
                Ok(metadata) => {
                    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
                    let topics = topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect();
                    return Ok(Self { brokers: metadata.brokers().len(), topics });
                }
                Err(error) => error,
            };
            let complaint = live.deliveries().complaint(began.elapsed()).map_err(anyhow::Error::msg)?.text;
            let brokers = config.brokers();
            if let Some(within) = within.filter(|within| began.elapsed() >= *within) {
                let why = if complaint.is_empty() { error.to_string() } else { complaint };
                bail!("no Kafka broker answers at {brokers} within {} s: check KAFKA_BROKERS: {why}", within.as_secs());
            }
            tracing::warn!(kafka.brokers = brokers, %error, complaint, "Kafka does not answer; waiting for it");
        }
    }
}

/// How long these topics keep their records; `None` if this user may not know.
///
/// # Errors
/// When the cluster does not answer within this time.
pub async fn retention(
    config: &Config,
    topics: &[&str],
    within: Duration,
) -> anyhow::Result<BTreeMap<String, Option<Retention>>> {
    let mut told: BTreeMap<_, _> = topics.iter().map(|topic| ((*topic).to_owned(), None)).collect();
    if topics.is_empty() {
        return Ok(told);
    }
    let admin: AdminClient<DefaultClientContext> = config.client().create().context("the Kafka client can't start")?;
    let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(within));
    let answers = admin.describe_configs(&asked, &options).await.context("Kafka does not tell how topics are set")?;
    // The client's type has room for a refusal, and it never makes one: a refused topic is one without entries.
    for resource in answers.into_iter().flatten().filter(|resource| !resource.entries.is_empty()) {
        let OwnedResourceSpecifier::Topic(topic) = &resource.specifier else { continue };
        let value = |name| resource.get(name).and_then(|entry| entry.value.as_deref());
        let is = |policy| value("cleanup.policy").is_some_and(|all| all.split(',').any(|one| one.trim() == policy));
        // A topic that is only compacted deletes nothing for its age. Below zero means never.
        let limit = |name| value(name).filter(|_| is("delete")).and_then(|value| value.parse::<u64>().ok());
        let retention = Retention {
            age: limit("retention.ms").map(Duration::from_millis),
            partition_bytes: limit("retention.bytes"),
            is_compacted: is("compact"),
        };
        told.insert(topic.clone(), Some(retention));
    }
    Ok(told)
}

/// Whether this user may do what an event source mapping does with its group: see its offsets in the topic, read, and
/// commit. It sends an offset of a partition that the topic does not have. Brokers check the rights first, so the
/// answer says whether they would accept a commit, and nothing is changed.
///
/// # Errors
/// With the right that is missing, and when the cluster does not answer within this time.
pub async fn may_read(config: &Config, group: &str, topic: &str, within: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let (client, group_asked, topic_asked) = (config.client(), group.to_owned(), topic.to_owned());
        let ask = move || ask_to_commit(client, &group_asked, &topic_asked, deadline);
        match tokio::task::spawn_blocking(ask).await? {
            Ok(()) => return Ok(()),
            Err(error) if has_no_coordinator_yet(&error) && !left(deadline).is_zero() => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(refused(&error, group, topic)),
        }
    }
}

fn ask_to_commit(mut client: ClientConfig, group: &str, topic: &str, deadline: Instant) -> Result<(), KafkaError> {
    let consumer: BaseConsumer<Refusal> = client.set("group.id", group).create_with_context(Refusal::default())?;
    let list = |partition, offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, offset).map(|()| list)
    };
    loop {
        match consumer.committed_offsets(list(0, Offset::Invalid)?, ATTEMPT.min(left(deadline))) {
            Ok(_) => break,
            Err(error) if error.rdkafka_error_code() != Some(Code::OperationTimedOut) => return Err(error),
            // If the user may not see the group, only a side message says so, and the call keeps waiting for its
            // answer.
            Err(error) => {
                drop(consumer.poll(Duration::ZERO));
                let refusal = consumer.context().0.get().cloned();
                if refusal.is_some() || left(deadline).is_zero() {
                    return Err(refusal.unwrap_or(error));
                }
            }
        }
    }
    match consumer.commit(&list(NO_PARTITION, Offset::Offset(0))?, CommitMode::Sync) {
        // The partition does not exist; or the group has members, and this client is not one of them.
        Err(KafkaError::ConsumerCommit(
            Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::RebalanceInProgress,
        )) => Ok(()),
        done => done,
    }
}

/// Listens for the message that this user may not see the group.
#[derive(Default)]
struct Refusal(OnceLock<KafkaError>);

impl ConsumerContext for Refusal {}

impl ClientContext for Refusal {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(kafka.facility = facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = %error, reason, "librdkafka");
        if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) {
            self.0.get_or_init(|| error);
        }
    }
}

/// The broker that keeps the group's offsets is being chosen, or has not read them yet.
fn has_no_coordinator_yet(error: &KafkaError) -> bool {
    use Code::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    matches!(error.rdkafka_error_code(), Some(CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator))
}

fn refused(error: &KafkaError, group: &str, topic: &str) -> anyhow::Error {
    match error.rdkafka_error_code() {
        Some(Code::GroupAuthorizationFailed) => {
            anyhow::anyhow!("Kafka does not let this user read as group {group}: allow it Read on the group")
        }
        Some(Code::TopicAuthorizationFailed) => {
            anyhow::anyhow!("Kafka does not let this user read topic {topic}: allow it Describe and Read on the topic")
        }
        _ => anyhow::anyhow!("Kafka does not tell where group {group} stands in topic {topic}: {error}"),
    }
}
