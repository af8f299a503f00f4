//! A consumer group's offset in a partition, and moving a group that nobody runs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Config;
use crate::ends::left;

/// A consumer group, and one partition of what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The group's name.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// A group's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The next offset that it will read; `None` before its first commit.
    pub committed: Option<i64>,
    /// How many consume at this moment.
    pub members: usize,
}

/// What became of an attempt to move a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The group is there now.
    Yes,
    /// It has members: only they can move it.
    HasMembers,
}

impl Seat {
    /// The group's position.
    ///
    /// # Errors
    /// When the cluster does not answer within this time, or does not let this user ask.
    pub async fn place(&self, config: &Config, within: Duration) -> anyhow::Result<Place> {
        let (client, seat, deadline) = (config.client(), self.clone(), Instant::now() + within);
        let ask = move || {
            let consumer = seat.client(&client)?;
            let groups = consumer.fetch_group_list(Some(&seat.group), left(deadline));
            let groups = groups.with_context(|| format!("Kafka does not tell the members of group {}", seat.group))?;
            let committed = consumer.committed_offsets(seat.list(Offset::Invalid)?, left(deadline));
            let committed =
                committed.with_context(|| format!("Kafka does not tell the offsets of group {}", seat.group))?;
            let offset = committed.find_partition(&seat.topic, seat.partition).map(|found| found.offset());
            let committed = if let Some(Offset::Offset(offset)) = offset { Some(offset) } else { None };
            let members = groups.groups().iter().map(|group| group.members().len()).sum();
            Ok(Place { committed, members })
        };
        tokio::task::spawn_blocking(ask).await?
    }

    /// Puts the group at this offset, if it has no member.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses for another reason.
    pub async fn move_to(&self, config: &Config, offset: i64) -> anyhow::Result<Moved> {
        let (client, seat) = (config.client(), self.clone());
        let commit = move || match seat.client(&client)?.commit(&seat.list(Offset::Offset(offset))?, CommitMode::Sync) {
            Ok(()) => Ok(Moved::Yes),
            // The brokers' answer to a client that is not a member of a group with members.
            Err(KafkaError::ConsumerCommit(
                Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress,
            )) => Ok(Moved::HasMembers),
            Err(error) => Err(error).with_context(|| format!("Kafka does not move group {}", seat.group)),
        };
        tokio::task::spawn_blocking(commit).await?
    }

    /// A client's group is that of its configuration. It never joins.
    fn client(&self, client: &ClientConfig) -> anyhow::Result<BaseConsumer> {
        client.clone().set("group.id", &self.group).create().context("the Kafka client can't start")
    }

    fn list(&self, offset: Offset) -> anyhow::Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, self.partition, offset)?;
        Ok(list)
    }
}
