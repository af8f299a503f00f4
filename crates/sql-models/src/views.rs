//! Views that others have made of a relation which has to go for a moment: they are taken down, and put up again as they were.

use crate::build::{BuildError, Session};
use crate::render::{Relation, quote};

/// A view, and what makes it again.
pub(crate) struct View {
    /// Its name, as SQL.
    name: String,
    /// Whether the project has it: then it is made again later in any case.
    is_ours: bool,
    statements: Vec<String>,
}

impl Session<'_> {
    /// Takes down the views that are made of a relation.
    ///
    /// # Errors
    /// When something else is made of it, such as a materialized view: what it holds could not be put up again.
    pub(crate) async fn lift_views(&self, relation: &Relation) -> anyhow::Result<Vec<View>> {
        const SQL: &str = "with recursive made_of (oid, depth) as ( \
                 select $1::text::regclass::oid, 0 \
                 union \
                 select ev_class, depth + 1 from made_of \
                 join pg_depend on refobjid = made_of.oid and refclassid = 'pg_class'::regclass \
                     and classid = 'pg_rewrite'::regclass \
                 join pg_rewrite on pg_rewrite.oid = objid and ev_class <> made_of.oid \
             ) \
             select format('%I.%I', relnamespace::regnamespace, relname), relkind = 'v' and not exists ( \
                     select from pg_trigger where tgrelid = pg_class.oid \
                     union all select from pg_rewrite where ev_class = pg_class.oid and rulename <> '_RETURN'), \
                 relnamespace::regnamespace::text, relname::text \
             from made_of join pg_class using (oid) where depth > 0 \
             group by pg_class.oid, relnamespace, relname, relkind order by max(depth), 1";
        let found = self.transaction.query(SQL, &[&relation.to_string()]).await?;
        let stubborn: Vec<String> = found.iter().filter(|row| !row.get::<_, bool>(1)).map(|row| row.get(0)).collect();
        if !stubborn.is_empty() {
            return Err(BuildError::Statement(format!(
                "{relation} has to change its columns, and {} cannot be made again as before: drop what is made of it, \
                 load, and make it anew",
                stubborn.join(", ")
            ))
            .into());
        }
        let mut views = Vec::new();
        for row in &found {
            let name: String = row.get(0);
            let statements = self.remaking(&name).await?;
            let is_ours = self.job.project.has(row.get(2), row.get(3));
            views.push(View { name, is_ours, statements });
        }
        for view in views.iter().rev() {
            self.batch(&format!("drop view {}", view.name)).await?;
        }
        Ok(views)
    }

    /// Puts them up again. One of the project's own that does not fit any more is left out: its model makes it later.
    ///
    /// # Errors
    /// When another does not fit any more; it is named.
    pub(crate) async fn put_back_views(&self, views: Vec<View>) -> anyhow::Result<()> {
        for View { name, is_ours, statements } in views {
            self.batch("savepoint view").await?;
            let made = self.transaction.batch_execute(&statements.join(";\n")).await;
            match made {
                Ok(()) => self.batch("release savepoint view").await?,
                Err(error) => {
                    let error = self.explain(error, "", None)?;
                    if !is_ours {
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

    /// What makes a view again: itself, its owner, who may do what with it, its comments.
    async fn remaking(&self, name: &str) -> anyhow::Result<Vec<String>> {
        const SQL: &str = "select format('create view %s%s as %s', $1::text, \
                 ' with (' || array_to_string(reloptions, ', ') || ')', pg_get_viewdef(oid)) \
             from pg_class where oid = $1::text::regclass \
             union all \
             select format('alter view %s owner to %I', $1::text, pg_get_userbyid(relowner)) \
             from pg_class where oid = $1::text::regclass \
             union all \
             select format('comment on view %s is %L', $1::text, obj_description($1::text::regclass, 'pg_class')) \
             where obj_description($1::text::regclass, 'pg_class') is not null \
             union all \
             select format('comment on column %s.%I is %L', $1::text, attname, col_description(attrelid, attnum)) \
             from pg_attribute where attrelid = $1::text::regclass and col_description(attrelid, attnum) is not null";
        let found = self.transaction.query(SQL, &[&name]).await?;
        let mut statements: Vec<String> =
            found.iter().map(|row| row.get::<_, &str>(0).trim_end().trim_end_matches(';').to_owned()).collect();
        statements.extend(self.grants(name).await?);
        Ok(statements)
    }

    /// What allows others again what they are allowed now.
    pub(crate) async fn grants(&self, name: &str) -> anyhow::Result<Vec<String>> {
        const SQL: &str = "select format('grant %s%s on %s to %s%s', privilege_type, ' (' || quote_ident(column_name) || ')', \
                 $1::text, case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end, \
                 case when is_grantable then ' with grant option' else '' end) \
             from ( \
                 select null::name as column_name, relowner, (aclexplode(relacl)).* from pg_class \
                 where oid = $1::text::regclass \
                 union all \
                 select attname, relowner, (aclexplode(attacl)).* \
                 from pg_attribute join pg_class on pg_class.oid = attrelid where attrelid = $1::text::regclass \
             ) as allowed where grantee <> relowner order by 1";
        let found = self.transaction.query(SQL, &[&name]).await?;
        Ok(found.iter().map(|row| row.get(0)).collect())
    }

    /// The options that a view was given by others, as `with (…)`.
    pub(crate) async fn view_options(&self, relation: &Relation) -> anyhow::Result<String> {
        const SQL: &str = "select coalesce(' with (' || array_to_string(reloptions, ', ') || ')', '') from pg_class \
             where oid = $1::text::regclass";
        Ok(self.transaction.query_one(SQL, &[&relation.to_string()]).await?.get(0))
    }

    /// Whether a view is what this query would make it.
    pub(crate) async fn is_unchanged(&self, relation: &Relation, identifier: &str) -> anyhow::Result<bool> {
        let other = format!("pg_temp.{}", quote(identifier));
        let same = "select pg_get_viewdef($1::text::regclass) = pg_get_viewdef($2::text::regclass)";
        Ok(self.transaction.query_one(same, &[&relation.to_string(), &other]).await?.get(0))
    }
}
