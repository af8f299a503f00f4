//! The function on a real database and real topics: events, shuffled changes, and a live Debezium.

#![expect(clippy::unwrap_used, reason = "a test panics where it can't go on")]

mod cases;
mod events;
mod live;
mod moments;
mod scene;
mod shuffle;
mod source;
