//! What there is: versions, the node, the topics, and who looks after a group.

use bytes::BytesMut;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::APIS;
use crate::broker::log::LEADER_EPOCH;
use crate::broker::node::{NODE_ID, Node};
use crate::broker::refusal::{Answer, Refusal};
use crate::broker::settings::Values;
use crate::broker::topics::{Called, Topic, check_name};
use crate::broker::wire::Call;

/// What may be done where nothing is forbidden, as sets of bits: to a cluster, a topic, a group.
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

/// The number of brokers among the kinds of an endpoint.
const BROKERS: i8 = 1;

/// The number of groups among the kinds of what has a coordinator.
const GROUP: i8 = 0;

/// Later versions ask for many groups at once.
const MANY_GROUPS_SINCE: i16 = 4;

/// Kafka says of Produce that it has version 0, which it does not answer: earlier versions of librdkafka take a broker without
/// it for one that can't store batches.
const PRODUCE_TOLD_FIRST: i16 = 0;

/// A client of a version that is not known is told in version 0 which are.
pub(super) fn api_versions(call: &Call, is_known: bool) -> anyhow::Result<BytesMut> {
    let told = APIS.iter().map(|(key, versions)| {
        let first = if *key == ApiKey::Produce { PRODUCE_TOLD_FIRST } else { *versions.start() };
        ApiVersion::default().with_api_key(*key as i16).with_min_version(first).with_max_version(*versions.end())
    });
    let response = ApiVersionsResponse::default().with_api_keys(told.collect());
    if is_known {
        return call.encode(&response);
    }
    call.encode_as(&response.with_error_code(ResponseError::UnsupportedVersion.code()), 0)
}

/// What may be done, where somebody asked.
fn operations(all: i32, asked: bool) -> i32 {
    if asked { all } else { i32::MIN }
}

pub(super) fn group_operations(asked: bool) -> i32 {
    operations(GROUP_OPERATIONS, asked)
}

pub(super) fn metadata(node: &mut Node, call: &Call, request: MetadataRequest) -> MetadataResponse {
    let may_create = request.allow_auto_topic_creation && node.settings.auto_create_topics;
    let operations_asked = request.include_topic_authorized_operations;
    let called =
        |name: &Option<TopicName>, id| name.as_ref().map_or(Called::Id(id), |name| Called::Name(name.0.clone()));
    // In version 0 no topics are all.
    let asked = request.topics.filter(|topics| !topics.is_empty() || call.version > 0);
    let wanted: Vec<Called> = match asked {
        None => node.topics.iter().map(|topic| Called::Id(topic.id)).collect(),
        Some(topics) => topics.iter().map(|topic| called(&topic.name, topic.topic_id)).collect(),
    };
    let topics = wanted.iter().map(|called| {
        let topic = existing_or_new(node, called, may_create).map(describe);
        let topic = topic.unwrap_or_else(|refusal| not_there(called, &refusal));
        let operations_asked = operations_asked && topic.name.is_some();
        topic.with_topic_authorized_operations(operations(TOPIC_OPERATIONS, operations_asked))
    });
    let topics = topics.collect();
    let broker = MetadataResponseBroker::default().with_node_id(NODE_ID);
    MetadataResponse::default()
        .with_brokers(vec![broker.with_host(node.host.clone()).with_port(node.port)])
        .with_cluster_id(Some(node.cluster_id.clone()))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
        .with_cluster_authorized_operations(operations(
            CLUSTER_OPERATIONS,
            request.include_cluster_authorized_operations,
        ))
}

fn existing_or_new<'a>(node: &'a mut Node, called: &Called, may_create: bool) -> Answer<&'a Topic> {
    if let Called::Name(name) = called {
        check_name(name).map_err(|refusal| refusal.error)?;
        if may_create && node.topics.get(called).is_err() {
            return node.topics.create(name, node.settings.partitions, Values::new(), &node.settings);
        }
    }
    node.topics.get(called)
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(vec![NODE_ID])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(topic.name.clone())))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partition_count()).map(partition).collect())
}

fn not_there(called: &Called, refusal: &Refusal) -> MetadataResponseTopic {
    let topic = MetadataResponseTopic::default().with_error_code(refusal.error.code());
    match called {
        Called::Name(name) => topic.with_name(Some(TopicName(name.clone()))),
        Called::Id(id) => topic.with_name(None).with_topic_id(*id),
    }
}

pub(super) fn describe_cluster(node: &mut Node, _: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default().with_error_message(None);
    if request.endpoint_type != BROKERS {
        let words = StrBytes::from_static_str("The request was sent to an endpoint of type BROKER");
        return response.with_error_code(ResponseError::MismatchedEndpointType.code()).with_error_message(Some(words));
    }
    let broker = DescribeClusterBroker::default().with_broker_id(NODE_ID);
    let asked = request.include_cluster_authorized_operations;
    response
        .with_cluster_id(node.cluster_id.clone())
        .with_controller_id(NODE_ID)
        .with_brokers(vec![broker.with_host(node.host.clone()).with_port(node.port)])
        .with_cluster_authorized_operations(operations(CLUSTER_OPERATIONS, asked))
}

pub(super) fn find_coordinator(
    node: &mut Node,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let coordinator = |key: &StrBytes| {
        let found = Coordinator::default().with_key(key.clone());
        match check_key(request.key_type, key) {
            Ok(()) => found.with_node_id(NODE_ID).with_host(node.host.clone()).with_port(node.port),
            Err(refusal) => found
                .with_node_id((-1).into())
                .with_port(-1)
                .with_error_code(refusal.error.code())
                .with_error_message(refusal.message()),
        }
    };
    if call.version >= MANY_GROUPS_SINCE {
        let coordinators = request.coordinator_keys.iter().map(coordinator).collect();
        return FindCoordinatorResponse::default().with_coordinators(coordinators);
    }
    let found = coordinator(&request.key);
    // Kafka has words for success, too.
    let words = found.error_message.filter(|_| found.error_code != 0).or(Some(StrBytes::from_static_str("NONE")));
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_error_message(words)
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}

fn check_key(kind: i8, key: &str) -> Answer<()> {
    match (kind, key) {
        (GROUP, "") => Err(ResponseError::InvalidGroupId.into()),
        (GROUP, _) => Ok(()),
        _ => Err(Refusal::new(ResponseError::InvalidRequest, "This broker has no transactions and no share groups")),
    }
}
