//! The event of a Kafka event source mapping, written by hand: at 100,000 records a second it is most of the runtime's
//! own work.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::template::Cluster;

/// The service's limit for the payload of one invocation: 6 MB.
pub const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// One Kafka record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970, and who set them.
    pub timestamp: Timestamp,
    /// The key; `None` is written as `null`.
    pub key: Option<&'a [u8]>,
    /// The value; `None` (a tombstone) is written as `null`.
    pub value: Option<&'a [u8]>,
    /// Names and values in their order; a header without a value is written as an empty one.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// A record's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// Set by the producer.
    CreateTime(i64),
    /// Set by the broker.
    LogAppendTime(i64),
    /// Records of Kafka before 0.10.
    None,
}

/// Writes one record as the service does: key and value in base64, header values as signed bytes.
pub fn encode_record(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    push_text(out, record.topic);
    out.extend_from_slice(b",\"partition\":");
    push_integer(out, record.partition.into());
    out.extend_from_slice(b",\"offset\":");
    push_integer(out, record.offset);
    let (timestamp_ms, timestamp_type) = match record.timestamp {
        Timestamp::CreateTime(ms) => (ms, "CREATE_TIME"),
        Timestamp::LogAppendTime(ms) => (ms, "LOG_APPEND_TIME"),
        Timestamp::None => (-1, "NO_TIMESTAMP_TYPE"),
    };
    out.extend_from_slice(b",\"timestamp\":");
    push_integer(out, timestamp_ms);
    out.extend_from_slice(b",\"timestampType\":\"");
    out.extend_from_slice(timestamp_type.as_bytes());
    out.extend_from_slice(b"\",\"key\":");
    push_base64(out, record.key);
    out.extend_from_slice(b",\"value\":");
    push_base64(out, record.value);
    out.extend_from_slice(b",\"headers\":[");
    for (index, (name, value)) in record.headers.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        push_text(out, name);
        out.extend_from_slice(b":[");
        for (index, byte) in value.unwrap_or_default().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_integer(out, i8::from_ne_bytes([*byte]).into());
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
}

fn push_integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        // A digit is below 10.
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

fn push_base64(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return out.extend_from_slice(b"null") };
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    match STANDARD.encode_slice(bytes, &mut out[start..]) {
        Ok(written) => out.truncate(start + written),
        Err(error) => unreachable!("the room was measured: {error}"),
    }
    out.push(b'"');
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for letter in text.chars() {
            match letter {
                '"' | '\\' => out.extend([b'\\', u8::try_from(letter).unwrap_or_default()]),
                '\0'..='\u{1f}' => out.extend_from_slice(format!("\\u{:04x}", u32::from(letter)).as_bytes()),
                _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

/// What stands around the records of one mapping's events.
#[derive(Clone, Debug)]
pub struct Envelope {
    head: Vec<u8>,
    topic: Vec<u8>,
}

const TAIL: &[u8] = b"}}";

impl Envelope {
    /// The envelope for `topic` of `cluster`; `brokers` are named in the event, comma-joined.
    #[must_use]
    pub fn new(cluster: &Cluster, brokers: &str, topic: &str) -> Self {
        let mut head = b"{\"eventSource\":".to_vec();
        match cluster {
            Cluster::SelfManaged { .. } => head.extend_from_slice(b"\"SelfManagedKafka\""),
            Cluster::Msk { arn, .. } => {
                head.extend_from_slice(b"\"aws:kafka\",\"eventSourceArn\":");
                push_text(&mut head, arn);
            }
        }
        head.extend_from_slice(b",\"bootstrapServers\":");
        push_text(&mut head, brokers);
        head.extend_from_slice(b",\"records\":{");
        let mut quoted = Vec::new();
        push_text(&mut quoted, topic);
        quoted.pop();
        Self { head, topic: quoted }
    }

    /// Bytes of an event without records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.head.len() + TAIL.len()
    }

    /// Bytes that one more partition adds, its separators included.
    #[must_use]
    pub fn partition_bytes(&self, partition: i32) -> usize {
        let mut name = Vec::new();
        push_integer(&mut name, partition.into());
        self.topic.len() + b"-".len() + name.len() + b"\":[]".len() + b",".len()
    }

    /// Bytes of the event of a single record, whose JSON has `json_bytes`.
    #[must_use]
    pub fn bytes_of_one(&self, partition: i32, json_bytes: usize) -> usize {
        // The first partition has no comma before it.
        self.bytes() + self.partition_bytes(partition) - b",".len() + json_bytes
    }

    /// The event: per partition its records as [`encode_record`] wrote them, comma-joined.
    pub fn event<'a>(&self, partitions: impl IntoIterator<Item = (i32, &'a [u8])>, bytes_hint: usize) -> Bytes {
        let mut out = Vec::with_capacity(bytes_hint);
        out.extend_from_slice(&self.head);
        for (index, (partition, records)) in partitions.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.topic);
            out.push(b'-');
            push_integer(&mut out, partition.into());
            out.extend_from_slice(b"\":[");
            out.extend_from_slice(records);
            out.push(b']');
        }
        out.extend_from_slice(TAIL);
        out.into()
    }
}

