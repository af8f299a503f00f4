use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt, future};
use russh::Disconnect;
use russh_sftp::client::{RawSftpSession, error::Error as SftpError};
use russh_sftp::extensions::HardlinkExtension;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::connect::{POSIX_RENAME, Session, connect};
use crate::{Config, Error};

/// What may be on its way at once of a file, which is its memory: covers 250 MB/s over a round trip of 20 ms, and what a
/// server and a line hold back besides.
const READ_AHEAD_BYTES: u32 = 8 << 20;
/// Reads on their way at once, where they are short.
const READS_IN_FLIGHT: u32 = 128;
/// Writes on their way at once.
const WRITES_IN_FLIGHT: usize = 64;
/// The longest write that every server must take.
const WRITE_BYTES: u64 = 32 << 10;

/// A connection to the server: any number of transfers at once. It ends when the client and its streams are dropped.
pub struct Client {
    session: Arc<Session>,
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
        Ok(Self { session: Arc::new(connect(config).await?) })
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

    /// A file's bytes, as many as it had when it was opened, with many reads on their way at once (8 MiB of memory).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`], [`Error::Lost`]; in the stream also [`Error::Changed`].
    pub async fn read(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.read_within(path, 0..u64::MAX).await
    }

    /// [`Client::read`] of a part of the file.
    ///
    /// # Errors
    /// Those, and [`Error::Changed`] where the file is shorter.
    pub async fn read_range(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.read_within(path, range).await
    }

    async fn read_within(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let path: Arc<str> = path.into();
        let session = Arc::clone(&self.session);
        let failed = |error| Error::from_sftp(format!("opening {path}"), &path, error);
        let handle = session.sftp.open(&*path, OpenFlags::READ, FileAttributes::empty()).await.map_err(failed)?.handle;
        let attributes = session.sftp.fstat(handle.as_str()).await.map_err(failed)?.attrs;
        let size = attributes.size.unwrap_or_default();
        // To the file's end, or to where the caller wants it, which is then to be there.
        let end = if range.end == u64::MAX { size } else { range.end };
        if end > size {
            sftp_close(&session, &handle, &path).await?;
            return Err(Error::Changed { path: path.as_ref().to_owned() });
        }

        let handle: Arc<str> = handle.into();
        let close = {
            let (session, handle, path) = (Arc::clone(&session), Arc::clone(&handle), Arc::clone(&path));
            async move { sftp_close(&session, &handle, &path).await.map(|()| None) }
        };
        let read_bytes = session.read_bytes;
        let in_flight = (READ_AHEAD_BYTES / read_bytes).min(READS_IN_FLIGHT) as usize;
        let chunks = stream::iter((range.start..end).step_by(read_bytes as usize)).map(move |offset| {
            let (session, handle, path) = (Arc::clone(&session), Arc::clone(&handle), Arc::clone(&path));
            async move {
                let len = u32::try_from(end - offset).unwrap_or(read_bytes).min(read_bytes);
                read_chunk(&session.sftp, &handle, &path, offset, len).await.map(Some)
            }
        });
        let stream = chunks.buffered(in_flight).chain(stream::once(close));
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
        let failed = |error: SftpError| {
            // The protocol has no word for it: OpenSSH says "Failure".
            let may_be_full = matches!(&error, SftpError::Status(status) if status.status_code == StatusCode::Failure);
            match Error::from_sftp(format!("writing {path}"), path, error) {
                Error::Refused { doing, why } if may_be_full => {
                    Error::Refused { doing, why: format!("{why}; is its disk full, or a quota used up?") }
                }
                error => error,
            }
        };
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
        if self.session.has_posix_rename {
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

async fn sftp_close(session: &Session, handle: &str, path: &str) -> Result<(), Error> {
    let closed = session.sftp.close(handle).await;
    closed.map(drop).map_err(|error| Error::from_sftp(format!("closing {path}"), path, error))
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
