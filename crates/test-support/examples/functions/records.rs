use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use kafka_batch::PartitionBatch;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use stream::Record;

use crate::world::PARTITIONS;

/// All records that are asked for are there already.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a topic from its beginning, all partitions side by side, as a mapping does.
pub(crate) struct Reader {
    consumer: StreamConsumer,
    topic: &'static str,
}

impl Reader {
    pub(crate) fn new(brokers: &str, topic: &'static str) -> anyhow::Result<Self> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "functions-benchmark")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        Ok(Self { consumer, topic })
    }

    /// The next so many records, by partition.
    pub(crate) async fn batch(&self, records: u64) -> anyhow::Result<Vec<PartitionBatch>> {
        let mut partitions: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for _ in 0..records {
            let message = tokio::time::timeout(PATIENCE, self.consumer.recv())
                .await
                .with_context(|| format!("topic {} has fewer records than expected", self.topic))??;
            partitions.entry(message.partition()).or_default().push(Record {
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis().context("a record without a time")?,
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: Vec::new(),
            });
        }
        let batch = |(partition, records)| PartitionBatch { topic: self.topic.to_owned(), partition, records };
        Ok(partitions.into_iter().map(batch).collect())
    }
}
