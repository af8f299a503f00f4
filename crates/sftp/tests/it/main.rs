//! The client against the in-process server, OpenSSH's and those of other makes, and the server against OpenSSH's client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod client;
mod errors;
mod keys;
mod openssh;
mod peers;
mod sshd;

use std::path::Path;

use sftp::server::Server;
use sftp::{Client, Config, Credentials, HostKey};
use tempfile::TempDir;
use test_support::{SftpPeer, Sshd};

const USER: &str = "operator";
const PASSWORD: &str = "correct horse";

/// The in-process server of a temporary folder.
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
            remote_path: sftp::Folders::parse("/").unwrap(),
            follow_links: true,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.config()).await.unwrap()
    }
}

/// What the client needs of OpenSSH's server.
fn sshd_config(sshd: &Sshd) -> Config {
    Config {
        host: sshd.host.clone(),
        port: sshd.port,
        user: sshd.user.clone(),
        credentials: Credentials::Password(sshd.password.expose().to_owned()),
        host_key: HostKey::try_from(sshd.host_keys[0].clone()).unwrap(),
        remote_path: sftp::Folders::parse(&sshd.remote_path).unwrap(),
        follow_links: true,
    }
}

/// What the client needs of a server of another make.
fn peer_config(peer: &SftpPeer) -> Config {
    Config {
        host: peer.host.clone(),
        port: peer.port,
        user: peer.user.clone(),
        credentials: Credentials::Password(peer.password.expose().to_owned()),
        host_key: HostKey::try_from(peer.host_key.clone()).unwrap(),
        remote_path: sftp::Folders::parse(&peer.remote_path).unwrap(),
        follow_links: true,
    }
}

/// Why there is no connection.
async fn connecting(config: &Config) -> sftp::Error {
    match Client::connect(config).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

/// Each of the servers that the client must get on with, with an empty folder.
async fn servers() -> [Served; 2] {
    let (ours, openssh) = (Fixture::start().await, test_support::sshd().await);
    [Served::Ours(ours), Served::OpenSsh(openssh)]
}

enum Served {
    Ours(Fixture),
    OpenSsh(Sshd),
}

impl Served {
    fn config(&self) -> Config {
        match self {
            Self::Ours(fixture) => fixture.config(),
            Self::OpenSsh(sshd) => sshd_config(sshd),
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.config()).await.unwrap()
    }

    /// The folder on this machine.
    fn path(&self) -> &Path {
        match self {
            Self::Ours(fixture) => fixture.path(),
            Self::OpenSsh(sshd) => sshd.upload(),
        }
    }

    /// A path in the folder, as the server knows it.
    fn remote(&self, path: &str) -> String {
        self.config().remote_path.path(path)
    }
}

/// Bytes that differ from place to place.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
