//! How far consumer groups are behind their topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Config;
use crate::ends::{Bounds, left, readable_ends};

/// Groups, or topics, that are asked about side by side: each takes a client of its own, with its threads and
/// connections, for a moment.
const AT_ONCE: usize = 16;

/// A consumer group of one topic, named `<prefix><anything>-<topic>`, as the groups of event source mappings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// The group's name.
    pub group: String,
    /// The topic that it reads.
    pub topic: String,
    /// How many consume at this moment.
    pub members: usize,
    /// Records that it has not committed, over all partitions: offsets up to the last record that can be read. Where
    /// nothing is committed, everything that the partition holds.
    pub records: u64,
}

/// How far the groups whose names begin with `prefix` are behind, by name. A group of which no topic is known is left
/// out.
///
/// # Errors
/// When the cluster does not answer within this time, or does not let this user ask.
pub async fn lag(config: &Config, prefix: &str, within: Duration) -> anyhow::Result<Vec<GroupLag>> {
    ask(config, Asked::Prefix(prefix.to_owned()), within).await
}

/// How far these groups are behind their topics, by name; also those that the cluster does not know, as they have never
/// committed.
///
/// # Errors
/// As [`lag`]'s.
pub async fn lag_of(
    config: &Config,
    groups: impl IntoIterator<Item = (String, String)>,
    within: Duration,
) -> anyhow::Result<Vec<GroupLag>> {
    ask(config, Asked::Groups(groups.into_iter().collect()), within).await
}

/// Which groups are asked about.
enum Asked {
    /// Those that the cluster knows by names that begin so.
    Prefix(String),
    /// These, with their topics.
    Groups(Vec<(String, String)>),
}

async fn ask(config: &Config, asked: Asked, within: Duration) -> anyhow::Result<Vec<GroupLag>> {
    let client = config.client();
    let deadline = Instant::now() + within;
    tokio::task::spawn_blocking(move || read(&client, &asked, deadline)).await?
}

fn read(client: &ClientConfig, asked: &Asked, deadline: Instant) -> anyhow::Result<Vec<GroupLag>> {
    let consumer: BaseConsumer = client.create().context("the Kafka client can't start")?;
    let metadata = consumer.fetch_metadata(None, left(deadline)).context("Kafka does not answer")?;
    let topics: Vec<(&str, usize)> =
        metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
    let groups = consumer.fetch_group_list(None, left(deadline)).context("Kafka does not list its consumer groups")?;
    let nothing_read = |group: &str, topic: &str, members: usize| GroupLag {
        group: group.to_owned(),
        topic: topic.to_owned(),
        members,
        records: 0,
    };
    let lags: Vec<(GroupLag, usize)> = match asked {
        Asked::Prefix(prefix) => {
            let named = groups.groups().iter().filter(|group| group.name().starts_with(prefix));
            let with_topic = named.filter_map(|group| Some((group, topic_of(group.name(), &topics)?)));
            with_topic
                .map(|(group, (topic, partitions))| {
                    (nothing_read(group.name(), topic, group.members().len()), partitions)
                })
                .collect()
        }
        Asked::Groups(named) => {
            let members = |name: &str| {
                groups.groups().iter().find(|group| group.name() == name).map_or(0, |group| group.members().len())
            };
            let partitions =
                |name: &str| topics.iter().find(|(topic, _)| *topic == name).map_or(0, |(_, count)| *count);
            named.iter().map(|(group, topic)| (nothing_read(group, topic, members(group)), partitions(topic))).collect()
        }
    };
    let topics = topics_of(&lags);
    let committed = side_by_side(&lags, |(lag, partitions)| committed(client, lag, *partitions, left(deadline)))?;
    let mut behind = vec![0; lags.len()];
    let groups_of = |topic: &str| {
        let of_topic = lags.iter().zip(&committed).enumerate().filter(|(_, ((lag, _), _))| lag.topic == topic);
        of_topic.map(|(at, (_, committed))| (at, committed)).collect::<Vec<_>>()
    };
    let measured = side_by_side(&topics, |(topic, partitions)| {
        behind_end(client, &consumer, topic, partitions, &groups_of(topic), deadline)
    })?;
    for (at, records) in measured.into_iter().flatten() {
        behind[at] = records;
    }
    let lags = lags.into_iter().zip(behind).map(|((lag, _), records)| GroupLag { records, ..lag });
    let mut lags: Vec<GroupLag> = lags.collect();
    lags.sort_unstable_by(|a, b| a.group.cmp(&b.group));
    Ok(lags)
}

