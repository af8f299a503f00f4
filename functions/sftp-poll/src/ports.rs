//! What landing and deciding need of the outside, so that the simulator can stand in for it.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use lake::registers::Stat;
use lake::{Announcement, Lake, Put, PutError, Swap, Tag};
use telecom::FileName;

use crate::miss::Miss;

/// A stream of a file's bytes.
pub(crate) type Chunks<'a, E> = BoxStream<'a, Result<Bytes, E>>;

/// Where a file's last change is kept with its copy.
pub(crate) const MTIME: &str = "mtime";

/// An object that is being read.
pub(crate) struct Stored {
    pub(crate) bytes: u64,
    /// The file's last change, where it was kept.
    pub(crate) mtime: u64,
    pub(crate) chunks: Chunks<'static, lake::Error>,
}

/// The lake.
pub(crate) trait Objects: Sync {
    /// A small object and its tag.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<(Bytes, Tag)>, lake::Error>> + Send;

    /// Puts an object where it is still what was read.
    fn replace(
        &self,
        key: &str,
        read: Option<&Tag>,
        bytes: Bytes,
    ) -> impl Future<Output = Result<Swap, lake::Error>> + Send;

    /// Puts a small object, over what is there: for notes.
    fn put(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), lake::Error>> + Send;

    /// Puts a stream, whole or not at all, unless the name is taken.
    fn put_chunks(
        &self,
        key: &str,
        chunks: Chunks<'_, Miss>,
        mtime: u64,
    ) -> impl Future<Output = Result<Put, Miss>> + Send;

    /// Begins to read an object.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Stored>, lake::Error>> + Send;

    /// How long ago an object was put; `None` where there is none.
    fn age(&self, key: &str) -> impl Future<Output = Result<Option<Duration>, lake::Error>> + Send;

    /// The names that begin so, behind one of them, in their order.
    fn list(&self, prefix: &str, after: Option<&str>) -> Chunkless<'_>;

    /// Removes an object: only notes.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), lake::Error>> + Send;
}

/// A stream of names.
pub(crate) type Chunkless<'a> = BoxStream<'a, Result<String, lake::Error>>;

/// The files' server.
pub(crate) trait Server: Sync {
    /// A file's length and last change; `None` where there is none.
    fn stat(&self, name: FileName) -> impl Future<Output = Result<Option<Stat>, Miss>> + Send;

    /// The same, for a file of which all has just been read: some servers remove it then.
    fn stat_of_read(&self, name: FileName) -> impl Future<Output = Result<Option<Stat>, Miss>> + Send {
        self.stat(name)
    }

    /// A part of a file.
    fn read(&self, name: FileName, range: Range<u64>) -> impl Future<Output = Result<Chunks<'_, Miss>, Miss>> + Send;
}

/// The topic `landed-files`.
pub(crate) trait Topic: Send {
    /// Sends announcements in their order; when it returns, Kafka has them all.
    fn announce(&mut self, announcements: &[Announcement]) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl Objects for Lake {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Tag)>, lake::Error> {
        self.get_tagged(key).await
    }

    async fn replace(&self, key: &str, read: Option<&Tag>, bytes: Bytes) -> Result<Swap, lake::Error> {
        Self::replace(self, key, read, bytes).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), lake::Error> {
        Self::put(self, key, bytes).await
    }

    async fn put_chunks(&self, key: &str, chunks: Chunks<'_, Miss>, mtime: u64) -> Result<Put, Miss> {
        let mtime = mtime.to_string();
        match self.put_bytes_if_absent(key, chunks, &[(MTIME, &mtime)]).await {
            Ok(put) => Ok(put),
            Err(PutError::Source(miss)) => Err(miss),
            Err(PutError::Lake(error)) => Err(error.into()),
        }
    }

    async fn read(&self, key: &str) -> Result<Option<Stored>, lake::Error> {
        match self.get_stream(key).await {
            Ok(object) => {
                let mtime = object.metadata.get(MTIME).and_then(|mtime| mtime.parse().ok()).unwrap_or_default();
                Ok(Some(Stored { bytes: object.bytes, mtime, chunks: object.into_stream() }))
            }
            Err(lake::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn age(&self, key: &str) -> Result<Option<Duration>, lake::Error> {
        let head = self.head(key).await?;
        // Both clocks are trusted; a store's that is a little ahead makes an object new.
        Ok(head.map(|head| std::time::SystemTime::now().duration_since(head.last_modified).unwrap_or_default()))
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Chunkless<'_> {
        self.list_after(prefix, after).map_ok(|listed| listed.key).boxed()
    }

    async fn delete(&self, key: &str) -> Result<(), lake::Error> {
        Self::delete(self, key).await
    }
}
