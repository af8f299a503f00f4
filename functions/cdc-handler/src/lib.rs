#![doc = include_str!("../README.md")]

mod apply;
mod change;
mod config;
mod envelope;
mod history;
mod instant;
mod moment;
mod reason;
mod source;
mod sql;
mod table;
mod written;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use kafka_batch::{BatchResponse, PartitionBatch};
use kafka_sink::{Rejected, Sink};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use postgres_pool::{Names, Pool};
use stream::Record;

use crate::apply::Changes;
use crate::change::{Reader, Unusable};
pub use crate::config::{Config, DatabaseConfig, OptionalColumns, Topics};
use crate::reason::Reason;
pub use crate::source::check_source;
use crate::table::TABLES;

/// How error messages name the database.
const NAMES: Names = Names { variable: "DATABASE_URL", service: "the database" };

/// What the function keeps between invocations.
#[derive(Debug)]
pub struct Deps {
    pool: Pool,
    sink: Sink,
    topics: Topics,
    optional: OptionalColumns,
    /// Columns, `table.column`, that were already logged as not followed.
    unknown: Mutex<BTreeSet<String>>,
}

/// At most this many columns are logged as not followed, in case a source's columns change all the time.
const MAX_UNKNOWN: usize = 1_000;

impl Deps {
    /// Makes the clients. It connects to no service yet.
    ///
    /// # Errors
    /// When a client refuses its configuration.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            pool: Pool::new(&config.database.url, NAMES)?,
            sink: Sink::new(&config.kafka)?,
            topics: config.topics.clone(),
            optional: config.optional.clone(),
            unknown: Mutex::default(),
        })
    }

    /// Logs, once, that a column is not followed.
    fn say_unknown(&self, readers: &[Reader<'_>]) {
        let mut said = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, column) in readers.iter().flat_map(|reader| reader.unknown.iter().map(|name| (reader.table, name)))
        {
            if said.len() < MAX_UNKNOWN && said.insert(format!("{}.{column}", table.name)) {
                tracing::warn!(
                    crm.table = table.name,
                    crm.column = column,
                    "a column of the CRM is not followed: its values are left out"
                );
            }
        }
    }
}

/// The counts of an event's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All of them.
    pub records: u64,
    /// Those about rows. They are in the tables now.
    pub changes: u64,
    /// Those that are not about rows, such as tombstones.
    pub ignored: u64,
    /// Those that went to the topic `rejected`.
    pub rejected: u64,
    /// Versions in the history that are new, or have another end or value than before.
    pub versions: u64,
    /// Versions that lack a value, as the row before them is unknown: it is NULL until an older change comes.
    pub incomplete: u64,
    /// Updates and deletions of unknown rows: a message is missing, or the change is of another row.
    pub unseen: u64,
}

/// Creates the tables of the schema `crm_data`. It leaves those that are there.
///
/// # Errors
/// When the address is malformed, or the database can't be reached or refuses.
pub async fn init(database_url: &str) -> anyhow::Result<()> {
    let pool = Pool::new(database_url, NAMES)?;
    pool.batch(include_str!("schema.sql")).await.context("making the tables of crm_data")
}

/// The function's handler, from its variables.
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

/// Writes an event's changes. When it returns, all of them are in the tables, or rejected.
///
/// # Errors
/// When the database or Kafka fail, or the time is up: the event is then to be delivered again.
pub async fn handle(deps: &Deps, event: Vec<PartitionBatch>, deadline: Deadline) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let outcome = deadline.limit("the database or Kafka", handle_all(deps, &event)).await?;
    tracing::info!(
        records = outcome.records,
        changes = outcome.changes,
        ignored = outcome.ignored,
        rejected = outcome.rejected,
        versions = outcome.versions,
        incomplete = outcome.incomplete,
        unseen = outcome.unseen,
        duration_ms = started.elapsed().as_millis() as u64,
        "changes applied"
    );
    Ok(outcome)
}

async fn handle_all(deps: &Deps, event: &[PartitionBatch]) -> anyhow::Result<Outcome> {
    let mut changes = TABLES.each_ref().map(Changes::of);
    let mut readers = TABLES.each_ref().map(|table| Reader::new(table, &deps.optional));
    let mut unusable = Vec::new();
    let mut outcome = Outcome::default();
    for partition in event {
        let index = deps.topics.table(&partition.topic).with_context(|| {
            format!(
                "topic {} is none of {}: check the function's trigger and CRM_TOPIC_PREFIX",
                partition.topic,
                deps.topics.names().join(", ")
            )
        })?;
        for record in &partition.records {
            // Thousands of messages are read in one go, on a runtime that other functions may share.
            tokio::task::coop::consume_budget().await;
            outcome.records += 1;
            match readers[index].read(record) {
                Ok(Some(change)) => {
                    changes[index].add(change);
                    outcome.changes += 1;
                }
                Ok(None) => outcome.ignored += 1,
                Err(Unusable { reason, row }) => {
                    if let Some((key, moment)) = row {
                        changes[index].add_unusable(key, moment, reason.code());
                    }
                    unusable.push((partition, record, reason));
                }
            }
        }
    }
    deps.say_unknown(&readers);
    outcome.rejected = unusable.len() as u64;
    let written = apply::apply(&deps.pool, &changes).await?;
    outcome.versions = written.versions;
    outcome.incomplete = written.incomplete;
    outcome.unseen = written.unseen;
    // Only after the commit: otherwise every attempt on a database that is down would fill the topic `rejected`.
    reject(&deps.sink, &unusable).await?;
    Ok(outcome)
}

async fn reject(sink: &Sink, unusable: &[(&PartitionBatch, &Record, Reason)]) -> anyhow::Result<()> {
    if unusable.is_empty() {
        return Ok(());
    }
    let mut session = sink.session()?;
    for (partition, record, reason) in unusable {
        let raw = record.value.as_deref().unwrap_or_default();
        let mut rejected = Rejected::new(reason.code(), reason.to_string(), raw);
        rejected.kafka = Some(partition.position(record));
        session.reject(&rejected).await?;
    }
    Ok(session.flush(None).await?)
}
