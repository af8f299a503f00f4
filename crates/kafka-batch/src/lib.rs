#![doc = include_str!("../README.md")]

mod encode;
mod parse;
mod response;

use stream::{KafkaPosition, Record};

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

impl PartitionBatch {
    /// Where one of its records lies.
    #[must_use]
    pub fn position(&self, record: &Record) -> KafkaPosition<'_> {
        KafkaPosition { topic: self.topic.as_str().into(), partition: self.partition, offset: record.offset }
    }
}
