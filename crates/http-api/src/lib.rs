#![doc = include_str!("../README.md")]

mod event;

pub use event::{Request, Response, read, write};
