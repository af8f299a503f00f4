//! Topics, configs, and what there is.

use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsResource};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiVersionsRequest, BrokerId, CreatePartitionsRequest, CreateTopicsRequest,
    CreateTopicsResponse, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, MetadataRequest,
};
use test_support::topic;
use uuid::Uuid;

use super::compare;
use super::wire::{Both, name, text, topic_id};

pub(super) fn new_topic(called: &str, partitions: i32, replicas: i16, configs: &[(&str, &str)]) -> CreatableTopic {
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(name(called))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(configs.iter().map(config).collect())
}

pub(super) fn create(topics: &[CreatableTopic]) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics.to_vec()).with_timeout_ms(30_000)
}

/// Kafka has a value of its own for this one, which is the default's.
const DYNAMIC: &str = "min.insync.replicas";

/// Configs come in any order.
fn sorted(answer: &mut CreateTopicsResponse) {
    let configs = answer.topics.iter_mut().flat_map(|topic| &mut topic.configs).flatten();
    configs.filter(|config| &*config.name == DYNAMIC).for_each(|config| config.config_source = 0);

    answer
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.configs)
        .for_each(|configs| configs.sort_by_key(|c| c.name.clone()));
}

pub(super) fn tried(both: &mut Both, what: &str, version: i16, request: CreateTopicsRequest) {
    both.same_as(what, version, |_| request.clone(), sorted);
}

/// A fresh topic on both.
pub(super) fn make(both: &mut Both, partitions: i32, configs: &[(&str, &str)]) -> String {
    let called = topic("same");
    tried(both, "a topic is made", 7, create(&[new_topic(&called, partitions, 1, configs)]));
    both.settle(&called, true);
    called
}

