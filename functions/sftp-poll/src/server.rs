//! The SFTP servers, as long as there is time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, future, stream};
use lake::registers::Stat;
use lambda_boot::Deadline;
use sftp::{Client, Listing};
use telecom::FileName;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::folder::{Delivered, Patience, sort};
use crate::miss::Miss;
use crate::ports::{Chunks, Server};
use crate::ready::{After, Ready};
use crate::servers::ServerConfig;

/// No copy begins with less than this left: it is time enough for an ordinary file and its announcement.
pub(crate) const START_MARGIN: Duration = Duration::from_secs(10);
/// A copy that is not done with this left is given up, so that the upload is aborted and what has landed announced.
const ABORT_MARGIN: Duration = Duration::from_secs(6);
/// What all copies may hold in memory together: two large files or many small ones, well inside a 128 MB function.
const MEMORY_KIB: u64 = 48 << 10;
/// What a copy holds at most: the reads on their way (8 MiB) and two parts of the upload (8 MiB each).
const COPY_KIB: u64 = 24 << 10;

/// A server that takes longer to tell its files is left alone where there are others, which would wait for it.
const LOOK_PATIENCE: Duration = Duration::from_secs(20);

/// All servers, and what the copies of one poll share.
pub(crate) struct Servers<'a> {
    servers: Vec<SftpServer<'a>>,
    deadline: Deadline,
    memory: Semaphore,
    stopped: AtomicBool,
}

/// What lies on all servers.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In chronological order.
    pub(crate) files: Vec<Delivered>,
    /// Names that nobody takes, with the reason.
    pub(crate) unmatched: Vec<String>,
    /// Servers on which nothing could be seen this time. Where there is only one, that is an error.
    pub(crate) failures: Vec<anyhow::Error>,
}

impl<'a> Servers<'a> {
    /// Names them all. Connections are made by the first look.
    pub(crate) fn new(configs: &'a [ServerConfig], deadline: Deadline) -> Self {
        Self {
            servers: configs.iter().map(|config| SftpServer::new(config, deadline)).collect(),
            deadline,
            memory: Semaphore::new(MEMORY_KIB as usize),
            stopped: AtomicBool::new(false),
        }
    }

    /// Looks what lies on them. One that fails is left alone until the next invocation, and the others go on.
    pub(crate) async fn look(&mut self, now_s: u64) -> anyhow::Result<Found> {
        let is_only = self.servers.len() == 1;
        let patience = (!is_only).then_some(LOOK_PATIENCE);
        let servers = self.servers.iter_mut().filter(|server| !server.is_lost());
        let looks = servers.map(|server| server.look_for(patience, now_s).boxed());
        let mut found = Found::default();
        for looked in future::join_all(looks).await {
            match looked {
                Ok((files, unmatched)) => {
                    found.files.extend(files);
                    found.unmatched.extend(unmatched);
                }
                Err(error) if is_only => return Err(error),
                Err(error) => found.failures.push(error),
            }
        }
        found.files.sort_by_key(|file| file.name);
        Ok(found)
    }

    /// Whether a file is on a server that has failed: what is known of it stays known.
    pub(crate) fn is_lost(&self, name: &FileName) -> bool {
        self.server_of(*name).is_some_and(SftpServer::is_lost)
    }

    /// What becomes of a file on its server when all of it has landed.
    pub(crate) fn after(&self, name: FileName) -> &After {
        self.server_of(name).map_or(&After::Keep, |server| &server.config.habits.after)
    }

    /// Deletes a file that has been taken, or moves it away, and the marker that made it ready. Nothing can do so only if the
    /// file is still the same: what is written to it between the look and the deletion is lost, so a file must be done.
    pub(crate) async fn clear(&self, file: &Delivered) -> Result<(), Miss> {
        let _room = self.begin(0).await?;
        let server = self.of(file.name)?;
        self.alone(server, server.clear(file).await)
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

    /// One without a name has what no other has.
    fn server_of(&self, name: FileName) -> Option<&SftpServer<'a>> {
        let named =
            self.servers.iter().find(|server| server.config.name.is_some() && server.name_there(&name).is_some());
        named.or_else(|| self.servers.iter().find(|server| server.config.name.is_none()))
    }

