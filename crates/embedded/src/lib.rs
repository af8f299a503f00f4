#![doc = include_str!("../README.md")]

mod broker;
mod folder;
mod object_store;
mod postgres;
mod secret;
mod services;
mod sftp_server;
mod supervised;

pub use broker::Broker;
pub use folder::{Data, TemporaryFolder};
pub use object_store::ObjectStore;
pub use postgres::Postgres;
pub use secret::Secret;
pub use services::Services;
pub use sftp_server::SftpServer;
pub use supervised::{Owner, Supervised};

/// What a program's `tracing` filter must add for these services, as in `info,{LOG_FILTER}`: at `info` the object store's
/// crates open spans that hold whole requests, signatures included, and spend more time on them than on the work.
pub const LOG_FILTER: &str = "s3s=warn";

/// A port of 127.0.0.1 that was free a moment ago, for servers that can't be told to choose one.
fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
