//! Views of a relation that has to be dropped or changed: they are dropped before, and created again as they were.

use crate::render::{Relation, quote};
use crate::session::{BuildError, Session};

/// A view, and the statements that create it again.
pub(crate) struct View {
    /// Its name, as SQL.
    name: String,
    /// Whether a model of the project makes it: if so, that model creates it again later in any case.
    is_of_project: bool,
    statements: Vec<String>,
}

impl Session<'_> {
    /// Drops the views of a relation.
    ///
    /// # Errors
    /// When something else depends on it, such as a materialized view, which could not be created again with its rows.
    pub(crate) async fn drop_views(&self, relation: &Relation) -> anyhow::Result<Vec<View>> {
        const SQL: &str = include_str!("sql/views_of.sql");
        let found = self.transaction.query(SQL, &[&relation.to_string()]).await?;
        let others: Vec<String> = found.iter().filter(|row| !row.get::<_, bool>(1)).map(|row| row.get(0)).collect();
        if !others.is_empty() {
            return Err(BuildError::Statement(format!(
                "{relation} has to change its columns, and {} cannot be made again as before: drop what is made of it, \
                 load, and make it anew",
                others.join(", ")
            ))
            .into());
        }
        let mut views = Vec::new();
        for row in &found {
            let name: String = row.get(0);
            let statements = self.statements_for(&name).await?;
            let is_of_project = self.job.project.has(row.get(2), row.get(3));
            views.push(View { name, is_of_project, statements });
        }
        for view in views.iter().rev() {
            self.batch(&format!("drop view {}", view.name)).await?;
        }
        Ok(views)
    }

    /// Creates views again. One of the project's own that no longer fits is left out: its model creates it later.
    ///
    /// # Errors
    /// When another view no longer fits; the error names it.
    pub(crate) async fn restore_views(&self, views: Vec<View>) -> anyhow::Result<()> {
        for View { name, is_of_project, statements } in views {
            self.batch("savepoint view").await?;
            let made = self.transaction.batch_execute(&statements.join(";\n")).await;
            match made {
                Ok(()) => self.batch("release savepoint view").await?,
                Err(error) => {
                    let error = self.explain(error, "", None)?;
                    if !is_of_project {
                        return Err(BuildError::Statement(format!(
                            "{name} does not fit what it is made of any more ({error}): drop it, load, and make it anew"
                        ))
                        .into());
                    }
                    self.batch("rollback to savepoint view").await?;
                }
            }
        }
        Ok(())
    }

    /// The statements that create a view again, with its owner, comments and grants.
    async fn statements_for(&self, name: &str) -> anyhow::Result<Vec<String>> {
        const SQL: &str = include_str!("sql/recreate_view.sql");
        let found = self.transaction.query(SQL, &[&name]).await?;
        let mut statements: Vec<String> =
            found.iter().map(|row| row.get::<_, &str>(0).trim_end().trim_end_matches(';').to_owned()).collect();
        statements.extend(self.grants(name).await?);
        Ok(statements)
    }

    /// The statements that grant again what is granted now.
    pub(crate) async fn grants(&self, name: &str) -> anyhow::Result<Vec<String>> {
        const SQL: &str = include_str!("sql/grants.sql");
        let found = self.transaction.query(SQL, &[&name]).await?;
        Ok(found.iter().map(|row| row.get(0)).collect())
    }

    /// The options that others have set on a view, as ` with (…)`.
    pub(crate) async fn view_options(&self, relation: &Relation) -> anyhow::Result<String> {
        const SQL: &str = include_str!("sql/view_options.sql");
        Ok(self.transaction.query_one(SQL, &[&relation.to_string()]).await?.get(0))
    }

    /// Whether a view has the same query as this temporary view.
    pub(crate) async fn is_unchanged(&self, relation: &Relation, identifier: &str) -> anyhow::Result<bool> {
        let other = format!("pg_temp.{}", quote(identifier));
        let same = "select pg_get_viewdef($1::text::regclass) = pg_get_viewdef($2::text::regclass)";
        Ok(self.transaction.query_one(same, &[&relation.to_string(), &other]).await?.get(0))
    }
}
