#![doc = include_str!("../README.md")]

pub mod auth;
mod event;
mod handle;
mod problem;
mod query;

#[doc(hidden)]
pub use {lambda_http, tracing};

pub use event::{Event, client_address, json, request_id, write};
pub use handle::{RequestLog, finish, in_time};
pub use problem::{Problem, ProblemKind, RETRY_AFTER_SECONDS};
pub use query::{Query, decoded, shown};
