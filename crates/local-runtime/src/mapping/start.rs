//! Where partitions begin: at the group's committed offset, else at the mapping's starting position.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::KafkaConsumer;
use super::partitions::{Beginning, Start};
use crate::template::{Mapping, StartingPosition};

/// The brokers' answer to what is needed; without it the partitions wait.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// The brokers' answer to what is good to know. A partition without a leader takes all of it.
const BOUNDS_TIMEOUT: Duration = Duration::from_secs(2);

/// Where partitions begin and end, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    oldest: BTreeMap<i32, i64>,
    end: BTreeMap<i32, i64>,
}

impl Bounds {
    /// Asks the brokers. What they do not tell in time is not known.
    pub(super) fn ask(consumer: &KafkaConsumer, topic: &str, partitions: &[i32]) -> Self {
        // In this request the two logical offsets are times: one question for all partitions of a broker.
        let ask = |offset| offsets_at(consumer, topic, partitions, offset, BOUNDS_TIMEOUT).unwrap_or_default();
        Self { oldest: ask(Offset::Beginning), end: ask(Offset::End) }
    }

    /// The offset of the oldest record, or where it would be.
    pub(super) fn oldest(&self, partition: i32) -> Option<i64> {
        self.oldest.get(&partition).copied()
    }

    /// The offset behind the last record that can be read.
    pub(super) fn end(&self, partition: i32) -> Option<i64> {
        self.end.get(&partition).copied()
    }
}

/// A group's committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Committed {
    offset: i64,
    topic_id: Option<String>,
}

/// What a mapping's starting position is for a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starting {
    position: StartingPosition,
    /// Partitions from this number on have come while the mapping was running.
    new_from: i32,
}

impl Starting {
    pub(super) fn new(mapping: &Mapping, new_from: i32) -> Self {
        Self { position: mapping.start, new_from }
    }

    /// Where the partition begins; `None` where the brokers must be asked for a time.
    pub(super) fn of(self, partition: i32, bounds: &Bounds) -> Option<Start> {
        match self.position {
            // All that is in a partition that came later is newer than the mapping's start.
            StartingPosition::Latest if partition < self.new_from => {
                Some(bounds.end(partition).map_or(Start::End, Start::At))
            }
            StartingPosition::TrimHorizon | StartingPosition::Latest => {
                Some(bounds.oldest(partition).map_or(Start::Oldest, Start::At))
            }
            StartingPosition::AtTimestamp(_) => None,
        }
    }

    /// As [`Self::of`], for all.
    pub(super) fn of_all(
        self,
        consumer: &KafkaConsumer,
        topic: &str,
        partitions: &[i32],
        bounds: &Bounds,
    ) -> BTreeMap<i32, Start> {
        let StartingPosition::AtTimestamp(ms) = self.position else {
            return partitions
                .iter()
                .filter_map(|partition| Some((*partition, self.of(*partition, bounds)?)))
                .collect();
        };
        let found = offsets_at(consumer, topic, partitions, Offset::Offset(ms), QUERY_TIMEOUT);
        let found = found.inspect_err(|error| {
            tracing::warn!(kafka.topic = topic, %error, "the brokers do not tell the offsets of a time; asking again");
        });
        let offsets = found.unwrap_or_default().into_iter();
        offsets.map(|(partition, offset)| (partition, Start::At(offset))).collect()
    }
}

/// Where these partitions begin. Those of which it can't be said yet are left out.
pub(super) fn find(
    consumer: &KafkaConsumer,
    mapping: &Mapping,
    topic_id: Option<&str>,
    starting: Starting,
    partitions: &[i32],
    bounds: &Bounds,
) -> KafkaResult<Vec<Beginning>> {
    let topic = mapping.topic.as_str();
    let mut committed = committed_offsets(consumer, topic, partitions)?;
    let is_stale = |found: &Committed| found.topic_id.as_deref().zip(topic_id).is_some_and(|(of, is)| of != is);
    let stale = committed.extract_if(.., |_, found| is_stale(found));
    let stale: BTreeMap<_, _> = stale.collect();
    for (partition, found) in &stale {
        tracing::warn!(
            kafka.topic = topic, kafka.group = %mapping.group, kafka.partition = partition, kafka.offset = found.offset,
            "the group's offset belongs to an earlier topic of this name: beginning anew"
        );
    }
    let others: Vec<_> = partitions.iter().filter(|partition| !committed.contains_key(partition)).copied().collect();
    let starts = starting.of_all(consumer, topic, &others, bounds);
    let of_group = committed.iter().map(|(partition, found)| Beginning {
        partition: *partition,
        start: Start::At(found.offset),
        committed: Some(found.offset),
        is_stale: false,
    });
    let of_mapping = starts.iter().map(|(partition, start)| Beginning {
        partition: *partition,
        start: *start,
        committed: None,
        is_stale: stale.contains_key(partition),
    });
    Ok(of_group.chain(of_mapping).collect())
}

/// How many partitions the topic has.
pub(super) fn count_partitions(consumer: &KafkaConsumer, topic: &str) -> KafkaResult<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), QUERY_TIMEOUT)?;
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

fn committed_offsets(
    consumer: &KafkaConsumer,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<BTreeMap<i32, Committed>> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let list = consumer.committed_offsets(list, QUERY_TIMEOUT)?;
    let mut committed = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            committed.insert(element.partition(), Committed { offset, topic_id: topic_id_of(&element) });
        }
    }
    Ok(committed)
}

/// What we write beside an offset that we commit: which topic it is an offset of, since a name may come to be another
/// topic's.
pub(super) fn mark(topic_id: &str) -> String {
    format!("{MARK}{topic_id}")
}

const MARK: &str = "topic-id=";

/// The client panics over what others may have written there that is not UTF-8.
fn topic_id_of(element: &TopicPartitionListElem<'_>) -> Option<String> {
    let read = || element.metadata().strip_prefix(MARK).map(str::to_owned);
    catch_unwind(AssertUnwindSafe(read)).ok()?
}

/// For each partition the offset that the brokers know for this time, or for the beginning or the end.
fn offsets_at(
    consumer: &KafkaConsumer,
    topic: &str,
    partitions: &[i32],
    time: Offset,
    timeout: Duration,
) -> KafkaResult<BTreeMap<i32, i64>> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, *partition, time)?;
    }
    let list = consumer.offsets_for_times(list, timeout)?;
    let mut offsets = BTreeMap::new();
    let mut without_record = Vec::new();
    for element in list.elements() {
        match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(offset)) => {
                offsets.insert(element.partition(), offset);
            }
            // No record is that young.
            (Ok(()), Offset::End) => without_record.push(element.partition()),
            (Ok(()), _) | (Err(_), _) => {}
        }
    }
    if !without_record.is_empty() && time != Offset::End {
        offsets.extend(offsets_at(consumer, topic, &without_record, Offset::End, timeout)?);
    }
    Ok(offsets)
}
