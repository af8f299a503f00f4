//! The statements that make relations, as dbt-postgres makes them.

use crate::config::{Config, Index, Strategy};
use crate::error::ReadError;
use crate::project::{Model, Project};
use crate::properties::{Column, Constraint, ConstraintKind};
use crate::render::{Relation, Scope, Template, quote};

/// PostgreSQL cuts longer names without a word.
const MAX_NAME_BYTES: usize = 63;
/// What is behind the name of a table while it is built.
pub(crate) const INTERMEDIATE: &str = "__dbt_tmp";

/// The name of what a relation is while it is built.
pub(crate) fn intermediate(identifier: &str) -> String {
    let mut end = identifier.len().min(MAX_NAME_BYTES - INTERMEDIATE.len());
    while !identifier.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{INTERMEDIATE}", &identifier[..end])
}

/// How a table is made of a query's rows.
pub(crate) struct Table {
    /// Makes it, with its rows where nothing else writes them.
    create: String,
    /// Writes the rows.
    insert: Option<String>,
    /// What is cheaper to make of all rows than with each: keys with their indexes, references, other indexes.
    pub(crate) finish: Vec<String>,
}

impl Table {
    /// What makes it with its rows; the last one writes them.
    pub(crate) fn filled(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.create).chain(self.insert.as_deref())
    }

    /// What makes it without rows.
    pub(crate) fn empty(&self) -> String {
        let with_no_data = if self.insert.is_none() { " with no data" } else { "" };
        format!("{}{with_no_data}", self.create)
    }
}

/// Makes a table of a query's rows.
pub(crate) fn create_table(
    project: &Project,
    model: &Model,
    scope: &Scope,
    table: &Relation,
    query: &str,
) -> Result<Table, ReadError> {
    let unlogged = if model.config.is_unlogged { "unlogged " } else { "" };
    let indexes = model.config.indexes.iter().map(|index| create_index(table, index));
    let Some(properties) = model.properties.as_ref().filter(|_| model.config.is_contract_enforced) else {
        let create = format!("create {unlogged}table {table} as (\n{query}\n)");
        return Ok(Table { create, insert: None, finish: indexes.collect() });
    };
    let (mut parts, mut finish) = (Vec::new(), Vec::new());
    for column in &properties.columns {
        let mut part = format!("{} {}", column.name, column.data_type.as_deref().unwrap_or_default());
        for constraint in &column.constraints {
            if is_of_all_rows(constraint) {
                let of_model = Constraint { columns: vec![column.name.clone()], ..constraint.clone() };
                finish.push(model_constraint(project, scope, &of_model)?);
            } else {
                part.push(' ');
                part.push_str(&column_constraint(constraint));
            }
        }
        parts.push(part);
    }
    for constraint in &properties.constraints {
        let place = if is_of_all_rows(constraint) { &mut finish } else { &mut parts };
        place.push(model_constraint(project, scope, constraint)?);
    }
    let columns = names(&properties.columns);
    let create = format!("create {unlogged}table {table} (\n{}\n)", parts.join(",\n"));
    let insert = format!("insert into {table} ({columns}) select {columns} from (\n{query}\n) as model_subq");
    let constraints = finish.iter().map(|constraint| format!("alter table {table} add {constraint}"));
    Ok(Table { create, insert: Some(insert), finish: constraints.chain(indexes).collect() })
}

/// Whether a constraint is checked with an index, or against another table.
fn is_of_all_rows(constraint: &Constraint) -> bool {
    matches!(constraint.kind, ConstraintKind::Unique | ConstraintKind::PrimaryKey | ConstraintKind::ForeignKey)
}

/// The contract's columns, as a list.
fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// No rows, in the types that the contract says.
pub(crate) fn contract(columns: &[Column]) -> String {
    let columns: Vec<_> = columns
        .iter()
        .map(|column| format!("cast(null as {}) as {}", column.data_type.as_deref().unwrap_or_default(), column.name))
        .collect();
    format!("select {} limit 0", columns.join(", "))
}

fn references(project: &Project, scope: &Scope, constraint: &Constraint) -> Result<String, ReadError> {
    let Some((to, columns)) = &constraint.to else {
        return Ok(format!("references {}", constraint.expression.as_deref().unwrap_or_default()));
    };
    let text = format!("{{{{ {to} }}}}");
    let template = Template { file: &constraint.place.file, line: constraint.place.line, text: &text };
    Ok(format!("references {} ({})", project.jinja.render(template, scope)?, columns.join(", ")))
}

fn column_constraint(constraint: &Constraint) -> String {
    let expression = constraint.expression.as_deref().unwrap_or_default();
    match constraint.kind {
        ConstraintKind::NotNull => format!("not null {expression}"),
        ConstraintKind::Check => format!("check ({expression})"),
        _ => expression.to_owned(),
    }
}

