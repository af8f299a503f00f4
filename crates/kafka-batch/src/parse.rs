use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use stream::{Header, Record};

use crate::PartitionBatch;

/// Why a payload is not a Kafka event. The service never sends such a thing: the wrong trigger is connected to the
/// function, or somebody wrote the event by hand.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or not the shape of a Kafka event; the source says what and where.
    #[error("not a Lambda Kafka event")]
    Malformed(#[from] serde_json::Error),
    /// The event of another service.
    #[error("the event is from {0:?}, not from Kafka (aws:kafka or SelfManagedKafka): check the function's trigger")]
    OtherSource(String),
}

/// Reads the event of a Kafka event source mapping: partitions by (topic, partition), records by offset.
///
/// One pass over the payload; base64 is decoded straight into the records.
///
/// # Errors
/// When the payload is not such an event. The message says what is wrong and where, without the records' keys and
/// values.
pub fn parse(payload: &[u8]) -> Result<Vec<PartitionBatch>, EventError> {
    let event: Event<'_> = serde_json::from_slice(payload)?;
    if !matches!(&*event.event_source, "aws:kafka" | "SelfManagedKafka") {
        return Err(EventError::OtherSource(event.event_source.into_owned()));
    }
    Ok(event.records.0)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    event_source: Cow<'a, str>,
    records: Partitions,
}

/// The event's `records`: an object from `topic-partition` to a list of records, in no defined order.
struct Partitions(Vec<PartitionBatch>);

impl<'de> Deserialize<'de> for Partitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartitionsVisitor)
    }
}

struct PartitionsVisitor;

impl<'de> Visitor<'de> for PartitionsVisitor {
    type Value = Partitions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from topic-partition to records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Partitions, A::Error> {
        let mut batches: Vec<PartitionBatch> = Vec::with_capacity(map.size_hint().unwrap_or_default());
        while let Some(Text(name)) = map.next_key()? {
            // Names of topics may contain hyphens, a partition's number can't.
            let (topic, partition) = name
                .rsplit_once('-')
                .and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)))
                .ok_or_else(|| {
                    de::Error::custom(format_args!("{name:?} is not a topic-partition, such as orders-0"))
                })?;
            let records = map.next_value_seed(Records { topic, partition })?;
            if !records.is_empty() {
                batches.push(PartitionBatch { topic: topic.to_owned(), partition, records });
            }
        }
        batches.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        if let Some([a, _]) = batches.array_windows().find(|[a, b]| (&a.topic, a.partition) == (&b.topic, b.partition))
        {
            return Err(de::Error::custom(format_args!("{}-{} occurs twice", a.topic, a.partition)));
        }
        Ok(Partitions(batches))
    }
}

/// Reads the list of one partition's records.
#[derive(Clone, Copy)]
struct Records<'t> {
    topic: &'t str,
    partition: i32,
}

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = Vec<Record>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Record>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = Vec<Record>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the list of records of {}-{}", self.topic, self.partition)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Record>, A::Error> {
        let Self { topic, partition } = self;
        let mut records: Vec<Record> = Vec::new();
        let mut sorted = true;
        while let Some(record) = seq.next_element::<WireRecord<'_>>()? {
            if record.topic != topic || record.partition != partition {
                return Err(de::Error::custom(format_args!(
                    "a record of {}-{} is listed under {topic}-{partition}",
                    record.topic, record.partition
                )));
            }
            sorted &= records.last().is_none_or(|last| last.offset < record.offset);
            records.push(record.into());
        }
        if !sorted {
            records.sort_by_key(|record| record.offset);
            if let Some([a, _]) = records.array_windows().find(|[a, b]| a.offset == b.offset) {
                return Err(de::Error::custom(format_args!("{topic}-{partition} has offset {} twice", a.offset)));
            }
        }
        Ok(records)
    }
}

#[derive(Deserialize)]
struct WireRecord<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    timestamp: i64,
    #[serde(default)]
    key: Option<Base64>,
    #[serde(default)]
    value: Option<Base64>,
    #[serde(default)]
    headers: Option<Headers>,
}

impl From<WireRecord<'_>> for Record {
    fn from(wire: WireRecord<'_>) -> Self {
        Self {
            offset: wire.offset,
            timestamp_ms: wire.timestamp,
            key: wire.key.map(|Base64(bytes)| bytes),
            value: wire.value.map(|Base64(bytes)| bytes),
            headers: wire.headers.map(|Headers(headers)| headers).unwrap_or_default(),
        }
    }
}

/// A string, borrowed from the payload where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor)
    }
}

struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Base64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a base64 string or null")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
        // The decoder's own message would show a part of the record.
        STANDARD.decode(text).map(Base64).map_err(|_| E::custom("malformed base64"))
    }
}

/// A list of objects, each from one name to a value's bytes.
struct Headers(Vec<Header>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of headers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(OneHeader(some)) = seq.next_element()? {
            headers.extend(some);
        }
        Ok(Headers(headers))
    }
}

struct OneHeader(Vec<Header>);

impl<'de> Deserialize<'de> for OneHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneHeaderVisitor)
    }
}

struct OneHeaderVisitor;

impl<'de> Visitor<'de> for OneHeaderVisitor {
    type Value = OneHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header: an object from its name to its bytes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OneHeader, A::Error> {
        let mut headers = Vec::with_capacity(1);
        while let Some((name, value)) = map.next_entry::<String, Option<Vec<JavaByte>>>()? {
            let value = value.map(|bytes| bytes.into_iter().map(|JavaByte(byte)| byte).collect());
            headers.push(Header { name, value });
        }
        Ok(OneHeader(headers))
    }
}

/// A byte as the service writes it, signed (-128 to 127); 128 to 255 is accepted as well, as emulators write it.
struct JavaByte(u8);

impl<'de> Deserialize<'de> for JavaByte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i16::deserialize(deserializer)?;
        if !(-128..=255).contains(&number) {
            return Err(de::Error::custom(format_args!("{number} in a header is not a byte")));
        }
        Ok(Self((number & 0xff) as u8))
    }
}
