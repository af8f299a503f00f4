//! PostgreSQL: the real server, as a child process that can't outlive us.

mod binaries;

use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls};

use crate::folder::{Data, Folder, make_folder};
use crate::supervised::{Owner, Supervised};
use crate::{Secret, free_port};

/// The superuser of the server, and the only user.
const USER: &str = "trunkline";

/// An unprivileged user for the server when we are root and no user `postgres` exists: `nobody`.
const NOBODY: Owner = Owner { uid: 65534, gid: 65534 };

/// Making the system's tables takes a second or two; a slow disk is given time.
const INIT_PATIENCE: Duration = Duration::from_secs(60);

/// A start replays the log after a crash: a gigabyte of it takes tens of seconds.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A server whose program was killed a moment ago may still be writing its last checkpoint.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(30);

/// A port that was free can be taken before the server binds it; three in a row are no accident.
const PORT_ATTEMPTS: u32 = 3;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A fast shutdown ends with a checkpoint, which a slow disk can draw out; what is then cut short is replayed from the
/// log by the next start, so nothing is lost. Both together stay below the two seconds that a stop may take.
const STOP_KEPT: &[(&str, Duration)] =
    &[("INT", Duration::from_millis(1400)), ("QUIT", Duration::from_millis(500)), ("KILL", Duration::from_secs(1))];
const STOP_TEMPORARY: &[(&str, Duration)] = &[("QUIT", Duration::from_millis(1900)), ("KILL", Duration::from_secs(1))];

/// How much of the server's log an error shows.
const LOG_TAIL_LINES: usize = 8;

/// For a small, busy database with a few connections beside other programs on one machine.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    // Pools of a few functions; every connection costs memory.
    "max_connections=64",
    "shared_buffers=64MB",
    "work_mem=8MB",
    // No parallel queries: they would need more of /dev/shm than a container has.
    "max_parallel_workers_per_gather=0",
    "jit=off",
    // Counting rewrites the same rows again and again: fewer, spread checkpoints and a compressed log.
    "max_wal_size=512MB",
    "min_wal_size=64MB",
    "checkpoint_timeout=15min",
    "wal_compression=on",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum_naptime=10s",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_min_messages=warning",
];

