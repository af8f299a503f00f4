//! The function over months, by a clock of the tests' own: real Kafka, lake and stores.

#![expect(clippy::unwrap_used, reason = "a test panics where it can't go on")]

mod tables;
mod waits;
mod world;
