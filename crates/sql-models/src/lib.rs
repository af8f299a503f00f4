#![doc = include_str!("../README.md")]

mod build;
mod config;
mod data_test;
mod error;
mod graph;
mod manifest;
mod model;
mod project;
mod properties;
mod references;
mod refill;
mod render;
mod report;
mod run;
mod session;
mod sql;
mod views;
mod yaml;

pub use error::ReadError;
pub use project::Project;
pub use report::{Action, Options, Report, Status, Test, Unit};
