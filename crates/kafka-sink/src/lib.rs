#![doc = include_str!("../README.md")]

pub mod admin;
mod cluster;
mod complaint;
mod config;
mod deliveries;
mod ends;
mod lag;
mod place;
mod rejections;
mod sink;

pub use cluster::{Cluster, Retention, may_read, retention};
pub use config::Config;
pub use ends::{Extent, extents};
pub use lag::{GroupLag, lag, lag_of};
pub use place::{Moved, Place, Seat};
pub use rejections::Rejections;
pub use sink::{Session, Sink, SinkError};
pub use telecom::{FilePosition, RAW_LIMIT_BYTES, Rejected};
