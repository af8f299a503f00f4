//! Records that cannot be used, as the topic `rejected` keeps them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use stream::KafkaPosition;

/// The most raw bytes that a rejected record carries: the limit of a row. Longer ones are cut, and their place in the
/// lake says where all of it lies.
pub const RAW_LIMIT_BYTES: usize = 64 << 10;

/// A record that can't be used, as the topic `rejected` keeps it: what it was, where it came from, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected<'a> {
    /// The reason's code, `snake_case`.
    pub reason: Cow<'a, str>,
    /// The reason in words; it never repeats the record's content.
    pub detail: Cow<'a, str>,
    /// How many rows of a file it stands for: 1, or all of them if the header is unusable.
    pub rows: u64,
    /// The place in a file, where it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FilePosition<'a>>,
    /// The place in a topic, where it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaPosition<'a>>,
    /// The raw bytes, at most the first 64 KiB; base64 in the JSON.
    #[serde(with = "base64_bytes")]
    pub raw: Cow<'a, [u8]>,
    /// Whether `raw` is only the beginning.
    pub truncated: bool,
}

/// Where a row lies in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition<'a> {
    /// The file's name.
    pub name: Cow<'a, str>,
    /// The source id, 16 hex digits: what identifies the file's content.
    pub source_id: Cow<'a, str>,
    /// The data row, from 1; 0 is the file as a whole or its header.
    pub line: u64,
    /// The object in the lake, such as `landing/<name>`.
    pub object: Cow<'a, str>,
    /// The first byte of the row in the object, after decompression.
    pub from_byte: u64,
    /// The byte after the row's last, after decompression.
    pub to_byte: u64,
}

impl<'a> Rejected<'a> {
    /// One record or row, without a place yet; of `raw` the first 64 KiB are kept.
    #[must_use]
    pub fn new(reason: &'a str, detail: impl Into<Cow<'a, str>>, raw: &'a [u8]) -> Self {
        let kept = &raw[..raw.len().min(RAW_LIMIT_BYTES)];
        Self {
            reason: reason.into(),
            detail: detail.into(),
            rows: 1,
            file: None,
            kafka: None,
            raw: kept.into(),
            truncated: kept.len() < raw.len(),
        }
    }

    /// The Kafka key: the position, by which a consumer drops repeats. `<source id>/<line>` of a row,
    /// `<topic>/<partition>/<offset>` of a topic's record.
    #[must_use]
    pub fn key(&self) -> String {
        match (&self.file, &self.kafka) {
            (Some(file), _) => format!("{}/{}", file.source_id, file.line),
            (None, Some(kafka)) => format!("{}/{}/{}", kafka.topic, kafka.partition, kafka.offset),
            (None, None) => String::new(),
        }
    }

    /// The Kafka value.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and bytes always serialize")
    }

    /// Reads a Kafka value back.
    ///
    /// # Errors
    /// When it is not the JSON of a rejected record.
    pub fn from_json(value: &[u8]) -> Result<Rejected<'static>, serde_json::Error> {
        serde_json::from_slice(value)
    }
}

mod base64_bytes {
    use std::borrow::Cow;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, [u8]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Cow::Owned).map_err(de::Error::custom)
    }
}
