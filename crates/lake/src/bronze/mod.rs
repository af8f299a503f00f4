//! Every record of every topic, as it was: `bronze/epoch=E/topic=T/date=D/hour=H/partition=P/<first offset>.jsonl.zst`.
//!
//! **Objects.** [`write()`] puts a batch of one lane (stream epoch, topic, partition) under a name that is made of its
//! first record: its offset, and the hour of its Kafka timestamp (UTC). So a redelivery computes the same name, and the
//! put is conditional. Where the name is taken, that object's last offset (in its metadata) says where the batch goes
//! on; what is left of it becomes an object of its own. An object holds *all* records of its lane from its first offset
//! to its last: that is the one invariant that readers need.
//!
//! **Overlaps.** Batches with other boundaries and functions that wake up late may leave objects that overlap. Readers go
//! by first offset and keep a high-water mark ([`needed`], [`read_range`]): each offset is taken once.
//!
//! **Gaps.** Mappings acknowledge in order: when an object is put, everything of its lane below its first offset is in the
//! lake. But a listing of several pages is no snapshot: it may lack an object that was put meanwhile and have the one behind
//! it. So offsets are missing for good (retention, Kafka's own records) only where a listing that *began* after the object
//! behind them was seen still lacks them.
//!
//! **Lines.** One JSON line a record: `{"offset":…,"timestamp_ms":…,"key":…,"value":…,"headers":[{"name":…,"value":…}]}`.
//! Bytes that are not UTF-8 stand as base64 under `key_base64` and `value_base64` instead; `null` is no key, no value.
//! Exactly the same bytes come back.

mod hour;
mod line;
mod read;
mod segment;
mod write;

use std::fmt;

pub use hour::Hour;
pub use read::{read, read_range};
pub use segment::{Segment, needed, segments};
pub use write::{Written, write};

/// Where the objects lie.
pub const BRONZE: &str = "bronze/";

/// What orders records: a partition of a topic, in a stream epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The stream epoch: a topic that was created again, or has another number of partitions, begins a new one.
    pub epoch: u32,
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.epoch, self.topic, self.partition)
    }
}

/// One record of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values in their order; a name may occur more than once.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The names of a topic's objects begin so.
fn topic_prefix(epoch: u32, topic: &str) -> String {
    format!("{BRONZE}epoch={epoch}/topic={topic}/")
}

/// The name of the object that begins with this record.
fn name(lane: &Lane, first: &Record) -> String {
    let Lane { epoch, topic, partition } = lane;
    let hour = Hour::of(first.timestamp_ms);
    format!("{}{hour}/partition={partition}/{:020}.jsonl.zst", topic_prefix(*epoch, topic), first.offset)
}

/// What is kept with an object: decimal numbers.
mod metadata {
    /// The offset of its last record.
    pub(super) const LAST_OFFSET: &str = "last-offset";
    /// The timestamp of its first record: another one under the same offset is another topic's.
    pub(super) const FIRST_TIMESTAMP_MS: &str = "first-timestamp-ms";
}