/// The topics, each once, with their partitions.
fn topics_of(lags: &[(GroupLag, usize)]) -> Vec<(&str, Vec<i32>)> {
    let all = lags.iter().filter(|(_, partitions)| *partitions > 0);
    let all: BTreeMap<_, _> = all.map(|(lag, partitions)| (lag.topic.as_str(), *partitions)).collect();
    all.into_iter().map(|(topic, partitions)| (topic, (0_i32..).take(partitions).collect())).collect()
}

/// Asks for all of them, some at a time. The answers come in their order.
fn side_by_side<T: Sync, A: Send>(all: &[T], ask: impl Fn(&T) -> anyhow::Result<A> + Sync) -> anyhow::Result<Vec<A>> {
    let mut answers = Vec::with_capacity(all.len());
    for some in all.chunks(AT_ONCE) {
        let asked = std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|one| scope.spawn(|| ask(one))).collect();
            let answers = threads.into_iter().map(|thread| match thread.join() {
                Ok(answer) => answer,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            answers.collect::<anyhow::Result<Vec<_>>>()
        })?;
        answers.extend(asked);
    }
    Ok(answers)
}

/// How many records are behind the committed offsets of these groups of one topic.
fn behind_end(
    client: &ClientConfig,
    consumer: &BaseConsumer,
    topic: &str,
    partitions: &[i32],
    groups: &[(usize, &TopicPartitionList)],
    deadline: Instant,
) -> anyhow::Result<Vec<(usize, u64)>> {
    let bounds = Bounds::read(consumer, topic, partitions, deadline)?;
    let groups: Vec<_> = groups.iter().map(|(at, committed)| (*at, Positions::new(committed, &bounds))).collect();
    // Only where something lies between a group and the end does it matter whether it is a record.
    let is_before_end = |partition: i32| groups.iter().any(|(_, group)| group.is_before_end(partition, &bounds));
    let asked: Vec<_> = partitions.iter().copied().filter(|partition| is_before_end(*partition)).collect();
    let ends = readable_ends(client, topic, &bounds, &asked, deadline)?;
    Ok(groups.into_iter().map(|(at, group)| (at, group.behind(&ends))).collect())
}

/// The next offset of a group in each partition of its topic.
struct Positions(BTreeMap<i32, i64>);

impl Positions {
    fn new(committed: &TopicPartitionList, bounds: &Bounds) -> Self {
        let next = committed.elements().into_iter().filter_map(|element| {
            let begin = bounds.begin(element.partition())?;
            let next = if let Offset::Offset(offset) = element.offset() { offset.max(begin) } else { begin };
            Some((element.partition(), next))
        });
        Self(next.collect())
    }

    fn is_before_end(&self, partition: i32, bounds: &Bounds) -> bool {
        self.0.get(&partition).zip(bounds.end(partition)).is_some_and(|(next, end)| *next < end)
    }

    fn behind(&self, ends: &BTreeMap<i32, i64>) -> u64 {
        let behind = |(partition, next)| u64::try_from(ends.get(partition)? - next).ok();
        self.0.iter().filter_map(behind).sum()
    }
}

/// The topic that a group's name ends with: the longest, as `a-b` ends with `b`, too.
fn topic_of<'a>(group: &str, topics: &[(&'a str, usize)]) -> Option<(&'a str, usize)> {
    let named = topics.iter().filter(|(topic, _)| group.strip_suffix(topic).is_some_and(|rest| rest.ends_with('-')));
    named.max_by_key(|(topic, _)| topic.len()).copied()
}

fn committed(
    client: &ClientConfig,
    lag: &GroupLag,
    partitions: usize,
    left: Duration,
) -> anyhow::Result<TopicPartitionList> {
    // A client's group is that of its configuration. It asks, and never joins.
    let consumer: BaseConsumer =
        client.clone().set("group.id", &lag.group).create().context("the Kafka client can't start")?;
    let mut list = TopicPartitionList::new();
    add(&mut list, &lag.topic, partitions, Offset::Invalid)?;
    let committed = consumer
        .committed_offsets(list, left)
        .with_context(|| format!("Kafka does not tell the offsets of group {}", lag.group));
    // Its end takes a tenth of a second, which nobody has to wait for.
    std::thread::spawn(move || drop(consumer));
    committed
}

fn add(list: &mut TopicPartitionList, topic: &str, partitions: usize, offset: Offset) -> anyhow::Result<()> {
    for partition in 0..i32::try_from(partitions)? {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(())
}
