//! Where and why a partition stands still.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A place in a partition that a mapping can't get past by itself. The records before it are processed, those behind it
/// wait; the mapping's other partitions go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// The record that can't be delivered.
    pub offset: i64,
    /// The first offset behind it from which the partition could go on.
    pub next_offset: i64,
    /// Why.
    #[serde(flatten)]
    pub reason: StopReason,
    /// Since when.
    #[serde(serialize_with = "as_text")]
    pub since: Timestamp,
}

/// Why a record can't be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// Its event would be larger than an invocation takes.
    TooLarge {
        /// The event's size with this record alone.
        payload_bytes: usize,
        /// The largest that an event may be.
        limit_bytes: usize,
    },
    /// The Kafka client can't read it.
    Unreadable {
        /// In the client's words.
        detail: String,
    },
}

impl StopReason {
    /// Whether another look may find the record readable, because a broker has repaired it or another one leads.
    pub(crate) fn may_heal(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { payload_bytes, limit_bytes } => {
                write!(f, "it makes an event of {payload_bytes} bytes, above the limit of {limit_bytes}")
            }
            Self::Unreadable { detail } => write!(f, "the Kafka client can't read it: {detail}"),
        }
    }
}

/// A moment as RFC 3339 writes it.
pub(crate) fn as_text<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(moment)
}
