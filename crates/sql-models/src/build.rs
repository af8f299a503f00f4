//! One unit in one transaction: what it is becomes what its model says, if its tests pass.

use std::time::{Duration, Instant};

use postgres_pool::Transaction;
use tokio_postgres::error::{ErrorPosition, SqlState};

use crate::config::Materialized;
use crate::error::ReadError;
use crate::graph::{Subject, Unit};
use crate::project::{Model, Project};
use crate::render::{Relation, Scope, Template, quote};
use crate::report::{Action, Test};
use crate::sql;
use crate::views::View;

/// A model that takes longer than a function may run is never done.
const MAX_STATEMENT: Duration = Duration::from_secs(15 * 60);
/// So long a reader may have to wait behind a model that waits for another one. Tried again by the pool.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// The warehouse's tables are read by index while they are in memory; with PostgreSQL's default, made for disks that turn,
/// it reads all of a table to change a few rows.
const RANDOM_PAGE_COST: &str = "1.1";
/// What an increment replaces is looked up row by row: a join would read all of the table, which grows.
const ONLY_LOOKUPS: &str = "set local enable_hashjoin = off; set local enable_mergejoin = off";
const ALL_JOINS: &str = "set local enable_hashjoin to default; set local enable_mergejoin to default";

/// A unit to be built, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) project: &'a Project,
    pub(crate) unit: &'a Unit,
    pub(crate) scope: &'a Scope,
    pub(crate) is_full_refresh: bool,
    pub(crate) guard: Option<&'a str>,
    pub(crate) deadline: Option<Instant>,
}

/// What was done.
pub(crate) struct Built {
    pub(crate) action: Action,
    pub(crate) rows: u64,
    pub(crate) tests: Vec<Test>,
}

/// Why a unit is not built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The run's guard refuses: nothing more is to be done.
    #[error("{0}")]
    Guard(String),
    /// There is no time left.
    #[error("the deadline came")]
    OutOfTime,
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is wrong with a statement, and where it comes from.
    #[error("{0}")]
    Statement(String),
    /// The last of these tests failed.
    #[error("{why}")]
    Test { why: String, tests: Vec<Test> },
}

/// Builds and tests. Done again, it leaves what it leaves when it is done once.
pub(crate) async fn build(transaction: &Transaction<'_>, job: &Job<'_>) -> anyhow::Result<Built> {
    let session = Session { transaction, job };
    session.begin().await?;
    let (scope, action, rows) = match &job.unit.subject {
        Subject::Source(..) => (job.scope.clone(), Action::Tested, 0),
        Subject::Model(name) => session.model(&job.project.models[name]).await?,
    };
    let tests = session.test(&scope).await?;
    Ok(Built { action, rows, tests })
}

/// What there is of a relation.
struct Existing {
    is_table: bool,
    columns: Vec<String>,
}

/// What others have at a relation that is made anew.
struct Place {
    grants: Vec<String>,
    views: Vec<View>,
}

/// A statement's part that is a template's: errors are told by its lines.
pub(crate) struct Origin<'a> {
    template: Template<'a>,
    scope: &'a Scope,
    rendered: &'a str,
}

pub(crate) struct Session<'a> {
    pub(crate) transaction: &'a Transaction<'a>,
    pub(crate) job: &'a Job<'a>,
}

