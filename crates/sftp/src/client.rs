use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::{self, BoxStream};
use russh::Disconnect;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::connect::connect;
use crate::file::stat_of;
use crate::folders::list_all;
use crate::listing::list;
use crate::session::{POSIX_RENAME, Session, Trouble};
use crate::wire::{Mode, Request};
use crate::{Config, Error, File, Folders, Listing};

/// Writes on their way at once.
const WRITES_IN_FLIGHT: usize = 64;
/// The longest write that every server must take.
const WRITE_BYTES: u64 = 32 << 10;

/// A connection to the server: any number of transfers at once. It ends when the client, its files and streams are
/// dropped.
pub struct Client {
    session: Arc<Session>,
    follow_links: bool,
}

/// What the server says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length in bytes.
    pub size: u64,
    /// Its last change, in seconds since 1970 by the server's clock; 0 if the server does not send it.
    pub mtime: u64,
}

impl Client {
    /// Connects, checks the host key, and logs in.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::HostKey`], [`Error::Credentials`], [`Error::LoginEnded`]; [`Error::Refused`]
    /// where the server has no file protocol, or only algorithms that are not safe.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        Ok(Self { session: Arc::new(connect(config).await?), follow_links: config.follow_links })
    }

    /// The files of a folder.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`], [`Error::FolderTooLarge`], [`Error::TooManyHandles`], [`Error::Lost`].
    pub async fn list(&self, folder: &str) -> Result<Listing, Error> {
        list(&self.session, folder, self.follow_links).await
    }

    /// The files of all these folders, by their names in [`Folders::root`]. Where it is a pattern, a folder that can't
    /// be read is left out, with the reason.
    ///
    /// # Errors
    /// Those of [`Client::list`]; [`Error::Refused`] where the pattern fits more than a thousand folders.
    pub async fn list_all(&self, folders: &Folders) -> Result<Listing, Error> {
        list_all(&self.session, folders, self.follow_links).await
    }

    /// A file's length and last change, links followed; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Lost`].
    pub async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        let attributes = match self.session.stat(path).await {
            Ok(attributes) => attributes,
            Err(Trouble::Refused(status)) if status.is_not_found() => return Ok(None),
            Err(trouble) => return Err(Error::from_trouble(format!("looking at {path}"), path, trouble)),
        };
        stat_of(path, attributes).map(Some)
    }

    /// Opens a file for reading. If the server allows no more open files, this waits until another one of this client
    /// is closed: a caller that holds one must not wait for a second.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`], [`Error::TooManyHandles`], [`Error::Lost`].
    pub async fn open(&self, path: &str) -> Result<File, Error> {
        File::open(&self.session, path).await
    }

    /// A file's bytes, as many as it had when it was opened, with many reads on their way at once (8 MiB of memory);
    /// then it is closed.
    ///
    /// # Errors
    /// Those of [`Client::open`] and [`File::read`].
    pub async fn read(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let file = self.open(path).await?;
        let size = file.stat().size;
        Ok(file.read_and_close(0..size))
    }

    /// Writes a file that appears whole or not at all: under a temporary name first (`.NAME.part`, which pollers
    /// ignore), then renamed over what `path` may hold already. Returns the file's length.
    ///
    /// If the server has no replacing rename, an older file at `path` is removed just before.
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
            && let Err(trouble) = self.session.act(Request::Remove { path: &temporary }).await
        {
            tracing::debug!(sftp.path = temporary, ?trouble, "a temporary file was left behind");
        }
        written
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`], [`Error::Lost`].
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        let removed = self.session.act(Request::Remove { path }).await;
        removed.map_err(|trouble| Error::from_trouble(format!("removing {path}"), path, trouble))
    }

    /// Renames a file to a name that is free: with one that is taken, servers do different things.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the file or the new folder is missing; [`Error::Refused`], [`Error::Lost`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let renamed = self.session.act(Request::Rename { from, to }).await;
        renamed.map_err(|trouble| Error::from_trouble(format!("renaming {from} to {to}"), from, trouble))
    }

    /// Says goodbye. Dropping the client ends the connection too, without waiting.
    pub async fn close(self) {
        if let Err(error) = self.session.connection.ssh.disconnect(Disconnect::ByApplication, "", "").await {
            tracing::debug!(%error, "the connection had already ended");
        }
    }

    async fn write(&self, path: &str, reader: impl AsyncRead + Send + Unpin) -> Result<u64, Error> {
        let failed = |trouble: Trouble| writing_failed(path, trouble);
        let handle = self.session.open(Request::Open { path, mode: Mode::Replace }).await.map_err(failed)?;
        let chunks = stream::try_unfold((reader, 0), |(mut reader, offset)| async move {
            let mut chunk = Vec::new();
            let len = (&mut reader).take(WRITE_BYTES).read_to_end(&mut chunk).await.map_err(Error::Source)? as u64;
            Ok((len > 0).then_some(((offset, chunk), (reader, offset + len))))
        });
        let written = chunks
            .map_ok(async |(offset, chunk)| {
                let end = offset + chunk.len() as u64;
                handle.write(offset, &chunk).await.map_err(failed)?;
                Ok(end)
            })
            .try_buffered(WRITES_IN_FLIGHT)
            .try_fold(0, async |_, end| Ok(end))
            .await;
        let closed = handle.close().await.map_err(failed);
        written.and_then(|size| closed.map(|()| size))
    }

    async fn replace(&self, from: &str, to: &str) -> Result<(), Error> {
        let failed = |trouble| Error::from_trouble(format!("renaming {from} to {to}"), to, trouble);
        if self.session.has_posix_rename {
            let rename = Request::Extended { name: POSIX_RENAME, paths: &[from, to] };
            return self.session.act(rename).await.map_err(failed);
        }
        match self.session.act(Request::Remove { path: to }).await {
            Ok(()) => {}
            Err(Trouble::Refused(status)) if status.is_not_found() => {}
            Err(trouble) => return Err(failed(trouble)),
        }
        self.session.act(Request::Rename { from, to }).await.map_err(failed)
    }
}

fn writing_failed(path: &str, trouble: Trouble) -> Error {
    // The protocol has no word for it: OpenSSH says "Failure".
    let may_be_full = matches!(&trouble, Trouble::Refused(status) if status.is_failure());
    match Error::from_trouble(format!("writing {path}"), path, trouble) {
        Error::Refused { doing, why } if may_be_full => {
            Error::Refused { doing, why: format!("{why}; is its disk full, or a quota used up?") }
        }
        error => error,
    }
}
