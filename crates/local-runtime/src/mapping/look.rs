//! Looking at one place of a partition with a client of its own, which joins no group and commits nothing: what a
//! mapping would make of what lies there.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

use super::SourceConfig;
use super::consumer;
use super::record::{self, Frame};
use super::stop::StopReason;
use crate::event::kafka::Envelope;

/// What one look may take: a connection, and a fetch of up to some megabytes.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// What lies at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record that a mapping can deliver.
    Record,
    /// A record that it can't deliver.
    Undeliverable {
        /// Why.
        reason: StopReason,
        /// The first offset behind it from which a mapping could go on.
        next_offset: i64,
        /// The record's value, where the client can read that.
        value: Option<Vec<u8>>,
    },
    /// No record: it was deleted, or never held one, or is still to come.
    Nothing,
}

/// What lies at this offset of the mapping's topic. Joins no group.
///
/// # Errors
/// When the brokers do not answer in time, or refuse.
pub fn look(source: &SourceConfig, partition: i32, offset: i64) -> anyhow::Result<Found> {
    Looker::new(source)?.find(partition, offset)
}

/// The client, for several looks.
pub(super) struct Looker {
    consumer: BaseConsumer<Silent>,
    topic: String,
    frame: Frame,
}

/// The first thing that a client meets from an offset on.
enum Seen {
    Record { offset: i64, reason: Option<StopReason>, value: Option<Vec<u8>> },
    Unreadable(String),
    End,
}

/// Hears why the last error was, which `poll` does not say.
#[derive(Default)]
struct Silent(std::sync::Mutex<String>);

impl ClientContext for Silent {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl ConsumerContext for Silent {}

impl Looker {
    pub(super) fn new(source: &SourceConfig) -> anyhow::Result<Self> {
        let mapping = &source.mapping;
        let consumer = consumer::client(source).create_with_context(Silent::default());
        let envelope = Envelope::new(&mapping.cluster, &source.brokers, &mapping.topic);
        Ok(Self {
            consumer: consumer.context("the Kafka client refuses its settings")?,
            topic: mapping.topic.clone(),
            frame: Frame { envelope, limit_bytes: source.max_payload_bytes },
        })
    }

    pub(super) fn find(&self, partition: i32, offset: i64) -> anyhow::Result<Found> {
        Ok(match self.see(partition, offset)? {
            Seen::Record { offset: found, reason: Some(reason), value } if found == offset => {
                Found::Undeliverable { reason, next_offset: offset + 1, value }
            }
            Seen::Record { offset: found, reason: None, .. } if found == offset => Found::Record,
            Seen::Record { .. } | Seen::End => Found::Nothing,
            Seen::Unreadable(detail) => {
                let next_offset = self.behind(partition, offset)?;
                Found::Undeliverable { reason: StopReason::Unreadable { detail }, next_offset, value: None }
            }
        })
    }

    /// The first offset behind an unreadable one from which something can be read, or the partition's end: a client
    /// can't read any record of a batch that it can't read.
    fn behind(&self, partition: i32, unreadable: i64) -> anyhow::Result<i64> {
        let is_unreadable =
            |offset| Ok::<_, anyhow::Error>(matches!(self.see(partition, offset)?, Seen::Unreadable(_)));
        let mut step = 1;
        let mut low = unreadable;
        while is_unreadable(low + step)? {
            low += step;
            step *= 2;
        }
        let mut high = low + step;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if is_unreadable(middle)? { low = middle } else { high = middle }
        }
        Ok(high)
    }

    fn see(&self, partition: i32, offset: i64) -> anyhow::Result<Seen> {
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        self.consumer.assign(&from)?;
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if message.partition() == partition && message.offset() >= offset => {
                    return Ok(self.judge(&message));
                }
                Some(Err(KafkaError::PartitionEOF(_) | KafkaError::MessageConsumption(Code::AutoOffsetReset))) => {
                    return Ok(Seen::End);
                }
                Some(Err(KafkaError::MessageConsumption(code))) if is_unreadable(code) => {
                    let said = self.consumer.context().0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    return Ok(Seen::Unreadable(said.clone()));
                }
                Some(Err(error)) => last = Some(error),
                Some(Ok(_)) | None => {}
            }
        }
        match last {
            Some(error) => Err(error).with_context(|| format!("can't read {}-{partition}@{offset}", self.topic)),
            None => bail!("the brokers did not show {}-{partition}@{offset} within {PATIENCE:?}", self.topic),
        }
    }

    fn judge(&self, message: &BorrowedMessage<'_>) -> Seen {
        Seen::Record {
            offset: message.offset(),
            reason: record::encode(message, &self.frame).err(),
            value: message.payload().map(<[u8]>::to_vec),
        }
    }
}

/// Whether this error is about a partition's bytes, not about a broker or the way to it.
pub(super) fn is_unreadable(code: Code) -> bool {
    matches!(
        code,
        Code::BadMessage
            | Code::BadCompression
            | Code::NotImplemented
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::UnsupportedCompressionType
    )
}
