//! How far groups are.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
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
use crate::broker::wire::Call;

/// What a client may write down beside an offset; Kafka's own limit.
const METADATA_BYTES_MAX: usize = 4096;

/// Later versions of OffsetFetch ask for several groups.
const SEVERAL_GROUPS_SINCE: i16 = 8;

/// In version 1 no topics are none, later all.
const ALL_TOPICS_SINCE: i16 = 2;

/// Where nothing was committed.
const NO_OFFSET: i64 = -1;

pub(super) fn offset_commit(node: &mut Node, _: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let group = &request.group_id.0;
    let (member, instance) = (&request.member_id, request.group_instance_id.as_ref());
    let may = if group.is_empty() {
        Err(ResponseError::InvalidGroupId.into())
    } else {
        node.groups.check_commit(group, member, instance, request.generation_id_or_member_epoch)
    };
    let mut commits = Vec::new();
    let mut outcomes: Vec<(TopicName, Vec<(i32, i16)>)> = Vec::new();
    for topic in &request.topics {
        let parts = topic.partitions.iter().map(|part| {
            let commit = match &may {
                Ok(()) => checked_commit(node, topic, part),
                Err(refusal) => Err(refusal.error.into()),
            };
            let code = code(&commit);
            commits.extend(commit.ok());
            (part.partition_index, code)
        });
        outcomes.push((topic.name.clone(), parts.collect()));
    }
    let stored: Answer<()> = node.groups.offsets.put(group, commits).map_err(Into::into);
    let result = |(index, error): (i32, i16)| {
        let error = if error == 0 { code(&stored) } else { error };
        OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(error)
    };
    let topic = |(name, parts): (TopicName, Vec<(i32, i16)>)| {
        OffsetCommitResponseTopic::default().with_name(name).with_partitions(parts.into_iter().map(result).collect())
    };
    OffsetCommitResponse::default().with_topics(outcomes.into_iter().map(topic).collect())
}

fn checked_commit(
    node: &Node,
    topic: &OffsetCommitRequestTopic,
    part: &OffsetCommitRequestPartition,
) -> Answer<(Place, Option<Committed>)> {
    let topic = node.topics.by_name(&topic.name.0)?;
    topic.partition(part.partition_index)?;
    let metadata = part.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default();
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(ResponseError::OffsetMetadataTooLarge.into());
    }
    let committed = Committed { offset: part.committed_offset, leader_epoch: part.committed_leader_epoch, metadata };
    Ok(((topic.id, part.partition_index), Some(committed)))
}

pub(super) fn offset_fetch(node: &mut Node, call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version >= SEVERAL_GROUPS_SINCE {
        let groups = request.groups.into_iter().map(|asked| {
            let topics = asked.topics.map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let topics = positions(node, &asked.group_id.0, topics)
                .into_iter()
                .map(|(name, parts)| OffsetFetchResponseTopics::default().with_name(name).with_partitions(parts));
            OffsetFetchResponseGroup::default().with_group_id(asked.group_id).with_topics(topics.collect())
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let asks_all = request.topics.is_none() && call.version >= ALL_TOPICS_SINCE;
    let topics = request.topics.unwrap_or_default().into_iter().map(|t| (t.name, t.partition_indexes)).collect();
    let found = positions(node, &request.group_id.0, if asks_all { None } else { Some(topics) });
    let topics = found.into_iter().map(|(name, parts)| {
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
fn positions(
    node: &Node,
    group: &StrBytes,
    asked: Option<Vec<(TopicName, Vec<i32>)>>,
) -> Vec<(TopicName, Vec<OffsetFetchResponsePartitions>)> {
    let asked = asked.unwrap_or_else(|| places_of(node, group));
    let position = |name: &TopicName, index: i32| {
        let topic = node.topics.by_name(&name.0).ok();
        let committed = topic.and_then(|topic| node.groups.offsets.get(group, (topic.id, index)));
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(committed.map_or(NO_OFFSET, |committed| committed.offset))
            .with_committed_leader_epoch(committed.map_or(-1, |committed| committed.leader_epoch))
            .with_metadata(Some(committed.map(|committed| committed.metadata.clone().into()).unwrap_or_default()))
    };
    let topic = |(name, indexes): (TopicName, Vec<i32>)| {
        let parts = indexes.into_iter().map(|index| position(&name, index)).collect();
        (name, parts)
    };
    asked.into_iter().map(topic).collect()
}

fn places_of(node: &Node, group: &StrBytes) -> Vec<(TopicName, Vec<i32>)> {
    let mut places: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
    for ((topic, partition), _) in node.groups.offsets.of_group(group) {
        if let Some(topic) = node.topics.by_id(*topic) {
            places.entry(TopicName(topic.name.clone())).or_default().push(*partition);
        }
    }
    places.into_iter().collect()
}

pub(super) fn offset_delete(node: &mut Node, _: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let id = &request.group_id.0;
    let Some(group) = node.groups.get(id) else {
        return OffsetDeleteResponse::default().with_error_code(ResponseError::GroupIdNotFound.code());
    };
    let mut deletions = Vec::new();
    let mut topics = Vec::new();
    for asked in &request.topics {
        let is_subscribed = group.members.is_empty().then_some(()).is_none() && subscribes(group, &asked.name.0);
        let parts = asked.partitions.iter().map(|part| {
            let place = place_to_delete(node, &asked.name.0, part.partition_index, is_subscribed);
            let error = code(&place);
            deletions.extend(place.ok().map(|place| (place, None)));
            OffsetDeleteResponsePartition::default().with_partition_index(part.partition_index).with_error_code(error)
        });
        let parts = parts.collect();
        topics.push(OffsetDeleteResponseTopic::default().with_name(asked.name.clone()).with_partitions(parts));
    }
    let deleted: Answer<()> = node.groups.offsets.put(id, deletions).map_err(Into::into);
    OffsetDeleteResponse::default().with_error_code(code(&deleted)).with_topics(topics)
}

fn place_to_delete(node: &Node, name: &StrBytes, partition: i32, is_subscribed: bool) -> Answer<Place> {
    let topic = node.topics.by_name(name)?;
    topic.partition(partition)?;
    if is_subscribed { Err(ResponseError::GroupSubscribedToTopic.into()) } else { Ok((topic.id, partition)) }
}

/// Whether a member wants the topic. Who does not speak the consumers' language could want any.
fn subscribes(group: &Group, topic: &StrBytes) -> bool {
    group.members.values().any(|member| {
        let metadata = member.metadata(&group.protocol).cloned().unwrap_or_default();
        let subscription = ConsumerProtocolSubscription::decode(&mut metadata.slice(2.min(metadata.len())..), 0);
        subscription.map_or(true, |subscription| subscription.topics.contains(topic))
    })
}