impl Session<'_> {
    async fn begin(&self) -> anyhow::Result<()> {
        if let Some(guard) = self.job.guard {
            self.transaction.batch_execute(guard).await.map_err(|error| match self.explain(error, "", None) {
                Ok(BuildError::Statement(why)) => BuildError::Guard(why).into(),
                Ok(other) => other.into(),
                Err(passing) => passing,
            })?;
        }
        let mut patience = MAX_STATEMENT;
        if let Some(deadline) = self.job.deadline {
            patience = patience.min(deadline.saturating_duration_since(Instant::now()));
        }
        // 0 would be no limit.
        let patience_ms = patience.as_millis().max(1);
        let name = self.job.unit.subject.name().replace('\'', "''");
        // Of two runs at once the later one finds what the earlier one has left. That is waited for; others' locks are not, since
        // whoever comes after us then waits for us.
        let lock_timeout_ms = LOCK_TIMEOUT.as_millis();
        self.batch(&format!(
            "set local statement_timeout = {patience_ms}; set local random_page_cost = {RANDOM_PAGE_COST}; \
             select pg_advisory_xact_lock(hashtextextended('sql-models {name}', 0)); \
             set local lock_timeout = {lock_timeout_ms}"
        ))
        .await
    }

    /// Builds a model; how it was seen by its templates, what was done, and the rows written.
    async fn model(&self, model: &Model) -> anyhow::Result<(Scope, Action, u64)> {
        let config = &model.config;
        let existing = self.existing(&model.relation).await?;
        let is_full_refresh = config.full_refresh.unwrap_or(self.job.is_full_refresh);
        let is_incremental = config.materialized == Materialized::Incremental
            && !is_full_refresh
            && existing.as_ref().is_some_and(|existing| existing.is_table);
        let scope = Scope {
            this: Some(model.relation.clone()),
            refs: model.refs.clone(),
            is_incremental,
            ..self.job.scope.clone()
        };
        if config.materialized == Materialized::Ephemeral {
            return Ok((scope, Action::Tested, 0));
        }
        let rendered = self.job.project.jinja.render(model.template(), &scope)?;
        let query = self.inlined(&model.refs, &rendered)?;
        let origin = Origin { template: model.template(), scope: &scope, rendered: &rendered };
        self.hooks(&config.pre_hooks, model, &scope).await?;
        if config.is_contract_enforced {
            self.check_contract(model, &query, &origin).await?;
        }
        let (action, rows) = match (config.materialized, &existing) {
            (Materialized::View, existing) => {
                self.view(model, existing.as_ref(), &query, &origin).await?;
                (Action::View, 0)
            }
            (_, Some(existing)) if is_incremental => {
                (Action::Incremental, self.increment(model, existing, &query, &origin).await?)
            }
            (_, existing) => (Action::Table, self.table(model, existing.as_ref(), &scope, &query, &origin).await?),
        };
        self.comment(model, action == Action::View).await?;
        self.hooks(&config.post_hooks, model, &scope).await?;
        Ok((scope, action, rows))
    }

    async fn existing(&self, relation: &Relation) -> anyhow::Result<Option<Existing>> {
        let Relation::Stored { schema, identifier } = relation else { return Ok(None) };
        let found = self
            .transaction
            .query_opt(
                "select relkind in ('r', 'p'), array(select attname::text from pg_attribute \
                     where attrelid = pg_class.oid and attnum > 0 and not attisdropped order by attnum) \
                 from pg_class where relnamespace = to_regnamespace(quote_ident($1)) and relname = $2",
                &[schema, identifier],
            )
            .await?;
        Ok(found.map(|row| Existing { is_table: row.get(0), columns: row.get(1) }))
    }

    /// Leaves a view alone that is what its query makes it: to replace it, its readers would have to wait.
    async fn view(
        &self,
        model: &Model,
        existing: Option<&Existing>,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<()> {
        let Relation::Stored { identifier, .. } = &model.relation else { return Ok(()) };
        let relation = &model.relation;
        let create = |options: &str| format!("create or replace view {relation}{options} as (\n{query}\n)");
        let Some(existing) = existing else { return self.execute(&create(""), Some(origin)).await.map(drop) };
        if existing.is_table {
            return self.view_anew(model, existing, &create(""), origin).await;
        }
        let beside = sql::intermediate(identifier);
        let temporary = format!("create temporary view {} as (\n{query}\n)", quote(&beside));
        self.execute(&temporary, Some(origin)).await?;
        let is_unchanged = self.is_unchanged(relation, &beside).await?;
        self.batch(&format!("drop view pg_temp.{}", quote(&beside))).await?;
        if is_unchanged {
            return Ok(());
        }
        let options = self.view_options(relation).await?;
        let (has, gets) = (format!("select * from {relation}"), query);
        // PostgreSQL can add columns to a view, and nothing else.
        if self.columns(gets, origin).await?.starts_with(&self.columns(&has, origin).await?) {
            return self.execute(&create(&options), Some(origin)).await.map(drop);
        }
        self.view_anew(model, existing, &create(&options), origin).await
    }

    async fn view_anew(
        &self,
        model: &Model,
        existing: &Existing,
        create: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<()> {
        let place = self.clear(existing, &model.relation).await?;
        self.execute(create, Some(origin)).await?;
        self.settle(place).await
    }

    /// Takes a relation away that cannot become what it has to be.
    async fn clear(&self, existing: &Existing, relation: &Relation) -> anyhow::Result<Place> {
        let grants = self.grants(&relation.to_string()).await?;
        let views = self.lift_views(relation).await?;
        let kind = if existing.is_table { "table" } else { "view" };
        self.batch(&format!("drop {kind} {relation}")).await?;
        Ok(Place { grants, views })
    }

    /// What others have made of it, and may do with it, comes again.
    async fn settle(&self, Place { grants, views }: Place) -> anyhow::Result<()> {
        self.batch(&grants.join(";\n")).await?;
        self.put_back_views(views).await
    }

    /// Makes the table, or fills it anew in its place.
    async fn table(
        &self,
        model: &Model,
        existing: Option<&Existing>,
        scope: &Scope,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<u64> {
        if existing.is_some_and(|existing| existing.is_table) {
            return self.refill(model, scope, query, origin).await;
        }
        let relation = &model.relation;
        let table = sql::create_table(self.job.project, model, scope, relation, query)?;
        let mut rows = 0;
        let place = match existing {
            Some(view) => Some(self.clear(view, relation).await?),
            None => None,
        };
        for statement in table.filled() {
            rows = self.execute(statement, Some(origin)).await?;
        }
        for statement in table.finish {
            self.execute(&statement, None).await?;
        }
        // The models after it are planned by what is in it.
        self.batch(&format!("analyze {relation}")).await?;
        if let Some(place) = place {
            self.settle(place).await?;
        }
        Ok(rows)
    }

    /// The foreign keys that other tables have to this one.
    pub(crate) async fn foreign_keys_to(&self, relation: &Relation) -> anyhow::Result<Vec<(String, String, String)>> {
        let found = self
            .transaction
            .query(
                "select conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) from pg_constraint \
                 where contype = 'f' and confrelid = $1::text::regclass and conrelid <> confrelid order by 1, 2",
                &[&relation.to_string()],
            )
            .await?;
        Ok(found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }

    async fn increment(
        &self,
        model: &Model,
        existing: &Existing,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<u64> {
        let Relation::Stored { identifier, .. } = &model.relation else { return Ok(0) };
        let new = format!("pg_temp.{}", quote(&sql::intermediate(identifier)));
        let create = format!("create temporary table {} on commit drop as (\n{query}\n)", &new["pg_temp.".len()..]);
        let is_empty = self.execute(&create, Some(origin)).await? == 0;
        if model.config.fails_on_schema_change {
            let has = self.columns(&format!("select * from {}", model.relation), origin).await?;
            let gets = self.columns(&format!("select * from {new}"), origin).await?;
            differ(&has, &gets).map_err(|(has, gets)| {
                let file = &model.file;
                BuildError::Statement(format!(
                    "{file}: the table has {has}, the query {gets}: make it anew with a full refresh"
                ))
            })?;
        }
        if is_empty {
            return Ok(0);
        }
        self.batch(&format!("analyze {new}")).await?;
        let is_looked_up = self.has_index_of_key(model).await?;
        if is_looked_up {
            self.batch(ONLY_LOOKUPS).await?;
        }
        let mut rows = 0;
        for statement in sql::upsert(&model.config, &model.relation, &new, &existing.columns) {
            rows += self.execute(&statement, None).await?;
        }
        if is_looked_up {
            self.batch(ALL_JOINS).await?;
        }
        Ok(rows)
    }

    /// Whether the table has an index that begins with the columns of its unique key, in any order.
    async fn has_index_of_key(&self, model: &Model) -> anyhow::Result<bool> {
        let found = self
            .transaction
            .query_one(
                "select exists (select from pg_index where indrelid = $1::text::regclass and indisvalid and indpred is null \
                     and (select array_agg(attname::text order by attname::text) \
                         from unnest(indkey::int2[]) with ordinality as part (number, nth) \
                         join pg_attribute on attrelid = indrelid and attnum = number \
                         where nth <= cardinality($2::text[])) \
                     = (select array_agg(name order by name) from unnest($2::text[]) as name))",
                &[&model.relation.to_string(), &model.config.unique_key],
            )
            .await?;
        Ok(found.get(0))
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

    /// The query gives what the contract says: these columns, in these types.
    async fn check_contract(&self, model: &Model, query: &str, origin: &Origin<'_>) -> anyhow::Result<()> {
        let Some(properties) = &model.properties else { return Ok(()) };
        let given = self.columns(query, origin).await?;
        let promised = self.columns(&sql::contract(&properties.columns), origin).await?;
        differ(&promised, &given).map_err(|(promised, given)| {
            let place = &properties.place;
            BuildError::Statement(format!("{place}: the contract promises {promised}, the query has {given}"))
        })?;
        Ok(())
    }

    /// Writes the descriptions that are not there yet.
    async fn comment(&self, model: &Model, is_view: bool) -> anyhow::Result<()> {
        let (config, relation) = (&model.config, &model.relation);
        let Some(properties) = &model.properties else { return Ok(()) };
        if !config.persist_relation_docs && !config.persist_column_docs {
            return Ok(());
        }
        let found = self
            .transaction
            .query(
                "select 0::int2, null, obj_description($1::text::regclass, 'pg_class') union all \
                 select attnum, attname::text, col_description(attrelid, attnum) from pg_attribute \
                 where attrelid = $1::text::regclass and attnum > 0 and not attisdropped",
                &[&relation.to_string()],
            )
            .await?;
        let mut statements = Vec::new();
        for row in found {
            let (name, current): (Option<&str>, Option<&str>) = (row.get(1), row.get(2));
            let (wanted, what) = match name {
                None if config.persist_relation_docs => {
                    let kind = if is_view { "view" } else { "table" };
                    (&properties.description, format!("{kind} {relation}"))
                }
                Some(name) if config.persist_column_docs => {
                    let Some(column) = properties.columns.iter().find(|column| column.name == name) else { continue };
                    (&column.description, format!("column {relation}.{}", quote(name)))
                }
                _ => continue,
            };
            let wanted = wanted.as_deref().map(str::trim).unwrap_or_default();
            if wanted != current.unwrap_or_default() {
                statements.push(format!("comment on {what} is '{}'", wanted.replace('\'', "''")));
            }
        }
        if statements.is_empty() { Ok(()) } else { self.batch(&statements.join(";\n")).await }
    }

    async fn hooks(&self, hooks: &[String], model: &Model, scope: &Scope) -> anyhow::Result<()> {
        for hook in hooks {
            let template = Template { text: hook, ..model.template() };
            let statement = self.job.project.jinja.render(template, scope)?;
            if !statement.trim().is_empty() {
                self.batch(&statement).await?;
            }
        }
        Ok(())
    }

    /// Runs the unit's tests until one fails.
    async fn test(&self, scope: &Scope) -> anyhow::Result<Vec<Test>> {
        let mut tests = Vec::new();
        for test in &self.job.unit.tests {
            let refs = &test.references.0;
            let scope = Scope { refs: refs.clone().into(), is_incremental: false, ..scope.clone() };
            let statement = self.inlined(refs, &test.render(self.job.project, &scope)?)?;
            let counted = format!("select count(*) from (\n{statement}\n) as failing");
            let found = match self.transaction.query_one(&counted, &[]).await {
                Ok(row) => row.get::<_, i64>(0),
                Err(error) => {
                    let error = self.explain(error, &counted, None)?;
                    return Err(match error {
                        BuildError::Statement(why) => BuildError::Statement(format!("test {}: {why}", test.name)),
                        other => other,
                    }
                    .into());
                }
            };
            let failures = u64::try_from(found).unwrap_or_default();
            tests.push(Test { name: test.name.clone(), failures, is_warning: test.is_warning });
            if failures > 0 && !test.is_warning {
                let name = &test.name;
                let why = format!("test {name}: {failures} rows should not be there, those of\n{statement}");
                return Err(BuildError::Test { why, tests }.into());
            }
        }
        Ok(tests)
    }

    /// The query with the models that it names but that are stored nowhere.
    fn inlined(&self, refs: &std::collections::BTreeSet<String>, query: &str) -> Result<String, ReadError> {
        let mut inlines = Vec::new();
        for name in refs {
            self.inline(name, &mut inlines)?;
        }
        Ok(sql::with(&inlines, query))
    }

    fn inline(&self, name: &str, inlines: &mut Vec<(String, String)>) -> Result<(), ReadError> {
        let model = &self.job.project.models[name];
        let Relation::Inline(cte) = &model.relation else { return Ok(()) };
        if inlines.iter().any(|(known, _)| known == cte) {
            return Ok(());
        }
        for name in model.refs.iter() {
            self.inline(name, inlines)?;
        }
        let scope = Scope { this: Some(model.relation.clone()), refs: model.refs.clone(), ..self.job.scope.clone() };
        inlines.push((cte.clone(), self.job.project.jinja.render(model.template(), &scope)?));
        Ok(())
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

    /// What the server says of a statement, by the template's line where it comes from one.
    ///
    /// # Errors
    /// With the error itself, where another connection may do better: the pool tries again.
    pub(crate) fn explain(
        &self,
        error: tokio_postgres::Error,
        statement: &str,
        origin: Option<&Origin<'_>>,
    ) -> anyhow::Result<BuildError> {
        let Some(db) = error.as_db_error() else { return Err(error.into()) };
        let passes = ["40", "57P"].iter().any(|class| db.code().code().starts_with(class));
        if passes || *db.code() == SqlState::LOCK_NOT_AVAILABLE {
            return Err(error.into());
        }
        if *db.code() == SqlState::QUERY_CANCELED {
            let is_late = self.job.deadline.is_some_and(|deadline| deadline <= Instant::now());
            return Ok(if is_late { BuildError::OutOfTime } else { BuildError::Statement(db.message().to_owned()) });
        }
        let file = match (&self.job.unit.subject, origin) {
            (_, Some(origin)) => {
                let line = match db.position() {
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
        };
        // Not its DETAIL, which quotes values; but for what depends on a relation, which it names.
        let is_of_names = *db.code() == SqlState::DEPENDENT_OBJECTS_STILL_EXIST;
        let detail = db.detail().filter(|_| is_of_names).map(|detail| format!(": {detail}")).unwrap_or_default();
        let hint = db.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        let code = db.code().code();
        Ok(BuildError::Statement(format!("{file}{}{detail} (SQLSTATE {code}){hint}", db.message())))
    }

    /// The template's line of a statement's character, counted from 1.
    fn line(&self, statement: &str, position: u32, origin: &Origin<'_>) -> Option<usize> {
        let before = &statement[..statement.find(origin.rendered)?];
        let offset = usize::try_from(position).ok()?.checked_sub(1 + before.chars().count())?;
        self.job.project.jinja.line(origin.template, origin.scope, origin.rendered, offset)
    }
}

/// Whether columns are the same, in any order.
///
/// # Errors
/// With those that only the one side has, and only the other.
fn differ(one: &[(String, String)], other: &[(String, String)]) -> Result<(), (String, String)> {
    let only = |these: &[(String, String)], those: &[(String, String)]| {
        let only = these.iter().filter(|column| !those.contains(column));
        only.map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>()
    };
    let show = |only: Vec<String>| if only.is_empty() { "nothing else".to_owned() } else { only.join(", ") };
    match (only(one, other), only(other, one)) {
        (one, other) if one.is_empty() && other.is_empty() => Ok(()),
        (one, other) => Err((show(one), show(other))),
    }
}
