//! The function on a real S3 protocol.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod crashes;
mod duckdb;
mod events;
mod kills;
mod world;
