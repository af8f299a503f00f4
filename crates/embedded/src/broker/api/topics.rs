//! Making topics, adding partitions to them, deleting them.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::configs::{Origin, told_configs};
use crate::broker::node::{NODE_ID, Node};
use crate::broker::refusal::{Answer, Refusal};
use crate::broker::settings::{Values, check_topic_config};
use crate::broker::topics::{Called, Topics};
use crate::broker::wire::Call;

/// Earlier versions of DeleteTopics have names only, in a list of their own.
const IDS_SINCE: i16 = 6;

/// Earlier versions of DeleteTopics have no words for a refusal.
const DELETE_MESSAGE_SINCE: i16 = 5;

/// Earlier versions of CreateTopics don't tell what was made.
const DETAILS_SINCE: i16 = 5;

/// What clients send for "as the broker does".
const DEFAULT: i32 = -1;

pub(super) fn create_topics(node: &mut Node, call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut named: BTreeMap<TopicName, usize> = BTreeMap::new();
    for topic in &request.topics {
        *named.entry(topic.name.clone()).or_default() += 1;
    }
    let results = request.topics.iter().filter(|topic| named.remove(&topic.name).is_some_and(|times| times == 1));
    let unique: Vec<_> = results.map(|topic| made(node, call, topic, request.validate_only)).collect();
    let twice = named.into_keys().map(|name| {
        let refusal = Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name.");
        refused_topic(name, &refusal)
    });
    CreateTopicsResponse::default().with_topics(unique.into_iter().chain(twice).collect())
}

fn made(node: &mut Node, call: &Call, topic: &CreatableTopic, validate_only: bool) -> CreatableTopicResult {
    match create(node, topic, validate_only) {
        Ok(result) if call.version >= DETAILS_SINCE => result,
        Ok(result) => CreatableTopicResult::default().with_name(result.name).with_topic_id(result.topic_id),
        Err(refusal) => refused_topic(topic.name.clone(), &refusal),
    }
}

fn refused_topic(name: TopicName, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(refusal.error.code())
        .with_error_message(refusal.message())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

fn create(node: &mut Node, asked: &CreatableTopic, validate_only: bool) -> Answer<CreatableTopicResult> {
    let Node { topics, settings, .. } = node;
    topics.check_new(&asked.name.0)?;
    let partitions = partition_count(asked, settings.partitions)?;
    let mut configs = Values::new();
    for config in &asked.configs {
        let value = config.value.as_ref().ok_or_else(|| null_value(&config.name))?;
        check_topic_config(&config.name, value)?;
        configs.insert(config.name.to_string(), value.to_string());
    }
    let told = told_configs(settings, Origin::Topic(&configs)).map(|told| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(told.name))
            .with_value(Some(told.value))
            .with_config_source(told.source)
    });
    let told = told.collect();
    let id = if validate_only { Uuid::nil() } else { topics.create(&asked.name.0, partitions, configs, settings)?.id };
    Ok(CreatableTopicResult::default()
        .with_name(asked.name.clone())
        .with_topic_id(id)
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(Some(told)))
}

fn null_value(name: &str) -> Refusal {
    Refusal::new(ResponseError::InvalidConfig, format!("Null value not supported for topic configs: {name}"))
}

/// How many partitions a topic is to have: told as a number, or one by one.
fn partition_count(asked: &CreatableTopic, default: i32) -> Answer<i32> {
    if !asked.assignments.is_empty() {
        let indexes: Vec<i32> = asked.assignments.iter().map(|part| part.partition_index).collect();
        let mut sorted = indexes.clone();
        sorted.sort_unstable();
        if asked.num_partitions != DEFAULT || i32::from(asked.replication_factor) != DEFAULT {
            let message = "A manual partition assignment was specified, but the number or the replicas were too.";
            return Err(Refusal::new(ResponseError::InvalidRequest, message));
        }
        if !sorted.iter().copied().eq(0..) || !asked.assignments.iter().all(|part| is_ours(&part.broker_ids)) {
            return Err(wrong_assignment());
        }
        return Ok(i32::try_from(indexes.len()).unwrap_or(i32::MAX));
    }
    match (asked.replication_factor, asked.num_partitions) {
        (factor, _) if factor == 0 || factor < -1 => Err(Refusal::new(
            ResponseError::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )),
        (_, count) if count == 0 || count < DEFAULT => Err(Refusal::new(
            ResponseError::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        )),
        (2.., _) => {
            let factor = asked.replication_factor;
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
                 reached because only 1 broker(s) are registered."
            );
            Err(Refusal::new(ResponseError::InvalidReplicationFactor, message))
        }
        (_, DEFAULT) => Ok(default),
        (_, count) => Ok(count),
    }
}

fn is_ours(brokers: &[BrokerId]) -> bool {
    brokers == [NODE_ID]
}

fn wrong_assignment() -> Refusal {
    let message = format!("The partitions must be numbered from 0, and each be on broker {} only", NODE_ID.0);
    Refusal::new(ResponseError::InvalidReplicaAssignment, message)
}

pub(super) fn create_partitions(
    node: &mut Node,
    _: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|asked| {
        let result = CreatePartitionsTopicResult::default().with_name(asked.name.clone());
        match grow(&mut node.topics, asked, request.validate_only) {
            Ok(()) => result,
            Err(refusal) => result.with_error_code(refusal.error.code()).with_error_message(refusal.message()),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(topics: &mut Topics, asked: &CreatePartitionsTopic, validate_only: bool) -> Answer<()> {
    let topic = topics.get_mut(&Called::Name(asked.name.0.clone()))?;
    let (now, count) = (topic.partition_count(), asked.count);
    if count == now {
        return Err(Refusal::new(ResponseError::InvalidPartitions, format!("Topic already has {now} partition(s).")));
    }
    if count < now {
        let message =
            format!("The topic {} currently has {now} partition(s); {count} would not be an increase.", topic.name);
        return Err(Refusal::new(ResponseError::InvalidPartitions, message));
    }
    if let Some(assignments) = &asked.assignments {
        let added = usize::try_from(count - now).unwrap_or_default();
        if assignments.len() != added || !assignments.iter().all(|part| is_ours(&part.broker_ids)) {
            return Err(wrong_assignment());
        }
    }
    if validate_only { Ok(()) } else { topic.grow(count) }
}

pub(super) fn delete_topics(node: &mut Node, call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = |name: TopicName| DeleteTopicState::default().with_name(Some(name));
    let asked: Vec<DeleteTopicState> =
        if call.version >= IDS_SINCE { request.topics } else { request.topic_names.into_iter().map(by_name).collect() };
    let results = asked.into_iter().map(|topic| {
        let called = topic.name.as_ref().map_or(Called::Id(topic.topic_id), |name| Called::Name(name.0.clone()));
        let result = DeletableTopicResult::default();
        match delete(node, &called) {
            Ok((name, id)) => result.with_name(Some(TopicName(name))).with_topic_id(id),
            Err(refusal) => result
                .with_name(topic.name)
                .with_topic_id(topic.topic_id)
                .with_error_code(refusal.error.code())
                .with_error_message(refusal.message().filter(|_| call.version >= DELETE_MESSAGE_SINCE)),
        }
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

/// What groups have of a topic goes with it.
fn delete(node: &mut Node, called: &Called) -> Answer<(StrBytes, Uuid)> {
    let topic = node.topics.get(called)?;
    let (name, id) = (topic.name.clone(), topic.id);
    node.topics.delete(id)?;
    node.groups.forget_topic(id)?;
    Ok((name, id))
}
