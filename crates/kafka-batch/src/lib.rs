#![doc = include_str!("../README.md")]

mod encode;
mod parse;
mod response;

pub use encode::encode;
pub use parse::{EventError, parse};
pub use response::BatchResponse;

/// The records of one partition in one event: never empty, offsets strictly ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBatch {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The records by offset. Offsets need not be consecutive: compaction and control records leave holes.
    pub records: Vec<Record>,
}

/// One record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The offset in the partition.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The key's bytes; `None` where the record has none.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is a tombstone, which is not the same as an empty value.
    pub value: Option<Vec<u8>>,
    /// The headers in their order; a name may occur more than once.
    pub headers: Vec<Header>,
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The value's bytes; Kafka allows none.
    pub value: Option<Vec<u8>>,
}
