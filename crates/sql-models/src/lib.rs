#![doc = include_str!("../README.md")]

mod build;
mod config;
mod error;
mod graph;
mod manifest;
mod project;
mod properties;
mod refill;
mod render;
mod report;
mod run;
mod sql;
mod tests;
mod views;
mod yaml;

pub use error::ReadError;
pub use project::Project;
pub use report::{Action, Options, Report, Status, Test, Unit};
