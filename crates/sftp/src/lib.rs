#![doc = include_str!("../README.md")]

mod client;
mod config;
mod connect;
mod error;
mod file;
mod folders;
mod listing;
mod login;
#[cfg(feature = "server")]
pub mod server;
mod session;
mod status;
mod wire;

pub use client::{Client, Stat};
pub use config::{Config, Credentials, HostKey};
pub use error::Error;
pub use file::File;
pub use folders::Folders;
pub use listing::{Entry, LeftOut, Listing, Reason};
pub use login::RsaKey;
