//! Runs the models of `warehouse/`, which is compiled into the program.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, bail};
use include_dir::{Dir, DirEntry, include_dir};
use lambda_boot::Deadline;
use postgres_pool::Pool;
use sql_models::{Options, Project, Status};

use crate::audit::{self, Audit, Layer};
use crate::report::ModelReport;
use crate::run::RunId;
use crate::{Deps, moments, tariff};

static WAREHOUSE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../warehouse");

/// Reads the project.
///
/// # Errors
/// When `sql-models` can't run it.
pub(crate) fn project() -> anyhow::Result<Project> {
    fn files<'a>(dir: &'a Dir<'a>, found: &mut Vec<(&'a str, &'a [u8])>) {
        for entry in dir.entries() {
            match entry {
                DirEntry::Dir(dir) => files(dir, found),
                DirEntry::File(file) => found.extend(file.path().to_str().map(|path| (path, file.contents()))),
            }
        }
    }
    let mut found = Vec::new();
    files(&WAREHOUSE, &mut found);
    Project::read(found).context("warehouse/ can't be run")
}

/// What a run did with the models.
pub(crate) struct Models {
    pub(crate) models: Vec<ModelReport>,
    pub(crate) is_complete: bool,
}

/// Builds and tests the models. A model that fails stays as it was.
///
/// # Errors
/// When a model or a test fails, or the database, or the run has been taken over.
pub(crate) async fn run(deps: &Deps, run: RunId, full_refresh: bool, deadline: Deadline) -> anyhow::Result<Models> {
    tariff::sync(&deps.pool, run, &deps.tariff).await?;
    moments::fill(&deps.pool, run, &deps.zone).await?;
    let Batches { checked, last, is_rebuild_due } = Batches::of(&deps.pool).await?;
    if is_rebuild_due {
        // Incremental models would count restored rows twice, and keep the results of replaced ones.
        tracing::info!("rows were restored or replaced: all models are rebuilt");
    }
    let full_refresh = full_refresh || is_rebuild_due;
    // Tests skip the rows that they have checked before.
    let checked = if full_refresh { 0 } else { checked };
    let options = Options {
        full_refresh,
        vars: BTreeMap::from([("checked_batch".to_owned(), checked.into())]),
        guard: Some(format!("select ops.hold({})", run.0)),
        deadline: deadline.remaining().map(|left| Instant::now() + left.saturating_sub(Deadline::FAILURE_MARGIN * 2)),
        ..Options::default()
    };
    let report = deps.project.run(&deps.pool, &options).await?;
    let ended = || report.units.iter().filter(|unit| matches!(unit.status, Status::Done | Status::Failed(_)));
    let audit = |unit: &sql_models::Unit| {
        let audit = Audit {
            layer: Layer::Models,
            table_name: unit.relation.clone().unwrap_or_else(|| unit.name.clone()),
            rows_in: unit.rows,
            rows_out: unit.rows,
            ..Audit::default()
        };
        (audit, unit.status == Status::Done)
    };
    audit::keep(&deps.pool, run, &ended().map(audit).collect::<Vec<_>>()).await?;
    let failures: Vec<String> = report.failures().collect();
    if !failures.is_empty() {
        bail!("models failed, and stay as they were: {}", failures.join("; "));
    }
    let is_complete = report.is_complete();
    if is_complete {
        Batches::keep(&deps.pool, run, last).await?;
    }
    let model = |unit: &sql_models::Unit| ModelReport {
        name: unit.name.clone(),
        action: unit.action.to_string(),
        rows: unit.rows,
        tests: unit.tests.len() as u64,
        duration_ms: unit.duration.as_millis() as u64,
    };
    Ok(Models { models: ended().map(model).collect(), is_complete })
}

/// Which rows the models have seen.
struct Batches {
    /// All models have been built and tested with the rows up to this batch.
    checked: i64,
    /// The last batch.
    last: i64,
    /// Whether rows were restored or replaced since `checked`.
    is_rebuild_due: bool,
}

impl Batches {
    async fn of(pool: &Pool) -> anyhow::Result<Self> {
        const SQL: &str = include_str!("sql/model_batches.sql");
        let rows = pool.query(SQL, &[]).await?;
        let [row] = &rows[..] else { bail!("ops.state has no row: run `trunkline init`") };
        Ok(Self { checked: row.get(0), last: row.get(1), is_rebuild_due: row.get(2) })
    }

    async fn keep(pool: &Pool, run: RunId, checked: i64) -> anyhow::Result<()> {
        pool.query("update ops.state set checked_batch_id = $2 where run_id = $1", &[&run.0, &checked]).await.map(drop)
    }
}
