#![doc = include_str!("../README.md")]

mod opening;
mod piece;
mod records;
mod rows;
mod run;
mod unusable;

use std::sync::Arc;
use std::time::Duration;

use kafka_batch::{BatchResponse, PartitionBatch};
use kafka_sink::{Session, Sink};
use lake::{FileResult, Lake, names};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use serde::Deserialize;
use stream::{KafkaPosition, Topic, Topics};
use telecom::{FileName, Zone};

use crate::run::{Failure, Outcome};
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
    /// The function's own variables.
    pub settings: Settings,
}

/// The function's own variables.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// Where rows go, and the rest of a file that one invocation can't finish.
    #[serde(flatten)]
    pub topics: Topics,
    /// The operator's zone, of the times in the files.
    #[serde(rename = "OPERATOR_TIMEZONE", default)]
    pub zone: Zone,
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, lambda_boot::VarError> {
        Ok(Self { kafka: vars.read()?, lake: vars.read()?, settings: vars.read()? })
    }
}

/// What the function keeps from one invocation to the next.
#[derive(Debug)]
pub struct Deps {
    pub(crate) lake: Lake,
    pub(crate) sink: Sink,
    pub(crate) settings: Settings,
}

impl Deps {
    /// Makes the clients; services that are down are waited for when they are needed.
    ///
    /// # Errors
    /// When a client refuses its configuration.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            lake: Lake::connect(&config.lake),
            sink: Sink::new(&config.kafka)?,
            settings: config.settings.clone(),
        })
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
    let mut outcomes = Vec::new();
    for PartitionBatch { topic, partition, records } in &event {
        for record in records {
            let value = record.value.as_deref().unwrap_or_default();
            match run_one(deps, &mut session, value, deadline).await {
                Ok(outcome) => outcomes.push(outcome),
                Err((name, Failure::Retry(error))) => {
                    let name = name.map_or_else(String::new, |name| name.to_string());
                    return Err(error.context(format!("publishing {name}")));
                }
                Err((_, Failure::Unusable(unusable))) => {
                    let position = KafkaPosition { topic: topic.into(), partition: *partition, offset: record.offset };
                    reject(&mut session, &unusable, value, position).await?;
                }
            }
        }
    }
    session.flush(None).await?;
    conclude(deps, &mut session, outcomes).await
}

/// One announcement, and whose it was where it failed.
async fn run_one(
    deps: &Deps,
    session: &mut Session,
    value: &[u8],
    deadline: Deadline,
) -> Result<Outcome, (Option<FileName>, Failure)> {
    let announced = unusable::parse(value).map_err(|unusable| (None, Failure::Unusable(unusable)))?;
    let name = announced.name;
    run::run(deps, session, announced, deadline).await.map_err(|failure| (Some(name), failure))
}

async fn reject(
    session: &mut Session,
    unusable: &Unusable,
    value: &[u8],
    position: KafkaPosition<'_>,
) -> anyhow::Result<()> {
    tracing::warn!(
        kafka.topic = &*position.topic,
        kafka.partition = position.partition,
        kafka.offset = position.offset,
        reason = %unusable,
        "announcement rejected"
    );
    Ok(session.reject(&unusable.rejected(value, position)).await?)
}

/// Now that Kafka has every row: writes the results, and announces the rests.
async fn conclude(deps: &Deps, session: &mut Session, outcomes: Vec<Outcome>) -> anyhow::Result<()> {
    for outcome in outcomes {
        match outcome {
            Outcome::Done => {}
            Outcome::Published(piece, result) => {
                deps.lake.put_json_if_absent(&names::results(&piece), &result).await?;
                let FileResult { name, bytes, rows, continued, accepted, rejected, .. } = result;
                tracing::info!(
                    file.name = name.as_str(),
                    file.piece = %piece,
                    file.bytes = bytes,
                    rows,
                    continued,
                    accepted,
                    rejected,
                    "file published"
                );
            }
            Outcome::Rest(rest) => {
                let name = rest.name;
                let value = serde_json::to_vec(&rest)?;
                session.send(&deps.settings.topics[Topic::LandedFiles], name.as_str().as_bytes(), &value).await?;
                tracing::info!(
                    file.name = name.as_str(),
                    file.object = rest.key,
                    rows = rest.from_line,
                    "file published in part; the rest is announced"
                );
            }
        }
    }
    Ok(session.flush(None).await?)
}
