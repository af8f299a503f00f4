#![doc = include_str!("../README.md")]

mod config;
mod lanes;
mod read;
mod towers;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use futures::future::{join, join_all, try_join_all};
use kafka_batch::{BatchResponse, PartitionBatch};
use kafka_sink::{Rejected, Session, Sink};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use stream::Epoch;
use usage_store::{Counted, Store};

pub use crate::config::{Config, Settings, StoreConfig};
use crate::lanes::Lanes;
use crate::read::{Reading, read};
use crate::towers::Towers;

/// What the function keeps from one invocation to the next.
#[derive(Debug)]
pub struct Deps {
    store: Store,
    sink: Sink,
    epoch: Epoch,
    settings: Settings,
    lanes: Lanes,
    towers: Towers,
}

impl Deps {
    /// Makes the clients; services that are down are waited for when they are needed.
    ///
    /// # Errors
    /// When a client refuses its configuration.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            store: Store::connect(&config.store.url)?,
            sink: Sink::new(&config.kafka)?,
            epoch: config.epoch,
            settings: config.settings.clone(),
            lanes: Lanes::default(),
            towers: Towers::default(),
        })
    }
}

/// What became of an event's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All of them.
    pub records: u64,
    /// Those that were new.
    pub counted: u64,
    /// Those that took back a row that had been counted.
    pub withdrawn: u64,
    /// Those that had been counted from a file of the same content under another name.
    pub duplicates: u64,
    /// Those that their file had brought before, or that took back what was not counted.
    pub repeats: u64,
    /// Those that an earlier delivery had settled.
    pub settled: u64,
    /// Those that went to the topic `rejected`.
    pub rejected: u64,
    /// Offsets that no record came with.
    pub missing_offsets: u64,
    /// Those of the counted that the live tower counters may be missing.
    pub tower_misses: u64,
}

/// The function in its outermost form.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?).await?;
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        handle(&deps, kafka_batch::parse(&invocation.payload).map_err(InvalidEvent::new)?, invocation.deadline).await?;
        Ok(BatchResponse::success().to_json().into())
    }))
}

/// Counts an event's records. When it returns, all of them are counted and stored, or rejected.
///
/// # Errors
/// When the store or Kafka fail, a lane is stopped, or the time is up: the event is then to be delivered again, however
/// often.
pub async fn handle(deps: &Deps, event: Vec<PartitionBatch>, deadline: Deadline) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let outcome = deadline.limit("the usage store or Kafka", handle_all(deps, event, deadline)).await?;
    tracing::info!(
        records = outcome.records,
        counted = outcome.counted,
        withdrawn = outcome.withdrawn,
        duplicates = outcome.duplicates,
        repeats = outcome.repeats,
        settled = outcome.settled,
        rejected = outcome.rejected,
        gaps = outcome.missing_offsets,
        tower_misses = outcome.tower_misses,
        duration_ms = started.elapsed().as_millis() as u64,
        "batch counted"
    );
    Ok(outcome)
}

async fn handle_all(deps: &Deps, event: Vec<PartitionBatch>, deadline: Deadline) -> anyhow::Result<Outcome> {
    let readings = try_join_all(event.iter().map(|partition| read(deps, partition))).await?;
    // The lanes side by side. One that fails does not keep the others from getting on.
    let counts = join_all(readings.iter().map(|reading| count(deps, reading))).await;
    let add_to_towers = deps.towers.add(&deps.store, counts.iter().flatten(), deadline);
    let (tower_misses, counted) = match all_or_failures(&counts) {
        // Rejected only now, so that a store that is down does not fill the topic `rejected` with every attempt.
        Ok(counted) => {
            let (tower_misses, is_rejected) = join(add_to_towers, reject_all(deps, &readings, &counted)).await;
            is_rejected?;
            (tower_misses, counted)
        }
        // The lanes that got on will not be counted again.
        Err(failures) => {
            add_to_towers.await;
            return Err(failures);
        }
    };

    let mut outcome = Outcome { tower_misses, ..Outcome::default() };
    for (reading, counted) in readings.iter().zip(counted) {
        outcome.records += counted.records;
        outcome.counted += counted.counted;
        outcome.withdrawn += counted.withdrawn;
        outcome.duplicates += counted.duplicates;
        outcome.repeats += counted.repeats;
        outcome.settled += counted.settled;
        outcome.rejected += (reading.unusable.len() + counted.refused.len()) as u64;
        outcome.missing_offsets += counted.missing_offsets;
    }
    Ok(outcome)
}

/// What every lane counted; if some failed, their failures as one.
fn all_or_failures(counts: &[anyhow::Result<Counted>]) -> anyhow::Result<Vec<&Counted>> {
    let failures: Vec<_> =
        counts.iter().filter_map(|count| count.as_ref().err()).map(|error| format!("{error:#}")).collect();
    if failures.is_empty() { Ok(counts.iter().flatten().collect()) } else { Err(anyhow!("{}", failures.join("; "))) }
}

async fn count(deps: &Deps, reading: &Reading<'_>) -> anyhow::Result<Counted> {
    let lane = reading.batch.lane();
    let memory = deps.lanes.memory(lane);
    let counted = deps
        .store
        .count(&mut *memory.lock().await, &reading.batch)
        .await
        .with_context(|| format!("counting {lane} from offset {}", reading.batch.first_offset()))?;
    if let Some(first) = counted.first_missing_offset {
        tracing::warn!(
            lane = %lane,
            kafka.offset = first,
            missing = counted.missing_offsets,
            "offsets without a record, from this one on: marks of a transaction, with which nothing is lost; or records that \
             were deleted before they were counted, or passed over by hand"
        );
    }
    Ok(counted)
}

/// Sends what can't be used or was refused to the topic `rejected`.
async fn reject_all(deps: &Deps, readings: &[Reading<'_>], counted: &[&Counted]) -> anyhow::Result<()> {
    let mut session = deps.sink.session()?;
    for (reading, counted) in readings.iter().zip(counted) {
        for (index, reason) in &reading.unusable {
            reject(&mut session, reading.partition, *index, reason.code(), reason.to_string()).await?;
        }
        for (index, refusal) in &counted.refused {
            reject(&mut session, reading.partition, *index, refusal.code(), refusal.to_string()).await?;
        }
    }
    session.flush(None).await?;
    Ok(())
}

async fn reject(
    session: &mut Session,
    partition: &PartitionBatch,
    index: usize,
    code: &str,
    detail: String,
) -> anyhow::Result<()> {
    let record = &partition.records[index];
    let raw = record.value.as_deref().unwrap_or_default();
    let mut rejected = Rejected::new(code, detail, raw);
    rejected.kafka = Some(partition.position(record));
    Ok(session.reject(&rejected).await?)
}
