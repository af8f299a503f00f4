//! The HTTP API in front of the functions.

mod pattern;
mod server;

pub use pattern::PathPattern;
pub(crate) use pattern::Router;
pub(crate) use server::Server;
