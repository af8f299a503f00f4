use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, bail};

use crate::{Broker, Data, ObjectStore, Postgres, SftpServer};

/// Everything that the functions need around them, running. Dropping it ends it all.
#[derive(Debug)]
pub struct Services {
    /// Kafka.
    pub broker: Broker,
    /// S3.
    pub object_store: ObjectStore,
    /// The database.
    pub postgres: Postgres,
    /// Where files arrive.
    pub sftp: SftpServer,
    _lock: Option<File>,
}

/// The data folder may be passed through: PostgreSQL's user has to when we are root. Each folder in it is its owner's.
const PASSABLE: u32 = 0o711;

impl Services {
    /// Starts all four, each on a folder of its own below the one of `data`.
    ///
    /// # Errors
    /// When one does not start, or another process works on the same folder.
    pub async fn start(data: Data) -> anyhow::Result<Self> {
        let lock = match &data {
            Data::Kept(folder) => Some(lock(folder)?),
            Data::Temporary => None,
        };
        let below = |name: &str| match &data {
            Data::Kept(folder) => Data::Kept(folder.join(name)),
            Data::Temporary => Data::Temporary,
        };
        let (broker, object_store, postgres, sftp) = tokio::try_join!(
            Broker::start(below("broker")),
            ObjectStore::start(below("s3")),
            Postgres::start(below("postgres")),
            SftpServer::start(below("sftp")),
        )?;
        Ok(Self { broker, object_store, postgres, sftp, _lock: lock })
    }

    /// Waits until one of them ends by itself, which it should not, and says which and why.
    pub async fn ended(&mut self) -> anyhow::Error {
        tokio::select! {
            reason = self.broker.ended() => reason,
            reason = self.object_store.ended() => reason,
            reason = self.postgres.ended() => reason,
        }
    }

    /// Ends them within four seconds, the database last. Their clients should have ended before.
    ///
    /// # Errors
    /// When PostgreSQL can't be stopped.
    pub async fn stop(self) -> anyhow::Result<()> {
        tokio::join!(self.sftp.stop(), self.broker.stop(), self.object_store.stop());
        self.postgres.stop().await
    }
}

/// Makes the folder and holds it until the file is closed, which the system does for a killed process too.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let open = || {
        DirBuilder::new().recursive(true).mode(PASSABLE).create(folder)?;
        File::create(folder.join("lock"))
    };
    let file = open().with_context(|| format!("can't use the data folder {}", folder.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another process works on the data folder {}: end it, or choose another folder", folder.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("can't lock the data folder {}", folder.display()))
        }
    }
}
