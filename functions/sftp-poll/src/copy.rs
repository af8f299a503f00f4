use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use lake::{Digest, Hasher, Lake, Put, PutError, names};
use lambda_boot::Deadline;
use sftp::Client;
use telecom::FileName;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::folder::Delivered;
use crate::known::Marker;

/// No copy begins with less than this left: it is time enough for an ordinary file and its announcement.
const START_MARGIN: Duration = Duration::from_secs(10);
/// A copy that is not done with this left is given up, so that the upload is aborted and what has landed announced.
const ABORT_MARGIN: Duration = Duration::from_secs(6);
/// What all copies may hold in memory together: two large files or many small ones, well inside a 128 MB function.
const MEMORY_KIB: u64 = 48 << 10;
/// What a copy holds at most: the reads on their way (8 MiB) and two parts of the upload (8 MiB each).
const COPY_KIB: u64 = 24 << 10;
/// Where the file's last change is kept with its copy.
const MTIME: &str = "mtime";

/// What the copies of one poll share.
pub(crate) struct Copier {
    pub(crate) lake: Lake,
    client: Client,
    folder: String,
    deadline: Deadline,
    memory: Semaphore,
    stopped: AtomicBool,
}

/// A file that lies in the lake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landed {
    pub(crate) name: FileName,
    pub(crate) marker: Marker,
    /// Copied now, or by an earlier invocation.
    pub(crate) copied: bool,
}

/// Why a file is not in the lake, or not wholly known.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It changed, or went away, while it was copied.
    Unsettled,
    /// The time is up.
    Deferred,
    /// This file can't be had.
    File(anyhow::Error),
    /// No file can be had.
    Service(anyhow::Error),
}

impl From<lake::Error> for Miss {
    fn from(error: lake::Error) -> Self {
        Self::Service(error.into())
    }
}

impl From<sftp::Error> for Miss {
    fn from(error: sftp::Error) -> Self {
        match error {
            sftp::Error::Changed { .. } | sftp::Error::NotFound { .. } => Self::Unsettled,
            sftp::Error::Refused { .. } => Self::File(error.into()),
            error => Self::Service(error.into()),
        }
    }
}

impl From<PutError<Miss>> for Miss {
    fn from(error: PutError<Miss>) -> Self {
        match error {
            PutError::Source(miss) => miss,
            PutError::Lake(error) => error.into(),
        }
    }
}

impl Copier {
    pub(crate) fn new(lake: Lake, client: Client, folder: &str, deadline: Deadline) -> Self {
        Self {
            lake,
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

    /// Brings a file into the lake; finds the copy that an earlier invocation, or one at this moment, has made.
    pub(crate) async fn land(&self, file: &Delivered) -> Result<Landed, Miss> {
        let room = self.begin(file.stat.size).await?;
        if let Some(marker) = recover(&self.lake, file.name).await? {
            return Ok(Landed { name: file.name, marker, copied: false });
        }
        let started = std::time::Instant::now();
        let key = names::landing(file.name.as_str());
        let mtime = file.stat.mtime.to_string();
        self.lake.put_if_absent(&names::unannounced(file.name.as_str()), Bytes::new(), &[]).await?;
        let stored = self.lake.put_stream_if_absent(&key, self.whole(file).await?, &[(MTIME, &mtime)]).await?;
        drop(room);
        match stored.put {
            Put::Created => {
                tracing::info!(
                    file.name = file.name.as_str(),
                    file.bytes = stored.bytes,
                    file.source_id = %stored.sha256.source_id(),
                    duration_ms = started.elapsed().as_millis() as u64,
                    "file landed"
                );
                let marker = Marker::new(stored.sha256, stored.bytes, file.stat.mtime);
                Ok(Landed { name: file.name, marker, copied: true })
            }
            // Another poll was faster, or the first answer to this put was lost: the object says what has landed.
            Put::Exists => match recover(&self.lake, file.name).await? {
                Some(marker) => Ok(Landed { name: file.name, marker, copied: false }),
                None => Err(Miss::Unsettled),
            },
        }
    }

    /// Waits until there is memory for a copy, and says whether there is time for one.
    pub(crate) async fn begin(&self, size: u64) -> Result<SemaphorePermit<'_>, Miss> {
        let kib = (size / 1024 * 3).clamp(1, COPY_KIB) as u32;
        let room = self.memory.acquire_many(kib).await.map_err(|error| Miss::Service(error.into()))?;
        if self.stopped.load(Ordering::Relaxed) || self.deadline.is_within(START_MARGIN) {
            return Err(Miss::Deferred);
        }
        Ok(room)
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

    /// A file's bytes; they end well only if the file is still what it was when it was listed.
    pub(crate) async fn whole(&self, file: &Delivered) -> Result<BoxStream<'_, Result<Bytes, Miss>>, Miss> {
        let path = format!("{}/{}", self.folder, file.name);
        let Delivered { name, stat: listed } = *file;
        let bytes = self.in_time(file.name, self.client.read(&path)).await??.map_err(Miss::from);
        let bytes = stream::try_unfold(bytes, move |mut bytes| async move {
            let chunk = self.in_time(name, bytes.next()).await?;
            Ok(chunk.transpose()?.map(|chunk| (chunk, bytes)))
        });
        let unchanged = stream::once(async move {
            match self.in_time(name, self.client.stat(&path)).await?? {
                Some(now) if now == listed => Ok(Bytes::new()),
                _ => Err(Miss::Unsettled),
            }
        });
        Ok(bytes.chain(unchanged).boxed())
    }
}

impl Marker {
    pub(crate) fn new(sha256: Digest, bytes: u64, mtime: u64) -> Self {
        Self { sha256, source_id: sha256.source_id(), bytes, mtime }
    }
}

/// What a landed file's marker must say, from the object itself; `None` where nothing has landed.
pub(crate) async fn recover(lake: &Lake, name: FileName) -> Result<Option<Marker>, lake::Error> {
    let object = match lake.get_stream(&names::landing(name.as_str())).await {
        Ok(object) => object,
        Err(lake::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = object.bytes;
    let mtime = object.metadata.get(MTIME).and_then(|mtime| mtime.parse().ok()).unwrap_or_default();
    let sha256 = digest(object.into_stream()).await?;
    Ok(Some(Marker::new(sha256, bytes, mtime)))
}

/// The digest of a stream.
pub(crate) async fn digest<E>(stream: impl Stream<Item = Result<Bytes, E>>) -> Result<Digest, E> {
    let hash = |mut hasher: Hasher, bytes: Bytes| {
        hasher.update(&bytes);
        futures::future::ready(Ok(hasher))
    };
    stream.try_fold(Hasher::default(), hash).await.map(Hasher::finish)
}