fn model_constraint(project: &Project, scope: &Scope, constraint: &Constraint) -> Result<String, ReadError> {
    let expression = constraint.expression.as_deref().unwrap_or_default();
    let columns = constraint.columns.join(", ");
    let body = match constraint.kind {
        ConstraintKind::NotNull => {
            return Err(constraint.place.error("not_null belongs to a column, not to the model"));
        }
        ConstraintKind::Unique => format!("unique {expression} ({columns})"),
        ConstraintKind::PrimaryKey => format!("primary key {expression} ({columns})"),
        ConstraintKind::Check => format!("check ({expression})"),
        ConstraintKind::ForeignKey => {
            format!("foreign key ({columns}) {}", references(project, scope, constraint)?)
        }
        ConstraintKind::Custom => expression.to_owned(),
    };
    Ok(match &constraint.name {
        Some(name) => format!("constraint {name} {body}"),
        None => body,
    })
}

fn create_index(table: &Relation, index: &Index) -> String {
    let unique = if index.is_unique { "unique " } else { "" };
    let method = index.method.as_ref().map(|method| format!(" using {method}")).unwrap_or_default();
    format!("create {unique}index on {table}{method} ({})", index.columns.join(", "))
}

/// Brings the rows of `new` into `table`, which has these columns.
pub(crate) fn upsert(config: &Config, table: &Relation, new: &str, columns: &[String]) -> Vec<String> {
    let list: Vec<_> = columns.iter().map(|column| quote(column)).collect();
    let list = list.join(", ");
    let insert = format!("insert into {table} ({list}) select {list} from {new}");
    match config.strategy() {
        Strategy::Append => vec![insert],
        Strategy::DeleteInsert => {
            let key = config.unique_key.join(", ");
            let mut delete = format!(
                "delete from {table} as DBT_INTERNAL_DEST \
                 where ({key}) in (select distinct {key} from {new} as DBT_INTERNAL_SOURCE)"
            );
            for predicate in &config.incremental_predicates {
                delete.push_str(&format!(" and {predicate}"));
            }
            vec![delete, insert]
        }
        Strategy::Merge => vec![merge(config, table, new, columns, &list)],
    }
}

fn merge(config: &Config, table: &Relation, new: &str, columns: &[String], list: &str) -> String {
    let mut on = config.incremental_predicates.clone();
    on.extend(config.unique_key.iter().map(|key| format!("DBT_INTERNAL_SOURCE.{key} = DBT_INTERNAL_DEST.{key}")));
    let is_updated = |column: &&String| {
        let is_in = |columns: &[String]| columns.iter().any(|other| other.eq_ignore_ascii_case(column));
        (config.merge_update_columns.is_empty() || is_in(&config.merge_update_columns))
            && !is_in(&config.merge_exclude_columns)
    };
    let set = columns.iter().filter(is_updated).map(|column| {
        let column = quote(column);
        format!("{column} = DBT_INTERNAL_SOURCE.{column}")
    });
    let set: Vec<_> = set.collect();
    let values: Vec<_> = columns.iter().map(|column| format!("DBT_INTERNAL_SOURCE.{}", quote(column))).collect();
    format!(
        "merge into {table} as DBT_INTERNAL_DEST using {new} as DBT_INTERNAL_SOURCE on ({}) \
         when matched then update set {} when not matched then insert ({list}) values ({})",
        on.join(") and ("),
        set.join(", "),
        values.join(", ")
    )
}

/// The query with what it refers to by name written in front.
pub(crate) fn with(inlines: &[(String, String)], query: &str) -> String {
    if inlines.is_empty() {
        return query.to_owned();
    }
    let inlines: Vec<_> = inlines.iter().map(|(name, query)| format!("{name} as (\n{query}\n)")).collect();
    let inlines = inlines.join(",\n");
    let at = after_comments(query);
    let word = |at: usize, word: &str| {
        let rest = &query[at..];
        let is_it = rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        (is_it && rest[word.len()..].starts_with(char::is_whitespace)).then_some(at + word.len())
    };
    let Some(mut at) = word(at, "with") else { return format!("with {inlines}\n{query}") };
    let next = at + query[at..].len() - query[at..].trim_start().len();
    at = word(next, "recursive").unwrap_or(at);
    format!("{} {inlines},{}", &query[..at], &query[at..])
}

/// Where the query's first word is.
fn after_comments(query: &str) -> usize {
    let mut rest = query;
    loop {
        rest = rest.trim_start();
        let end = if rest.starts_with("--") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 2)
        } else {
            None
        };
        match end {
            Some(end) => rest = &rest[end..],
            None => return query.len() - rest.len(),
        }
    }
}
