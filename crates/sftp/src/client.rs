use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt, future};
use russh::client::{AuthResult, Handle};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect, Preferred, cipher};
use russh_sftp::client::{Config as SftpConfig, RawSftpSession, error::Error as SftpError};
use russh_sftp::extensions::HardlinkExtension;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::SshError;
use crate::{Config, Credentials, Error, HostKey};

/// From the first packet to a session with the file protocol.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for an answer; with all reads in flight, a line of 1 Mbit/s takes this long to bring a file's share.
const REQUEST_TIMEOUT_S: u64 = 40;
/// A connection that says nothing for so long, not even to a keepalive, is gone.
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(60);
/// Three of these fit into the inactivity timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// What the server may send before it hears from us. The SSH default of 2 MiB limits a connection over 20 ms to 50 MB/s.
const WINDOW_BYTES: u32 = 16 << 20;
/// The largest packet that the library takes.
const PACKET_BYTES: u32 = 65_535;
/// Reads on their way at once: their product with `READ_BYTES`, 4 MiB, is a file's memory, and covers 200 MB/s over
/// 20 ms.
const READS_IN_FLIGHT: usize = 64;
/// Servers answer reads of this length whole; some cut longer ones.
const READ_BYTES: u32 = 64 << 10;
/// Writes on their way at once.
const WRITES_IN_FLIGHT: usize = 64;
/// The longest write that every server must take.
const WRITE_BYTES: u64 = 32 << 10;
/// OpenSSH's rename that replaces its target in one step.
const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// A connection to the server: any number of transfers at once. It ends when the client and its streams are dropped.
pub struct Client {
    session: Arc<Session>,
    posix_rename: bool,
}

struct Session {
    sftp: RawSftpSession,
    /// Ends the connection when dropped.
    ssh: Handle<Check>,
}

/// A regular file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its last change, in seconds since 1970 by the server's clock.
    pub mtime: u64,
}

/// What the server says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length in bytes.
    pub size: u64,
    /// Its last change, in seconds since 1970 by the server's clock.
    pub mtime: u64,
}

impl From<&FileAttributes> for Stat {
    fn from(attributes: &FileAttributes) -> Self {
        Self { size: attributes.size.unwrap_or_default(), mtime: attributes.mtime.unwrap_or_default().into() }
    }
}

