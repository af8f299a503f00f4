//! Making topics, adding partitions to them, deleting them.

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

use super::configs::{told_configs, value_to_set};
use crate::broker::node::{NODE_ID, Node};
use crate::broker::refusal::{Answer, Refusal};
use crate::broker::settings::Values;
use crate::broker::topics::{Called, Topics};
use crate::broker::wire::Call;

/// Earlier versions of DeleteTopics have names only, in a list of their own.
const IDS_SINCE: i16 = 6;

/// What clients send for "as the broker does".
const DEFAULT: i32 = -1;

pub(super) fn create_topics(node: &mut Node, _: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let is_twice = |topic: &CreatableTopic| request.topics.iter().filter(|other| other.name == topic.name).count() > 1;
    let results = request.topics.iter().map(|topic| {
        let result = if is_twice(topic) {
            Err(Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name."))
        } else {
            create(node, topic, request.validate_only)
        };
        let result = result.unwrap_or_else(|refusal| {
            CreatableTopicResult::default()
                .with_error_code(refusal.error.code())
                .with_error_message(refusal.message())
                .with_configs(Some(Vec::new()))
        });
        result.with_name(topic.name.clone())
    });
    let mut results: Vec<CreatableTopicResult> = results.collect();
    results.dedup_by(|a, b| a.name == b.name);
    CreateTopicsResponse::default().with_topics(results)
}

fn create(node: &mut Node, asked: &CreatableTopic, validate_only: bool) -> Answer<CreatableTopicResult> {
    let Node { topics, settings, .. } = node;
    topics.check_new(&asked.name)?;
    let partitions = partition_count(asked, settings.partitions)?;
    let mut configs = Values::new();
    for config in &asked.configs {
        let value = value_to_set(&config.name, config.value.as_deref())?;
        configs.insert(config.name.to_string(), value);
    }
    let told = told_configs(settings, Some(&configs)).map(|told| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(told.name))
            .with_value(Some(told.value))
            .with_config_source(told.source)
    });
    let told = told.collect();
    let id = if validate_only { Uuid::new_v4() } else { topics.create(&asked.name, partitions, configs, settings)?.id };
    Ok(CreatableTopicResult::default()
        .with_topic_id(id)
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(Some(told))
        .with_error_message(None))
}

/// How many partitions a topic is to have: told as a number, or one by one.
fn partition_count(asked: &CreatableTopic, default: i32) -> Answer<i32> {
    let count = if asked.assignments.is_empty() { asked.num_partitions } else { asked.assignments.len() as i32 };
    let factor = asked.replication_factor;
    if !asked.assignments.iter().all(|part| is_here(&part.broker_ids)) {
        return Err(elsewhere());
    }
    match (factor, count) {
        (0 | ..=-2, _) => {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            Err(Refusal::new(ResponseError::InvalidReplicationFactor, message))
        }
        (_, 0 | ..=-2) => {
            let message = "Number of partitions was set to an invalid non-positive value.";
            Err(Refusal::new(ResponseError::InvalidPartitions, message))
        }
        (2.., _) => {
            let message = format!("{factor} replicas need {factor} brokers: this is the only one");
            Err(Refusal::new(ResponseError::InvalidReplicationFactor, message))
        }
        (_, DEFAULT) => Ok(default),
        (_, count) => Ok(count),
    }
}

fn is_here(brokers: &[BrokerId]) -> bool {
    brokers == [NODE_ID]
}

fn elsewhere() -> Refusal {
    let message = format!("A partition can be on broker {} only, and each must be told its place", NODE_ID.0);
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
            Ok(()) => result.with_error_message(None),
            Err(refusal) => result.with_error_code(refusal.error.code()).with_error_message(refusal.message()),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(topics: &mut Topics, asked: &CreatePartitionsTopic, validate_only: bool) -> Answer<()> {
    let topic = topics.get_mut(&Called::Name(asked.name.0.clone()))?;
    let (now, count) = (topic.partition_count(), asked.count);
    if count <= now {
        let message =
            format!("The topic {} currently has {now} partition(s); {count} would not be an increase.", topic.name);
        return Err(Refusal::new(ResponseError::InvalidPartitions, message));
    }
    let places = asked.assignments.iter().flatten();
    let all_have_places = asked.assignments.as_ref().is_none_or(|places| places.len() as i32 == count - now);
    if !all_have_places || !places.into_iter().all(|part| is_here(&part.broker_ids)) {
        return Err(elsewhere());
    }
    if validate_only { Ok(()) } else { topic.grow(count) }
}

pub(super) fn delete_topics(node: &mut Node, call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = |name: TopicName| DeleteTopicState::default().with_name(Some(name));
    let asked: Vec<DeleteTopicState> = match call.version {
        IDS_SINCE.. => request.topics,
        _ => request.topic_names.into_iter().map(by_name).collect(),
    };
    let results = asked.into_iter().map(|topic| {
        let called = topic.name.as_ref().map_or(Called::Id(topic.topic_id), |name| Called::Name(name.0.clone()));
        let result = DeletableTopicResult::default();
        match delete(node, &called) {
            Ok((name, id)) => result.with_name(Some(TopicName(name))).with_topic_id(id).with_error_message(None),
            Err(refusal) => result
                .with_name(topic.name)
                .with_topic_id(topic.topic_id)
                .with_error_code(refusal.error.code())
                .with_error_message(Some(refusal.words())),
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
