//! The statements that create tables and bring rows into them, as dbt-postgres writes them.

use crate::config::{Config, Index, Strategy};
use crate::error::ReadError;
use crate::model::Model;
use crate::properties::{Column, Constraint, ConstraintKind};
use crate::render::{Jinja, Relation, Scope, Template, quote};

/// PostgreSQL silently cuts longer names.
const MAX_NAME_BYTES: usize = 63;
/// The end of an intermediate relation's name.
const INTERMEDIATE: &str = "__dbt_tmp";

/// The name of the intermediate relation from which a relation is built.
pub(crate) fn intermediate(identifier: &str) -> String {
    let mut end = identifier.len().min(MAX_NAME_BYTES - INTERMEDIATE.len());
    while !identifier.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{INTERMEDIATE}", &identifier[..end])
}

/// The statements that create a table from a query.
pub(crate) struct Table {
    /// Creates it; without `insert`, also writes its rows.
    create: String,
    /// Writes the rows.
    insert: Option<String>,
    /// Adds keys, references and indexes: with all rows there, that is cheaper than row by row.
    pub(crate) finish: Vec<String>,
}

impl Table {
    /// The statements that create it with its rows; the last one writes them.
    pub(crate) fn filled(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.create).chain(self.insert.as_deref())
    }

    /// The statement that creates it without rows.
    pub(crate) fn empty(&self) -> String {
        let with_no_data = if self.insert.is_none() { " with no data" } else { "" };
        format!("{}{with_no_data}", self.create)
    }
}

/// How a model's table is created from its query.
pub(crate) fn create_table(
    jinja: &Jinja,
    model: &Model,
    scope: &Scope,
    table: &Relation,
    query: &str,
) -> Result<Table, ReadError> {
    let indexes = model.config.indexes.iter().map(|index| create_index(table, index));
    let Some(properties) = model.properties.as_ref().filter(|_| model.config.is_contract_enforced) else {
        let create = format!("create table {table} as (\n{query}\n)");
        return Ok(Table { create, insert: None, finish: indexes.collect() });
    };
    let (mut parts, mut finish) = (Vec::new(), Vec::new());
    for column in &properties.columns {
        let mut part = format!("{} {}", column.name, column.data_type.as_deref().unwrap_or_default());
        for constraint in &column.constraints {
            if is_of_all_rows(constraint) {
                let of_model = Constraint { columns: vec![column.name.clone()], ..constraint.clone() };
                finish.push(model_constraint(jinja, scope, &of_model)?);
            } else {
                part.push(' ');
                part.push_str(&column_constraint(constraint));
            }
        }
        parts.push(part);
    }
    for constraint in &properties.constraints {
        let place = if is_of_all_rows(constraint) { &mut finish } else { &mut parts };
        place.push(model_constraint(jinja, scope, constraint)?);
    }
    let columns = names(&properties.columns);
    let create = format!("create table {table} (\n{}\n)", parts.join(",\n"));
    let insert = format!("insert into {table} ({columns}) select {columns} from (\n{query}\n) as model_subq");
    let constraints = finish.iter().map(|constraint| format!("alter table {table} add {constraint}"));
    Ok(Table { create, insert: Some(insert), finish: constraints.chain(indexes).collect() })
}

/// Whether a constraint needs an index or another table, so that it is added after the rows.
fn is_of_all_rows(constraint: &Constraint) -> bool {
    matches!(constraint.kind, ConstraintKind::Unique | ConstraintKind::PrimaryKey | ConstraintKind::ForeignKey)
}

/// The names of a contract's columns, separated by commas.
fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// A query without rows that has the contract's columns and types.
pub(crate) fn contract(columns: &[Column]) -> String {
    let columns: Vec<_> = columns
        .iter()
        .map(|column| format!("cast(null as {}) as {}", column.data_type.as_deref().unwrap_or_default(), column.name))
        .collect();
    format!("select {} limit 0", columns.join(", "))
}

fn references(jinja: &Jinja, scope: &Scope, constraint: &Constraint) -> Result<String, ReadError> {
    let Some((to, columns)) = &constraint.to else {
        return Ok(format!("references {}", constraint.expression.as_deref().unwrap_or_default()));
    };
    let text = format!("{{{{ {to} }}}}");
    let template = Template { file: &constraint.place.file, line: constraint.place.line, text: &text };
    Ok(format!("references {} ({})", jinja.render(template, scope)?, columns.join(", ")))
}

fn column_constraint(constraint: &Constraint) -> String {
    let expression = constraint.expression.as_deref().unwrap_or_default();
    match constraint.kind {
        ConstraintKind::NotNull => format!("not null {expression}"),
        ConstraintKind::Check => format!("check ({expression})"),
        _ => expression.to_owned(),
    }
}

fn model_constraint(jinja: &Jinja, scope: &Scope, constraint: &Constraint) -> Result<String, ReadError> {
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
            format!("foreign key ({columns}) {}", references(jinja, scope, constraint)?)
        }
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
    let columns: Vec<_> = columns.iter().map(|column| quote(column)).collect();
    match config.strategy {
        Strategy::DeleteInsert => {
            let (key, list) = (config.unique_key.join(", "), columns.join(", "));
            vec![
                format!(
                    "delete from {table} as dbt_internal_dest \
                     where ({key}) in (select distinct {key} from {new} as dbt_internal_source)"
                ),
                format!("insert into {table} ({list}) select {list} from {new}"),
            ]
        }
        Strategy::Merge => vec![merge(config, table, new, &columns)],
    }
}

fn merge(config: &Config, table: &Relation, new: &str, columns: &[String]) -> String {
    let on = config.unique_key.iter().map(|key| format!("dbt_internal_source.{key} = dbt_internal_dest.{key}"));
    let set = columns.iter().map(|column| format!("{column} = dbt_internal_source.{column}"));
    let values = columns.iter().map(|column| format!("dbt_internal_source.{column}"));
    format!(
        "merge into {table} as dbt_internal_dest using {new} as dbt_internal_source on {} \
         when matched then update set {} when not matched then insert ({}) values ({})",
        on.collect::<Vec<_>>().join(" and "),
        set.collect::<Vec<_>>().join(", "),
        columns.join(", "),
        values.collect::<Vec<_>>().join(", ")
    )
}
