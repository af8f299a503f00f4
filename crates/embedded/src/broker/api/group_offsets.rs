//! How far groups are.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, StrBytes};

use crate::broker::groups::{Committed, Group, Place};
use crate::broker::node::Node;
use crate::broker::refusal::{Answer, code};
use crate::broker::topics::Called;
use crate::broker::wire::Call;

/// What a client may write down beside an offset; Kafka's own limit.
const METADATA_BYTES_MAX: usize = 4096;

/// Later versions of OffsetFetch ask for several groups.
const SEVERAL_GROUPS_SINCE: i16 = 8;

/// In version 1 no topics are none, later all.
const ALL_TOPICS_SINCE: i16 = 2;

/// Where nothing was committed.
const NO_OFFSET: i64 = -1;

/// Partitions by topic.
type Asked = Vec<(TopicName, Vec<i32>)>;

pub(super) fn offset_commit(node: &mut Node, call: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let group = &request.group_id.0;
    let (member, instance) = (&request.member_id, request.group_instance_id.as_ref());
    let generation = request.generation_id_or_member_epoch;
    let may = node.groups.check_commit(group, member, instance, generation, call.version);
    let may = may.map_err(|refusal| refusal.error);
    let topics = request.topics.into_iter().map(|topic| {
        let commit = |part: OffsetCommitRequestPartition| {
            let index = part.partition_index;
            let place = may.map_err(Into::into).and_then(|()| place(node, &topic.name, index));
            let stored = place.and_then(|place| commit(node, group, place, part));
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code(&stored))
        };
        let partitions = topic.partitions.into_iter().map(commit).collect();
        OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// A partition that there is.
fn place(node: &Node, topic: &TopicName, index: i32) -> Answer<Place> {
    let called = Called::Name(topic.0.clone());
    node.topics.partition(&called, index)?;
    Ok((node.topics.get(&called)?.id, index))
}

fn commit(node: &mut Node, group: &StrBytes, place: Place, part: OffsetCommitRequestPartition) -> Answer<()> {
    let metadata = part.committed_metadata.map(|metadata| metadata.to_string()).unwrap_or_default();
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(ResponseError::OffsetMetadataTooLarge.into());
    }
    let committed = Committed { offset: part.committed_offset, leader_epoch: part.committed_leader_epoch, metadata };
    Ok(node.groups.offsets.put(group, place, Some(committed))?)
}

pub(super) fn offset_fetch(node: &mut Node, call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version >= SEVERAL_GROUPS_SINCE {
        let groups = request.groups.into_iter().map(|asked| {
            let topics = asked.topics.map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let topics = positions(node, &asked.group_id, topics)
                .map(|(name, parts)| OffsetFetchResponseTopics::default().with_name(name).with_partitions(parts));
            let topics = topics.collect();
            OffsetFetchResponseGroup::default().with_group_id(asked.group_id).with_topics(topics)
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let asked = request.topics.map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
    let asked = asked.or_else(|| (call.version < ALL_TOPICS_SINCE).then(Vec::new));
    let topics = positions(node, &request.group_id, asked).map(|(name, parts)| {
        let parts = parts.into_iter().map(|part| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(part.partition_index)
                .with_committed_offset(part.committed_offset)
                .with_committed_leader_epoch(part.committed_leader_epoch)
                .with_metadata(part.metadata)
        });
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(parts.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

/// A group's offsets, of these partitions or of all that it has.
fn positions<'a>(
    node: &'a Node,
    group: &'a StrBytes,
    asked: Option<Asked>,
) -> impl Iterator<Item = (TopicName, Vec<OffsetFetchResponsePartitions>)> + 'a {
    let position = |name: &TopicName, index: i32| {
        let place = place(node, name, index).ok();
        let committed = place.and_then(|place| node.groups.offsets.get(group, place));
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(committed.map_or(NO_OFFSET, |committed| committed.offset))
            .with_committed_leader_epoch(committed.map_or(-1, |committed| committed.leader_epoch))
            .with_metadata(Some(committed.map(|committed| committed.metadata.clone().into()).unwrap_or_default()))
    };
    let asked = asked.unwrap_or_else(|| places_of(node, group));
    asked.into_iter().map(move |(name, indexes)| {
        let parts = indexes.into_iter().map(|index| position(&name, index)).collect();
        (name, parts)
    })
}

fn places_of(node: &Node, group: &StrBytes) -> Asked {
    let mut places: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in node.groups.offsets.places(group) {
        if let Ok(topic) = node.topics.get(&Called::Id(topic)) {
            places.entry(TopicName(topic.name.clone())).or_default().push(partition);
        }
    }
    places.into_iter().collect()
}

pub(super) fn offset_delete(node: &mut Node, _: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let id = &request.group_id.0;
    if node.groups.get(id).is_none() {
        return OffsetDeleteResponse::default().with_error_code(ResponseError::GroupIdNotFound.code());
    }
    let topics = request.topics.into_iter().map(|asked| {
        let is_subscribed = node.groups.get(id).is_some_and(|group| subscribes(group, &asked.name));
        let parts = asked.partitions.iter().map(|part| {
            let place = place(node, &asked.name, part.partition_index);
            let deleted = place.and_then(|place| match is_subscribed {
                true => Err(ResponseError::GroupSubscribedToTopic.into()),
                false => Ok(node.groups.offsets.put(id, place, None)?),
            });
            OffsetDeleteResponsePartition::default()
                .with_partition_index(part.partition_index)
                .with_error_code(code(&deleted))
        });
        let parts = parts.collect();
        OffsetDeleteResponseTopic::default().with_name(asked.name).with_partitions(parts)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

/// Whether a member wants the topic. Who does not speak the consumers' language could want any.
fn subscribes(group: &Group, topic: &StrBytes) -> bool {
    group.members.values().any(|member| {
        let metadata = member.metadata(&group.protocol).cloned().unwrap_or_default();
        let subscription = ConsumerProtocolSubscription::decode(&mut metadata.slice(2.min(metadata.len())..), 0);
        subscription.map_or(true, |subscription| subscription.topics.contains(topic))
    })
}
