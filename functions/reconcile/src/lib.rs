#![doc = include_str!("../README.md")]

mod config;
mod ends;
mod published;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use lake::Lake;
use lambda_boot::{Deadline, Handler, Vars};
use serde::Serialize;
use stream::{Epoch, Topics};
use usage_store::{Expired, QuietSource, Store};

pub use crate::config::{Config, StoreConfig};
pub use crate::ends::log_ends;
use crate::published::Published;

/// How long Kafka may take to tell where a topic ends.
const KAFKA_PATIENCE: Duration = Duration::from_secs(30);

/// With less time left no part is begun: the largest takes seconds.
const PART_TIME: Duration = Duration::from_secs(60);

/// What the function keeps from one invocation to the next: connections.
#[derive(Debug)]
pub struct Deps {
    store: Store,
    lake: Lake,
    kafka: kafka_sink::Config,
    topics: Topics,
    epoch: Epoch,
}

impl Deps {
    /// Makes the clients; services that are down are met when they are needed.
    ///
    /// # Errors
    /// When a client refuses its configuration.
    pub fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            store: Store::connect(&config.store.url)?,
            lake: Lake::connect(&config.lake),
            kafka: config.kafka.clone(),
            topics: config.topics.clone(),
            epoch: config.epoch,
        })
    }
}

/// What an invocation did; the function's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lanes whose logs' lengths were noted.
    pub lanes: u64,
    /// Sources of which nothing more has been delivered for long.
    pub quiet: u64,
    /// Of these, those that wait: not all of them is published, or was when they fell silent.
    pub waiting: u64,
    /// Sources that were deleted.
    pub expired: u64,
    /// Their entries.
    pub entries: u64,
    /// Parts of the table that were left for the next night because the time was up.
    pub deferred: u64,
}

/// The function in its outermost form.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?)?;
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        // The schedule's envelope says nothing that is needed here.
        let report = handle(&deps, SystemTime::now(), invocation.deadline).await?;
        Ok(serde_json::to_vec(&report)?.into())
    }))
}

/// Notes how long the lanes' logs are at this moment, and deletes what is not needed any more.
///
/// # Errors
/// When Kafka, the lake or the store fail: nothing is spoilt, and the next night does what is left.
pub async fn handle(deps: &Deps, now: SystemTime, deadline: Deadline) -> anyhow::Result<Report> {
    let started = Instant::now();
    let report = deadline.limit("Kafka, the lake or the usage store", work(deps, now, deadline)).await?;
    tracing::info!(
        lanes = report.lanes,
        sources.quiet = report.quiet,
        sources.waiting = report.waiting,
        sources.expired = report.expired,
        entries = report.entries,
        deferred = report.deferred,
        duration_ms = started.elapsed().as_millis() as u64,
        "usage store reconciled"
    );
    Ok(report)
}

async fn work(deps: &Deps, now: SystemTime, deadline: Deadline) -> anyhow::Result<Report> {
    // Read before the ends are asked for: so none of them lies after it.
    let now_ms = milliseconds(now)?;
    let ends = log_ends(&deps.kafka, &deps.topics, deps.epoch, deadline.wait(KAFKA_PATIENCE)).await?;
    let lanes = deps.store.mark(now_ms, &ends).await.context("noting how long the lanes' logs are")?;
    let quiet = deps.store.quiet(now_ms).await.context("reading how long the lanes' logs were")?;
    let mut report = Report { lanes, ..Report::default() };
    for part in 0..Store::PARTS {
        if deadline.is_within(PART_TIME) {
            report.deferred = u64::from(Store::PARTS - part);
            break;
        }
        let sources = deps.store.quiet_sources(&quiet, part).await.context("reading what may expire")?;
        report.quiet += sources.len() as u64;
        let expired = expire(deps, sources).await?;
        report.expired += expired.sources;
        report.entries += expired.entries;
    }
    report.waiting = report.quiet - report.expired;
    Ok(report)
}

/// Deletes those of these sources that were published to their ends before they fell silent.
async fn expire(deps: &Deps, sources: Vec<QuietSource>) -> anyhow::Result<Expired> {
    let published = Published::of(&deps.lake, &sources).await?;
    let may_go = |source: &QuietSource| published.since_ms(source).is_some_and(|since_ms| source.may_go(since_ms));
    let sources: Vec<_> = sources.into_iter().filter(may_go).collect();
    deps.store.expire(&sources).await.context("deleting what has expired")
}

fn milliseconds(moment: SystemTime) -> anyhow::Result<i64> {
    let since_1970 = moment.duration_since(UNIX_EPOCH).context("the clock stands before 1970: set it")?;
    Ok(i64::try_from(since_1970.as_millis())?)
}
