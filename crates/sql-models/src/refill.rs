//! A table that is there becomes what its model's query gives, in its place: whoever reads it goes on reading, and what others
//! have made of it, or allowed on it, stays.

use crate::build::{Origin, Session};
use crate::project::Model;
use crate::render::{Relation, Scope, quote};
use crate::sql;

/// What a table has besides rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    /// Names, types, and whether they are not null.
    columns: Vec<(String, String, bool)>,
    /// Names and definitions.
    constraints: Vec<(String, String)>,
    /// Definitions, without names, of those that belong to no constraint.
    indexes: Vec<String>,
}

/// How rows are told apart.
enum Key {
    /// By the columns of the only unique index, none of which may be null.
    Columns(Vec<String>),
    /// Not at all: all of them are written again.
    None,
}

/// What a constraint's definition ends with that has not looked at older rows.
const NOT_VALID: &str = " NOT VALID";

impl Session<'_> {
    /// Writes the rows that differ, after the columns and before the constraints that the model has got since the table was made.
    /// Returns how many rows were written or deleted.
    pub(crate) async fn refill(
        &self,
        model: &Model,
        scope: &Scope,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<u64> {
        let Relation::Stored { schema, identifier } = &model.relation else { return Ok(0) };
        let name = sql::intermediate(identifier);
        let new = format!("pg_temp.{}", quote(&name));
        let create = format!("create temporary table {} on commit drop as (\n{query}\n)", &new["pg_temp.".len()..]);
        self.execute(&create, Some(origin)).await?;
        self.batch(&format!("analyze {new}")).await?;
        let template = Relation::stored(schema, &name);
        let wanted = self.wanted_shape(model, scope, &template, query, origin).await?;
        let relation = &model.relation;
        self.align_columns(relation, &wanted).await?;
        self.drop_constraints(relation, &wanted).await?;
        let written = self.write_rows(relation, &new, &wanted).await?;
        self.add_parts(relation, &template, &wanted).await?;
        if written > 0 {
            // The models after it are planned by what is in it.
            self.batch(&format!("analyze {relation}")).await?;
        }
        Ok(written)
    }

    /// What the table would be if it were made now. It is, beside it and without rows, and then has never been: to drop it would lock
    /// the tables that it refers to.
    async fn wanted_shape(
        &self,
        model: &Model,
        scope: &Scope,
        template: &Relation,
        query: &str,
        origin: &Origin<'_>,
    ) -> anyhow::Result<Shape> {
        let table = sql::create_table(self.job.project, model, scope, template, query)?;
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
        const COLUMNS: &str = "select attname::text, format_type(atttypid, atttypmod), attnotnull from pg_attribute \
             where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum";
        // Not null is told with the columns.
        const CONSTRAINTS: &str = "select conname::text, pg_get_constraintdef(oid) from pg_constraint \
             where conrelid = $1::text::regclass and contype in ('c', 'f', 'p', 'u', 'x') order by 1";
        const INDEXES: &str = "select replace(replace(pg_get_indexdef(indexrelid), \
                 quote_ident(named.relname), '?'), format('%I.%I', relnamespace::regnamespace, relation.relname), '?') \
             from pg_index join pg_class as relation on relation.oid = indrelid \
             join lateral (select relname from pg_class where oid = indexrelid) as named on true \
             where indrelid = $1::text::regclass and indisvalid \
                 and not exists (select from pg_constraint where conindid = indexrelid and conrelid = indrelid) \
             order by 1";
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

    /// Gives the table the model's columns. One of another type goes and comes again, as all of its values are written.
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
            let views = self.lift_views(relation).await?;
            self.batch(&format!("alter table {relation} {}", drop.join(", "))).await?;
            if !add.is_empty() {
                self.batch(&format!("alter table {relation} {}", add.join(", "))).await?;
            }
            return self.put_back_views(views).await;
        }
        if !add.is_empty() {
            self.batch(&format!("alter table {relation} {}", add.join(", "))).await?;
        }
        Ok(())
    }

    /// What the model does not demand any more must not refuse its rows.
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

    /// Adds what the table lacks. Indexes that are not the model's are left to whoever has made them.
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
                    let name = self.own_name(template, relation, name);
                    statements.push(format!("alter table {relation} add constraint {} {definition}", quote(&name)));
                    names.push(name);
                }
            }
        }
        for definition in &wanted.indexes {
            let count = |indexes: &[String]| indexes.iter().filter(|other| *other == definition).count();
            if count(&has.indexes) == 0 {
                // The server finds a name for it.
                statements.push(definition.replacen(" ? ON ?", &format!(" ON {relation}"), 1));
            }
        }
        if statements.is_empty() { Ok(()) } else { self.batch(&statements.join(";\n")).await }
    }

    /// The name that a part of the template would have had if it had been made in the table's place.
    fn own_name(&self, template: &Relation, relation: &Relation, name: &str) -> String {
        match (template, relation) {
            (Relation::Stored { identifier: from, .. }, Relation::Stored { identifier: to, .. }) => {
                name.replacen(from.as_str(), to, 1)
            }
            _ => name.to_owned(),
        }
    }

    /// Deletes, updates and inserts what differs from the new rows.
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

    /// Deletes rows; what refers to them is checked again when that table is made anew.
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

    /// Two unique indexes could contradict one another while rows are changed one by one.
    async fn key(&self, relation: &Relation) -> anyhow::Result<Key> {
        const SQL: &str = "select array_agg(attname::text order by nth), bool_and(attnotnull), indpred is null \
             from pg_index cross join unnest(indkey::int2[]) with ordinality as part (number, nth) \
             left join pg_attribute on attrelid = indrelid and attnum = number \
             where indrelid = $1::text::regclass and indisunique and indisvalid and nth <= indnkeyatts \
             group by indexrelid, indpred is null";
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

    /// The columns as they are compared: by their type's own equality where it has one, else as text.
    async fn compared(&self, relation: &Relation, wanted: &Shape) -> anyhow::Result<Vec<String>> {
        const SQL: &str = "select attname::text, exists (select from pg_operator \
                 where oprname = '=' and oprleft = atttypid and oprright = atttypid and oprcanhash) \
             from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped";
        let found = self.transaction.query(SQL, &[&relation.to_string()]).await?;
        let has_equality = |name: &str| found.iter().any(|row| row.get::<_, &str>(0) == name && row.get(1));
        let compared = |name: &str| if has_equality(name) { quote(name) } else { format!("{}::text", quote(name)) };
        Ok(wanted.columns.iter().map(|(name, ..)| compared(name)).collect())
    }
}
