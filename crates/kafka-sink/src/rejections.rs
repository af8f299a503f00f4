//! Reading the topic `rejected` from a moment on.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::ends::left;
use crate::{Config, Rejected};

/// The group that the client is said to be of. It joins none, and commits nothing.
const GROUP: &str = "trunkline-rejections";

/// The records of the topic `rejected`, as they come. Blocking: for a thread that may wait.
pub struct Rejections {
    consumer: BaseConsumer,
}

impl Rejections {
    /// All of the topic that has come since this moment, in milliseconds since 1970, or is still to come.
    ///
    /// # Errors
    /// When the cluster does not answer within this time, or has no such topic.
    pub fn since(config: &Config, moment_ms: i64, within: Duration) -> anyhow::Result<Self> {
        let deadline = Instant::now() + within;
        let mut client = config.client();
        client
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = client.create().context("the Kafka client can't start")?;
        let topic = config.rejected_topic();
        let metadata = consumer.fetch_metadata(Some(topic), left(deadline)).context("Kafka does not answer")?;
        let found = metadata.topics().first().filter(|found| found.error().is_none());
        let found = found.with_context(|| format!("there is no topic {topic}: run `trunkline init`"))?;
        let mut moments = TopicPartitionList::new();
        for partition in found.partitions() {
            moments.add_partition_offset(topic, partition.id(), Offset::Offset(moment_ms))?;
        }
        let from = consumer.offsets_for_times(moments, left(deadline));
        consumer.assign(&from.with_context(|| format!("Kafka does not tell the offsets of topic {topic}"))?)?;
        Ok(Self { consumer })
    }

    /// The next record whose key is wanted; `None` when none has come within this time. Records of other kinds are
    /// passed.
    ///
    /// # Errors
    /// When the topic can't be read; the next call tries again.
    pub fn next(&self, within: Duration, wants: impl Fn(&str) -> bool) -> anyhow::Result<Option<Rejected<'static>>> {
        let deadline = Instant::now() + within;
        loop {
            match self.consumer.poll(left(deadline)) {
                Some(Ok(message)) => {
                    let key = message.key().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
                    let value = message.payload().filter(|_| wants(key)).map(Rejected::from_json);
                    if let Some(Ok(rejected)) = value {
                        return Ok(Some(rejected));
                    }
                }
                Some(Err(error)) => return Err(error).context("the topic of rejected records can't be read"),
                None if left(deadline).is_zero() => return Ok(None),
                None => {}
            }
        }
    }
}
