//! The runtime on a real broker, with functions in this process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod http;
mod invoke;
mod mapping;
mod real_brokers;
mod schedule;
mod starting;
mod template;