/// A whole event of some records, in the order given within each partition: for tests and tools.
#[must_use]
pub fn event(envelope: &Envelope, records: &[Record<'_>]) -> Bytes {
    let mut partitions: BTreeMap<i32, Vec<u8>> = BTreeMap::new();
    for record in records {
        let encoded = partitions.entry(record.partition).or_default();
        if !encoded.is_empty() {
            encoded.push(b',');
        }
        encode_record(record, encoded);
    }
    envelope.event(partitions.iter().map(|(partition, records)| (*partition, records.as_slice())), 0)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn self_managed(topic: &str) -> Envelope {
        Envelope::new(&Cluster::SelfManaged { brokers: vec![] }, "b-1:9092,b-2:9092", topic)
    }

    #[test]
    fn an_event_looks_as_the_service_writes_it() {
        let record = Record {
            topic: "mytopic",
            partition: 0,
            offset: 15,
            timestamp: Timestamp::CreateTime(1_545_084_650_987),
            key: Some(b"recordKey"),
            value: Some(b"{\"id\": 1}"),
            headers: &[("headerKey", Some(b"headerValue")), ("raw", Some(&[0, 127, 128, 255])), ("none", None)],
        };
        let tombstone = Record {
            partition: 12,
            offset: i64::MAX,
            timestamp: Timestamp::LogAppendTime(0),
            value: None,
            headers: &[],
            ..record
        };
        let old = Record { key: None, offset: 16, timestamp: Timestamp::None, headers: &[("a\"\\\n", None)], ..record };
        let text = event(&self_managed("mytopic"), &[record, tombstone, old]);
        expect![[r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"b-1:9092,b-2:9092","records":{"mytopic-0":[{"topic":"mytopic","partition":0,"offset":15,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"cmVjb3JkS2V5","value":"eyJpZCI6IDF9","headers":[{"headerKey":[104,101,97,100,101,114,86,97,108,117,101]},{"raw":[0,127,-128,-1]},{"none":[]}]},{"topic":"mytopic","partition":0,"offset":16,"timestamp":-1,"timestampType":"NO_TIMESTAMP_TYPE","key":null,"value":"eyJpZCI6IDF9","headers":[{"a\"\\\u000a":[]}]}],"mytopic-12":[{"topic":"mytopic","partition":12,"offset":9223372036854775807,"timestamp":0,"timestampType":"LOG_APPEND_TIME","key":"cmVjb3JkS2V5","value":null,"headers":[]}]}}"#]]
        .assert_eq(std::str::from_utf8(&text).unwrap());
    }

    #[test]
    fn an_msk_event_names_its_cluster() {
        let arn = "arn:aws:kafka:us-east-1:123456789012:cluster/demo/6f0d3a52".to_owned();
        let text = event(&Envelope::new(&Cluster::Msk { arn, brokers: None }, "b:1", "t"), &[]);
        expect![[r#"{"eventSource":"aws:kafka","eventSourceArn":"arn:aws:kafka:us-east-1:123456789012:cluster/demo/6f0d3a52","bootstrapServers":"b:1","records":{}}"#]]
        .assert_eq(std::str::from_utf8(&text).unwrap());
    }

    prop_compose! {
        fn some_bytes()(bytes in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80))) -> Option<Vec<u8>> {
            bytes
        }
    }

    proptest! {
        #[test]
        fn every_event_is_json_of_the_same_record(
            topic in "\\PC{0,12}",
            partition in any::<i32>(),
            offset in any::<i64>(),
            timestamp_ms in any::<i64>(),
            key in some_bytes(),
            value in some_bytes(),
            headers in proptest::collection::vec(("[\\x00-\\x7f\\PC]{0,6}", some_bytes()), 0..4),
        ) {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let record = Record {
                topic: &topic,
                partition,
                offset,
                timestamp: Timestamp::CreateTime(timestamp_ms),
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
            };
            let envelope = self_managed(&topic);
            let text = event(&envelope, &[record]);
            let mut encoded = Vec::new();
            encode_record(&record, &mut encoded);
            // One partition has no separator before it.
            prop_assert_eq!(text.len() + 1, envelope.bytes() + envelope.partition_bytes(partition) + encoded.len());

            let found: Value = serde_json::from_slice(&text).unwrap();
            let expected_headers: Vec<Value> = headers.iter().map(|(name, value)| {
                let signed: Vec<i8> = value.unwrap_or_default().iter().map(|byte| i8::from_ne_bytes([*byte])).collect();
                json!({ *name: signed })
            }).collect();
            let expected = json!({
                "topic": topic, "partition": partition, "offset": offset,
                "timestamp": timestamp_ms, "timestampType": "CREATE_TIME",
                "key": key.as_ref().map(|key| STANDARD.encode(key)),
                "value": value.as_ref().map(|value| STANDARD.encode(value)),
                "headers": expected_headers,
            });
            prop_assert_eq!(&found["records"][format!("{topic}-{partition}")][0], &expected);
        }
    }
}
