//! The SFTP server, as long as there is time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use lake::registers::Stat;
use lambda_boot::Deadline;
use sftp::{Client, Listing};
use telecom::FileName;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Settings;
use crate::folder::Delivered;
use crate::miss::Miss;
use crate::ports::{Chunks, Server};
use crate::ready::{After, Ready};

/// No copy begins with less than this left: it is time enough for an ordinary file and its announcement.
pub(crate) const START_MARGIN: Duration = Duration::from_secs(10);
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
    /// What files were when they had been read, before they were closed.
    read: Mutex<HashMap<FileName, Stat>>,
}

impl SftpServer {
    pub(crate) async fn connect(config: &sftp::Config, deadline: Deadline) -> Result<Self, sftp::Error> {
        Ok(Self {
            client: Client::connect(config).await?,
            folder: config.remote_path.clone(),
            deadline,
            memory: Semaphore::new(MEMORY_KIB as usize),
            stopped: AtomicBool::new(false),
            read: Mutex::default(),
        })
    }

    pub(crate) async fn list(&self) -> Result<Listing, sftp::Error> {
        self.client.list(&self.folder).await
    }

    /// Deletes a file that has been taken, or moves it away, and the marker that made it ready. Nothing can do so only if the
    /// file is still the same: what is written to it between the look and the deletion is lost, so a file must be done.
    pub(crate) async fn clear(&self, settings: &Settings, file: &Delivered) -> Result<(), Miss> {
        let _room = self.begin(0).await?;
        if self.stat(file.name).await? != Some(file.stat) {
            return Err(Miss::Unsettled);
        }
        let cleared = self.in_time(file.name, self.clear_away(&settings.after, file.name.as_str())).await?;
        cleared.map_err(|error| Miss::File(explained(error, &settings.after)))?;
        if let Ready::Marker(ending) = &settings.ready {
            let marker = format!("{}{ending}", file.name);
            match self.in_time(file.name, self.clear_away(&settings.after, &marker)).await? {
                Ok(()) | Err(sftp::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn clear_away(&self, after: &After, name: &str) -> Result<(), sftp::Error> {
        let path = format!("{}/{name}", self.root());
        match after {
            After::Keep => Ok(()),
            After::Delete => self.client.remove(&path).await,
            After::Move(folder) => {
                let folder = match folder.starts_with('/') {
                    true => folder.clone(),
                    false => format!("{}/{folder}", self.root()),
                };
                self.client.rename(&path, &self.free_name(folder.trim_end_matches('/'), name).await?).await
            }
        }
    }

    /// What had the name before is kept.
    async fn free_name(&self, folder: &str, name: &str) -> Result<String, sftp::Error> {
        let mut path = format!("{folder}/{name}");
        let mut number = 1;
        while self.client.stat(&path).await?.is_some() {
            number += 1;
            path = format!("{folder}/{name}.{number}");
        }
        Ok(path)
    }

    fn root(&self) -> &str {
        self.folder.trim_end_matches('/')
    }

    /// Lets no further copy begin.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits until there is memory for a copy of so many bytes, and says whether there is time for one.
    pub(crate) async fn begin(&self, bytes: u64) -> Result<SemaphorePermit<'_>, Miss> {
        let kib = (bytes / 1024 * 3).clamp(1, COPY_KIB) as u32;
        let room = self.memory.acquire_many(kib).await.map_err(|error| Miss::Service(error.into()))?;
        if self.is_stopped() || self.deadline.is_within(START_MARGIN) {
            return Err(Miss::Deferred);
        }
        Ok(room)
    }

    async fn close(&self, name: FileName, file: sftp::File) -> Result<(), sftp::Error> {
        let sftp::Stat { size, mtime } = file.stat_now().await?;
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Stat { size, mtime });
        file.close().await
    }

    fn path(&self, name: FileName) -> String {
        format!("{}/{name}", self.root())
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

/// The file is there, so what is missing is another thing.
fn explained(error: sftp::Error, after: &After) -> anyhow::Error {
    match (error, after) {
        (error @ sftp::Error::NotFound { .. }, After::Move(folder)) => {
            anyhow::Error::new(error).context(format!("is there a folder {folder} on the SFTP server? Create it"))
        }
        (error, _) => error.into(),
    }
}

impl Server for SftpServer {
    async fn stat(&self, name: FileName) -> Result<Option<Stat>, Miss> {
        let stat = self.in_time(name, self.client.stat(&self.path(name))).await??;
        Ok(stat.map(|sftp::Stat { size, mtime }| Stat { size, mtime }))
    }

    async fn read(&self, name: FileName, range: Range<u64>) -> Result<Chunks<'_, Miss>, Miss> {
        let file = self.in_time(name, self.client.open(&self.path(name))).await??;
        if range.end > file.stat().size {
            return Err(Miss::Unsettled);
        }
        let chunks = file.read(range);
        let chunks = stream::try_unfold((file, chunks), move |(file, mut chunks)| async move {
            if let Some(chunk) = self.in_time(name, chunks.next()).await? {
                return Ok(Some((chunk?, (file, chunks))));
            }
            drop(chunks);
            self.in_time(name, self.close(name, file)).await??;
            Ok(None)
        });
        Ok(chunks.boxed())
    }

    async fn stat_of_read(&self, name: FileName) -> Result<Option<Stat>, Miss> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        Ok(self.stat(name).await?.or(read))
    }
}
