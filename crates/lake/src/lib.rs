#![doc = include_str!("../README.md")]

pub mod bronze;
mod config;
mod digest;
mod error;
pub mod names;
mod records;
mod store;
mod upload;

pub use config::Config;
pub use digest::{Digest, Hasher, InvalidDigest};
pub use error::Error;
pub use records::{Announcement, FileResult};
pub use store::{Head, Lake, Listed, Metadata, Object, Put};
pub use upload::{PutError, Stored};
