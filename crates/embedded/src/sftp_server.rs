//! The SFTP server: the one of the crate `sftp`, with an account and a folder.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::Secret;
use crate::folder::{Data, Folder, make_folder};

/// A running SFTP server on 127.0.0.1, in this process. Dropping it ends it.
#[derive(Debug)]
pub struct SftpServer {
    /// `127.0.0.1`.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The only user.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Its public key as an OpenSSH line.
    pub host_key: String,
    /// The only folder at first, as clients name it.
    pub remote_path: &'static str,
    server: sftp::server::Server,
    folder: Folder,
}

/// The seeds' default of `SFTP_REMOTE_PATH`.
const REMOTE_PATH: &str = "/upload";

impl SftpServer {
    /// Starts a server whose clients see the folder of `data` as `/`, with the folder `/upload` in it.
    ///
    /// # Errors
    /// When the folder can't be used or no port be had.
    pub async fn start(data: Data) -> anyhow::Result<Self> {
        let folder = Folder::open(data)?;
        make_folder(&upload(folder.path()))?;
        let (user, password) = ("trunkline".to_owned(), Secret::random());
        let server = sftp::server::Server::start(folder.path(), &user, password.expose())
            .await
            .context("can't start the SFTP server")?;
        Ok(Self {
            host: server.address.ip().to_string(),
            port: server.address.port(),
            user,
            password,
            host_key: server.host_key.clone(),
            remote_path: REMOTE_PATH,
            server,
            folder,
        })
    }

    /// What clients see as `/`.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// What clients see as [`SftpServer::remote_path`].
    pub fn upload(&self) -> PathBuf {
        upload(self.folder.path())
    }

    /// Ends the server; clients get a moment to finish.
    pub async fn stop(self) {
        self.server.shutdown().await;
    }
}

fn upload(root: &Path) -> PathBuf {
    root.join(REMOTE_PATH.trim_start_matches('/'))
}
