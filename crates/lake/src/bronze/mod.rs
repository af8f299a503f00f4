//! Every record of every topic, as it was:
//! `bronze/epoch=E/topic=T/partition=P/<last offset>-<first offset>-<records>.jsonl.zst`.
//!
//! **Objects.** [`write()`] puts a batch of one lane (stream epoch, topic, partition). An object holds *all* records of
//! its lane from its first offset to its last: readers need only this one invariant. A lane's objects are listed by their
//! *last* offset. So everything that reaches an offset or goes beyond it lies behind one place of the listing, whatever
//! clocks said and however long the history is. If an object has fewer records than offsets, the topic skipped some:
//! Kafka's own records, compaction, retention.
//!
//! **Once.** The name follows from the batch: a redelivery with the same boundaries finds its object. Before it puts a
//! batch, [`write()`] checks whether the lake has some of it. Those records must then be the same, and only the records
//! behind them are put.
//!
//! **Overlaps.** Functions that wake up late may leave objects that overlap. Readers sort by first offset and keep a
//! high-water mark ([`needed`], [`read_range`]): each offset is taken once.
//!
//! **Gaps.** Mappings acknowledge in order: when an object is put, everything of its lane below its first offset is in
//! the lake. But a listing of several pages is not a snapshot: it may lack an object that was put meanwhile and have the
//! one behind it. So offsets are missing for good only if a listing that *began* after the object behind them was seen
//! still lacks them.
//!
//! **Lines.** One line of JSON per record:
//! `{"offset":…,"timestamp_ms":…,"key":…,"value":…,"headers":[{"name":…,"value":…}]}`. Bytes that are not UTF-8 are
//! stored as base64 under `key_base64` and `value_base64` instead; `null` means no key, no value. Exactly the same bytes
//! come back.
//!
//! **By hour.** Earlier versions put their objects at [`by_hour`]: they are read, and no more are put there.

pub mod by_hour;
mod hour;
mod line;
mod name;
mod read;
mod segment;
mod write;

pub use hour::Hour;
pub use read::{read, read_range};
pub use segment::{Segment, needed, partitions, segments};
pub use write::{Written, write};

/// Where the objects lie.
pub const BRONZE: &str = "bronze/";

/// The names of a topic's objects begin so.
fn topic_prefix(epoch: u32, topic: &str) -> String {
    format!("{BRONZE}epoch={epoch}/topic={topic}/")
}
