//! The SFTP server, as long as there is time.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use lake::registers::Stat;
use lambda_boot::Deadline;
use sftp::Client;
use telecom::FileName;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::miss::Miss;
use crate::ports::{Chunks, Server};

/// No copy begins with less than this left: it is time enough for an ordinary file and its announcement.
const START_MARGIN: Duration = Duration::from_secs(10);
/// A copy that is not done with this left is given up, so that the upload is aborted and what has landed announced.
const ABORT_MARGIN: Duration = Duration::from_secs(6);
/// What all copies may hold in memory together: two large files or many small ones, well inside a 128 MB function.
const MEMORY_KIB: u64 = 48 << 10;
/// What a copy holds at most: the reads on their way (8 MiB) and two parts of the upload (8 MiB each).
const COPY_KIB: u64 = 24 << 10;

/// What the copies of one poll share.
pub(crate) struct SftpServer {
    client: Client,
    folder: String,
    deadline: Deadline,
    memory: Semaphore,
    stopped: AtomicBool,
}

impl SftpServer {
    pub(crate) fn new(client: Client, folder: &str, deadline: Deadline) -> Self {
        Self {
            client,
            folder: folder.trim_end_matches('/').to_owned(),
            deadline,
            memory: Semaphore::new(MEMORY_KIB as usize),
            stopped: AtomicBool::new(false),
        }
    }

    /// Lets no further copy begin.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits until there is memory for a copy of so many bytes, and says whether there is time for one.
    pub(crate) async fn begin(&self, bytes: u64) -> Result<SemaphorePermit<'_>, Miss> {
        let kib = (bytes / 1024 * 3).clamp(1, COPY_KIB) as u32;
        let room = self.memory.acquire_many(kib).await.map_err(|error| Miss::Service(error.into()))?;
        if self.stopped.load(Ordering::Relaxed) || self.deadline.is_within(START_MARGIN) {
            return Err(Miss::Deferred);
        }
        Ok(room)
    }

    fn path(&self, name: FileName) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Waits for something of a copy, but not so long that the copy could not be given up in an orderly way.
    async fn in_time<T>(&self, name: FileName, something: impl Future<Output = T>) -> Result<T, Miss> {
        let Some(left) = self.deadline.remaining() else { return Ok(something.await) };
        // Something that is always ready would never meet a timeout.
        let done = match left.checked_sub(ABORT_MARGIN) {
            Some(patience) => tokio::time::timeout(patience, something).await.ok(),
            None => None,
        };
        done.ok_or_else(|| {
            tracing::warn!(
                file.name = name.as_str(),
                "the time was up before the file was copied: the next poll begins anew; where that is so again and again, the \
                 function needs a longer Timeout, or more MemorySize, which is more CPU"
            );
            Miss::Deferred
        })
    }
}

impl Server for SftpServer {
    async fn stat(&self, name: FileName) -> Result<Option<Stat>, Miss> {
        let stat = self.in_time(name, self.client.stat(&self.path(name))).await??;
        Ok(stat.map(|sftp::Stat { size, mtime }| Stat { size, mtime }))
    }

    async fn read(&self, name: FileName, range: Range<u64>) -> Result<Chunks<'_, Miss>, Miss> {
        let path = self.path(name);
        let chunks = self.in_time(name, self.client.read_range(&path, range)).await??.map_err(Miss::from);
        let chunks = stream::try_unfold(chunks, move |mut chunks| async move {
            let chunk = self.in_time(name, chunks.next()).await?;
            Ok(chunk.transpose()?.map(|chunk| (chunk, chunks)))
        });
        Ok(chunks.boxed())
    }
}
