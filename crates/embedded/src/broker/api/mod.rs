//! The requests: which there are, in which versions, and who answers them.

mod cluster;
mod configs;
mod fetch;
mod group_offsets;
mod groups;
mod offsets;
mod produce;
mod topics;

use anyhow::bail;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::node::{Node, Shared};
use super::wire::Call;

/// A request that is answered, from its first version to its last.
struct Api {
    key: ApiKey,
    first: i16,
    last: i16,
}

const fn api(key: ApiKey, first: i16, last: i16) -> Api {
    Api { key, first, last }
}

/// The versions are those of Kafka 4.3, but for three whose last one the protocol's crate does not know yet.
const APIS: &[Api] = &[
    api(ApiKey::Produce, 3, 13),
    api(ApiKey::Fetch, 4, 18),
    api(ApiKey::ListOffsets, 1, 10),
    api(ApiKey::Metadata, 0, 13),
    api(ApiKey::OffsetCommit, 2, 9),
    api(ApiKey::OffsetFetch, 1, 9),
    api(ApiKey::FindCoordinator, 0, 6),
    api(ApiKey::JoinGroup, 0, 9),
    api(ApiKey::Heartbeat, 0, 4),
    api(ApiKey::LeaveGroup, 0, 5),
    api(ApiKey::SyncGroup, 0, 5),
    api(ApiKey::DescribeGroups, 0, 6),
    api(ApiKey::ListGroups, 0, 5),
    api(ApiKey::ApiVersions, 0, 4),
    api(ApiKey::CreateTopics, 2, 7),
    api(ApiKey::DeleteTopics, 1, 6),
    api(ApiKey::DeleteRecords, 0, 2),
    api(ApiKey::InitProducerId, 0, 5),
    api(ApiKey::OffsetForLeaderEpoch, 2, 4),
    api(ApiKey::DescribeConfigs, 1, 4),
    api(ApiKey::AlterConfigs, 0, 2),
    api(ApiKey::CreatePartitions, 0, 3),
    api(ApiKey::DeleteGroups, 0, 2),
    api(ApiKey::IncrementalAlterConfigs, 0, 1),
    api(ApiKey::OffsetDelete, 0, 0),
    api(ApiKey::DescribeCluster, 0, 2),
];

/// What is told of Produce, as Kafka does: earlier versions of librdkafka take a broker without version 0 for one that can't
/// store batches. It is not answered.
const PRODUCE_TOLD_FIRST: i16 = 0;

/// Answers a request, or says why its client can't be talked to. Nothing is the answer to those who want none.
pub(super) async fn answer(node: &Shared, call: &Call, body: Bytes) -> anyhow::Result<Option<BytesMut>> {
    let is_known = APIS.iter().any(|api| api.key == call.key && (api.first..=api.last).contains(&call.version));
    if !is_known && call.key != ApiKey::ApiVersions {
        bail!("this broker has no {:?} of version {}", call.key, call.version);
    }
    let answer = match call.key {
        ApiKey::ApiVersions => cluster::api_versions(call, is_known)?,
        ApiKey::Produce => return produce::produce(&mut node.borrow_mut(), call, body),
        ApiKey::Fetch => call.encode(&fetch::fetch(node, call.decode(body)?).await)?,
        ApiKey::JoinGroup => {
            let joined = groups::join(node, call, call.decode(body)?).await;
            call.encode(&joined)?
        }
        ApiKey::SyncGroup => call.encode(&groups::sync(node, call.decode(body)?).await)?,
        _ => answer_at_once(&mut node.borrow_mut(), call, body)?,
    };
    Ok(Some(answer))
}

/// Answers a request for which nothing is waited.
fn answer_at_once(node: &mut Node, call: &Call, body: Bytes) -> anyhow::Result<BytesMut> {
    match call.key {
        ApiKey::Metadata => with(node, call, body, cluster::metadata),
        ApiKey::DescribeCluster => with(node, call, body, cluster::describe_cluster),
        ApiKey::FindCoordinator => with(node, call, body, cluster::find_coordinator),
        ApiKey::InitProducerId => with(node, call, body, produce::init_producer_id),
        ApiKey::ListOffsets => with(node, call, body, offsets::list_offsets),
        ApiKey::OffsetForLeaderEpoch => with(node, call, body, offsets::offset_for_leader_epoch),
        ApiKey::DeleteRecords => with(node, call, body, offsets::delete_records),
        ApiKey::CreateTopics => with(node, call, body, topics::create_topics),
        ApiKey::DeleteTopics => with(node, call, body, topics::delete_topics),
        ApiKey::CreatePartitions => with(node, call, body, topics::create_partitions),
        ApiKey::DescribeConfigs => with(node, call, body, configs::describe_configs),
        ApiKey::AlterConfigs => with(node, call, body, configs::alter_configs),
        ApiKey::IncrementalAlterConfigs => with(node, call, body, configs::incremental_alter_configs),
        ApiKey::Heartbeat => with(node, call, body, groups::heartbeat),
        ApiKey::LeaveGroup => with(node, call, body, groups::leave),
        ApiKey::DescribeGroups => with(node, call, body, groups::describe_groups),
        ApiKey::ListGroups => with(node, call, body, groups::list_groups),
        ApiKey::DeleteGroups => with(node, call, body, groups::delete_groups),
        ApiKey::OffsetCommit => with(node, call, body, group_offsets::offset_commit),
        ApiKey::OffsetFetch => with(node, call, body, group_offsets::offset_fetch),
        ApiKey::OffsetDelete => with(node, call, body, group_offsets::offset_delete),
        key => bail!("this broker has no {key:?}"),
    }
}

fn with<Q: Decodable, R: Encodable>(
    node: &mut Node,
    call: &Call,
    body: Bytes,
    answer: impl FnOnce(&mut Node, &Call, Q) -> R,
) -> anyhow::Result<BytesMut> {
    let request = call.decode(body)?;
    call.encode(&answer(node, call, request))
}
