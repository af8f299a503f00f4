//! What files are, however they are cut and stored.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod compressed;
mod programs;
mod survey;
mod table;
