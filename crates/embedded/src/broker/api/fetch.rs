//! Giving records, and waiting for them.

use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, timeout_at};

use crate::broker::log::{LEADER_EPOCH, Partition, Slice};
use crate::broker::node::{Node, Shared};
use crate::broker::refusal::Answer;
use crate::broker::topics::Called;

/// What an answer holds at most, whatever is asked for; Kafka's own limit.
const ANSWER_BYTES_MAX: usize = 55 << 20;

/// What Kafka calls a consumer that wants to be told of aborted transactions: there are none.
const READ_COMMITTED: i8 = 1;

/// Answers as soon as there is enough, or the client's patience is at its end.
pub(super) async fn fetch(node: &Shared, request: FetchRequest) -> FetchResponse {
    // There are no sessions: whoever asks for one is told that it got none, and goes on with full fetches.
    if request.session_id != 0 {
        return FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
    }
    let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default());
    let deadline = Instant::now() + patience;
    loop {
        let found = look(&node.borrow(), &request);
        if found.is_enough(&request) {
            return found.response;
        }
        let waiter = Rc::new(Notify::new());
        wait(&mut node.borrow_mut(), &request, &waiter);
        if timeout_at(deadline, waiter.notified()).await.is_err() {
            return found.response;
        }
    }
}

/// What there is now.
struct Found {
    response: FetchResponse,
    bytes: usize,
    has_refusals: bool,
}

impl Found {
    fn is_enough(&self, request: &FetchRequest) -> bool {
        let asks_for_none = request.topics.is_empty();
        asks_for_none || self.has_refusals || self.bytes >= usize::try_from(request.min_bytes).unwrap_or_default()
    }
}

fn look(node: &Node, request: &FetchRequest) -> Found {
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or_default().min(ANSWER_BYTES_MAX);
    let mut found = Found { response: FetchResponse::default(), bytes: 0, has_refusals: false };
    for asked in &request.topics {
        let called = Called::new(&asked.topic, asked.topic_id);
        let read = |part: &FetchPartition| {
            let (left, one_at_least) = (bytes_max.saturating_sub(found.bytes), found.bytes == 0);
            let partition = node.topics.partition(&called, part.partition);
            let read = partition.and_then(|partition| read(partition, part, left, one_at_least));
            found.has_refusals |= read.is_err();
            let data = read.unwrap_or_else(|refusal| refused(refusal.error));
            found.bytes += data.records.as_ref().map_or(0, Bytes::len);
            let aborted = (request.isolation_level == READ_COMMITTED).then(Vec::new);
            data.with_partition_index(part.partition).with_aborted_transactions(aborted)
        };
        let partitions = asked.partitions.iter().map(read).collect();
        let topic = FetchableTopicResponse::default().with_topic(asked.topic.clone()).with_topic_id(asked.topic_id);
        found.response.responses.push(topic.with_partitions(partitions));
    }
    found
}

fn read(partition: &Partition, asked: &FetchPartition, bytes_max: usize, one_at_least: bool) -> Answer<PartitionData> {
    if asked.current_leader_epoch > LEADER_EPOCH {
        return Err(ResponseError::UnknownLeaderEpoch.into());
    }
    let bytes_max = usize::try_from(asked.partition_max_bytes).unwrap_or_default().min(bytes_max);
    let records = partition.read(Slice { offset: asked.fetch_offset, bytes_max, one_at_least })?;
    Ok(PartitionData::default()
        .with_high_watermark(partition.end_offset())
        .with_last_stable_offset(partition.end_offset())
        .with_log_start_offset(partition.start_offset())
        .with_records(Some(records)))
}

fn refused(error: ResponseError) -> PartitionData {
    PartitionData::default().with_error_code(error.code()).with_high_watermark(-1).with_records(Some(Bytes::new()))
}

fn wait(node: &mut Node, request: &FetchRequest, waiter: &Rc<Notify>) {
    for asked in &request.topics {
        let called = Called::new(&asked.topic, asked.topic_id);
        for part in &asked.partitions {
            if let Ok(partition) = node.topics.partition_mut(&called, part.partition) {
                partition.wait(waiter);
            }
        }
    }
}
