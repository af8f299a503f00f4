//! Where the readable records of a topic end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use crate::Config;

/// The group that the client is said to be of. It joins none, and commits nothing.
const GROUP: &str = "trunkline-ends";

/// How much further from the end the next look begins, when there was no record.
const FURTHER: i64 = 16;

const POLL: Duration = Duration::from_millis(100);

/// A partition's records, as seen by a consumer that reads committed records only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The partition.
    pub partition: i32,
    /// The oldest offset that has not been deleted.
    pub begin: i64,
    /// The offset behind the last record that can be read; `begin` if there is no record. The offsets between it and
    /// the partition's own end hold none: they are marks of transactions, and records that were aborted or compacted
    /// away. The records of an open transaction are behind it, too.
    pub end: i64,
}

/// What can be read of a topic, by partition.
///
/// # Errors
/// When the cluster does not answer within this time, does not know the topic, or does not let this user read it.
pub async fn extents(config: &Config, topic: &str, within: Duration) -> anyhow::Result<Vec<Extent>> {
    let (client, topic) = (config.client(), topic.to_owned());
    let deadline = Instant::now() + within;
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = client.create().context("the Kafka client can't start")?;
        let metadata = consumer.fetch_metadata(Some(&topic), left(deadline)).context("Kafka does not answer")?;
        let found = metadata.topics().first().filter(|found| found.error().is_none());
        let count =
            found.map(|found| found.partitions().len()).with_context(|| format!("there is no topic {topic}"))?;
        let partitions: Vec<_> = (0..i32::try_from(count)?).collect();
        let bounds = Bounds::read(&consumer, &topic, &partitions, deadline)?;
        let ends = readable_ends(&client, &topic, &bounds, &partitions, deadline)?;
        let extent = |partition| {
            let begin = bounds.begin(partition)?;
            Some(Extent { partition, begin, end: ends.get(&partition).copied().unwrap_or(begin) })
        };
        Ok(partitions.into_iter().filter_map(extent).collect())
    })
    .await?
}

pub(crate) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Where a topic's partitions begin and end, whatever lies there.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    begin: BTreeMap<i32, i64>,
    end: BTreeMap<i32, i64>,
}

impl Bounds {
    pub(crate) fn read(
        consumer: &BaseConsumer,
        topic: &str,
        partitions: &[i32],
        deadline: Instant,
    ) -> anyhow::Result<Self> {
        // In this request, the two logical offsets are times: one question for all partitions of a broker.
        let ask = |time| {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition_offset(topic, *partition, time)?;
            }
            let context = || format!("Kafka does not tell where topic {topic} begins and ends");
            let list = loop {
                match consumer.offsets_for_times(list.clone(), left(deadline)) {
                    Ok(list) => break list,
                    Err(error) if has_no_leader_yet(&error) && left(deadline) > POLL => drop(consumer.poll(POLL)),
                    Err(error) => return Err(error).with_context(context),
                }
            };
            let known = list.elements().into_iter().filter_map(|element| match element.offset() {
                Offset::Offset(offset) => Some((element.partition(), offset)),
                _ => None,
            });
            anyhow::Ok(known.collect())
        };
        Ok(Self { begin: ask(Offset::Beginning)?, end: ask(Offset::End)? })
    }

    pub(crate) fn begin(&self, partition: i32) -> Option<i64> {
        self.begin.get(&partition).copied()
    }

    /// The end for a consumer that reads what is committed: where the first open transaction begins, if there is one.
    pub(crate) fn end(&self, partition: i32) -> Option<i64> {
        self.end.get(&partition).copied()
    }
}

/// A partition's leader is being chosen, or was, and this client has not heard of it.
fn has_no_leader_yet(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
    matches!(error.rdkafka_error_code(), Some(LeaderNotAvailable | NotLeaderForPartition))
}

/// For each of these partitions the offset behind its last record: reads backwards from the end, further and further,
/// until there is one. A partition that is known to be empty is left out.
pub(crate) fn readable_ends(
    client: &ClientConfig,
    topic: &str,
    bounds: &Bounds,
    partitions: &[i32],
    deadline: Instant,
) -> anyhow::Result<BTreeMap<i32, i64>> {
    let mut open: BTreeMap<i32, i64> = BTreeMap::new();
    for partition in partitions {
        if let (Some(begin), Some(end)) = (bounds.begin(*partition), bounds.end(*partition)) {
            open.extend((begin < end).then_some((*partition, end)));
        }
    }
    let mut ends = BTreeMap::new();
    if open.is_empty() {
        return Ok(ends);
    }
    let tail = Tail::open(client, topic)?;
    let mut distance = 1;
    while !open.is_empty() {
        let from: BTreeMap<_, _> = open
            .iter()
            .map(|(partition, end)| (*partition, (end - distance).max(bounds.begin(*partition).unwrap_or(0))))
            .collect();
        let found = tail.last_records(&from, deadline)?;
        open.retain(|partition, _| {
            let begin = bounds.begin(*partition).unwrap_or(0);
            match found.get(partition) {
                Some(last) => ends.insert(*partition, last + 1),
                None if from.get(partition).is_some_and(|from| *from <= begin) => ends.insert(*partition, begin),
                None => return true,
            };
            false
        });
        distance *= FURTHER;
    }
    Ok(ends)
}

/// A client that reads the ends of a topic's partitions.
struct Tail<'t> {
    /// Taken only by drop.
    consumer: Option<BaseConsumer>,
    topic: &'t str,
}

impl<'t> Tail<'t> {
    fn open(client: &ClientConfig, topic: &'t str) -> anyhow::Result<Self> {
        let mut client = client.clone();
        client
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            // A fetch that returns nothing has reached the end.
            .set("fetch.wait.max.ms", "10");
        Ok(Self { consumer: Some(client.create().context("the Kafka client can't start")?), topic })
    }

    /// For each partition the offset of its last record, if there is one from the given offset on.
    fn last_records(&self, from: &BTreeMap<i32, i64>, deadline: Instant) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in from {
            list.add_partition_offset(self.topic, *partition, Offset::Offset(*offset))?;
        }
        let Some(consumer) = &self.consumer else { return Ok(BTreeMap::new()) };
        consumer.assign(&list)?;
        let mut found = BTreeMap::new();
        let mut open: Vec<i32> = from.keys().copied().collect();
        let mut trouble: Option<KafkaError> = None;
        while !open.is_empty() {
            match consumer.poll(POLL.min(left(deadline))) {
                Some(Ok(message)) => {
                    found.insert(message.partition(), message.offset());
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|open| *open != partition),
                Some(Err(error)) => trouble = Some(error),
                None => {}
            }
            if left(deadline).is_zero() {
                let topic = self.topic;
                match trouble {
                    Some(error) => return Err(error).context(format!("the end of topic {topic} can't be read")),
                    None => bail!("Kafka did not show the end of topic {topic} in time"),
                }
            }
        }
        Ok(found)
    }
}

impl Drop for Tail<'_> {
    fn drop(&mut self) {
        // Its end takes a tenth of a second, which nobody has to wait for.
        let consumer = self.consumer.take();
        std::thread::spawn(move || drop(consumer));
    }
}
