#![doc = include_str!("../README.md")]

mod project;
mod report;

pub use project::{Project, ReadError};
pub use report::{Action, Options, Report, Status, Test, Unit};
