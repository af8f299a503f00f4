//! The transaction of one unit: how it begins, runs statements, and explains their errors.

use std::time::{Duration, Instant};

use postgres_pool::Transaction;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::error::ReadError;
use crate::graph::{Subject, Unit};
use crate::project::Project;
use crate::render::{Scope, Template};
use crate::report::Test;

/// A function runs at most 15 minutes, so a longer statement can never finish.
const MAX_STATEMENT: Duration = Duration::from_secs(15 * 60);
/// While a statement waits for a lock, other readers queue behind it. The pool tries again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// The warehouse's tables are read by index from memory. With PostgreSQL's default, which is made for spinning disks,
/// it reads a whole table to change a few rows.
const RANDOM_PAGE_COST: &str = "1.1";

/// A unit to be built, and its options.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) project: &'a Project,
    pub(crate) unit: &'a Unit,
    pub(crate) scope: &'a Scope,
    pub(crate) is_full_refresh: bool,
    pub(crate) guard: Option<&'a str>,
    pub(crate) deadline: Option<Instant>,
}

/// Why a unit was not built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The run's guard failed: the run ends.
    #[error("{0}")]
    Guard(String),
    /// The deadline has passed.
    #[error("the deadline came")]
    OutOfTime,
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A statement failed: where it comes from, and why.
    #[error("{0}")]
    Statement(String),
    /// The last of these tests failed.
    #[error("{why}")]
    Test { why: String, tests: Vec<Test> },
}

/// The part of a statement that a template rendered. Errors name the template's lines.
pub(crate) struct Origin<'a> {
    pub(crate) template: Template<'a>,
    pub(crate) scope: &'a Scope,
    pub(crate) rendered: &'a str,
}

pub(crate) struct Session<'a> {
    pub(crate) transaction: &'a Transaction<'a>,
    pub(crate) job: &'a Job<'a>,
}

impl Session<'_> {
    /// Runs the guard, sets the limits, and takes the unit's advisory lock: of two runs at once, the later one waits
    /// and then finds what the earlier one has left.
    pub(crate) async fn begin(&self) -> anyhow::Result<()> {
        if let Some(guard) = self.job.guard {
            self.transaction.batch_execute(guard).await.map_err(|error| match self.explain(error, "", None) {
                Ok(BuildError::Statement(why)) => BuildError::Guard(why).into(),
                Ok(other) => other.into(),
                Err(transient) => transient,
            })?;
        }
        let mut patience = MAX_STATEMENT;
        if let Some(deadline) = self.job.deadline {
            patience = patience.min(deadline.saturating_duration_since(Instant::now()));
        }
        // 0 would mean no limit.
        let patience_ms = patience.as_millis().max(1);
        let name = self.job.unit.subject.name().replace('\'', "''");
        // The lock timeout is set after the advisory lock, which may take longer.
        let lock_timeout_ms = LOCK_TIMEOUT.as_millis();
        self.batch(&format!(
            "set local statement_timeout = {patience_ms}; set local random_page_cost = {RANDOM_PAGE_COST}; \
             select pg_advisory_xact_lock(hashtextextended('sql-models {name}', 0)); \
             set local lock_timeout = {lock_timeout_ms}"
        ))
        .await
    }

    pub(crate) async fn batch(&self, statements: &str) -> anyhow::Result<()> {
        match self.transaction.batch_execute(statements).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain(error, statements, None)?.into()),
        }
    }

    pub(crate) async fn execute(&self, statement: &str, origin: Option<&Origin<'_>>) -> anyhow::Result<u64> {
        match self.transaction.execute(statement, &[]).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.explain(error, statement, origin)?.into()),
        }
    }

    /// Names and types of a query's columns.
    pub(crate) async fn columns(&self, query: &str, origin: &Origin<'_>) -> anyhow::Result<Vec<(String, String)>> {
        let statement = format!("select * from (\n{query}\n) as model_subq limit 0");
        match self.transaction.prepare(&statement).await {
            Ok(prepared) => {
                let columns = prepared.columns().iter();
                Ok(columns.map(|column| (column.name().to_owned(), column.type_().to_string())).collect())
            }
            Err(error) => Err(self.explain(error, &statement, Some(origin)).map_or_else(|error| error, Into::into)),
        }
    }

    /// What the server says of a statement. If a template rendered it, the error names the template's line.
    ///
    /// # Errors
    /// With the error itself if another attempt may succeed: the pool tries again.
    pub(crate) fn explain(
        &self,
        error: tokio_postgres::Error,
        statement: &str,
        origin: Option<&Origin<'_>>,
    ) -> anyhow::Result<BuildError> {
        let Some(db) = error.as_db_error() else { return Err(error.into()) };
        let is_transient = ["40", "57P"].iter().any(|class| db.code().code().starts_with(class));
        if is_transient || *db.code() == SqlState::LOCK_NOT_AVAILABLE {
            return Err(error.into());
        }
        if *db.code() == SqlState::QUERY_CANCELED {
            let is_late = self.job.deadline.is_some_and(|deadline| deadline <= Instant::now());
            return Ok(if is_late { BuildError::OutOfTime } else { BuildError::Statement(db.message().to_owned()) });
        }
        let file = self.file_and_line(db, statement, origin);
        // DETAIL quotes values, except when it names the objects that depend on a relation.
        let is_of_names = *db.code() == SqlState::DEPENDENT_OBJECTS_STILL_EXIST;
        let detail = db.detail().filter(|_| is_of_names).map(|detail| format!(": {detail}")).unwrap_or_default();
        let hint = db.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        let code = db.code().code();
        Ok(BuildError::Statement(format!("{file}{}{detail} (SQLSTATE {code}){hint}", db.message())))
    }

    /// Where a failed statement comes from, as the beginning of its error: `file:line: `, as far as known.
    fn file_and_line(&self, error: &DbError, statement: &str, origin: Option<&Origin<'_>>) -> String {
        match (&self.job.unit.subject, origin) {
            (_, Some(origin)) => {
                let line = match error.position() {
                    Some(ErrorPosition::Original(position)) => self.line(statement, *position, origin),
                    _ => None,
                };
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("{}{line}: ", origin.template.file)
            }
            (Subject::Model(name), None) if !statement.is_empty() => {
                format!("{}: ", self.job.project.models[name].file)
            }
            _ => String::new(),
        }
    }

    /// The template's line from which a statement's character comes; `position` counts from 1.
    fn line(&self, statement: &str, position: u32, origin: &Origin<'_>) -> Option<usize> {
        let before = &statement[..statement.find(origin.rendered)?];
        let offset = usize::try_from(position).ok()?.checked_sub(1 + before.chars().count())?;
        self.job.project.jinja.line(origin.template, origin.scope, origin.rendered, offset)
    }
}
