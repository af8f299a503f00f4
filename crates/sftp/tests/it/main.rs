//! The client against the in-process server, and the server against OpenSSH's client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod client;
mod errors;
mod keys;
mod openssh;

use std::path::Path;
use std::sync::Arc;

use sftp::server::Server;
use sftp::{Client, Config, Credentials, HostKey};
use tempfile::TempDir;

const USER: &str = "operator";
const PASSWORD: &str = "correct horse";

/// A server of a temporary folder.
struct Fixture {
    folder: TempDir,
    server: Server,
}

impl Fixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), USER, PASSWORD).await.unwrap();
        Self { folder, server }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> Config {
        Config {
            host: self.server.address.ip().to_string(),
            port: self.server.address.port(),
            user: USER.to_owned(),
            credentials: Credentials::Password(PASSWORD.to_owned()),
            host_key: HostKey::try_from(self.server.host_key.clone()).unwrap(),
            remote_path: "/".to_owned(),
        }
    }

    async fn client(&self) -> Arc<Client> {
        Arc::new(Client::connect(&self.config()).await.unwrap())
    }
}

/// Bytes that differ from place to place.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
