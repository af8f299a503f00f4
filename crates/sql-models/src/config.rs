//! A model's settings. They come from `dbt_project.yml` (by folder), from its properties and from its own `config(…)`.
//! The later one wins; hooks add up.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::error::{Place, ReadError};
use crate::yaml::has_jinja;

/// The settings of one place of the project, by name.
pub(crate) type Settings = BTreeMap<String, (Place, Json)>;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) is_disabled: bool,
    pub(crate) materialized: Materialized,
    pub(crate) schema: Option<String>,
    pub(crate) unique_key: Vec<String>,
    pub(crate) strategy: Strategy,
    pub(crate) fails_on_schema_change: bool,
    pub(crate) indexes: Vec<Index>,
    pub(crate) is_contract_enforced: bool,
    pub(crate) persist_relation_docs: bool,
    pub(crate) persist_column_docs: bool,
    pub(crate) pre_hooks: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Materialized {
    #[default]
    View,
    Table,
    Incremental,
}

/// How an incremental model's new rows get into its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// dbt-postgres' own choice for a model with a unique key.
    #[default]
    DeleteInsert,
    Merge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) columns: Vec<String>,
    pub(crate) is_unique: bool,
    /// Such as `brin`; `None` leaves the choice to PostgreSQL.
    pub(crate) method: Option<String>,
}

impl Config {
    /// Merges the layers, the strongest last.
    ///
    /// # Errors
    /// When a setting is unknown, is not supported, or has a value that it can't have.
    pub(crate) fn of<'a>(layers: impl IntoIterator<Item = &'a Settings>) -> Result<Self, ReadError> {
        let mut config = Self::default();
        for (name, (place, value)) in layers.into_iter().flatten() {
            config.set(name, value).map_err(|why| place.error(format!("{name}: {why}")))?;
        }
        Ok(config)
    }

    fn set(&mut self, name: &str, value: &Json) -> Result<(), String> {
        if let Some(advice) = advice(name) {
            return Err(format!("not supported here: {advice}"));
        }
        if !matches!(name, "pre_hook" | "pre-hook") && has_jinja(&value.to_string()) {
            return Err("Jinja is not rendered here".to_owned());
        }
        match name {
            "enabled" => self.is_disabled = !boolean(value)?,
            "materialized" => {
                self.materialized = match text(value)?.as_str() {
                    "view" => Materialized::View,
                    "table" => Materialized::Table,
                    "incremental" => Materialized::Incremental,
                    "ephemeral" => return Err("ephemeral is not supported here: use view".to_owned()),
                    other => return Err(format!("{other} is not known: use view, table or incremental")),
                }
            }
            "schema" => self.schema = optional(value)?,
            "unique_key" => self.unique_key = texts(value)?,
            "incremental_strategy" => {
                self.strategy = match text(value)?.as_str() {
                    "delete+insert" => Strategy::DeleteInsert,
                    "merge" => Strategy::Merge,
                    "append" => return Err("append is not supported here: use merge or delete+insert".to_owned()),
                    other => return Err(format!("{other} is not known: use merge or delete+insert")),
                }
            }
            "on_schema_change" => {
                self.fails_on_schema_change = match text(value)?.as_str() {
                    "ignore" => false,
                    "fail" => true,
                    other => return Err(format!("{other} is not taken: use ignore or fail, and a full refresh")),
                }
            }
            "indexes" => self.indexes = list(value)?.iter().map(index).collect::<Result<_, _>>()?,
            "contract" => self.is_contract_enforced = flag(value, "enforced")?,
            "persist_docs" => {
                self.persist_relation_docs = flag(value, "relation")?;
                self.persist_column_docs = flag(value, "columns")?;
            }
            "pre_hook" | "pre-hook" => self.pre_hooks.extend(texts(value)?),
            // They do not change what is built.
            "tags" | "meta" | "docs" => {}
            _ => return Err("this setting is not known here".to_owned()),
        }
        Ok(())
    }
}

/// What to do instead of a setting that dbt has and this crate has not.
fn advice(setting: &str) -> Option<&'static str> {
    Some(match setting {
        "alias" => "give the model's file the name of the table",
        "full_refresh" => "use materialized='table' for a model that is always built from all rows",
        "incremental_predicates" => {
            "limit the rows in the model's query, and add an index that begins with the unique_key"
        }
        "merge_exclude_columns" | "merge_update_columns" => {
            "a merge writes all columns; select from {{ this }} what has to stay"
        }
        "post_hook" | "post-hook" => "use a pre_hook, or a model that refers to this one",
        "unlogged" => "leave it out, every table is logged",
        _ => return None,
    })
}

fn index(value: &Json) -> Result<Index, String> {
    let mut index = Index { columns: Vec::new(), is_unique: false, method: None };
    for (name, value) in value.as_object().ok_or("expected columns, unique and type")? {
        match name.as_str() {
            "columns" => index.columns = texts(value)?,
            "unique" => index.is_unique = boolean(value)?,
            "type" => index.method = optional(value)?,
            _ => return Err(format!("an index has columns, unique and type, not {name}")),
        }
    }
    if index.columns.is_empty() {
        return Err("an index needs columns".to_owned());
    }
    Ok(index)
}

/// A flag of a setting that is a mapping of flags; the default is false.
fn flag(value: &Json, name: &str) -> Result<bool, String> {
    let flags = value.as_object().ok_or_else(|| format!("expected a mapping with {name}"))?;
    for known in flags.keys() {
        if !matches!(known.as_str(), "enforced" | "relation" | "columns" | "alias_types") {
            return Err(format!("{known} is not known here"));
        }
    }
    flags.get(name).map_or(Ok(false), boolean)
}

fn boolean(value: &Json) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "expected true or false".to_owned())
}

fn text(value: &Json) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "expected a text".to_owned())
}

fn optional(value: &Json) -> Result<Option<String>, String> {
    if value.is_null() { Ok(None) } else { text(value).map(Some) }
}

fn list(value: &Json) -> Result<&[Json], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| "expected a list".to_owned())
}

fn texts(value: &Json) -> Result<Vec<String>, String> {
    match value {
        Json::Array(values) => values.iter().map(text).collect(),
        Json::Null => Ok(Vec::new()),
        value => Ok(vec![text(value)?]),
    }
}