    /// The server that a file is on, where it can be asked.
    fn of(&self, name: FileName) -> Result<&SftpServer<'a>, Miss> {
        self.server_of(name).filter(|server| !server.is_lost()).ok_or(Miss::Deferred)
    }

    /// One server's failure is not that of all others: its files are left, and theirs are taken.
    fn alone<T>(&self, server: &SftpServer<'_>, done: Result<T, Miss>) -> Result<T, Miss> {
        match done {
            Err(Miss::Service(error)) if self.servers.len() > 1 => {
                server.is_lost.store(true, Ordering::Relaxed);
                Err(Miss::File(error))
            }
            done => done,
        }
    }
}

impl Server for Servers<'_> {
    async fn stat(&self, name: FileName) -> Result<Option<Stat>, Miss> {
        let server = self.of(name)?;
        self.alone(server, server.stat(name).await)
    }

    async fn read(&self, name: FileName, range: Range<u64>) -> Result<Chunks<'_, Miss>, Miss> {
        let server = self.of(name)?;
        let chunks = self.alone(server, server.read(name, range).await)?;
        Ok(chunks.map(move |chunk| self.alone(server, chunk)).boxed())
    }

    async fn stat_of_read(&self, name: FileName) -> Result<Option<Stat>, Miss> {
        let server = self.of(name)?;
        self.alone(server, server.stat_of_read(name).await)
    }
}

/// One server.
struct SftpServer<'a> {
    config: &'a ServerConfig,
    /// Made by the first look.
    client: Option<Client>,
    deadline: Deadline,
    /// It has failed: this invocation asks it for nothing more.
    is_lost: AtomicBool,
    /// What files were when they had been read, before they were closed.
    read: Mutex<HashMap<FileName, Stat>>,
    /// One file is moved away at a time: two of the same name must not find the same name free.
    moving: tokio::sync::Mutex<()>,
}

