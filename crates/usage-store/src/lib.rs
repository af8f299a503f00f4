#![doc = include_str!("../README.md")]

mod batch;
mod bucket;
mod count;
mod figures;
mod lane;
mod memory;
mod postgres;
mod rules;
mod scylla;
mod setup;
mod source;
mod store;
mod tower;
mod upkeep;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod simulator;

pub use batch::{InvalidBatch, LaneBatch, LaneRecord, SourcedUsage};
pub use bucket::{Buckets, InvalidBuckets, RowKey};
pub use count::{CountError, Counted, count};
pub use lane::{LaneProgress, LaneState};
pub use memory::{LaneMemory, MAX_REMEMBERED_ROWS, MAX_REMEMBERED_SOURCES};
pub use postgres::Postgres;
pub use scylla::Scylla;
pub use setup::Setup;
pub use source::{Claim, FileCount, MAX_NAMES_PER_SOURCE, Refusal, SourceEntry};
pub use store::{DailyUsage, FileAccount, Store, StoredRow, UsageStore};
pub use telecom::RecordRules;
pub use tower::TowerHour;
pub use upkeep::{Expired, KEPT_MS, Mark, Quiet, QuietSource, REPUBLISH_WITHIN_MS};
