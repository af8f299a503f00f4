//! What listens: the HTTP API in front of the functions, and their Invoke API.

mod front;
mod invoke_api;
mod pattern;
mod server;

pub(crate) use front::Front;
pub(crate) use invoke_api::InvokeApi;
pub use pattern::PathPattern;
pub(crate) use pattern::Router;
pub(crate) use server::{Answer, Server};
