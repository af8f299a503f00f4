#![doc = include_str!("../README.md")]

mod address;
mod blockers;
mod error;
mod pool;
mod session;
mod tls;

pub use address::Names;
pub use deadpool_postgres::Transaction;
pub use pool::{Lock, Pool};
