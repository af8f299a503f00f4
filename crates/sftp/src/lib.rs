#![doc = include_str!("../README.md")]

mod client;
mod config;
mod connect;
mod error;
#[cfg(feature = "server")]
pub mod server;

pub use client::{Client, Entry, Stat};
pub use config::{Config, Credentials, HostKey};
pub use error::Error;
