//! The S3 object store.

mod careful;
mod layout;
mod listing;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::Secret;
use crate::folder::{Data, Folder, make_folder};
use careful::Careful;

/// After a failed `accept` (too many open files, usually) the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running object store with the S3 API on 127.0.0.1, in this process; path-style addresses. Dropping it ends it.
#[derive(Debug)]
pub struct ObjectStore {
    /// `http://127.0.0.1:port`.
    pub endpoint: String,
    /// The region that clients sign for; the store accepts any.
    pub region: &'static str,
    /// Half of the only credentials.
    pub access_key_id: String,
    /// The other half.
    pub secret_access_key: Secret,
    objects: PathBuf,
    server: JoinHandle<Infallible>,
    folder: Folder,
}

impl ObjectStore {
    /// Starts a store on `data`. Puts that a kill interrupted are finished or removed first.
    ///
    /// # Errors
    /// When the folder can't be used, or no port is free.
    pub async fn start(data: Data) -> anyhow::Result<Self> {
        let folder = Folder::open(data)?;
        let files = Careful::open(folder.path())?;
        let objects = files.objects_folder().to_owned();
        let access_key_id = format!("TRUNKLINE{}", &Secret::random().expose()[..11].to_uppercase());
        let secret_access_key = Secret::random();
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(access_key_id.as_str(), secret_access_key.expose()));

        let listener =
            TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.context("can't bind a port for S3")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(serve(listener, service.build()));
        Ok(Self { endpoint, region: "us-east-1", access_key_id, secret_access_key, objects, server, folder })
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a bucket if it does not exist; the S3 call does it too.
    ///
    /// # Errors
    /// When the name isn't a bucket's (3 to 63 lower-case letters, digits and `-`) or the folder can't be written.
    pub fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        ensure!(
            (3..=63).contains(&name.len()) && name.bytes().all(plain),
            "the bucket name `{name}` must be 3 to 63 lower-case letters, digits and `-`"
        );
        make_folder(&self.objects.join(name))
    }

    /// Waits until the store ends by itself, which it should not, and says why.
    pub async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.server).await {
            Err(error) => anyhow::Error::new(error).context("the object store has ended"),
        }
    }

    /// Ends the store. What it has acknowledged is already stored.
    pub async fn stop(mut self) {
        self.server.abort();
        let reason = self.ended().await;
        tracing::debug!(%reason, "the object store was stopped");
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, service: S3Service) -> Infallible {
    // Aborted together with this task.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "the object store can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = service.clone();
        connections.spawn(async move {
            let served = match socket.set_nodelay(true) {
                Ok(()) => {
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.map_err(Into::into)
                }
                Err(error) => Err(anyhow::Error::from(error)),
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the object store ended");
            }
        });
    }
}
