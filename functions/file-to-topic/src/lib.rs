#![doc = include_str!("../README.md")]

mod decode;
mod lines;
mod publish;
mod rows;
mod unusable;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kafka_batch::{BatchResponse, PartitionBatch};
use kafka_sink::{KafkaPosition, Session, Sink};
use lake::{FileResult, Lake};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use serde::Deserialize;
use telecom::Zone;

use crate::publish::{Failure, Published};
use crate::unusable::Unusable;

/// With less than this left, a file's rest is announced instead of read: time enough to have a full queue acknowledged,
/// and some. The function's timeout must be longer.
pub const HAND_OVER_MARGIN: Duration = Duration::from_secs(10);

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where rows and announcements go.
    pub kafka: kafka_sink::Config,
    /// Where files and results lie.
    pub lake: lake::Config,
    /// Which rows go where.
    pub topics: Topics,
}

/// Topic names, and the zone of the times in the files.
#[derive(Clone, Debug, Deserialize)]
pub struct Topics {
    /// For the rows of `cdr_data_…` files.
    #[serde(rename = "CDR_DATA_TOPIC", default = "cdr_data")]
    pub cdr_data: String,
    /// For the rows of `cdr_voice_…` files.
    #[serde(rename = "CDR_VOICE_TOPIC", default = "cdr_voice")]
    pub cdr_voice: String,
    /// For the rest of a file that one invocation can't finish.
    #[serde(rename = "LANDED_FILES_TOPIC", default = "landed_files")]
    pub landed_files: String,
    /// The operator's zone.
    #[serde(rename = "OPERATOR_TIMEZONE", default)]
    pub zone: Zone,
}

fn cdr_data() -> String {
    "cdr-data".to_owned()
}

fn cdr_voice() -> String {
    "cdr-voice".to_owned()
}

fn landed_files() -> String {
    "landed-files".to_owned()
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, lambda_boot::VarError> {
        Ok(Self { kafka: vars.read()?, lake: vars.read()?, topics: vars.read()? })
    }
}

/// What the function keeps from one invocation to the next.
#[derive(Debug)]
pub struct Deps {
    pub(crate) lake: Lake,
    pub(crate) sink: Sink,
    pub(crate) topics: Topics,
}

impl Deps {
    /// Makes the clients; services that are down are waited for when they are needed.
    ///
    /// # Errors
    /// When a client refuses its configuration.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self { lake: Lake::connect(&config.lake), sink: Sink::new(&config.kafka)?, topics: config.topics.clone() })
    }
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

/// Publishes the announced files. When it returns, everything has been acknowledged by Kafka.
///
/// # Errors
/// When Kafka or the lake fail, or the time is up: the event is then to be delivered again. What can't be used does not
/// fail; it goes to the topic `rejected`.
pub async fn handle(deps: &Deps, event: Vec<PartitionBatch>, deadline: Deadline) -> anyhow::Result<()> {
    deadline.limit("Kafka or the lake", handle_all(deps, event, deadline)).await
}

async fn handle_all(deps: &Deps, event: Vec<PartitionBatch>, deadline: Deadline) -> anyhow::Result<()> {
    let mut session = deps.sink.session()?;
    let mut published = Vec::new();
    for PartitionBatch { topic, partition, records } in &event {
        for record in records {
            let value = record.value.as_deref().unwrap_or_default();
            let unusable = match publish(deps, &mut session, value, deadline).await? {
                Ok(file) => {
                    published.push(file);
                    continue;
                }
                Err(unusable) => unusable,
            };
            let position = KafkaPosition { topic: topic.into(), partition: *partition, offset: record.offset };
            tracing::warn!(
                kafka.topic = topic,
                kafka.partition = partition,
                kafka.offset = record.offset,
                reason = %unusable,
                "announcement rejected"
            );
            session.reject(&unusable.rejected(value, position)).await?;
        }
    }
    session.flush(None).await?;
    conclude(deps, &mut session, published).await
}

/// One announcement. The outer error is to be tried again, the inner one never will do.
async fn publish(
    deps: &Deps,
    session: &mut Session,
    value: &[u8],
    deadline: Deadline,
) -> anyhow::Result<Result<Published, Unusable>> {
    let announced = match unusable::parse(value) {
        Ok(announced) => announced,
        Err(unusable) => return Ok(Err(unusable)),
    };
    let name = announced.name;
    match publish::publish(deps, session, announced, deadline).await {
        Ok(published) => Ok(Ok(published)),
        Err(Failure::Unusable(unusable)) => Ok(Err(unusable)),
        Err(Failure::Retry(error)) => Err(error).with_context(|| format!("publishing {name}")),
    }
}

/// Now that Kafka has every row: writes the results, and announces the rests.
async fn conclude(deps: &Deps, session: &mut Session, published: Vec<Published>) -> anyhow::Result<()> {
    for published in published {
        match published {
            Published::Whole(result) => {
                let FileResult { name, bytes, rows, accepted, rejected, .. } = result;
                deps.lake.put_json_if_absent(&lake::names::results(name.as_str()), &result).await?;
                tracing::info!(
                    file.name = name.as_str(),
                    file.bytes = bytes,
                    rows,
                    accepted,
                    rejected,
                    "file published"
                );
            }
            Published::Part(rest) => {
                let name = rest.name;
                let value = serde_json::to_vec(&rest)?;
                session.send(&deps.topics.landed_files, name.as_str().as_bytes(), &value).await?;
                tracing::info!(
                    file.name = name.as_str(),
                    rows = rest.from_line,
                    "file published in part; the rest is announced"
                );
            }
        }
    }
    Ok(session.flush(None).await?)
}
