#![doc = include_str!("../README.md")]

pub mod bronze;
mod config;
mod error;
pub mod names;
mod records;
pub mod registers;
mod store;
mod upload;

pub use config::Config;
pub use content::{Digest, Hasher, InvalidDigest};
pub use error::Error;
pub use records::{Action, Announcement, FileResult, REPUBLISH_WITHIN, Twin};
pub use store::{Head, Lake, Listed, Metadata, Object, Put, Swap, Tag};
pub use upload::{PutError, Stored};
