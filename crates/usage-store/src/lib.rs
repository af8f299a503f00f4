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
mod source;
mod store;
mod tower;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod simulator;

pub use batch::{InvalidBatch, LaneBatch, LaneRecord, SourcedUsage};
pub use bucket::{Buckets, InvalidBuckets, RowKey};
pub use count::{CountError, Counted, count};
pub use lane::{Lane, LaneProgress};
pub use memory::{LaneMemory, MAX_REMEMBERED_ROWS, MAX_REMEMBERED_SOURCES};
pub use postgres::Postgres;
pub use scylla::Scylla;
pub use source::{
    Claim, FileCount, MAX_NAMES_PER_SOURCE, REPUBLISH_WITHIN_MS, Refusal, SOURCE_LIFETIME_MS, SourceEntry,
};
pub use store::{DailyUsage, FileAccount, Store, StoredRow, UsageStore};
pub use tower::TowerHour;
