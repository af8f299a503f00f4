//! How far consumer groups are behind their topics.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Config;

/// Groups that are asked about side by side: each takes a client of its own, with its threads and connections, for a moment.
const GROUPS_AT_ONCE: usize = 16;

/// A consumer group of one topic, named `<prefix><anything>-<topic>`, as the groups of event source mappings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// The group's name.
    pub group: String,
    /// The topic that it reads.
    pub topic: String,
    /// How many consume at this moment.
    pub members: usize,
    /// Records that it has not committed, over all partitions. Where nothing is committed, everything that the
    /// partition holds.
    pub records: u64,
}

/// How far the groups whose names begin with `prefix` are behind, by name. A group of which no topic is known is left out.
///
/// # Errors
/// When the cluster does not answer within this time, or does not let this user ask.
pub async fn lag(config: &Config, prefix: &str, within: Duration) -> anyhow::Result<Vec<GroupLag>> {
    ask(config, Asked::Prefix(prefix.to_owned()), within).await
}

/// How far these groups are behind their topics, by name; also those that the cluster does not know, as they have never committed.
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
    let left = || deadline.saturating_duration_since(Instant::now());
    let consumer: BaseConsumer = client.create().context("the Kafka client can't start")?;
    let metadata = consumer.fetch_metadata(None, left()).context("Kafka does not answer")?;
    let topics: Vec<(&str, usize)> =
        metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
    let groups = consumer.fetch_group_list(None, left()).context("Kafka does not list its consumer groups")?;
    let nothing_read = |group: &str, topic: &str, members: usize| GroupLag {
        group: group.to_owned(),
        topic: topic.to_owned(),
        members,
        records: 0,
    };
    let mut lags: Vec<(GroupLag, usize)> = match asked {
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
    let bounds = Bounds::read(&consumer, &lags, left())?;
    for some in lags.chunks_mut(GROUPS_AT_ONCE) {
        std::thread::scope(|scope| {
            let asked: Vec<_> = some
                .iter_mut()
                .map(|(lag, partitions)| {
                    scope.spawn(|| {
                        lag.records = bounds.behind(&committed(client, lag, *partitions, left())?);
                        anyhow::Ok(())
                    })
                })
                .collect();
            asked
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
    }
    let mut lags: Vec<GroupLag> = lags.into_iter().map(|(lag, _)| lag).collect();
    lags.sort_unstable_by(|a, b| a.group.cmp(&b.group));
    Ok(lags)
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

/// Where the partitions begin and end.
struct Bounds {
    begin: TopicPartitionList,
    end: TopicPartitionList,
}

impl Bounds {
    fn read(consumer: &BaseConsumer, lags: &[(GroupLag, usize)], left: Duration) -> anyhow::Result<Self> {
        let mut topics: Vec<(&str, usize)> =
            lags.iter().map(|(lag, partitions)| (lag.topic.as_str(), *partitions)).collect();
        topics.sort_unstable();
        topics.dedup();
        // In this request, the two logical offsets are times: one question for all partitions of a broker.
        let ask = |offset| {
            let mut list = TopicPartitionList::new();
            topics.iter().try_for_each(|(topic, partitions)| add(&mut list, topic, *partitions, offset))?;
            let context = "Kafka does not tell where its topics begin and end";
            anyhow::Ok(consumer.offsets_for_times(list, left).context(context)?)
        };
        Ok(Self { begin: ask(Offset::Beginning)?, end: ask(Offset::End)? })
    }

    fn behind(&self, committed: &TopicPartitionList) -> u64 {
        let number = |list: &TopicPartitionList, topic: &str, partition| match list
            .find_partition(topic, partition)
            .map(|found| found.offset())
        {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        };
        let behind = committed.elements().into_iter().map(|element| {
            let bound = |list| number(list, element.topic(), element.partition());
            let begin = bound(&self.begin).unwrap_or(0);
            let next = match element.offset() {
                Offset::Offset(offset) => offset.max(begin),
                _ => begin,
            };
            bound(&self.end).map_or(0, |end| u64::try_from(end - next).unwrap_or(0))
        });
        behind.sum()
    }
}
