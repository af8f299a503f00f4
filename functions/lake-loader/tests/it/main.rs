//! The integration tests.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helper functions")]

mod cases;
mod clocks;
mod kills;
mod loads;
mod others;
mod silver;
mod silver_properties;
mod wall_clocks;
mod warehouse;
mod withdrawals;
mod world;
