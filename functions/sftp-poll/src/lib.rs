#![doc = include_str!("../README.md")]

mod announce;
mod change;
mod copy;
mod event;
mod folder;
mod known;
mod poll;
mod reprocess;

use std::sync::Arc;

use kafka_sink::Sink;
use lake::Lake;
use lambda_boot::{Deadline, Handler, InvalidEvent, VarError, Vars};
use serde::{Deserialize, Serialize};

pub use event::Event;

use known::Known;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where files come from.
    pub sftp: sftp::Config,
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
    /// A file is taken when it has not changed for so many seconds. 0 takes files at once: only where all of them are
    /// renamed into place.
    #[serde(rename = "SFTP_SETTLE_SECONDS", default = "settle_s")]
    pub settle_s: u64,
    /// The topic of announcements.
    #[serde(rename = "LANDED_FILES_TOPIC", default = "landed_files")]
    pub landed_files: String,
}

/// A minute without a write: uploads pause for seconds, not for minutes.
fn settle_s() -> u64 {
    60
}

fn landed_files() -> String {
    "landed-files".to_owned()
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        Ok(Self { sftp: vars.read()?, lake: vars.read()?, kafka: vars.read()?, settings: vars.read()? })
    }
}

/// What the function keeps from one invocation to the next. The SFTP connection is not among it: the server would close
/// it between two polls, or the service freeze it.
#[derive(Debug)]
pub struct Deps {
    pub(crate) sftp: sftp::Config,
    pub(crate) lake: Lake,
    pub(crate) sink: Sink,
    pub(crate) settings: Settings,
    pub(crate) known: Known,
}

impl Deps {
    /// Makes the clients; services that are down are met when they are needed.
    ///
    /// # Errors
    /// When a client refuses its configuration.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            sftp: config.sftp.clone(),
            lake: Lake::connect(&config.lake),
            sink: Sink::new(&config.kafka)?,
            settings: config.settings.clone(),
            known: Known::default(),
        })
    }
}

/// What an invocation did; the function's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files copied into the lake.
    pub landed: u64,
    /// Files found in the lake without a marker, left by an invocation that ended in between.
    pub recovered: u64,
    /// Files announced: those, or the one that was to be reprocessed.
    pub announced: u64,
    /// Files that had changed after landing; kept beside the first version, not counted.
    pub changed: u64,
    /// Files that were written to less than `SFTP_SETTLE_SECONDS` ago, or during the copy: for a later poll.
    pub settling: u64,
    /// Files left for the next poll because the time was up.
    pub deferred: u64,
    /// Files whose name is not that of a file of call detail records.
    pub unmatched: u64,
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

/// Brings new files into the lake and announces them, or announces one again. What an invocation did not finish, the
/// next one does: nothing is kept but the lake's objects.
///
/// # Errors
/// When the SFTP server, the lake or Kafka fail, also for one file only (the others are done first); when a file can't
/// be reprocessed.
pub async fn handle(deps: &Deps, event: Event, deadline: Deadline) -> anyhow::Result<Report> {
    match event {
        // Its state is some 20 KiB: too much for every caller's stack.
        Event::Poll => Box::pin(poll::poll(deps, deadline)).await,
        Event::Reprocess(name) => reprocess::reprocess(deps, name, deadline).await,
    }
}
