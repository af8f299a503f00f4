//! Runs all units, each as soon as those that it depends on are done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use postgres_pool::Pool;

use crate::build::{self, Built};
use crate::graph::Subject;
use crate::project::Project;
use crate::render::Scope;
use crate::report::{Action, Options, Report, Status, Unit};
use crate::session::{BuildError, Job};

/// Units at the same time. A pool has four connections, and a unit may hold one longer than others wait for one: the
/// fourth stays free for them.
const CONCURRENCY: usize = 3;

impl Project {
    /// Builds and tests the models. A model that fails is rolled back and reported; models that do not depend on it are
    /// still built.
    ///
    /// # Errors
    /// When the database can't be reached at the beginning, an option names an unknown model, or the guard refuses.
    pub async fn run(&self, pool: &Pool, options: &Options<'_>) -> anyhow::Result<Report> {
        let mut vars = self.vars.clone();
        vars.extend(options.vars.clone());
        let scope = Scope {
            names: Arc::clone(&self.names),
            vars: Arc::new(vars),
            this: None,
            references: Arc::default(),
            is_incremental: false,
        };
        let wanted = self.selected(&options.select)?;
        self.create_schemas(pool).await?;
        let mut units: Vec<Option<Unit>> = self.units.iter().map(|_| None).collect();
        let mut open = wanted.clone();
        let mut running = FuturesUnordered::new();
        let mut refused = None;
        let report = |unit: Unit| {
            if let Some(on_progress) = options.on_progress {
                on_progress(&unit);
            }
            Some(unit)
        };
        loop {
            for index in open.clone() {
                let plan = &self.units[index];
                let waits_for = plan.after.intersection(&wanted);
                let mut is_ready = true;
                let mut without = None;
                for before in waits_for {
                    match units[*before].as_ref().map(|unit| (&unit.status, &unit.name)) {
                        None => is_ready = false,
                        Some((Status::Done, _)) => {}
                        Some((Status::OutOfTime, _)) => without = Some(Status::OutOfTime),
                        Some((Status::Failed(_) | Status::Skipped(_), name)) => {
                            without = Some(Status::Skipped(name.clone()));
                        }
                    }
                }
                let is_late = options.deadline.is_some_and(|deadline| deadline <= Instant::now());
                if let Some(status) = without.or((is_ready && is_late).then_some(Status::OutOfTime)) {
                    open.remove(&index);
                    units[index] = report(self.unit(index, status));
                } else if is_ready && running.len() < CONCURRENCY && refused.is_none() {
                    open.remove(&index);
                    let job = Job {
                        project: self,
                        unit: plan,
                        scope: &scope,
                        is_full_refresh: options.full_refresh,
                        guard: options.guard.as_deref(),
                        deadline: options.deadline,
                    };
                    running.push(run(pool, job).map(move |done| (index, done)));
                }
            }
            let Some((index, (duration, done))) = running.next().await else { break };
            match self.finished(index, done) {
                Ok(unit) => units[index] = report(Unit { duration, ..unit }),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(Report { units: units.into_iter().flatten().filter(is_something).collect() }),
        }
    }

    fn selected(&self, select: &[String]) -> anyhow::Result<BTreeSet<usize>> {
        let all = 0..self.units.len();
        if select.is_empty() {
            return Ok(all.collect());
        }
        let find = |name: &String| {
            let subject = Subject::Model(name.clone());
            let found = self.units.iter().position(|unit| unit.subject == subject);
            found.with_context(|| format!("there is no model {name}"))
        };
        select.iter().map(find).collect()
    }

    async fn create_schemas(&self, pool: &Pool) -> anyhow::Result<()> {
        let schemas: BTreeSet<_> = self.models.values().map(|model| model.relation.schema.as_str()).collect();
        let schemas: Vec<_> = schemas.into_iter().collect();
        let missing = pool.query(include_str!("sql/missing_schemas.sql"), &[&schemas]).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let create = missing.iter().map(|row| format!("create schema if not exists {};", row.get::<_, String>(0)));
        let create: String = create.collect();
        // Without the lock, two runs could both find a schema missing, and one would fail to create it.
        let lock = "select pg_advisory_xact_lock(hashtextextended('sql-models schemas', 0));";
        pool.batch(&format!("{lock} {create}")).await
    }

    fn unit(&self, index: usize, status: Status) -> Unit {
        let subject = &self.units[index].subject;
        let relation = match subject {
            Subject::Model(name) => {
                let relation = &self.models[name].relation;
                Some(format!("{}.{}", relation.schema, relation.identifier))
            }
            Subject::Source(..) => None,
        };
        Unit {
            name: subject.name(),
            relation,
            status,
            action: Action::Tested,
            rows: 0,
            tests: Vec::new(),
            duration: Duration::ZERO,
        }
    }

    /// The report of a unit that has ended.
    ///
    /// # Errors
    /// When the guard refused: the run ends.
    fn finished(&self, index: usize, done: anyhow::Result<Built>) -> anyhow::Result<Unit> {
        let failed = |why| self.unit(index, Status::Failed(why));
        match done.map_err(anyhow::Error::downcast::<BuildError>) {
            Ok(Built { action, rows, tests }) => Ok(Unit { action, rows, tests, ..self.unit(index, Status::Done) }),
            Err(Ok(BuildError::Guard(why))) => Err(anyhow::anyhow!(why).context("the run may not go on")),
            Err(Ok(BuildError::OutOfTime)) => Ok(self.unit(index, Status::OutOfTime)),
            Err(Ok(BuildError::Test { why, tests })) => Ok(Unit { tests, ..failed(why) }),
            Err(Ok(error @ (BuildError::Read(_) | BuildError::Statement(_)))) => Ok(failed(error.to_string())),
            Err(Err(error)) => Ok(failed(format!("{error:#}"))),
        }
    }
}

async fn run(pool: &Pool, job: Job<'_>) -> (Duration, anyhow::Result<Built>) {
    let start = Instant::now();
    let done = pool.transaction(&job, |transaction, job| build::build(transaction, job).boxed()).await;
    (start.elapsed(), done)
}

/// A source whose tests all ran with another source has nothing to report.
fn is_something(unit: &Unit) -> bool {
    unit.relation.is_some() || !unit.tests.is_empty() || unit.status != Status::Done
}
