//! Taking records.

use anyhow::bail;
use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse};

use crate::broker::log::Batch;
use crate::broker::node::{Node, now_ms};
use crate::broker::refusal::{Answer, Refusal};
use crate::broker::topics::{Called, Topic};
use crate::broker::wire::Call;

/// Who waits for all replicas.
const ALL: i16 = -1;

/// Who waits for nobody, and gets no answer.
const NOBODY: i16 = 0;

/// Earlier versions have no words for a refusal.
const MESSAGE_SINCE: i16 = 8;

/// Nothing is the answer to a request that wants none; its failure ends the connection, as there is no other way to tell.
pub(super) fn produce(node: &mut Node, call: &Call, body: Bytes) -> anyhow::Result<Option<BytesMut>> {
    let request: ProduceRequest = call.decode(body)?;
    let acks = request.acks;
    let response = append_all(node, call.version, request);
    if acks != NOBODY {
        return Ok(Some(call.encode(&response)?));
    }
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    match partitions.find(|partition| partition.error_code != 0) {
        Some(failed) => bail!("records without acknowledgement were refused with code {}", failed.error_code),
        None => Ok(None),
    }
}

fn append_all(node: &mut Node, version: i16, request: ProduceRequest) -> ProduceResponse {
    let refused = check_request(&request);
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic_data in request.topic_data {
        let mut topic = node.topics.get_mut(&Called::new(&topic_data.name.0, topic_data.topic_id));
        let append = |data: PartitionProduceData| {
            let index = data.index;
            let outcome = match (&refused, &mut topic) {
                (Some(error), _) => Err((*error).into()),
                (None, Err(refusal)) => Err(refusal.error.into()),
                (None, Ok(topic)) => append(topic, version, request.acks, data),
            };
            outcome.unwrap_or_else(|refusal| refused_part(version, &refusal)).with_index(index)
        };
        let partitions = topic_data.partition_data.into_iter().map(append).collect();
        responses.push(
            TopicProduceResponse::default()
                .with_name(topic_data.name)
                .with_topic_id(topic_data.topic_id)
                .with_partition_responses(partitions),
        );
    }
    ProduceResponse::default().with_responses(responses)
}

fn check_request(request: &ProduceRequest) -> Option<ResponseError> {
    if request.transactional_id.is_some() {
        return Some(ResponseError::InvalidTxnState);
    }
    (!(ALL..=1).contains(&request.acks)).then_some(ResponseError::InvalidRequiredAcks)
}

fn append(topic: &mut Topic, version: i16, acks: i16, data: PartitionProduceData) -> Answer<PartitionProduceResponse> {
    let batch = Batch::from_client(data.records, version)?;
    let limits = topic.limits.clone();
    let partition = topic.partition_mut(data.index)?;
    if acks == ALL && limits.insync_replicas > 1 {
        return Err(ResponseError::NotEnoughReplicas.into());
    }
    let appended = partition.append(&batch, &limits, now_ms())?;
    Ok(PartitionProduceResponse::default()
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.append_time)
        .with_log_start_offset(partition.start_offset()))
}

fn refused_part(version: i16, refusal: &Refusal) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_error_code(refusal.error.code())
        .with_error_message(refusal.message().filter(|_| version >= MESSAGE_SINCE))
        .with_base_offset(-1)
}

pub(super) fn init_producer_id(node: &mut Node, _: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let id = match request.transactional_id {
        Some(_) => Err(ResponseError::InvalidRequest.into()),
        None => node.producer_ids.next().map_err(Refusal::from),
    };
    match id {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(id.into()).with_producer_epoch(0),
        Err(refusal) => InitProducerIdResponse::default()
            .with_error_code(refusal.error.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    }
}
