#![doc = include_str!("../README.md")]

mod audit;
mod chunk;
mod config;
mod conflicts;
mod event;
mod filter;
mod load;
mod look;
mod models;
mod moments;
mod plan;
mod report;
pub mod rows;
mod run;
pub mod silver;
mod store;
pub mod table;
mod tariff;
mod thread;
mod unmatched;
mod withdraw;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::stream::Topics;
use anyhow::Context;
use futures::{StreamExt, stream};
use lake::Lake;
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use postgres_pool::{Names, Pool};
use sql_models::Project;
use telecom::{Tariff, Zone};

pub use crate::config::{Config, DatabaseConfig, Settings};
pub use crate::event::{Event, LoadHour, Request};
pub use crate::report::{LaneReport, ModelReport, Report, Status, StreamReport};

use crate::audit::Imbalance;
use crate::chunk::{Chunk, Purpose};
use crate::load::Job;
use crate::run::{End, Run, RunId};
use crate::table::LoadedTopic;

/// How error messages name the database.
const NAMES: Names = Names { variable: "DATABASE_URL", service: "the warehouse" };

/// Lanes loaded in parallel. Two keep two cores busy; each needs one chunk's memory.
const LANES_IN_PARALLEL: usize = 2;
/// No chunk begins with less time left: a large one takes some ten seconds on a small database.
const CHUNK_TIME: Duration = Duration::from_secs(60);
/// No model begins with less time left.
const MODELS_TIME: Duration = Duration::from_secs(30);
/// The longest statement if there is no deadline.
const LONGEST_STATEMENT: Duration = Duration::from_secs(900);

/// What the function keeps between invocations: connections and the models, but nothing about what it has loaded.
#[derive(Debug)]
pub struct Deps {
    lake: Lake,
    pool: Pool,
    epoch: u32,
    zone: Zone,
    tariff: Tariff,
    chunk_records: u64,
    topics: Topics,
    project: Project,
}

impl Deps {
    /// Makes the clients. It connects to no service yet.
    ///
    /// # Errors
    /// When a client refuses its configuration, or the models can't be read.
    pub fn connect(config: &Config) -> anyhow::Result<Self> {
        let Config { lake, database, settings, topics, epoch } = config.clone();
        Ok(Self {
            lake: Lake::connect(&lake),
            pool: Pool::new(&database.url, NAMES)?,
            epoch: epoch.number,
            zone: settings.zone,
            tariff: settings.tariff.0,
            chunk_records: settings.chunk_records,
            topics,
            project: models::project()?,
        })
    }
}

/// Creates the schemas, the loaded tables, and the loader's own tables. It leaves those that are there.
///
/// # Errors
/// When the address is malformed, or the database can't be reached or refuses.
pub async fn init(database_url: &str) -> anyhow::Result<()> {
    let pool = Pool::new(database_url, NAMES)?;
    let tables: String = LoadedTopic::ALL.into_iter().flat_map(LoadedTopic::tables).map(table::Table::ddl).collect();
    let [schemas, upgrade, own] =
        [include_str!("sql/schemas.sql"), include_str!("sql/upgrade.sql"), include_str!("sql/schema.sql")];
    let sql = format!("{schemas}{upgrade}{own}{tables}");
    // While a change of a table waits for a lock, the table's readers queue behind it.
    let sql = format!("set local lock_timeout = '3s'; {sql}");
    let make =
        pool.transaction(&sql, |transaction, sql| Box::pin(async move { Ok(transaction.batch_execute(sql).await?) }));
    make.await.context("making the warehouse's tables")
}

/// The function's handler, from its variables.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?)?;
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        let event = Event::parse(&invocation.payload).map_err(InvalidEvent::new)?;
        let report = handle(&deps, event, invocation.deadline).await?;
        Ok(serde_json::to_vec(&report)?.into())
    }))
}