impl Client {
    /// Connects, checks the host key, and logs in.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::HostKey`], [`Error::Credentials`]; [`Error::Refused`] where the server has no
    /// file protocol.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let address = format!("{}:{}", config.host, config.port);
        match tokio::time::timeout(CONNECT_TIMEOUT, open(config)).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(Problem::Known(error))) => Err(error),
            Ok(Err(Problem::Ssh(SshError::HostKey { found }))) => {
                Err(Error::HostKey { expected: config.host_key.to_string(), found })
            }
            Ok(Err(Problem::Ssh(SshError::Ssh(error)))) => Err(Error::Unreachable { address, why: error.to_string() }),
            Err(_) => {
                Err(Error::Unreachable { address, why: format!("no session after {} s", CONNECT_TIMEOUT.as_secs()) })
            }
        }
    }

    /// The regular files of a folder, in no order.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`], [`Error::Lost`].
    pub async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let failed = |error| Error::from_sftp(format!("listing {folder}"), folder, error);
        let sftp = &self.session.sftp;
        let handle = sftp.opendir(folder).await.map_err(failed)?.handle;
        let mut entries = Vec::new();
        loop {
            let names = match sftp.readdir(handle.as_str()).await {
                Ok(names) => names.files,
                Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => break,
                Err(error) => return Err(failed(error)),
            };
            // A server that does not tell types has only files worth a try.
            let files = names.into_iter().filter(|f| f.attrs.permissions.is_none() || f.attrs.file_type().is_file());
            entries.extend(files.map(|file| {
                let Stat { size, mtime } = Stat::from(&file.attrs);
                Entry { name: file.filename, size, mtime }
            }));
        }
        sftp.close(handle).await.map_err(failed)?;
        Ok(entries)
    }

    /// A file's length and last change; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Lost`].
    pub async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        match self.session.sftp.stat(path).await {
            Ok(answer) => Ok(Some(Stat::from(&answer.attrs))),
            Err(error) => match Error::from_sftp(format!("looking at {path}"), path, error) {
                Error::NotFound { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// A file's bytes, as many as it had when it was opened, with many reads on their way at once (4 MiB of memory).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`], [`Error::Lost`]; in the stream also [`Error::Changed`].
    pub async fn read(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let path: Arc<str> = path.into();
        let session = Arc::clone(&self.session);
        let failed = |error| Error::from_sftp(format!("opening {path}"), &path, error);
        let handle = session.sftp.open(&*path, OpenFlags::READ, FileAttributes::empty()).await.map_err(failed)?.handle;
        let attributes = session.sftp.fstat(handle.as_str()).await.map_err(failed)?.attrs;
        let size = attributes.size.unwrap_or_default();

        let handle: Arc<str> = handle.into();
        let close = {
            let (session, handle, path) = (Arc::clone(&session), Arc::clone(&handle), Arc::clone(&path));
            async move {
                let closed = session.sftp.close(&*handle).await;
                closed.map_err(|error| Error::from_sftp(format!("closing {path}"), &path, error))?;
                Ok(None)
            }
        };
        let chunks = stream::iter((0..size).step_by(READ_BYTES as usize)).map(move |offset| {
            let (session, handle, path) = (Arc::clone(&session), Arc::clone(&handle), Arc::clone(&path));
            async move {
                let len = u32::try_from(size - offset).unwrap_or(READ_BYTES).min(READ_BYTES);
                read_chunk(&session.sftp, &handle, &path, offset, len).await.map(Some)
            }
        });
        let stream = chunks.buffered(READS_IN_FLIGHT).chain(stream::once(close));
        Ok(stream.try_filter_map(future::ok).boxed())
    }

    /// Writes a file that appears whole or not at all: under a temporary name first (`.NAME.part`, which pollers
    /// ignore), then renamed over what `path` may hold already. Returns the file's length.
    ///
    /// Where the server has no replacing rename, an older file at `path` is removed just before.
    ///
    /// # Errors
    /// [`Error::Source`] where `reader` fails; [`Error::NotFound`] where the folder is missing; [`Error::Refused`],
    /// [`Error::Lost`].
    pub async fn write_atomic(&self, path: &str, reader: impl AsyncRead + Send + Unpin) -> Result<u64, Error> {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (&path[..=folder.len()], name));
        let temporary = format!("{folder}.{name}.part");
        let written = async {
            let size = self.write(&temporary, reader).await?;
            self.replace(&temporary, path).await?;
            Ok(size)
        }
        .await;
        if written.is_err()
            && let Err(error) = self.session.sftp.remove(temporary.as_str()).await
        {
            tracing::debug!(sftp.path = temporary, %error, "a temporary file was left behind");
        }
        written
    }

    /// Says goodbye. Dropping the client ends the connection too, without waiting.
    pub async fn close(self) {
        if let Err(error) = self.session.ssh.disconnect(Disconnect::ByApplication, "", "").await {
            tracing::debug!(%error, "the connection had already ended");
        }
    }

    async fn write(&self, path: &str, reader: impl AsyncRead + Send + Unpin) -> Result<u64, Error> {
        let sftp = &self.session.sftp;
        let failed = |error| Error::from_sftp(format!("writing {path}"), path, error);
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let handle = sftp.open(path, flags, FileAttributes::empty()).await.map_err(failed)?.handle;
        let handle = handle.as_str();
        let chunks = stream::try_unfold((reader, 0), |(mut reader, offset)| async move {
            let mut chunk = Vec::new();
            let len = (&mut reader).take(WRITE_BYTES).read_to_end(&mut chunk).await.map_err(Error::Source)? as u64;
            Ok((len > 0).then_some(((offset, chunk), (reader, offset + len))))
        });
        let written = chunks
            .map_ok(async |(offset, chunk)| {
                let end = offset + chunk.len() as u64;
                sftp.write(handle, offset, chunk).await.map_err(failed)?;
                Ok(end)
            })
            .try_buffered(WRITES_IN_FLIGHT)
            .try_fold(0, async |_, end| Ok(end))
            .await;
        sftp.close(handle).await.map_err(failed)?;
        written
    }

    async fn replace(&self, from: &str, to: &str) -> Result<(), Error> {
        let sftp = &self.session.sftp;
        let failed = |error| Error::from_sftp(format!("renaming {from} to {to}"), to, error);
        if self.posix_rename {
            // The two requests have the same form: an old and a new path.
            let paths = HardlinkExtension { oldpath: from.to_owned(), newpath: to.to_owned() };
            let paths: Vec<u8> = paths.try_into().map_err(|error| failed(SftpError::from(error)))?;
            return match sftp.extended(POSIX_RENAME, paths).await.map_err(failed)? {
                Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
                Packet::Status(status) => Err(failed(status.into())),
                _ => Err(failed(SftpError::UnexpectedPacket)),
            };
        }
        match sftp.remove(to).await {
            Ok(_) => {}
            Err(SftpError::Status(status)) if status.status_code == StatusCode::NoSuchFile => {}
            Err(error) => return Err(failed(error)),
        }
        sftp.rename(from, to).await.map(drop).map_err(failed)
    }
}

/// Reads `len` bytes, also from a server that answers with fewer at a time.
async fn read_chunk(sftp: &RawSftpSession, handle: &str, path: &str, offset: u64, len: u32) -> Result<Bytes, Error> {
    let mut chunk = Vec::new();
    while chunk.len() < len as usize {
        let missing = len - chunk.len() as u32;
        match sftp.read(handle, offset + chunk.len() as u64, missing).await {
            Ok(answer) if answer.data.is_empty() => return Err(Error::Changed { path: path.to_owned() }),
            Ok(answer) if chunk.is_empty() => chunk = answer.data,
            Ok(answer) => chunk.extend_from_slice(&answer.data),
            Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => {
                return Err(Error::Changed { path: path.to_owned() });
            }
            Err(error) => return Err(Error::from_sftp(format!("reading {path}"), path, error)),
        }
    }
    chunk.truncate(len as usize);
    Ok(chunk.into())
}

/// Why there is no session.
enum Problem {
    Known(Error),
    Ssh(SshError),
}

impl<E: Into<SshError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Ssh(error.into())
    }
}

