#![doc = include_str!("../README.md")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ::stream::{Epoch, Lane, Record};
use futures::{StreamExt, TryStreamExt, stream};
use kafka_batch::{BatchResponse, PartitionBatch};
use lake::Lake;
use lake::bronze::{self, Written};
use lambda_boot::{Deadline, Handler, InvalidEvent, VarError, Vars};

/// Partitions of an event that are put side by side: the store's answer time is shared, while each holds its lines.
const PUTS_IN_FLIGHT: usize = 4;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the records go.
    pub lake: lake::Config,
    /// The stream epoch that the topics are part of.
    pub epoch: Epoch,
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        Ok(Self { lake: vars.read()?, epoch: vars.read()? })
    }
}

/// What the function keeps from one invocation to the next: connections, and where its last batch of each lane ended. Lost,
/// that costs a listing.
#[derive(Debug)]
pub struct Deps {
    lake: Lake,
    epoch: Epoch,
    ends: Mutex<HashMap<Lane, i64>>,
}

impl Deps {
    /// Makes the client; a store that is down is met when it is needed.
    #[must_use]
    pub fn connect(config: &Config) -> Self {
        Self { lake: Lake::connect(&config.lake), epoch: config.epoch, ends: Mutex::default() }
    }

    /// Puts a lane's records; when it returns, they are in the lake.
    async fn write(&self, lane: Lane, records: &[Record]) -> anyhow::Result<Written> {
        let end = self.ends().get(&lane).copied();
        let written = bronze::write(&self.lake, &lane, records, end).await?;
        if let Some(last) = records.last() {
            self.ends().insert(lane, last.offset + 1);
        }
        Ok(written)
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, HashMap<Lane, i64>> {
        // Each change of it is whole.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of an event's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All of them: they are in the lake.
    pub records: u64,
    /// Those that were there before.
    pub known: u64,
    /// New objects.
    pub objects: u64,
    /// The new objects' length.
    pub bytes: u64,
}

/// The function in its outermost form.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?);
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        handle(&deps, kafka_batch::parse(&invocation.payload).map_err(InvalidEvent::new)?, invocation.deadline).await?;
        Ok(BatchResponse::success().to_json().into())
    }))
}

/// Puts an event's records into the lake, an object a partition. When it returns, all of them are there.
///
/// # Errors
/// When the store fails, or the time is up: the event is then to be delivered again. Also when the lake has other
/// records at these offsets, because the topic was created again.
pub async fn handle(deps: &Deps, event: Vec<PartitionBatch>, deadline: Deadline) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let outcome = deadline.limit("the lake", handle_all(deps, event)).await?;
    tracing::info!(
        records = outcome.records,
        known = outcome.known,
        objects = outcome.objects,
        bytes = outcome.bytes,
        duration_ms = started.elapsed().as_millis() as u64,
        "records kept"
    );
    Ok(outcome)
}

async fn handle_all(deps: &Deps, event: Vec<PartitionBatch>) -> anyhow::Result<Outcome> {
    let puts = event.into_iter().map(|PartitionBatch { topic, partition, records }| async move {
        let lane = Lane { epoch: deps.epoch.number, topic, partition };
        let written = deps.write(lane, &records).await?;
        Ok((records.len() as u64, written))
    });
    stream::iter(puts)
        .buffer_unordered(PUTS_IN_FLIGHT)
        .try_fold(Outcome::default(), |mut sum, (records, written)| async move {
            sum.records += records;
            sum.known += records - written.records;
            sum.objects += written.objects;
            sum.bytes += written.bytes;
            Ok(sum)
        })
        .await
}
