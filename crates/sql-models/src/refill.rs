//! Refills a table in place, so that it holds what its model's query returns. Readers go on reading; grants, views and
//! indexes of others stay.

use crate::model::Model;
use crate::render::{Relation, Scope, quote};
use crate::session::{Origin, Session};
use crate::sql;

/// A table without its rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    /// Names and types, and whether the column is not null.
    columns: Vec<(String, String, bool)>,
    /// Names and definitions.
    constraints: Vec<(String, String)>,
    /// Definitions, without names, of the indexes that belong to no constraint.
    indexes: Vec<String>,
}

/// How rows are identified.
enum Key {
    /// By the columns of the only unique index, all of them not null.
    Columns(Vec<String>),
    /// They can't be identified: all rows are written again.
    None,
}

/// The end of the definition of a constraint that was not checked on older rows.
const NOT_VALID: &str = " NOT VALID";

impl Session<'_> {
    /// Writes the rows that differ. New columns are added before, new constraints after. Returns how many rows were
    /// written or deleted.
    pub(crate) async fn refill(
        &self,
        model: &Model,
        scope: &Scope,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<u64> {
        let relation = &model.relation;
        let name = sql::intermediate(&relation.identifier);
        let new = format!("pg_temp.{}", quote(&name));
        let create = format!("create temporary table {} on commit drop as (\n{query}\n)", &new["pg_temp.".len()..]);
        self.execute(&create, Some(origin)).await?;
        self.batch(&format!("analyze {new}")).await?;
        let template = Relation::new(&relation.schema, &name);
        let wanted = self.wanted_shape(model, scope, &template, query, origin).await?;
        self.align_columns(relation, &wanted).await?;
        self.drop_constraints(relation, &wanted).await?;
        let written = self.write_rows(relation, &new, &wanted).await?;
        self.add_parts(relation, &template, &wanted).await?;
        if written > 0 {
            // PostgreSQL plans the models after it by these statistics.
            self.batch(&format!("analyze {relation}")).await?;
        }
        Ok(written)
    }

    /// What the table would be if it were created now: it is created under another name, without rows, and rolled back.
    /// To drop it would lock the tables that it refers to.
    async fn wanted_shape(
        &self,
        model: &Model,
        scope: &Scope,
        template: &Relation,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<Shape> {
        let table = sql::create_table(&self.job.project.jinja, model, scope, template, query)?;
        self.batch("savepoint template").await?;
        self.execute(&table.empty(), Some(origin)).await?;
        for statement in table.finish {
            self.execute(&statement, None).await?;
        }
        let shape = self.shape(template).await?;
        self.batch("rollback to savepoint template").await?;
        Ok(shape)
    }

    async fn shape(&self, relation: &Relation) -> anyhow::Result<Shape> {
        const COLUMNS: &str = include_str!("sql/columns.sql");
        const CONSTRAINTS: &str = include_str!("sql/constraints.sql");
        const INDEXES: &str = include_str!("sql/indexes.sql");
        let name = relation.to_string();
        let columns = self.transaction.query(COLUMNS, &[&name]).await?;
        let constraints = self.transaction.query(CONSTRAINTS, &[&name]).await?;
        let indexes = self.transaction.query(INDEXES, &[&name]).await?;
        Ok(Shape {
            columns: columns.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
            constraints: constraints.iter().map(|row| (row.get(0), row.get(1))).collect(),
            indexes: indexes.iter().map(|row| row.get(0)).collect(),
        })
    }

    /// Gives the table the model's columns. A column of another type is dropped and added again: all its values are
    /// written.
    async fn align_columns(&self, relation: &Relation, wanted: &Shape) -> anyhow::Result<()> {
        let has = self.shape(relation).await?;
        let is_in = |columns: &[(String, String, bool)], name: &str, kind: &str| {
            columns.iter().any(|(other, other_kind, _)| other == name && other_kind == kind)
        };
        let drop: Vec<_> = has
            .columns
            .iter()
            .filter(|(name, kind, _)| !is_in(&wanted.columns, name, kind))
            .map(|(name, ..)| format!("drop column {}", quote(name)))
            .collect();
        let add = wanted.columns.iter().filter(|(name, kind, _)| !is_in(&has.columns, name, kind));
        let add: Vec<_> = add.map(|(name, kind, _)| format!("add column {} {kind}", quote(name))).collect();
        if !drop.is_empty() {
            let views = self.drop_views(relation).await?;
            self.batch(&format!("alter table {relation} {}", drop.join(", "))).await?;
            if !add.is_empty() {
                self.batch(&format!("alter table {relation} {}", add.join(", "))).await?;
            }
            return self.restore_views(views).await;
        }
        if !add.is_empty() {
            self.batch(&format!("alter table {relation} {}", add.join(", "))).await?;
        }
        Ok(())
    }

    /// Drops the constraints that the model no longer has, so that they don't refuse its rows.
    async fn drop_constraints(&self, relation: &Relation, wanted: &Shape) -> anyhow::Result<()> {
        let has = self.shape(relation).await?;
        let mut drop = Vec::new();
        for (name, definition) in &has.constraints {
            let definition = definition.strip_suffix(NOT_VALID).unwrap_or(definition);
            if !wanted.constraints.iter().any(|(_, other)| other == definition) {
                drop.push(format!("drop constraint {}", quote(name)));
            }
        }
        for (name, _, is_not_null) in &has.columns {
            let is_wanted = wanted.columns.iter().any(|(other, _, is_not_null)| other == name && *is_not_null);
            if *is_not_null && !is_wanted {
                drop.push(format!("alter column {} drop not null", quote(name)));
            }
        }
        if drop.is_empty() { Ok(()) } else { self.batch(&format!("alter table {relation} {}", drop.join(", "))).await }
    }

    /// Adds missing constraints and indexes. Indexes that the model does not have stay: others may have made them.
    async fn add_parts(&self, relation: &Relation, template: &Relation, wanted: &Shape) -> anyhow::Result<()> {
        let has = self.shape(relation).await?;
        let mut statements = Vec::new();
        for (name, _, is_not_null) in &wanted.columns {
            let is_there = has.columns.iter().any(|(other, _, is_not_null)| other == name && *is_not_null);
            if *is_not_null && !is_there {
                statements.push(format!("alter table {relation} alter column {} set not null", quote(name)));
            }
        }
        let mut names = Vec::new();
        for (name, definition) in &wanted.constraints {
            let is_it = |other: &str| other.strip_suffix(NOT_VALID).unwrap_or(other) == definition;
            match has.constraints.iter().find(|(_, other)| is_it(other)) {
                Some((name, other)) if other.ends_with(NOT_VALID) => {
                    statements.push(format!("alter table {relation} validate constraint {}", quote(name)));
                }
                Some(_) => {}
                None => {
                    let name = own_name(template, relation, name);
                    statements.push(format!("alter table {relation} add constraint {} {definition}", quote(&name)));
                    names.push(name);
                }
            }
        }
        for definition in &wanted.indexes {
            let count = |indexes: &[String]| indexes.iter().filter(|other| *other == definition).count();
            if count(&has.indexes) == 0 {
                // The server chooses its name.
                statements.push(definition.replacen(" ? ON ?", &format!(" ON {relation}"), 1));
            }
        }
        if statements.is_empty() { Ok(()) } else { self.batch(&statements.join(";\n")).await }
    }

    /// Deletes, updates and inserts the rows that differ from the new ones.
    async fn write_rows(&self, relation: &Relation, new: &str, wanted: &Shape) -> anyhow::Result<u64> {
        let columns: Vec<_> = wanted.columns.iter().map(|(name, ..)| quote(name)).collect();
        let list = columns.join(", ");
        let key = match self.key(relation).await? {
            Key::Columns(key) => key,
            Key::None => {
                let insert = format!("insert into {relation} ({list}) select {list} from {new}");
                let deleted = self.delete(relation, "true").await?;
                return Ok(deleted.max(self.execute(&insert, None).await?));
            }
        };
        let same: Vec<_> = key.iter().map(|name| format!("new.{name} = old.{name}", name = quote(name))).collect();
        let same = same.join(" and ");
        let mut written = self.delete(relation, &format!("not exists (select from {new} as new where {same})")).await?;
        let compared = self.compared(relation, wanted).await?;
        let row = |of: &str| compared.iter().map(|column| format!("{of}.{column}")).collect::<Vec<_>>().join(", ");
        let set: Vec<_> = columns.iter().map(|column| format!("{column} = new.{column}")).collect();
        let update = format!(
            "update {relation} as old set {} from {new} as new where {same} and ({}) is distinct from ({})",
            set.join(", "),
            row("old"),
            row("new")
        );
        written += self.execute(&update, None).await?;
        let insert = format!(
            "insert into {relation} ({list}) select {list} from {new} as new \
             where not exists (select from {relation} as old where {same})"
        );
        written += self.execute(&insert, None).await?;
        Ok(written)
    }

    /// Deletes rows. Foreign keys of other tables that may refer to them are checked again when those tables are
    /// rebuilt.
    async fn delete(&self, relation: &Relation, which: &str) -> anyhow::Result<u64> {
        let delete = format!("delete from {relation} as old where {which}");
        let keys = self.foreign_keys_to(relation).await?;
        if keys.is_empty() {
            return self.execute(&delete, None).await;
        }
        let found = format!("select exists (select from {relation} as old where {which})");
        if !self.transaction.query_one(&found, &[]).await?.get::<_, bool>(0) {
            return Ok(0);
        }
        let drop = keys.iter().map(|(table, name, _)| format!("alter table {table} drop constraint {name};"));
        self.batch(&drop.collect::<String>()).await?;
        let deleted = self.execute(&delete, None).await?;
        for (table, name, definition) in keys {
            let not_valid = if definition.ends_with(NOT_VALID) { "" } else { NOT_VALID };
            self.batch(&format!("alter table {table} add constraint {name} {definition}{not_valid}")).await?;
        }
        Ok(deleted)
    }

    /// With two unique indexes, rows that are changed one by one could violate one of them for a moment.
    async fn key(&self, relation: &Relation) -> anyhow::Result<Key> {
        const SQL: &str = include_str!("sql/unique_keys.sql");
        let found = self.transaction.query(SQL, &[&relation.to_string()]).await?;
        let [only] = &found[..] else { return Ok(Key::None) };
        let (columns, are_not_null, is_of_all): (Vec<Option<String>>, bool, bool) =
            (only.get(0), only.get::<_, Option<bool>>(1).unwrap_or(false), only.get(2));
        let columns: Option<Vec<String>> = columns.into_iter().collect();
        Ok(match columns.filter(|_| are_not_null && is_of_all) {
            Some(columns) => Key::Columns(columns),
            None => Key::None,
        })
    }

    /// The columns as expressions that can be compared: a type without equality is compared as text.
    async fn compared(&self, relation: &Relation, wanted: &Shape) -> anyhow::Result<Vec<String>> {
        const SQL: &str = include_str!("sql/has_equality.sql");
        let found = self.transaction.query(SQL, &[&relation.to_string()]).await?;
        let has_equality = |name: &str| found.iter().any(|row| row.get::<_, &str>(0) == name && row.get(1));
        let compared = |name: &str| if has_equality(name) { quote(name) } else { format!("{}::text", quote(name)) };
        Ok(wanted.columns.iter().map(|(name, ..)| compared(name)).collect())
    }

    /// The foreign keys of other tables to this one: table, name, definition.
    async fn foreign_keys_to(&self, relation: &Relation) -> anyhow::Result<Vec<(String, String, String)>> {
        let found = self.transaction.query(include_str!("sql/foreign_keys_to.sql"), &[&relation.to_string()]).await?;
        Ok(found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }
}

/// The name that a constraint of the template would have if it had been created in the table's place.
fn own_name(template: &Relation, relation: &Relation, name: &str) -> String {
    name.replacen(template.identifier.as_str(), &relation.identifier, 1)
}
