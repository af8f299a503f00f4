//! Taking records.

use anyhow::ensure;
use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse};

use crate::broker::log::Batch;
use crate::broker::node::{Node, now_ms};
use crate::broker::refusal::{Answer, Refusal};
use crate::broker::topics::Called;
use crate::broker::wire::Call;

/// Who waits for all replicas.
const ALL: i16 = -1;

/// Who waits for nobody, and gets no answer.
const NOBODY: i16 = 0;

/// Nothing is the answer to a request that wants none; its failure ends the connection, as there is no other way to tell.
pub(super) fn produce(node: &mut Node, call: &Call, body: Bytes) -> anyhow::Result<Option<BytesMut>> {
    let request: ProduceRequest = call.decode(body)?;
    let acks = request.acks;
    let response = append_all(node, call.version, request);
    if acks != NOBODY {
        return Ok(Some(call.encode(&response)?));
    }
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    ensure!(partitions.all(|partition| partition.error_code == 0), "records without acknowledgement were refused");
    Ok(None)
}

fn append_all(node: &mut Node, version: i16, request: ProduceRequest) -> ProduceResponse {
    let refused = check_request(&request);
    let topics = request.topic_data.into_iter().map(|topic| {
        let called = Called::new(&topic.name, topic.topic_id);
        let append = |data: PartitionProduceData| {
            let index = data.index;
            let appended = refused.map_or(Ok(()), |error| Err(error.into()));
            let appended = appended.and_then(|()| append(node, &called, version, data));
            appended.unwrap_or_else(|refusal| refused_part(&refusal)).with_index(index)
        };
        let partitions = topic.partition_data.into_iter().map(append).collect();
        TopicProduceResponse::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions)
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn check_request(request: &ProduceRequest) -> Option<ResponseError> {
    if request.transactional_id.is_some() {
        return Some(ResponseError::InvalidTxnState);
    }
    (!(ALL..=1).contains(&request.acks)).then_some(ResponseError::InvalidRequiredAcks)
}

fn append(
    node: &mut Node,
    called: &Called,
    version: i16,
    data: PartitionProduceData,
) -> Answer<PartitionProduceResponse> {
    let partition = node.topics.partition_mut(called, data.index)?;
    let batch = Batch::from_client(data.records, version)?;
    let appended = partition.append(&batch, now_ms())?;
    Ok(PartitionProduceResponse::default()
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.append_time)
        .with_log_start_offset(partition.start_offset())
        .with_error_message(None))
}

fn refused_part(refusal: &Refusal) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_error_code(refusal.error.code())
        .with_error_message(refusal.message())
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
