#![doc = include_str!("../README.md")]

pub mod admin;
mod complaint;
mod config;
mod deliveries;
mod rejected;
mod sink;

pub use config::Config;
pub use rejected::{FilePosition, KafkaPosition, RAW_LIMIT_BYTES, Rejected};
pub use sink::{Session, Sink, SinkError};
