#![doc = include_str!("../README.md")]

pub mod auth;
mod event;
mod problem;

pub use event::{Request, Response, read, write};
pub use problem::ProblemKind;