/// Temporary data need not survive a power cut: tests run several times faster.
const SETTINGS_TEMPORARY: &[&str] = &["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// A running PostgreSQL server on 127.0.0.1. Dropping it, or losing the process, ends it.
#[derive(Debug)]
pub struct Postgres {
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    /// The superuser's name.
    pub user: &'static str,
    /// The superuser's password (SCRAM).
    pub password: Secret,
    server: Supervised,
    log: PathBuf,
    // Dropped after `server`: the folder goes when nobody writes to it any more.
    folder: Folder,
}

impl Postgres {
    /// Starts a server on `data`, with the PostgreSQL that is installed or, if none is, one that is fetched and cached.
    /// Kept data of an earlier start, even of one that was killed, is recovered. Waits until the server answers.
    ///
    /// # Errors
    /// When no PostgreSQL can be had, the folder can't be used, or the server doesn't start; its last messages are quoted.
    pub async fn start(data: Data) -> anyhow::Result<Self> {
        Self::start_with(data, &[]).await
    }

    /// The same with `settings` such as `wal_level=logical`, which win over the usual ones.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_with(data: Data, settings: &[&str]) -> anyhow::Result<Self> {
        let folder = Folder::open(data)?;
        let owner = server_owner()?;
        let programs = binaries::find(owner.is_some()).await?;
        if let Some(owner) = owner {
            give(folder.path(), owner)?;
        }
        let log = folder.path().join("log");
        let data = folder.path().join("data");
        let password = if data.is_dir() {
            read_password(folder.path())?
        } else {
            init(&programs, folder.path(), &data, owner).await?
        };

        let began = Instant::now();
        let mut ports_taken = 0;
        loop {
            let port = free_port()?;
            let mut server = launch(&programs, &data, port, owner, &log, folder.is_temporary(), settings)?;
            match wait_until_ready(&mut server, port, &password).await? {
                Readiness::Answers => {
                    tracing::debug!(port, duration_ms = began.elapsed().as_millis() as u64, "PostgreSQL answers");
                    return Ok(Self { port, user: USER, password, server, log, folder });
                }
                Readiness::Ended => {}
            }
            let said = tail(&log);
            if said.contains("\"postmaster.pid\" already exists") && began.elapsed() < PREDECESSOR_PATIENCE {
                tracing::info!("waiting for the previous PostgreSQL on this folder to end");
                sleep(POLL_INTERVAL * 10).await;
            } else if said.contains("could not bind") && ports_taken < PORT_ATTEMPTS {
                ports_taken += 1;
            } else {
                bail!("PostgreSQL did not start on {}; it said:\n{said}", folder.path().display());
            }
        }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL, password included, of the database `name`, which is created if it does not exist.
    ///
    /// # Errors
    /// When the name isn't made of 1 to 63 lower-case letters, digits and `_`, or the server refuses.
    pub async fn database(&self, name: &str) -> anyhow::Result<String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        ensure!(
            (1..=63).contains(&name.len()) && name.bytes().all(plain),
            "the database name `{name}` must be 1 to 63 lower-case letters, digits and `_`"
        );
        let client = connect(self.port, &self.password).await?;
        if client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await?.is_none() {
            client.batch_execute(&format!("CREATE DATABASE {name}")).await.context("can't create the database")?;
        }
        Ok(format!("postgres://{USER}:{}@127.0.0.1:{}/{name}", self.password.expose(), self.port))
    }

    /// Waits until the server ends by itself, which it should not, and says why.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.server.ended().await {
            Ok(status) => anyhow::anyhow!("PostgreSQL has ended ({status}); it said:\n{}", tail(&self.log)),
            Err(error) => error,
        }
    }

    /// Stops the server within two seconds: with a checkpoint if there is time for one, else by leaving the rest to the
    /// next start's recovery.
    ///
    /// # Errors
    /// When the server can't be stopped.
    pub async fn stop(self) -> anyhow::Result<()> {
        let signals = if self.folder.is_temporary() { STOP_TEMPORARY } else { STOP_KEPT };
        self.server.stop(signals).await.context("can't stop PostgreSQL")?;
        Ok(())
    }
}

/// PostgreSQL refuses to run as root: then it gets a user of its own.
fn server_owner() -> anyhow::Result<Option<Owner>> {
    // The owner of a file that we make is our effective user.
    let we = tempfile::tempfile().and_then(|file| file.metadata()).context("can't make a temporary file")?.uid();
    if we != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Ok(Some(account(&accounts, "postgres").unwrap_or(NOBODY)))
}

