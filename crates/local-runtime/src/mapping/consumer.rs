//! The Kafka consumer of a mapping: its settings, and what it hears from its client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use super::SourceConfig;
use super::hearsay::end_of_partition;
use super::status::Shared;

/// Records that wait inside the client, per mapping: two full payloads and a little.
const QUEUED_KBYTES: &str = "16384";
/// One fetch; a record above it still comes, alone.
const FETCH_MAX_BYTES: &str = "8388608";
/// When those limits are reached, fetching goes on after this time; the default of a second would be a stall.
const FETCH_BACKOFF_MS: &str = "20";
/// A killed runtime's partitions are free again after this time; brokers take no less by default.
const SESSION_TIMEOUT_MS: &str = "6000";
/// A topic or partition that is created later is seen after this time.
const METADATA_REFRESH_MS: &str = "2000";
/// How often the ends of partitions are heard of.
const STATISTICS_MS: &str = "1000";

pub(super) type KafkaConsumer = BaseConsumer<Context>;

/// What happened to the mapping's partitions, in order.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// What the client calls back.
pub(super) struct Context {
    topic: String,
    poller: Thread,
    shared: Arc<Shared>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    changes: Vec<Change>,
    complaint: String,
    end: Option<i64>,
}

impl Context {
    fn new(source: &SourceConfig, shared: Arc<Shared>, poller: Thread) -> Self {
        Self { topic: source.mapping.topic.clone(), poller, shared, heard: Mutex::default() }
    }

    /// The client's own words for the last error that it reported; `poll` brings only the error's code.
    pub(super) fn complaint(&self) -> String {
        self.heard().complaint.clone()
    }

    pub(super) fn has_complaint(&self) -> bool {
        !self.heard().complaint.is_empty()
    }

    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.heard().changes)
    }

    /// The offset at which `poll` has just found the end of a partition.
    pub(super) fn take_end(&self) -> Option<i64> {
        self.heard().end.take()
    }

    fn complain(&self, reason: &str) {
        reason.clone_into(&mut self.heard().complaint);
    }

    fn push(&self, change: Change) {
        self.heard().changes.push(change);
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Every writer leaves a whole value behind.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consumer that has subscribed and wakes the calling thread, its only user, when something is there.
pub(super) fn open(source: &SourceConfig, shared: Arc<Shared>) -> KafkaResult<KafkaConsumer> {
    let mapping = &source.mapping;
    let poller = std::thread::current();
    let mut config = client(source);
    config
        // A revocation takes all partitions, so that an assignment is always a fresh beginning.
        .set("partition.assignment.strategy", "range,roundrobin")
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("heartbeat.interval.ms", "1500")
        .set("queued.max.messages.kbytes", QUEUED_KBYTES)
        .set("fetch.max.bytes", FETCH_MAX_BYTES)
        .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS)
        .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS)
        .set("topic.metadata.propagation.max.ms", METADATA_REFRESH_MS)
        .set("statistics.interval.ms", STATISTICS_MS);
    let mut consumer: KafkaConsumer = config.create_with_context(Context::new(source, shared, poller.clone()))?;
    consumer.set_nonempty_callback(move || poller.unpark());
    consumer.subscribe(&[&mapping.topic])?;
    Ok(consumer)
}

/// What every client of a mapping has in common: it reads what is committed and sound, commits only what it is told to,
/// and never chooses by itself where to go on.
pub(super) fn client(source: &SourceConfig) -> ClientConfig {
    let mapping = &source.mapping;
    let mut config = ClientConfig::new();
    for (name, value) in &source.properties {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", &source.brokers)
        .set("group.id", &mapping.group)
        .set("client.id", format!("local-runtime {}", mapping.function))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        // Bytes that a disk has spoiled are an error, not a record.
        .set("check.crcs", "true")
        .set("reconnect.backoff.max.ms", "2000")
        // Up to the line that says that a broker has hung up.
        .set_log_level(RDKafkaLogLevel::Info);
    config
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error of `poll` too.
        tracing::debug!(kafka.topic = %self.topic, kafka.facility = facility, "{message}");
        // That a broker has hung up comes in no other way.
        if facility == "FAIL" {
            self.complain(message);
        }
        // The poll that brought this reports nothing, though records may be behind it.
        self.poller.unpark();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => self.heard().end = end_of_partition(reason),
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                tracing::debug!(kafka.topic = %self.topic, %error, "{reason}");
            }
            _ => {
                tracing::debug!(kafka.topic = %self.topic, %error, "{reason}");
                self.complain(reason);
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(topic) = statistics.topics.get(&self.topic) {
            let ends: BTreeMap<_, _> = topic
                .partitions
                .values()
                .filter(|partition| partition.ls_offset >= 0)
                .map(|partition| (partition.partition, partition.ls_offset))
                .collect();
            let leaderless = topic.partitions.values().filter(|partition| partition.desired && partition.leader < 0);
            self.shared.heard(&ends, leaderless.map(|partition| partition.partition).collect());
        }
        self.poller.unpark();
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let ids = partitions.elements().iter().map(|element| element.partition()).collect();
        let outcome = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.push(Change::Assigned(ids));
            // Nothing is fetched before it is known where each partition begins.
            consumer.assign(&TopicPartitionList::new())
        } else {
            self.push(Change::Revoked(ids));
            // A pause outlives the assignment: a partition that came back would stand still for ever.
            let resumed = consumer.resume(partitions);
            consumer.unassign().and(resumed)
        };
        if let Err(error) = outcome {
            tracing::warn!(kafka.topic = %self.topic, %error, "a rebalance failed; the group tries again");
        }
        self.poller.unpark();
    }
}
