//! Builds one model and runs its tests in one transaction; a failing test rolls it back.

use postgres_pool::Transaction;

use crate::config::Materialized;
use crate::graph::Subject;
use crate::model::Model;
use crate::render::{Relation, Scope, Template, quote};
use crate::report::{Action, Test};
use crate::session::{BuildError, Job, Origin, Session};
use crate::sql;
use crate::views::View;

/// An increment looks up row by row what it replaces: a join would read the whole table, which grows.
const ONLY_LOOKUPS: &str = "set local enable_hashjoin = off; set local enable_mergejoin = off";
const ALL_JOINS: &str = "set local enable_hashjoin to default; set local enable_mergejoin to default";

/// What was done.
pub(crate) struct Built {
    pub(crate) action: Action,
    pub(crate) rows: u64,
    pub(crate) tests: Vec<Test>,
}

/// Builds and tests a unit. Doing it twice leaves what doing it once leaves.
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

/// A relation that is there before its model is built.
struct Existing {
    is_table: bool,
    columns: Vec<String>,
}

/// What others have made of a relation that has to be dropped.
struct Dependents {
    grants: Vec<String>,
    views: Vec<View>,
}

impl Session<'_> {
    /// Builds a model. Returns the scope of its templates, what was done, and how many rows were written.
    async fn model(&self, model: &Model) -> anyhow::Result<(Scope, Action, u64)> {
        let config = &model.config;
        let existing = self.existing(&model.relation).await?;
        let is_incremental = config.materialized == Materialized::Incremental
            && !self.job.is_full_refresh
            && existing.as_ref().is_some_and(|existing| existing.is_table);
        let scope = Scope {
            this: Some(model.relation.clone()),
            references: model.references.clone(),
            is_incremental,
            ..self.job.scope.clone()
        };
        let query = self.job.project.jinja.render(model.template(), &scope)?;
        let origin = Origin { template: model.template(), scope: &scope, rendered: &query };
        self.pre_hooks(model, &scope).await?;
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
        Ok((scope, action, rows))
    }

    async fn existing(&self, relation: &Relation) -> anyhow::Result<Option<Existing>> {
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&relation.schema, &relation.identifier];
        let found = self.transaction.query_opt(include_str!("sql/existing.sql"), &parameters).await?;
        Ok(found.map(|row| Existing { is_table: row.get(0), columns: row.get(1) }))
    }

    /// Creates or replaces a view. A view that already has this query is left alone: to replace it, its readers would
    /// have to wait.
    async fn view(
        &self,
        model: &Model,
        existing: Option<&Existing>,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<()> {
        let relation = &model.relation;
        let create = |options: &str| format!("create or replace view {relation}{options} as (\n{query}\n)");
        let Some(existing) = existing else { return self.execute(&create(""), Some(origin)).await.map(drop) };
        if existing.is_table {
            return self.recreate_view(model, existing, &create(""), origin).await;
        }
        let beside = sql::intermediate(&relation.identifier);
        let temporary = format!("create temporary view {} as (\n{query}\n)", quote(&beside));
        self.execute(&temporary, Some(origin)).await?;
        let is_unchanged = self.is_unchanged(relation, &beside).await?;
        self.batch(&format!("drop view pg_temp.{}", quote(&beside))).await?;
        if is_unchanged {
            return Ok(());
        }
        let options = self.view_options(relation).await?;
        let current = format!("select * from {relation}");
        // PostgreSQL can only add columns at a view's end.
        if self.columns(query, origin).await?.starts_with(&self.columns(&current, origin).await?) {
            return self.execute(&create(&options), Some(origin)).await.map(drop);
        }
        self.recreate_view(model, existing, &create(&options), origin).await
    }

    async fn recreate_view(
        &self,
        model: &Model,
        existing: &Existing,
        create: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<()> {
        let dependents = self.drop_relation(existing, &model.relation).await?;
        self.execute(create, Some(origin)).await?;
        self.restore(dependents).await
    }

    /// Drops a relation that can't be changed in place.
    async fn drop_relation(&self, existing: &Existing, relation: &Relation) -> anyhow::Result<Dependents> {
        let grants = self.grants(&relation.to_string()).await?;
        let views = self.drop_views(relation).await?;
        let kind = if existing.is_table { "table" } else { "view" };
        self.batch(&format!("drop {kind} {relation}")).await?;
        Ok(Dependents { grants, views })
    }

    /// Restores grants and views of a relation that was dropped and created again.
    async fn restore(&self, Dependents { grants, views }: Dependents) -> anyhow::Result<()> {
        self.batch(&grants.join(";\n")).await?;
        self.restore_views(views).await
    }

    /// Creates the table; one that is there is refilled in place.
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
        let table = sql::create_table(&self.job.project.jinja, model, scope, relation, query)?;
        let mut rows = 0;
        let dependents = match existing {
            Some(view) => Some(self.drop_relation(view, relation).await?),
            None => None,
        };
        for statement in table.filled() {
            rows = self.execute(statement, Some(origin)).await?;
        }
        for statement in table.finish {
            self.execute(&statement, None).await?;
        }
        // PostgreSQL plans the models after it by these statistics.
        self.batch(&format!("analyze {relation}")).await?;
        if let Some(dependents) = dependents {
            self.restore(dependents).await?;
        }
        Ok(rows)
    }

    /// Brings the query's rows into the table, by way of a temporary table.
    async fn increment(
        &self,
        model: &Model,
        existing: &Existing,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<u64> {
        let new = format!("pg_temp.{}", quote(&sql::intermediate(&model.relation.identifier)));
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
        let (relation, key) = (model.relation.to_string(), &model.config.unique_key);
        let found = self.transaction.query_one(include_str!("sql/has_index_of_key.sql"), &[&relation, key]).await?;
        Ok(found.get(0))
    }

    /// Checks that the query returns the contract's columns in the contract's types.
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

    /// Writes the descriptions that differ from those in the database.
    async fn comment(&self, model: &Model, is_view: bool) -> anyhow::Result<()> {
        let (config, relation) = (&model.config, &model.relation);
        let Some(properties) = &model.properties else { return Ok(()) };
        if !config.persist_relation_docs && !config.persist_column_docs {
            return Ok(());
        }
        let found = self.transaction.query(include_str!("sql/comments.sql"), &[&relation.to_string()]).await?;
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

    async fn pre_hooks(&self, model: &Model, scope: &Scope) -> anyhow::Result<()> {
        for hook in &model.config.pre_hooks {
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
            let references = test.references.clone().into();
            let scope = Scope { references, is_incremental: false, ..scope.clone() };
            let statement = test.render(&self.job.project.jinja, &scope)?;
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
            tests.push(Test { name: test.name.clone(), failures });
            if failures > 0 {
                let name = &test.name;
                let why = format!("test {name}: {failures} rows should not be there, those of\n{statement}");
                return Err(BuildError::Test { why, tests }.into());
            }
        }
        Ok(tests)
    }
}

/// Compares columns, in any order.
///
/// # Errors
/// With the columns that only one side has, and those that only the other has.
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
