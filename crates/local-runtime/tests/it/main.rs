//! The runtime on a real broker, with functions in this process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod health;
mod http;
mod invoke;
mod invoke_api;
mod mapping;
mod not_run;
mod places;
mod real_brokers;
mod records;
mod recreated;
mod schedule;
mod starting;
mod stops;
mod template;
mod transactions;