async fn open(config: &Config) -> Result<Client, Problem> {
    let check = Check { host_key: config.host_key.clone() };
    let address = (config.host.as_str(), config.port);
    let mut ssh = russh::client::connect(Arc::new(ssh_config(&config.host_key)), address, check).await?;
    let user = config.user.as_str();
    let answer = match &config.credentials {
        Credentials::Password(password) => ssh.authenticate_password(user, password).await?,
        Credentials::PrivateKey(key) => {
            ssh.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key), None)).await?
        }
    };
    if let AuthResult::Failure { remaining_methods, .. } = answer {
        let accepts = remaining_methods.iter().map(String::from).collect();
        return Err(Problem::Known(Error::Credentials { user: user.to_owned(), accepts }));
    }
    let mut channel = ssh.channel_open_session().await?;
    channel.request_subsystem(true, "sftp").await?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::WindowAdjusted { .. }) => {}
            _ => {
                let doing = format!("the file protocol to the user {user}");
                let why = "it has no subsystem sftp for them".to_owned();
                return Err(Problem::Known(Error::Refused { doing, why }));
            }
        }
    }
    let limits = SftpConfig { request_timeout_secs: REQUEST_TIMEOUT_S, ..SftpConfig::default() };
    let sftp = RawSftpSession::new_with_config(channel.into_stream(), limits);
    let version =
        sftp.init().await.map_err(|error| Problem::Known(Error::from_sftp("opening a session", "session", error)))?;
    let posix_rename = version.extensions.contains_key(POSIX_RENAME);
    Ok(Client { session: Arc::new(Session { sftp, ssh }), posix_rename })
}

fn ssh_config(host_key: &HostKey) -> russh::client::Config {
    let mut preferred = Preferred::default();
    // The fastest by far on a processor with AES instructions.
    let ciphers = preferred.cipher.iter().copied().filter(|&name| name != cipher::AES_256_GCM);
    preferred.cipher = Cow::Owned([cipher::AES_256_GCM].into_iter().chain(ciphers).collect());
    if let Some(algorithm) = host_key.algorithm() {
        preferred.key = Cow::Owned(vec![algorithm]);
    }
    russh::client::Config {
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        inactivity_timeout: Some(INACTIVITY_TIMEOUT),
        keepalive_interval: Some(KEEPALIVE_INTERVAL),
        nodelay: true,
        preferred,
        ..russh::client::Config::default()
    }
}

/// Lets only the pinned key pass, before anything else is said to the server.
struct Check {
    host_key: HostKey,
}

impl russh::client::Handler for Check {
    type Error = SshError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, SshError> {
        let shown = shown.public_key();
        if self.host_key.accepts(&shown) {
            Ok(true)
        } else {
            Err(SshError::HostKey { found: shown.fingerprint(HashAlg::Sha256).to_string() })
        }
    }
}
