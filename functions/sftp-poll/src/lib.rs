#![doc = include_str!("../README.md")]

mod compare;
mod decide;
mod event;
mod folder;
mod format;
mod index;
mod job;
mod known;
mod land;
mod landed_files;
mod miss;
mod people;
mod poll;
mod ports;
mod ready;
mod registers;
mod reprocess;
mod rules;
mod server;
mod servers;
mod unmatched;
mod upgrade;
mod whole_lines;
mod work;

#[cfg(test)]
mod simulator;

use std::sync::Arc;

use kafka_sink::Sink;
use lake::Lake;
use lambda_boot::{Deadline, Handler, InvalidEvent, VarError, Vars};
use serde::{Deserialize, Serialize};
use stream::Topics;
use telecom::{FileName, RecordRules, Zone};
use tokio::sync::OnceCell;

pub use event::{Event, Watch};
pub use ready::{After, Ready};
pub use servers::{Habits, ServerConfig};
pub use upgrade::{Upgraded, upgrade};

use crate::index::Index;
use crate::known::Known;
use crate::landed_files::LandedFiles;
use crate::people::{Refusal, Verdict};
use crate::ports::Topic as _;
use crate::rules::Design;
use crate::work::Work;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where files come from: at least one.
    pub servers: Vec<ServerConfig>,
    /// Where they go to.
    pub lake: lake::Config,
    /// Where they are announced.
    pub kafka: kafka_sink::Config,
    /// The function's own variables.
    pub settings: Settings,
}

/// The function's own variables.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// The topics' names, of which files are announced in one.
    #[serde(flatten)]
    pub topics: Topics,
    /// The operator's zone: rows that were read in another one can't be taken back.
    #[serde(rename = "OPERATOR_TIMEZONE", default)]
    pub zone: Zone,
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        let servers = ServerConfig::all(vars)?;
        Ok(Self { servers, lake: vars.read()?, kafka: vars.read()?, settings: vars.read()? })
    }
}

/// What the function keeps from one invocation to the next. The SFTP connection is not among it: the server would close
/// it between two polls, or the service freeze it.
#[derive(Debug)]
pub struct Deps {
    pub(crate) servers: Vec<ServerConfig>,
    pub(crate) lake: Lake,
    pub(crate) sink: Sink,
    pub(crate) settings: Settings,
    pub(crate) known: Known,
    pub(crate) index: Index,
    /// How rows are read today.
    pub(crate) reading: RecordRules,
    /// Whether the lake is one that this version can go on with.
    pub(crate) is_checked: OnceCell<()>,
}

impl Deps {
    /// Makes the clients; services that are down are met when they are needed.
    ///
    /// # Errors
    /// When a client refuses its configuration.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            servers: config.servers.clone(),
            lake: Lake::connect(&config.lake),
            sink: Sink::new(&config.kafka)?,
            settings: config.settings.clone(),
            known: Known::default(),
            index: Index::default(),
            reading: RecordRules::of(&config.settings.zone),
            is_checked: OnceCell::new(),
        })
    }

    fn work(&self) -> Work<'_, Lake, Design> {
        Work {
            objects: &self.lake,
            index: &self.index,
            now_s: poll::now_s(),
            reading: &self.reading,
            rules: std::marker::PhantomData,
        }
    }
}

/// What an invocation did; the function's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files that came into the lake for the first time.
    pub landed: u64,
    /// Pieces found in the lake, left by an invocation that ended in between.
    pub recovered: u64,
    /// Pieces announced: those, or the file that was to be reprocessed or that somebody decided about.
    pub announced: u64,
    /// Files that had grown since they landed.
    pub grown: u64,
    /// Files that had changed otherwise since they landed.
    pub changed: u64,
    /// Files of which something waits for a person, all of them.
    pub conflicts: u64,
    /// Files whose last line has no line end yet, and is left until it has, or until the file has lain still.
    pub waiting_lines: u64,
    /// Files that were written to less than `SFTP_SETTLE_SECONDS` ago, or during the copy, or that wait for what came before
    /// to be published: for a later poll.
    pub settling: u64,
    /// Files left for the next poll because the time was up.
    pub deferred: u64,
    /// Files whose name is not that of a file of call detail records.
    pub unmatched: u64,
    /// Files deleted or moved on the server, as `SFTP_AFTER` says.
    pub cleared: u64,
}

impl Report {
    /// Takes over what a later look did, and how things stand now.
    fn add(&mut self, later: Self) {
        self.landed += later.landed;
        self.recovered += later.recovered;
        self.announced += later.announced;
        self.grown += later.grown;
        self.changed += later.changed;
        self.cleared += later.cleared;
        let Self { conflicts, waiting_lines, settling, deferred, unmatched, .. } = later;
        *self = Self { conflicts, waiting_lines, settling, deferred, unmatched, ..*self };
    }
}

/// The function in its outermost form.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?).await?;
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        let report =
            handle(&deps, Event::parse(&invocation.payload).map_err(InvalidEvent::new)?, invocation.deadline).await?;
        Ok(serde_json::to_vec(&report)?.into())
    }))
}

/// Brings new files into the lake and announces them, announces one again, or carries out what somebody has decided about
/// one. What an invocation did not finish, the next one does: nothing is kept but the lake's objects.
///
/// # Errors
/// When the SFTP server, the lake or Kafka fail, also for one file only (the others are done first); when a file can't
/// be reprocessed, or what was decided can't be done.
pub async fn handle(deps: &Deps, event: Event, deadline: Deadline) -> anyhow::Result<Report> {
    match event {
        // Their states are some 20 KiB: too much for every caller's stack.
        Event::Poll => Box::pin(poll::poll(deps, deadline)).await,
        Event::Watch(watch) => Box::pin(poll::watch(deps, watch, deadline)).await,
        Event::Reprocess(name) => Box::pin(announce_again(deps, name, deadline)).await,
        Event::Accept(name) => Box::pin(judge(deps, name, Verdict::Accept, deadline)).await,
        Event::Replace(name) => Box::pin(judge(deps, name, Verdict::Replace, deadline)).await,
        Event::Drop(name) => Box::pin(judge(deps, name, Verdict::Drop, deadline)).await,
    }
}

async fn announce_again(deps: &Deps, name: FileName, deadline: Deadline) -> anyhow::Result<Report> {
    format::check(&deps.lake, &deps.is_checked).await?;
    let mut topic = LandedFiles::new(deps, deadline);
    let announced = reprocess::reprocess(&deps.lake, &mut topic, name).await?;
    Ok(Report { announced, ..Report::default() })
}

/// Carries out what somebody has decided.
async fn judge(deps: &Deps, name: FileName, verdict: Verdict, deadline: Deadline) -> anyhow::Result<Report> {
    format::check(&deps.lake, &deps.is_checked).await?;
    let work = deps.work();
    work.index.refresh(&deps.lake, work.now_s).await.map_err(poll::error_of)?;
    let mut topic = LandedFiles::new(deps, deadline);
    let announcement = match work.judge(&mut topic, name, verdict).await {
        Ok(announcement) => announcement,
        Err(Refusal::Never(error)) => return Err(error),
        Err(Refusal::Later(miss)) => return Err(poll::error_of(miss).context(format!("deciding about {name}"))),
    };
    let piece = announcement.piece();
    topic.announce(&[announcement]).await?;
    if let Some(piece) = piece {
        work.announced(&piece).await.map_err(poll::error_of)?;
    }
    deps.known.remember(name, None);
    tracing::info!(file.name = name.as_str(), verdict = ?verdict, "a file that waited was decided");
    Ok(Report { announced: 1, ..Report::default() })
}
