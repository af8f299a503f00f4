//! The Kafka consumer of a mapping: its settings, where it begins, and what it is told about its partitions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::SourceConfig;
use super::status::{PartitionStatus, Shared};
use crate::template::StartingPosition;

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
/// A question to the broker inside a rebalance.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) type KafkaConsumer = BaseConsumer<Context>;

/// What happened to the mapping's partitions, in order.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Assigned(Vec<PartitionStatus>),
    Revoked(Vec<i32>),
}

/// What the client calls back.
pub(super) struct Context {
    topic: String,
    start: StartingPosition,
    poller: Thread,
    shared: Arc<Shared>,
    changes: Mutex<Vec<Change>>,
    complaint: Mutex<String>,
}

impl Context {
    /// The client's own words for the last error that it reported; `poll` brings only the error's code.
    pub(super) fn complaint(&self) -> String {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn has_complaint(&self) -> bool {
        !self.complaint.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn complain(&self, reason: &str) {
        reason.clone_into(&mut self.complaint.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn push(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

/// A consumer that has subscribed and wakes the calling thread, its only user, when something is there.
pub(super) fn open(source: &SourceConfig, shared: Arc<Shared>) -> KafkaResult<KafkaConsumer> {
    let mapping = &source.mapping;
    let poller = std::thread::current();
    let mut config = ClientConfig::new();
    for (name, value) in &source.properties {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", &source.brokers)
        .set("group.id", &mapping.group)
        .set("client.id", format!("local-runtime {}", mapping.function))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Also where a group goes on whose committed offset has been deleted.
        .set("auto.offset.reset", if mapping.start == StartingPosition::Latest { "latest" } else { "earliest" })
        // A revocation takes all partitions, so that an assignment is always a fresh beginning.
        .set("partition.assignment.strategy", "range,roundrobin")
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("heartbeat.interval.ms", "1500")
        .set("queued.max.messages.kbytes", QUEUED_KBYTES)
        .set("fetch.max.bytes", FETCH_MAX_BYTES)
        .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS)
        .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS)
        .set("topic.metadata.propagation.max.ms", METADATA_REFRESH_MS)
        .set("reconnect.backoff.max.ms", "2000")
        .set("statistics.interval.ms", STATISTICS_MS)
        // Up to the line that says that a broker has hung up.
        .set_log_level(RDKafkaLogLevel::Info);
    let context = Context {
        topic: mapping.topic.clone(),
        start: mapping.start,
        poller: poller.clone(),
        shared,
        changes: Mutex::default(),
        complaint: Mutex::default(),
    };
    let mut consumer: KafkaConsumer = config.create_with_context(context)?;
    consumer.set_nonempty_callback(move || poller.unpark());
    consumer.subscribe(&[&mapping.topic])?;
    Ok(consumer)
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error of `poll` too.
        tracing::debug!(kafka.topic = %self.topic, kafka.facility = facility, "{message}");
        // That a broker has hung up comes in no other way.
        if facility == "FAIL" {
            self.complain(message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(kafka.topic = %self.topic, %error, "{reason}");
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.complain(reason);
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(topic) = statistics.topics.get(&self.topic) {
            let ends: BTreeMap<_, _> = topic
                .partitions
                .values()
                .filter(|partition| partition.hi_offset >= 0)
                .map(|partition| (partition.partition, partition.hi_offset))
                .collect();
            self.shared.ends(&ends);
        }
        // The poll that brought this reports nothing, though records may be behind it.
        self.poller.unpark();
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let outcome = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let statuses = self.begin_at(consumer, partitions);
            consumer.assign(partitions).map(|()| self.push(Change::Assigned(statuses)))
        } else {
            self.push(Change::Revoked(partitions.elements().iter().map(|element| element.partition()).collect()));
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

impl Context {
    /// Sets where each partition begins: at the group's committed offset, else at the starting position.
    fn begin_at(&self, consumer: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) -> Vec<PartitionStatus> {
        let ids: Vec<_> = partitions.elements().iter().map(|element| element.partition()).collect();
        let committed = match consumer.committed_offsets(partitions.clone(), QUERY_TIMEOUT) {
            Ok(committed) => committed,
            Err(error) => {
                // The client asks again itself, and goes by auto.offset.reset where nothing is committed.
                tracing::warn!(kafka.topic = %self.topic, %error, "the committed offsets could not be read");
                let unknown = |partition| PartitionStatus { partition, position: None, end: None };
                return ids.into_iter().map(unknown).collect();
            }
        };
        let statuses = ids.into_iter().map(|partition| {
            let offset_in = |list: &TopicPartitionList| {
                list.find_partition(&self.topic, partition).and_then(|element| match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                })
            };
            let (low, end) = match consumer.fetch_watermarks(&self.topic, partition, QUERY_TIMEOUT) {
                Ok((low, end)) => (Some(low), Some(end)),
                Err(_) => (None, None),
            };
            let position = offset_in(&committed).or(match self.start {
                StartingPosition::TrimHorizon => low,
                StartingPosition::Latest => end,
                StartingPosition::AtTimestamp(ms) => self.offset_at(consumer, partition, ms).or(end),
            });
            if let Some(position) = position
                && let Err(error) = partitions.set_partition_offset(&self.topic, partition, Offset::Offset(position))
            {
                tracing::warn!(kafka.topic = %self.topic, kafka.partition = partition, %error, "no beginning was set");
            }
            PartitionStatus { partition, position, end }
        });
        statuses.collect()
    }

    fn offset_at(&self, consumer: &BaseConsumer<Self>, partition: i32, timestamp_ms: i64) -> Option<i64> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&self.topic, partition, Offset::Offset(timestamp_ms)).ok()?;
        let found = consumer.offsets_for_times(asked, QUERY_TIMEOUT).ok()?;
        match found.find_partition(&self.topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }
}
