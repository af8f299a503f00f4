//! The function on a broker and a lake.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod announcements;
mod events;
mod files;
mod pieces;
mod world;
