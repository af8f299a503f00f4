//! The requests: which there are, in which versions, and who answers them.

mod cluster;
mod configs;
mod fetch;
mod group_offsets;
mod groups;
mod offsets;
mod produce;
mod topics;

use std::ops::RangeInclusive;

use anyhow::bail;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::node::{Node, Shared};
use super::wire::Call;

/// The versions are those of Kafka 4.3, but for the last ones of ListOffsets, OffsetCommit and OffsetFetch, which the crate of
/// the wire types does not know yet. What is waited for has no function here.
macro_rules! apis {
    ($($key:ident $versions:expr $(, $function:path)?;)*) => {
        const APIS: &[(ApiKey, RangeInclusive<i16>)] = &[$((ApiKey::$key, $versions)),*];

        /// Answers a request for which nothing is waited.
        fn answer_at_once(node: &mut Node, call: &Call, body: Bytes) -> anyhow::Result<BytesMut> {
            match call.key {
                $($(ApiKey::$key => with(node, call, body, $function),)?)*
                key => bail!("this broker has no {key:?}"),
            }
        }
    };
}

apis! {
    Produce 3..=13;
    Fetch 4..=18;
    ListOffsets 1..=10, offsets::list_offsets;
    Metadata 0..=13, cluster::metadata;
    OffsetCommit 2..=9, group_offsets::offset_commit;
    OffsetFetch 1..=9, group_offsets::offset_fetch;
    FindCoordinator 0..=6, cluster::find_coordinator;
    JoinGroup 0..=9;
    Heartbeat 0..=4, groups::heartbeat;
    LeaveGroup 0..=5, groups::leave;
    SyncGroup 0..=5;
    DescribeGroups 0..=6, groups::describe_groups;
    ListGroups 0..=5, groups::list_groups;
    ApiVersions 0..=4;
    CreateTopics 2..=7, topics::create_topics;
    DeleteTopics 1..=6, topics::delete_topics;
    DeleteRecords 0..=2, offsets::delete_records;
    InitProducerId 0..=5, produce::init_producer_id;
    OffsetForLeaderEpoch 2..=4, offsets::offset_for_leader_epoch;
    DescribeConfigs 1..=4, configs::describe_configs;
    AlterConfigs 0..=2, configs::alter_configs;
    CreatePartitions 0..=3, topics::create_partitions;
    DeleteGroups 0..=2, groups::delete_groups;
    IncrementalAlterConfigs 0..=1, configs::incremental_alter_configs;
    OffsetDelete 0..=0, group_offsets::offset_delete;
    DescribeCluster 0..=2, cluster::describe_cluster;
}

/// Answers a request, or says why its client can't be talked to. Nothing is the answer to those who want none.
pub(super) async fn answer(node: &Shared, call: &Call, body: Bytes) -> anyhow::Result<Option<BytesMut>> {
    let is_known = APIS.iter().any(|(key, versions)| *key == call.key && versions.contains(&call.version));
    let answer = match call.key {
        ApiKey::ApiVersions => cluster::api_versions(call, is_known)?,
        key if !is_known => bail!("this broker has no {key:?} of version {}", call.version),
        ApiKey::Produce => return produce::produce(&mut node.borrow_mut(), call, body),
        ApiKey::Fetch => call.encode(&fetch::fetch(node, call.decode(body)?).await)?,
        ApiKey::JoinGroup => call.encode(&groups::join(node, call, call.decode(body)?).await)?,
        ApiKey::SyncGroup => call.encode(&groups::sync(node, call, call.decode(body)?).await)?,
        _ => answer_at_once(&mut node.borrow_mut(), call, body)?,
    };
    Ok(Some(answer))
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
