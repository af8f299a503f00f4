//! Giving records, and waiting for them.

use std::rc::Rc;

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

/// A follow-up to a session, of which there are none: full fetches are cheap here.
const FULL_FETCHES: [i32; 2] = [-1, 0];

/// Answers as soon as there is enough, or the client's patience is at its end.
pub(super) async fn fetch(node: &Shared, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 || !FULL_FETCHES.contains(&request.session_epoch) {
        let error = if request.session_id == 0 {
            ResponseError::InvalidFetchSessionEpoch
        } else {
            ResponseError::FetchSessionIdNotFound
        };
        return FetchResponse::default().with_error_code(error.code());
    }
    let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default());
    let deadline = Instant::now() + patience;
    loop {
        let waiter = Rc::new(Notify::new());
        let found = look(&mut node.borrow_mut(), &request);
        if found.is_enough(&request) {
            return found.response;
        }
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

fn look(node: &mut Node, request: &FetchRequest) -> Found {
    let mut left = usize::try_from(request.max_bytes).unwrap_or_default().min(ANSWER_BYTES_MAX);
    let mut found = Found { response: FetchResponse::default(), bytes: 0, has_refusals: false };
    for asked in &request.topics {
        let topic = node.topics.get(&Called::new(&asked.topic.0, asked.topic_id));
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for part in &asked.partitions {
            let one_at_least = found.bytes == 0;
            let read = match &topic {
                Ok(topic) => topic.partition(part.partition).and_then(|p| read(p, part, left, one_at_least)),
                Err(refusal) => Err(refusal.error.into()),
            };
            found.has_refusals |= read.is_err();
            let data = read.unwrap_or_else(|refusal| refused(refusal.error));
            let bytes = data.records.as_ref().map_or(0, bytes::Bytes::len);
            found.bytes += bytes;
            left = left.saturating_sub(bytes);
            partitions.push(data.with_partition_index(part.partition));
        }
        let topic = FetchableTopicResponse::default().with_topic(asked.topic.clone()).with_topic_id(asked.topic_id);
        found.response.responses.push(topic.with_partitions(partitions));
    }
    found
}

fn read(partition: &Partition, asked: &FetchPartition, left: usize, one_at_least: bool) -> Answer<PartitionData> {
    if asked.current_leader_epoch > LEADER_EPOCH {
        return Err(ResponseError::UnknownLeaderEpoch.into());
    }
    let bytes_max = usize::try_from(asked.partition_max_bytes).unwrap_or_default().min(left);
    let records = partition.read(Slice { offset: asked.fetch_offset, bytes_max, one_at_least })?;
    Ok(PartitionData::default()
        .with_high_watermark(partition.end_offset())
        .with_last_stable_offset(partition.end_offset())
        .with_log_start_offset(partition.start_offset())
        .with_aborted_transactions(None)
        .with_records(Some(records)))
}

fn refused(error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_aborted_transactions(None)
        .with_records(Some(bytes::Bytes::new()))
}

fn wait(node: &mut Node, request: &FetchRequest, waiter: &Rc<Notify>) {
    for asked in &request.topics {
        let Ok(topic) = node.topics.get_mut(&Called::new(&asked.topic.0, asked.topic_id)) else { continue };
        for part in &asked.partitions {
            if let Ok(partition) = topic.partition_mut(part.partition) {
                partition.wait(waiter);
            }
        }
    }
}
