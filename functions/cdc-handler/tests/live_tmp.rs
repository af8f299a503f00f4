#![allow(clippy::unwrap_used, missing_docs)]
#[path = "it/live.rs"]
mod live;