/// The numbers of a user in the text of `/etc/passwd`.
fn account(accounts: &str, user: &str) -> Option<Owner> {
    let mut fields = accounts.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'))?.split(':').skip(1);
    Some(Owner { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

/// Makes `owner` the owner of `folder`, and checks that this user can get there at all.
fn give(folder: &Path, owner: Owner) -> anyhow::Result<()> {
    chown(folder, Some(owner.uid), Some(owner.gid))
        .with_context(|| format!("can't give {} to user {}", folder.display(), owner.uid))?;
    for parent in folder.ancestors().skip(1) {
        let entry = parent.metadata().with_context(|| format!("can't look at {}", parent.display()))?;
        let may_pass = match (entry.uid() == owner.uid, entry.gid() == owner.gid) {
            (true, _) => 0o100,
            (_, true) => 0o010,
            _ => 0o001,
        };
        ensure!(
            entry.mode() & may_pass != 0,
            "PostgreSQL does not run as root, and its user (number {}) may not enter {}: \
             choose another data folder, or run this program as an ordinary user",
            owner.uid,
            parent.display()
        );
    }
    Ok(())
}

/// Makes the database's files and its password. They appear as `data` only when they are whole.
async fn init(programs: &Path, folder: &Path, data: &Path, owner: Option<Owner>) -> anyhow::Result<Secret> {
    for leftover in
        std::fs::read_dir(folder)?.flatten().filter(|e| e.file_name().as_encoded_bytes().starts_with(b"new-"))
    {
        std::fs::remove_dir_all(leftover.path()).context("can't remove an unfinished database")?;
    }
    let password = Secret::random();
    let password_file = folder.join("password");
    write_for(owner, &password_file, password.expose())?;

    let fresh = folder.join(format!("new-{}", uuid::Uuid::new_v4().simple()));
    make_folder(&fresh)?;
    if let Some(owner) = owner {
        chown(&fresh, Some(owner.uid), Some(owner.gid))?;
    }
    let log = folder.join("log");
    let arguments = [
        "--pgdata".as_ref(),
        fresh.as_os_str(),
        "--pwfile".as_ref(),
        password_file.as_os_str(),
        "--username".as_ref(),
        USER.as_ref(),
        "--auth=scram-sha-256".as_ref(),
        "--encoding=UTF8".as_ref(),
        "--locale=C".as_ref(),
        // The server's first checkpoint writes it out.
        "--no-sync".as_ref(),
    ];
    let mut initdb = Supervised::spawn(&programs.join("initdb"), arguments, owner, &log, "INT")?;
    let status = timeout(INIT_PATIENCE, initdb.ended())
        .await
        .with_context(|| format!("initdb took longer than {INIT_PATIENCE:?}"))??;
    ensure!(status.success(), "initdb failed ({status}); it said:\n{}", tail(&log));
    std::fs::rename(&fresh, data).context("can't rename the new database")?;
    Ok(password)
}

/// Writes a file that only the server's user may read (and root).
fn write_for(owner: Option<Owner>, path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        if let Some(owner) = owner {
            chown(path, Some(owner.uid), Some(owner.gid))?;
        }
        file.sync_all()
    };
    write().with_context(|| format!("can't write {}", path.display()))
}

fn read_password(folder: &Path) -> anyhow::Result<Secret> {
    let path = folder.join("password");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("can't read {}, which holds the database's password", path.display()))?;
    Ok(Secret::from(text))
}

fn launch(
    programs: &Path,
    data: &Path,
    port: u16,
    owner: Option<Owner>,
    log: &Path,
    temporary: bool,
    settings: &[&str],
) -> anyhow::Result<Supervised> {
    let mut arguments = vec!["-D".to_owned(), data.display().to_string(), "-p".to_owned(), port.to_string()];
    let extra = if temporary { SETTINGS_TEMPORARY } else { &[] };
    // Of a setting that is given twice, the server takes the last.
    for setting in SETTINGS.iter().chain(extra).chain(settings) {
        arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    // When we are lost: data that stays ends with a checkpoint, data that goes away needs none.
    let signal_at_end = if temporary { "QUIT" } else { "INT" };
    Supervised::spawn(&programs.join("postgres"), arguments, owner, log, signal_at_end)
}

enum Readiness {
    Answers,
    Ended,
}

/// Only our own server knows the password, so a login can't be answered by somebody else's on the same port.
async fn wait_until_ready(server: &mut Supervised, port: u16, password: &Secret) -> anyhow::Result<Readiness> {
    let began = Instant::now();
    loop {
        if server.try_ended()?.is_some() {
            return Ok(Readiness::Ended);
        }
        let attempt = match timeout(START_PATIENCE, connect(port, password)).await {
            Ok(Ok(_)) => return Ok(Readiness::Answers),
            Ok(Err(error)) => error,
            Err(late) => late.into(),
        };
        if began.elapsed() > START_PATIENCE {
            return Err(attempt.context(format!("PostgreSQL did not answer within {START_PATIENCE:?}")));
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn connect(port: u16, password: &Secret) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(port)
        .user(USER)
        .password(password.expose())
        .dbname("postgres")
        .connect(NoTls)
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_numbers_of_a_user() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\npostgresql:x:7:8::/:\npostgres:x:101:104:,,,:/var:/bin/bash\n";
        assert_eq!(account(accounts, "postgres"), Some(Owner { uid: 101, gid: 104 }));
        assert_eq!(account(accounts, "nobody"), None);
        assert_eq!(account("postgres:x:a", "postgres"), None);
    }
}
