#![doc = include_str!("../README.md")]

pub mod auth;
mod event;
mod handle;
mod problem;
mod query;

#[doc(hidden)]
pub use tracing;

pub use event::{Request, Response, read, write};
pub use handle::{RequestLog, finish, in_time};
pub use problem::{Problem, ProblemKind, RETRY_AFTER_SECONDS};
pub use query::{Query, decoded, shown};
