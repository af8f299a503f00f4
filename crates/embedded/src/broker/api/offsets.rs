//! Places in a log: by time, by epoch, and where it is to begin.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use crate::broker::log::{LEADER_EPOCH, Moment, Partition};
use crate::broker::node::Node;
use crate::broker::refusal::{Answer, code};
use crate::broker::topics::Called;
use crate::broker::wire::Call;

/// Times that are none. All records are local, so the first local one is the first.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// No time, offset or epoch.
const NONE: i64 = -1;

/// Earlier versions of ListOffsets have no epoch.
const EPOCH_SINCE: i16 = 4;

pub(super) fn list_offsets(node: &mut Node, call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let called = Called::Name(asked.name.0.clone());
        let answer = |part: ListOffsetsPartition| {
            let partition = node.topics.partition(&called, part.partition_index);
            let found = partition.and_then(|partition| find(partition, part.timestamp));
            let has_epoch = call.version >= EPOCH_SINCE && found.as_ref().is_ok_and(|moment| moment.offset != NONE);
            let error_code = code(&found);
            let moment = found.unwrap_or(Moment { timestamp: NONE, offset: NONE });
            ListOffsetsPartitionResponse::default()
                .with_partition_index(part.partition_index)
                .with_error_code(error_code)
                .with_timestamp(moment.timestamp)
                .with_offset(moment.offset)
                .with_leader_epoch(if has_epoch { LEADER_EPOCH } else { -1 })
        };
        let partitions = asked.partitions.into_iter().map(answer).collect();
        ListOffsetsTopicResponse::default().with_name(asked.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn find(partition: &Partition, timestamp: i64) -> Answer<Moment> {
    let nothing = Moment { timestamp: NONE, offset: NONE };
    match timestamp {
        LATEST => Ok(Moment { offset: partition.end_offset(), ..nothing }),
        EARLIEST | EARLIEST_LOCAL => Ok(Moment { offset: partition.start_offset(), ..nothing }),
        LATEST_TIERED => Ok(nothing),
        MAX_TIMESTAMP => Ok(partition.latest()?.unwrap_or(nothing)),
        0.. => Ok(partition.first_since(timestamp)?.unwrap_or(nothing)),
        _ => Err(ResponseError::UnsupportedVersion.into()),
    }
}

pub(super) fn offset_for_leader_epoch(
    node: &mut Node,
    _: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let called = Called::Name(asked.topic.0.clone());
        let answer = |part: OffsetForLeaderPartition| {
            let partition = node.topics.partition(&called, part.partition);
            let end = partition.and_then(|partition| match part.current_leader_epoch {
                ..=LEADER_EPOCH => Ok(partition.end_offset()),
                _ => Err(ResponseError::UnknownLeaderEpoch.into()),
            });
            let result = EpochEndOffset::default().with_partition(part.partition).with_error_code(code(&end));
            // No other epoch has an end.
            match end.ok().filter(|_| part.leader_epoch == LEADER_EPOCH) {
                Some(end) => result.with_leader_epoch(LEADER_EPOCH).with_end_offset(end),
                None => result.with_leader_epoch(-1).with_end_offset(NONE),
            }
        };
        let partitions = asked.partitions.into_iter().map(answer).collect();
        OffsetForLeaderTopicResult::default().with_topic(asked.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

pub(super) fn delete_records(node: &mut Node, _: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let called = Called::Name(asked.name.0.clone());
        let answer = |part: DeleteRecordsPartition| {
            let partition = node.topics.partition_mut(&called, part.partition_index);
            let low = partition.and_then(|partition| delete_before(partition, part.offset));
            DeleteRecordsPartitionResult::default()
                .with_partition_index(part.partition_index)
                .with_error_code(code(&low))
                .with_low_watermark(low.unwrap_or(NONE))
        };
        let partitions = asked.partitions.into_iter().map(answer).collect();
        DeleteRecordsTopicResult::default().with_name(asked.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// -1 is the end.
fn delete_before(partition: &mut Partition, offset: i64) -> Answer<i64> {
    let offset = if offset == NONE { partition.end_offset() } else { offset };
    partition.delete_before(offset)?;
    Ok(partition.start_offset())
}
