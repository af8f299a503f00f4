use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use stream::Record;

use crate::PartitionBatch;

/// Writes the event that a self-managed cluster's mapping sends for these records: [`parse`](crate::parse) backwards,
/// for tests and tools.
#[must_use]
pub fn encode(batches: &[PartitionBatch]) -> Vec<u8> {
    let mut records: BTreeMap<String, Vec<WireRecord<'_>>> = BTreeMap::new();
    for batch in batches {
        records
            .entry(format!("{}-{}", batch.topic, batch.partition))
            .or_default()
            .extend(batch.records.iter().map(|record| WireRecord::new(batch, record)));
    }
    serde_json::to_vec(&Event { event_source: "SelfManagedKafka", bootstrap_servers: "localhost:9092", records })
        .expect("strings and numbers always serialize")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_source: &'a str,
    bootstrap_servers: &'a str,
    records: BTreeMap<String, Vec<WireRecord<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRecord<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    headers: Vec<BTreeMap<&'a str, Option<Vec<i8>>>>,
}

impl<'a> WireRecord<'a> {
    fn new(batch: &'a PartitionBatch, record: &'a Record) -> Self {
        let signed = |bytes: &Vec<u8>| bytes.iter().map(|byte| byte.cast_signed()).collect();
        Self {
            topic: &batch.topic,
            partition: batch.partition,
            offset: record.offset,
            timestamp: record.timestamp_ms,
            timestamp_type: "CREATE_TIME",
            key: record.key.as_ref().map(|bytes| STANDARD.encode(bytes)),
            value: record.value.as_ref().map(|bytes| STANDARD.encode(bytes)),
            headers: record
                .headers
                .iter()
                .map(|header| BTreeMap::from([(header.name.as_str(), header.value.as_ref().map(signed))]))
                .collect(),
        }
    }
}
