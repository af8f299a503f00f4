//! Records as they come become records that can be counted, and those that can't be used.

use anyhow::Context;
use kafka_batch::PartitionBatch;
use stream::Lane;
use telecom::json::TopicRecord;
use telecom::{Reason, json};
use usage_store::{LaneBatch, LaneRecord, RecordRules, SourcedUsage, TowerHour};

use crate::Deps;

/// One partition's part of an event.
pub(crate) struct Reading<'a> {
    /// As it came.
    pub(crate) partition: &'a PartitionBatch,
    /// All its records, also those that can't be used: their offsets are spent too.
    pub(crate) batch: LaneBatch,
    /// Those that can't be used, by their index, and why.
    pub(crate) unusable: Vec<(usize, Reason)>,
}

/// Reads one partition's records.
///
/// # Errors
/// When the topic is not one that is counted.
pub(crate) async fn read<'a>(deps: &Deps, partition: &'a PartitionBatch) -> anyhow::Result<Reading<'a>> {
    let record_type = deps.settings.record_type(&partition.topic).with_context(|| {
        format!(
            "topic {} is neither CDR_DATA_TOPIC nor CDR_VOICE_TOPIC: check the function's trigger and variables",
            partition.topic
        )
    })?;
    let zone = &deps.settings.zone;
    let mut unusable = Vec::new();
    let mut records = Vec::with_capacity(partition.records.len());
    for (index, record) in partition.records.iter().enumerate() {
        // Thousands of records are read in one go, on a runtime that other functions may share.
        tokio::task::coop::consume_budget().await;
        let read = match &record.value {
            Some(value) => json::parse(value, record_type, zone),
            None => Err(Reason::NoValue),
        };
        let usage = read.map(usage).map_err(|reason| unusable.push((index, reason))).ok();
        records.push(LaneRecord { offset: record.offset, timestamp_ms: record.timestamp_ms, usage });
    }
    let lane = Lane { epoch: deps.epoch.number, topic: partition.topic.clone(), partition: partition.partition };
    let batch = LaneBatch::new(lane, RecordRules::of(zone), records).with_context(|| partition.topic.clone())?;
    Ok(Reading { partition, batch, unusable })
}

fn usage(record: TopicRecord) -> SourcedUsage {
    let TopicRecord { event, tower_id, time, source, action } = record;
    let tower = tower_id.map(|tower_id| TowerHour { tower_id, day: event.day, hour: time.hour });
    SourcedUsage { event, source, action, tower }
}