#[tokio::test]
async fn versions() {
    compare(|both| {
        for version in 0..=4 {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(text("same-answers"))
                .with_client_software_version(text("1.0"));
            let [ours, kafka] =
                [&mut both.ours, &mut both.kafka].map(|side| side.ask(version, &request).expect("versions"));
            assert_eq!((ours.error_code, kafka.error_code), (0, 0));
            for api in &ours.api_keys {
                let theirs =
                    kafka.api_keys.iter().find(|theirs| theirs.api_key == api.api_key).expect("an API of Kafka's");
                assert_eq!(api.min_version, theirs.min_version, "{api:?}");
                // The wire types that the broker is made on are one version behind in these: ListOffsets, OffsetCommit, OffsetFetch.
                let behind = i16::from([2, 8, 9].contains(&api.api_key));
                assert_eq!(api.max_version + behind, theirs.max_version, "{api:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn topics_are_made_and_refused() {
    compare(|both| {
        for version in 2..=7 {
            let called = topic("t.t");
            let with = |partitions, replicas, configs: &[(&str, &str)]| {
                create(&[new_topic(&called, partitions, replicas, configs)])
            };
            tried(both, "to be made", version, with(3, 1, &[("retention.ms", "1000")]).with_validate_only(true));
            tried(both, "made", version, with(3, 1, &[("retention.ms", "1000"), ("cleanup.policy", "compact")]));
            both.settle(&called, true);
            tried(both, "there already", version, with(3, 1, &[]));
            let like_it = called.replace('.', "_");
            tried(both, "like another", version, create(&[new_topic(&like_it, 1, 1, &[])]));
            let other = topic("t");
            let refused = |partitions, replicas, configs: &[(&str, &str)]| {
                create(&[new_topic(&other, partitions, replicas, configs)])
            };
            tried(both, "no partitions", version, refused(0, 1, &[]));
            tried(both, "fewer than no partitions", version, refused(-2, 1, &[]));
            tried(both, "no replicas", version, refused(1, 0, &[]));
            tried(both, "two replicas", version, refused(1, 2, &[]));
            tried(both, "an unknown config", version, refused(1, 1, &[("no.such", "1")]));
            tried(both, "a bad number", version, refused(1, 1, &[("retention.ms", "soon")]));
            tried(both, "a number too small", version, refused(1, 1, &[("retention.ms", "-5")]));
            tried(both, "a bad word", version, refused(1, 1, &[("message.timestamp.type", "Never")]));
            tried(both, "twice", version, create(&[new_topic(&other, 1, 1, &[]), new_topic(&other, 1, 1, &[])]));
            for bad in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
                tried(both, "a bad name", version, create(&[new_topic(bad, 1, 1, &[])]));
            }
            let placed = |count: i32, node: i32| {
                let part = |index| {
                    let brokers = vec![BrokerId(node)];
                    CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers)
                };
                create(&[new_topic(&other, -1, -1, &[]).with_assignments((0..count).map(part).collect())])
            };
            tried(both, "on a broker that is not", version, placed(2, 9));
            tried(both, "placed", version, placed(2, 1));
            both.settle(&other, true);
            if version >= 4 {
                let other = topic("t");
                tried(both, "by default", version, create(&[new_topic(&other, -1, -1, &[])]));
            }
        }
    })
    .await;
}

fn all_about(topics: Option<Vec<MetadataRequestTopic>>, version: i16) -> MetadataRequest {
    let with_operations = (8..=10).contains(&version);
    MetadataRequest::default()
        .with_topics(topics)
        .with_allow_auto_topic_creation(version < 4)
        .with_include_topic_authorized_operations(version >= 8)
        .with_include_cluster_authorized_operations(with_operations)
}

#[tokio::test]
async fn metadata() {
    compare(|both| {
        let called = make(both, 3, &[]);
        for version in 0..=13 {
            let by_name = |names: &[&str]| {
                let topic = |text: &&str| MetadataRequestTopic::default().with_name(Some(name(text)));
                all_about(Some(names.iter().map(topic).collect()), version)
            };
            let strip = |answer: &mut kafka_protocol::messages::MetadataResponse| answer.cluster_id = None;
            both.same_as("a topic", version, |_| by_name(&[&called]), strip);
            both.same_as("a bad name", version, |_| by_name(&["a b"]), strip);
            if version >= 1 {
                both.same_as("no topics", version, |_| by_name(&[]), strip);
            }
            if version >= 4 {
                both.same_as("no such topic", version, |_| by_name(&["no-such"]), strip);
            }
            if version >= 12 {
                let by_id = |id| {
                    let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
                    all_about(Some(vec![topic]), version)
                };
                both.same_as("no such id", version, |_| by_id(Uuid::from_u128(42)), strip);
            }
        }
        for version in 0..=2 {
            let request = |_: &_| {
                DescribeClusterRequest::default().with_include_cluster_authorized_operations(true).with_endpoint_type(1)
            };
            both.same_as("the cluster", version, request, |answer| answer.cluster_id = text(""));
        }
        both.same_as(
            "controllers",
            2,
            |_| DescribeClusterRequest::default().with_endpoint_type(2),
            |answer| {
                answer.cluster_id = text("");
            },
        );
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_is_asked_for_is_made() {
    compare(|both| {
        let called = topic("auto");
        let asked = MetadataRequestTopic::default().with_name(Some(name(&called)));
        let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(true);
        for side in [&mut both.ours, &mut both.kafka] {
            side.ask(12, &request);
        }
        both.settle(&called, true);
        both.same_as("it is there", 12, |_| request.clone(), |answer| answer.cluster_id = None);
    })
    .await;
}

#[tokio::test]
async fn partitions_are_added() {
    compare(|both| {
        for version in 0..=3 {
            let called = make(both, 2, &[]);
            let grow = |called: &str, count| {
                let topic =
                    CreatePartitionsTopic::default().with_name(name(called)).with_count(count).with_assignments(None);
                CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
            };
            both.same("as many", version, |_| grow(&called, 2));
            both.same("fewer", version, |_| grow(&called, 1));
            both.same("of no topic", version, |_| grow("no-such", 5));
            both.same("to be added", version, |_| grow(&called, 4).with_validate_only(true));
            both.same("added", version, |_| grow(&called, 4));
            let placed = |node: i32, count: usize| {
                let mut request = grow(&called, 5);
                let part = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(node)]);
                request.topics[0].assignments = Some(vec![part; count]);
                request
            };
            both.same("on a broker that is not", version, |_| placed(9, 1));
            both.same("too many places", version, |_| placed(1, 2));
            both.same("placed", version, |_| placed(1, 1));
        }
    })
    .await;
}

#[tokio::test]
async fn topics_are_deleted() {
    compare(|both| {
        for version in 1..=6 {
            let called = make(both, 1, &[]);
            let delete = |called: &str| {
                let request = DeleteTopicsRequest::default().with_timeout_ms(30_000);
                if version >= 6 {
                    request.with_topics(vec![DeleteTopicState::default().with_name(Some(name(called)))])
                } else {
                    request.with_topic_names(vec![name(called)])
                }
            };
            both.same("deleted", version, |_| delete(&called));
            both.settle(&called, false);
            both.same("deleted again", version, |_| delete(&called));
        }
        let called = make(both, 1, &[]);
        let ids = [&mut both.ours, &mut both.kafka]
            .map(|side| (side.servers.clone(), topic_id(side, &called).expect("an id")));
        let by_id = |id| {
            let topic = DeleteTopicState::default().with_name(None).with_topic_id(id);
            DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
        };
        let own =
            |side: &super::wire::Side| ids.iter().find(|(servers, _)| *servers == side.servers).expect("a side").1;
        both.same("deleted by its id", 6, |side| by_id(own(side)));
        both.settle(&called, false);
        both.same("deleted by its id again", 6, |side| by_id(own(side)));
        tried(both, "made again", 7, create(&[new_topic(&called, 1, 1, &[])]));
    })
    .await;
}

fn described(both: &mut Both, what: &str, version: i16, request: DescribeConfigsRequest) {
    both.same_as(
        what,
        version,
        |_| request.clone(),
        |answer| {
            for config in answer.results.iter_mut().flat_map(|result| &mut result.configs) {
                // Earlier versions have none, in two ways.
                config.documentation = None;
                if &*config.name == DYNAMIC {
                    config.config_source = 0;
                    config.synonyms.clear();
                }
            }
            answer.results.iter_mut().for_each(|result| result.configs.sort_by_key(|config| config.name.clone()));
        },
    );
}

fn describe(called: &str, keys: Option<Vec<&str>>) -> DescribeConfigsRequest {
    let keys = keys.map(|keys| keys.into_iter().map(text).collect());
    let topic = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(called))
        .with_configuration_keys(keys);
    DescribeConfigsRequest::default().with_resources(vec![topic]).with_include_synonyms(true)
}

#[tokio::test]
async fn configs() {
    compare(|both| {
        let called = make(both, 1, &[("retention.ms", "5000"), ("cleanup.policy", "compact,delete")]);
        for version in 1..=4 {
            described(both, "all", version, describe(&called, None));
            described(
                both,
                "some",
                version,
                describe(&called, Some(vec!["retention.ms", "max.message.bytes", "no.such"])),
            );
            described(both, "of no topic", version, describe("no-such", None));
            let other = DescribeConfigsResource::default().with_resource_type(4).with_resource_name(text("9"));
            both.same("of another broker", version, |_| {
                DescribeConfigsRequest::default().with_resources(vec![other.clone()])
            });
        }
        for version in 0..=1 {
            let change = |changes: &[(&str, i8, Option<&str>)]| {
                let config = |&(key, operation, value): &(&str, i8, Option<&str>)| {
                    incremental::AlterableConfig::default()
                        .with_name(text(key))
                        .with_config_operation(operation)
                        .with_value(value.map(text))
                };
                let topic = incremental::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(&called))
                    .with_configs(changes.iter().map(config).collect());
                IncrementalAlterConfigsRequest::default().with_resources(vec![topic])
            };
            both.same("set", version, |_| change(&[("segment.bytes", 0, Some("2000000"))]));
            both.same("deleted", version, |_| change(&[("retention.ms", 1, None)]));
            both.same("subtracted", version, |_| change(&[("cleanup.policy", 3, Some("compact"))]));
            both.same("appended", version, |_| change(&[("cleanup.policy", 2, Some("compact"))]));
            both.same("appended to a number", version, |_| change(&[("retention.ms", 2, Some("1"))]));
            both.same("nothing", version, |_| change(&[("retention.ms", 0, None)]));
            both.same("a bad number", version, |_| change(&[("retention.ms", 0, Some("x"))]));
            both.same("an unknown one", version, |_| change(&[("no.such", 0, Some("x"))]));
            both.same("tried", version, |_| change(&[("retention.ms", 0, Some("9"))]).with_validate_only(true));
            described(both, "then", 4, describe(&called, None));
        }
        for version in 0..=2 {
            let replace = |value: &str| {
                let config = alter_configs_request::AlterableConfig::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text(value)));
                let topic = AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(&called))
                    .with_configs(vec![config]);
                AlterConfigsRequest::default().with_resources(vec![topic])
            };
            both.same("replaced", version, |_| replace("7777"));
            both.same("replaced by a bad one", version, |_| replace("x"));
            described(both, "then", 4, describe(&called, None));
        }
    })
    .await;
}

#[tokio::test]
async fn coordinators_and_producer_ids() {
    compare(|both| {
        for version in 0..=6 {
            let find = |key: &str| {
                let request = FindCoordinatorRequest::default().with_key_type(0);
                if version >= 4 { request.with_coordinator_keys(vec![text(key)]) } else { request.with_key(text(key)) }
            };
            both.same("of a group", version, |_| find("g"));
        }
        for version in 0..=5 {
            let request = |_: &_| InitProducerIdRequest::default().with_transactional_id(None);
            both.same_as("a producer", version, request, |answer| answer.producer_id = 0.into());
        }
    })
    .await;
}