/// Loads what is new in the lake, and builds the models on it.
///
/// # Errors
/// When the lake or the database fail, the counts of a layer do not add up, or a model or its test fails. What was
/// loaded until then stays, and the next run continues.
pub async fn handle(deps: &Arc<Deps>, event: Event, deadline: Deadline) -> anyhow::Result<Report> {
    let started = Instant::now();
    let Some(run) = Run::begin(&deps.pool, event, deadline).await? else {
        tracing::info!("another run is at work: nothing is done");
        return Ok(Report {
            status: Status::Busy,
            left: None,
            streams: Vec::new(),
            models: Vec::new(),
            lanes: Vec::new(),
            duration_ms: started.elapsed().as_millis() as u64,
        });
    };
    let id = run.id;
    let done = deadline.limit("the lake or the warehouse", work(deps, id, event.request(), deadline)).await;
    let ended = match &done {
        Ok(Done { left: None, .. }) => run.end(&deps.pool, End::Succeeded).await,
        Ok(Done { left: Some(left), .. }) => run.end(&deps.pool, End::Incomplete(left)).await,
        Err(error) => {
            let kept = match error.downcast_ref::<Imbalance>() {
                Some(Imbalance(audit)) => audit::keep(&deps.pool, id, &[((**audit).clone(), false)]).await,
                None => Ok(()),
            };
            kept.and(run.end(&deps.pool, End::Failed(&format!("{error:#}"))).await)
        }
    };
    let Done { models, left } = match (done, ended) {
        (Ok(done), ended) => ended.map(|()| done)?,
        (Err(error), Ok(())) => return Err(error),
        (Err(error), Err(other)) => return Err(error.context(format!("ops.runs does not say so ({other:#})"))),
    };
    let streams = StreamReport::of(deps, id).await?;
    let lanes = LaneReport::of(deps).await?;
    let duration_ms = started.elapsed().as_millis() as u64;
    let sum = |count: fn(&StreamReport) -> u64| streams.iter().map(count).sum::<u64>();
    tracing::info!(
        run_id = id.0,
        chunks = sum(|stream| stream.chunks),
        records = sum(|stream| stream.records),
        accepted = sum(|stream| stream.accepted),
        duplicates = sum(|stream| stream.duplicates),
        rejected = sum(|stream| stream.rejected),
        withdrawn = sum(|stream| stream.withdrawn),
        gap_offsets = sum(|stream| stream.gap_offsets),
        models = models.len(),
        left,
        duration_ms,
        "loaded"
    );
    let status = if left.is_none() { Status::Succeeded } else { Status::Incomplete };
    Ok(Report { status, left, streams, models, lanes, duration_ms })
}

/// The result of a run: its models, and what is left.
struct Done {
    models: Vec<ModelReport>,
    left: Option<String>,
}

async fn work(deps: &Arc<Deps>, run: RunId, request: Request, deadline: Deadline) -> anyhow::Result<Done> {
    let until = |left| Ok(Done { models: Vec::new(), left: Some(left) });
    conflicts::sync(&deps.lake, &deps.pool, run).await?;
    unmatched::sync(&deps.lake, &deps.pool, run).await?;
    loop {
        let is_new = plan::plan(deps, run).await?;
        let left = load_all(deps, run, chunk::open(&deps.pool).await?, Purpose::Load, deadline).await?;
        if left > 0 {
            return until(format!("{left} chunks, and the models after them"));
        }
        if !is_new {
            break;
        }
    }
    if let Some((from, to)) = request.range() {
        let chunks = chunk::of_hours(&deps.pool, from, to).await?;
        let left = load_all(deps, run, chunks, Purpose::Restore, deadline).await?;
        if left > 0 {
            return until(format!(
                "{left} chunks that were to be loaded again: ask for them once more; and the models"
            ));
        }
    }
    if deadline.is_within(MODELS_TIME) {
        return until("the models".to_owned());
    }
    let models = models::run(deps, run, request.full_refresh, deadline).await?;
    let left = (!models.is_complete).then(|| "some models".to_owned());
    Ok(Done { models: models.models, left })
}

/// Loads chunks, lane by lane; within a lane in the order in which they were planned. Returns how many are left when
/// the time is up.
///
/// # Errors
/// The error of the first lane that failed. The other lanes are loaded all the same.
async fn load_all(
    deps: &Arc<Deps>,
    run: RunId,
    chunks: Vec<Chunk>,
    purpose: Purpose,
    deadline: Deadline,
) -> anyhow::Result<usize> {
    let mut lanes: BTreeMap<_, Vec<Chunk>> = BTreeMap::new();
    for chunk in chunks {
        lanes.entry(chunk.lane.clone()).or_default().push(chunk);
    }
    // The longest lane first, so that it is not loaded alone at the end.
    let mut lanes: Vec<_> = lanes.into_values().collect();
    lanes.sort_by_key(|chunks| std::cmp::Reverse(chunks.iter().map(|chunk| chunk.bytes).sum::<i64>()));
    let lanes = lanes.into_iter().map(|chunks| {
        let deps = Arc::clone(deps);
        thread::on_its_own(async move {
            let mut chunks = chunks.into_iter();
            while let Some(chunk) = chunks.as_slice().first().filter(|_| !deadline.is_within(CHUNK_TIME)).cloned() {
                chunks.next();
                load::load(&Job { deps: Arc::clone(&deps), run, chunk, purpose, deadline }).await?;
            }
            anyhow::Ok(chunks.len())
        })
    });
    let mut ends = stream::iter(lanes).buffer_unordered(LANES_IN_PARALLEL);
    let mut sum = Ok(0);
    while let Some(end) = ends.next().await {
        match (end.flatten(), &mut sum) {
            (Ok(left), Ok(sum)) => *sum += left,
            (Err(error), Ok(_)) => sum = Err(error),
            (Err(error), Err(_)) => tracing::error!(error = format!("{error:#}"), "another lane could not be loaded"),
            (Ok(_), Err(_)) => {}
        }
    }
    sum
}

/// The first statements of a long transaction: the connections' own limits are for short ones.
fn timeouts(deadline: Deadline) -> String {
    let most_ms = deadline.remaining().unwrap_or(LONGEST_STATEMENT).min(LONGEST_STATEMENT).as_millis().max(1);
    format!("set local statement_timeout = {most_ms}; set local idle_in_transaction_session_timeout = {most_ms}")
}