impl<'a> SftpServer<'a> {
    fn new(config: &'a ServerConfig, deadline: Deadline) -> Self {
        let (is_lost, read, moving) = (AtomicBool::new(false), Mutex::default(), tokio::sync::Mutex::default());
        Self { config, client: None, deadline, is_lost, read, moving }
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// What lies there, if it is told within so long. Otherwise it is asked for nothing more.
    async fn look_for(
        &mut self,
        patience: Option<Duration>,
        now_s: u64,
    ) -> anyhow::Result<(Vec<Delivered>, Vec<String>)> {
        let looked = match patience {
            None => self.look(now_s).await,
            Some(patience) => tokio::time::timeout(patience, self.look(now_s))
                .await
                .unwrap_or_else(|_| Err(anyhow::anyhow!("it did not tell its files within {} s", patience.as_secs()))),
        };
        looked.map_err(|error| {
            self.is_lost.store(true, Ordering::Relaxed);
            match &self.config.name {
                Some(name) => error.context(format!("server {name}")),
                None => error,
            }
        })
    }

    async fn look(&mut self, now_s: u64) -> anyhow::Result<(Vec<Delivered>, Vec<String>)> {
        let listed = self.list().await?;
        let Listing { files, left_out } = match &self.config.name {
            Some(server) => listed.within(server),
            None => listed,
        };
        let habits = &self.config.habits;
        let patience = Patience { ready: &habits.ready, settle_s: habits.settle_s, last_line_s: habits.last_line_s };
        let (files, others) = sort(files, now_s, patience);
        Ok((files, left_out.iter().map(ToString::to_string).chain(others).collect()))
    }

    /// Some servers end a session after a while.
    async fn list(&mut self) -> Result<Listing, sftp::Error> {
        let sftp = &self.config.sftp;
        if let Some(client) = &self.client {
            match client.list_all(&sftp.remote_path).await {
                Err(error) if error.is_transient() => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "connecting anew");
                }
                listed => return listed,
            }
        }
        self.client.insert(Client::connect(sftp).await?).list_all(&sftp.remote_path).await
    }

    /// A file's name on this server; `None` where it is another's.
    fn name_there<'n>(&self, name: &'n FileName) -> Option<&'n str> {
        match &self.config.name {
            Some(own) => name.as_str().strip_prefix(own.as_str())?.strip_prefix('/'),
            None => Some(name.as_str()),
        }
    }

    fn path(&self, name: FileName) -> String {
        self.config.sftp.remote_path.path(self.name_there(&name).unwrap_or_default())
    }

    fn client(&self) -> Result<&Client, Miss> {
        self.client.as_ref().ok_or(Miss::Deferred)
    }

    async fn clear(&self, file: &Delivered) -> Result<(), Miss> {
        if self.stat(file.name).await? != Some(file.stat) {
            return Err(Miss::Unsettled);
        }
        let (client, habits, path) = (self.client()?, &self.config.habits, self.path(file.name));
        let _alone = match habits.after {
            After::Move(_) => Some(self.moving.lock().await),
            After::Keep | After::Delete => None,
        };
        let cleared = self.in_time(file.name, clear_away(client, &habits.after, &path)).await?;
        cleared.map_err(|error| explained(error, &habits.after))?;
        if let Ready::Marker(ending) = &habits.ready {
            let marker = format!("{path}{ending}");
            match self.in_time(file.name, clear_away(client, &habits.after, &marker)).await? {
                Ok(()) | Err(sftp::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn stat(&self, name: FileName) -> Result<Option<Stat>, Miss> {
        let stat = self.in_time(name, self.client()?.stat(&self.path(name))).await??;
        Ok(stat.map(|sftp::Stat { size, mtime }| Stat { size, mtime }))
    }

    async fn read(&self, name: FileName, range: Range<u64>) -> Result<Chunks<'_, Miss>, Miss> {
        let file = self.in_time(name, self.client()?.open(&self.path(name))).await??;
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

    async fn close(&self, name: FileName, file: sftp::File) -> Result<(), sftp::Error> {
        let sftp::Stat { size, mtime } = file.stat_now().await?;
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Stat { size, mtime });
        file.close().await
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

/// Does with a file what is to become of it.
async fn clear_away(client: &Client, after: &After, path: &str) -> Result<(), sftp::Error> {
    match after {
        After::Keep => Ok(()),
        After::Delete => client.remove(path).await,
        After::Move(to) => {
            let (folder, name) = path.rsplit_once('/').unwrap_or_default();
            let folder = if to.starts_with('/') { to.clone() } else { format!("{folder}/{to}") };
            client.rename(path, &free_name(client, folder.trim_end_matches('/'), name).await?).await
        }
    }
}

/// What had the name before is kept.
async fn free_name(client: &Client, folder: &str, name: &str) -> Result<String, sftp::Error> {
    let mut path = format!("{folder}/{name}");
    let mut number = 1;
    while client.stat(&path).await?.is_some() {
        number += 1;
        path = format!("{folder}/{name}.{number}");
    }
    Ok(path)
}

/// The file is there, so what is missing is another thing.
fn explained(error: sftp::Error, after: &After) -> Miss {
    match (error, after) {
        (error @ sftp::Error::NotFound { .. }, After::Move(folder)) => Miss::File(
            anyhow::Error::new(error).context(format!("is there a folder {folder} on the SFTP server? Create it")),
        ),
        // Gone since the look.
        (error @ sftp::Error::NotFound { .. }, _) => Miss::File(error.into()),
        (error, _) => error.into(),
    }
}
