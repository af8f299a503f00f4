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

use super::{APIS, PRODUCE_TOLD_FIRST};
use crate::broker::log::LEADER_EPOCH;
use crate::broker::node::{NODE_ID, Node};
use crate::broker::refusal::{Answer, Refusal};
use crate::broker::settings::Values;
use crate::broker::topics::{Called, Topic};
use crate::broker::wire::Call;

/// What may be done where nothing is forbidden, as sets of bits: to a cluster, a topic, a group.
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
const TOPIC_OPERATIONS: i32 = 0b1_1101_1111_1000;
pub(super) const GROUP_OPERATIONS: i32 = 0b1_1001_0000_1000;

/// Where nobody asked for them.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// The number of brokers among the kinds of an endpoint.
const BROKERS: i8 = 1;

/// The number of groups among the kinds of what has a coordinator.
const GROUP: i8 = 0;

/// Later versions ask for many groups at once.
const MANY_GROUPS_SINCE: i16 = 4;

/// In version 0 no topics are all topics.
const NO_TOPICS_SINCE: i16 = 1;

/// A client of a version that is not known is told in version 0 which are.
pub(super) fn api_versions(call: &Call, is_known: bool) -> anyhow::Result<BytesMut> {
    let told = |api: &super::Api| {
        let first = if api.key == ApiKey::Produce { PRODUCE_TOLD_FIRST } else { api.first };
        ApiVersion::default().with_api_key(api.key as i16).with_min_version(first).with_max_version(api.last)
    };
    let response = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(told).collect());
    if is_known {
        return call.encode(&response);
    }
    call.encode_as(&response.with_error_code(ResponseError::UnsupportedVersion.code()), 0)
}

pub(super) fn metadata(node: &mut Node, call: &Call, request: MetadataRequest) -> MetadataResponse {
    let may_create = request.allow_auto_topic_creation && node.settings.auto_create_topics;
    let with_operations = request.include_topic_authorized_operations;
    let all = |node: &Node| node.topics.iter().map(|topic| Called::Id(topic.id)).collect();
    let wanted: Vec<Called> = match request.topics {
        None => all(node),
        Some(topics) if topics.is_empty() && call.version < NO_TOPICS_SINCE => all(node),
        Some(topics) => topics
            .iter()
            .map(|t| t.name.as_ref().map_or(Called::Id(t.topic_id), |n| Called::Name(n.0.clone())))
            .collect(),
    };
    let topics = wanted.iter().map(|called| {
        let topic = existing_or_new(node, called, may_create).map(|topic| describe(topic, with_operations));
        topic.unwrap_or_else(|refusal| not_there(called, &refusal))
    });
    let topics = topics.collect();
    let broker = MetadataResponseBroker::default().with_node_id(NODE_ID);
    let operations = request.include_cluster_authorized_operations;
    MetadataResponse::default()
        .with_brokers(vec![broker.with_host(node.host.clone()).with_port(node.port)])
        .with_cluster_id(Some(node.cluster_id.clone()))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
        .with_cluster_authorized_operations(if operations { CLUSTER_OPERATIONS } else { NOT_ASKED })
}

fn existing_or_new<'a>(node: &'a mut Node, called: &Called, may_create: bool) -> Answer<&'a Topic> {
    match called {
        Called::Name(name) => {
            crate::broker::topics::check_name(name)?;
            if may_create && node.topics.id(called).is_err() {
                let (partitions, settings) = (node.settings.partitions, &node.settings);
                return node.topics.create(name, partitions, Values::new(), settings);
            }
        }
        Called::Id(_) => {}
    }
    node.topics.get(called)
}

fn describe(topic: &Topic, with_operations: bool) -> MetadataResponseTopic {
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
        .with_topic_authorized_operations(if with_operations { TOPIC_OPERATIONS } else { NOT_ASKED })
}

fn not_there(called: &Called, refusal: &Refusal) -> MetadataResponseTopic {
    let topic = MetadataResponseTopic::default()
        .with_error_code(refusal.error.code())
        .with_topic_authorized_operations(NOT_ASKED);
    match called {
        Called::Name(name) => topic.with_name(Some(TopicName(name.clone()))),
        Called::Id(id) => topic.with_name(None).with_topic_id(*id),
    }
}

pub(super) fn describe_cluster(node: &mut Node, _: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let operations = request.include_cluster_authorized_operations;
    let response = DescribeClusterResponse::default().with_endpoint_type(request.endpoint_type);
    if request.endpoint_type != BROKERS {
        return response
            .with_error_code(ResponseError::MismatchedEndpointType.code())
            .with_error_message(Some(StrBytes::from_static_str("The request was sent to an endpoint of type BROKER")));
    }
    let broker = DescribeClusterBroker::default().with_broker_id(NODE_ID);
    response
        .with_cluster_id(node.cluster_id.clone())
        .with_controller_id(NODE_ID)
        .with_brokers(vec![broker.with_host(node.host.clone()).with_port(node.port)])
        .with_cluster_authorized_operations(if operations { CLUSTER_OPERATIONS } else { NOT_ASKED })
}

pub(super) fn find_coordinator(
    node: &mut Node,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let coordinator = |key: &StrBytes| match check_key(request.key_type, key) {
        Ok(()) => Coordinator::default()
            .with_key(key.clone())
            .with_node_id(NODE_ID)
            .with_host(node.host.clone())
            .with_port(node.port),
        Err(refusal) => Coordinator::default()
            .with_key(key.clone())
            .with_node_id((-1).into())
            .with_port(-1)
            .with_error_code(refusal.error.code())
            .with_error_message(refusal.message()),
    };
    if call.version >= MANY_GROUPS_SINCE {
        let coordinators = request.coordinator_keys.iter().map(coordinator).collect();
        return FindCoordinatorResponse::default().with_coordinators(coordinators);
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = coordinator(&request.key);
    let response = FindCoordinatorResponse::default().with_node_id(node_id).with_host(host).with_port(port);
    // Version 0 has no words.
    response.with_error_code(error_code).with_error_message(error_message.filter(|_| call.version > 0))
}

fn check_key(key_type: i8, key: &StrBytes) -> Answer<()> {
    if key_type != GROUP {
        let message = format!("This broker has no transactions: {key} can't have any");
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    if key.is_empty() { Err(ResponseError::InvalidGroupId.into()) } else { Ok(()) }
}
