#![doc = include_str!("../README.md")]

mod lane;
mod position;
mod record;
mod topics;

pub use lane::{Epoch, Lane};
pub use position::KafkaPosition;
pub use record::{Header, Record};
pub use topics::{GROUP_PREFIX, Topic, Topics};
