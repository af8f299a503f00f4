use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _, future};

use crate::session::{Handle, Session, Trouble};
use crate::wire::{Attributes, Mode, Request};
use crate::{Error, Stat};

/// How many bytes of a file may be requested at once, which is its memory: covers 250 MB/s over a round trip of 20 ms,
/// and what a server and a line hold back besides.
const READ_AHEAD_BYTES: u32 = 8 << 20;
/// Reads on their way at once, where they are short.
const READS_IN_FLIGHT: u32 = 128;

/// A file that is open at the server. It can be read and asked for its attributes even where the server removes it, or
/// somebody puts another one in its place. Dropping it closes it, without waiting.
pub struct File {
    handle: Arc<Handle>,
    path: Arc<str>,
    stat: Stat,
    read_bytes: u32,
}

/// A file's bytes, part by part.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, Error>>;

impl File {
    pub(crate) async fn open(session: &Arc<Session>, path: &str) -> Result<Self, Error> {
        let failed = |trouble| Error::from_trouble(format!("opening {path}"), path, trouble);
        let handle = session.open(Request::Open { path, mode: Mode::Read }).await.map_err(failed)?;
        let mut attributes = handle.stat().await.map_err(failed)?;
        if attributes.size.is_none() {
            attributes = session.stat(path).await.map_err(failed)?;
        }
        let stat = stat_of(path, attributes)?;
        Ok(Self { handle: Arc::new(handle), path: path.into(), stat, read_bytes: session.read_bytes })
    }

    /// Its length and last change when it was opened.
    #[must_use]
    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// Its length and last change by now. Asked after everything has been read and before [`File::close`], it says
    /// whether what was read is whole and unchanged; some servers remove a file as soon as it is closed.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Lost`].
    pub async fn stat_now(&self) -> Result<Stat, Error> {
        let failed = |trouble| Error::from_trouble(format!("looking at {}", self.path), &self.path, trouble);
        stat_of(&self.path, self.handle.stat().await.map_err(failed)?)
    }

    /// Some of its bytes, with many reads on their way at once (8 MiB of memory). The stream may outlive the file.
    ///
    /// # Errors
    /// In the stream: [`Error::Changed`] where the file is shorter; [`Error::Refused`], [`Error::Lost`].
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        let (handle, path, read_bytes) = (Arc::clone(&self.handle), Arc::clone(&self.path), self.read_bytes);
        let in_flight = (READ_AHEAD_BYTES / read_bytes).min(READS_IN_FLIGHT) as usize;
        let chunks = stream::iter(range.clone().step_by(read_bytes as usize)).map(move |offset| {
            let (handle, path) = (Arc::clone(&handle), Arc::clone(&path));
            async move {
                let len = u32::try_from(range.end - offset).unwrap_or(read_bytes).min(read_bytes);
                read_chunk(&handle, &path, offset, len).await
            }
        });
        chunks.buffered(in_flight).boxed()
    }

    /// Closes it, and waits until it is closed. While a stream of it is held, it is closed when that is dropped.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Lost`].
    pub async fn close(self) -> Result<(), Error> {
        let failed = |trouble| Error::from_trouble(format!("closing {}", self.path), &self.path, trouble);
        match Arc::into_inner(self.handle) {
            Some(handle) => handle.close().await.map_err(failed),
            None => Ok(()),
        }
    }

    /// Some of its bytes, and then it is closed.
    pub(crate) fn read_and_close(self, range: Range<u64>) -> Chunks {
        let chunks = self.read(range).map_ok(Some);
        let close = async move { self.close().await.map(|()| None) };
        chunks.chain(stream::once(close)).try_filter_map(future::ok).boxed()
    }
}

/// What the server says of a file. Without a length, nobody could know whether all of it has been read.
pub(crate) fn stat_of(path: &str, attributes: Attributes) -> Result<Stat, Error> {
    attributes.stat().ok_or_else(|| Error::Refused {
        doing: format!("looking at {path}"),
        why: "it does not tell the file's length".to_owned(),
    })
}

/// Reads `len` bytes, also from a server that answers with fewer at a time.
async fn read_chunk(handle: &Handle, path: &str, offset: u64, len: u32) -> Result<Bytes, Error> {
    let failed = |trouble: Trouble| Error::from_trouble(format!("reading {path}"), path, trouble);
    let changed = || Error::Changed { path: path.to_owned() };
    let mut chunk = handle.read(offset, len).await.map_err(failed)?.ok_or_else(changed)?;
    if chunk.len() < len as usize {
        let mut joined = BytesMut::from(chunk);
        while joined.len() < len as usize {
            let missing = len - joined.len() as u32;
            let more = handle.read(offset + joined.len() as u64, missing).await.map_err(failed)?;
            joined.extend_from_slice(&more.ok_or_else(changed)?);
        }
        chunk = joined.freeze();
    }
    chunk.truncate(len as usize);
    Ok(chunk)
}
