//! Records as they come become records that can be counted, and those that can't be used.

use anyhow::Context;
use kafka_batch::PartitionBatch;
use telecom::{Reason, json};
use usage_store::{Lane, LaneBatch, LaneRecord, RecordRules, SourcedUsage};

use crate::Stream;

/// One partition's part of an event.
pub(crate) struct Reading {
    /// All its records, also those that can't be used: their offsets are spent too.
    pub(crate) batch: LaneBatch,
    /// Of each of them, the tower that served it, where it names one, and the hour of the day.
    pub(crate) places: Vec<Option<(u32, u8)>>,
    /// Those that can't be used, by their index, and why.
    pub(crate) unusable: Vec<(usize, Reason)>,
}

/// Reads one partition's records.
///
/// # Errors
/// When the topic is not one that is counted.
pub(crate) async fn read(stream: &Stream, partition: &PartitionBatch) -> anyhow::Result<Reading> {
    let record_type = stream.record_type(&partition.topic).with_context(|| {
        format!(
            "topic {} is neither CDR_DATA_TOPIC nor CDR_VOICE_TOPIC: check the function's trigger and variables",
            partition.topic
        )
    })?;
    let mut unusable = Vec::new();
    let mut records = Vec::with_capacity(partition.records.len());
    let mut places = Vec::with_capacity(partition.records.len());
    for (index, record) in partition.records.iter().enumerate() {
        // Thousands of records are read in one go, on a runtime that other functions may share.
        tokio::task::coop::consume_budget().await;
        let read = match &record.value {
            Some(value) => json::parse(value, record_type, &stream.zone),
            None => Err(Reason::NoValue),
        };
        let read = read.map_err(|reason| unusable.push((index, reason))).ok();
        places.push(read.and_then(|read| Some((read.tower_id?, read.time.hour))));
        let usage = read.map(|read| SourcedUsage { event: read.event, source: read.source, action: read.action });
        records.push(LaneRecord { offset: record.offset, timestamp_ms: record.timestamp_ms, usage });
    }
    let lane = Lane { epoch: stream.epoch, topic: partition.topic.clone(), partition: partition.partition };
    let batch =
        LaneBatch::new(lane, RecordRules::of(&stream.zone), records).with_context(|| partition.topic.clone())?;
    Ok(Reading { batch, places, unusable })
}
