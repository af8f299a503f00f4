//! What a model is configured to be: in `dbt_project.yml` by folder, in its properties, in its own `config(…)`; the later
//! wins, hooks add up.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::error::{Place, ReadError};
use crate::yaml::has_jinja;

/// Settings as they stand in one place of the project, by name.
pub(crate) type Settings = BTreeMap<String, (Place, Json)>;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) is_disabled: bool,
    pub(crate) materialized: Materialized,
    pub(crate) schema: Option<String>,
    pub(crate) alias: Option<String>,
    pub(crate) unique_key: Vec<String>,
    pub(crate) strategy: Option<Strategy>,
    pub(crate) merge_update_columns: Vec<String>,
    pub(crate) merge_exclude_columns: Vec<String>,
    pub(crate) incremental_predicates: Vec<String>,
    pub(crate) fails_on_schema_change: bool,
    pub(crate) full_refresh: Option<bool>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) is_contract_enforced: bool,
    pub(crate) is_unlogged: bool,
    pub(crate) persist_relation_docs: bool,
    pub(crate) persist_column_docs: bool,
    pub(crate) pre_hooks: Vec<String>,
    pub(crate) post_hooks: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Materialized {
    #[default]
    View,
    Table,
    Incremental,
    Ephemeral,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    Append,
    DeleteInsert,
    Merge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) columns: Vec<String>,
    pub(crate) is_unique: bool,
    /// Such as `btree`; none: PostgreSQL's own choice.
    pub(crate) method: Option<String>,
}

impl Config {
    /// Puts the layers together, the strongest last.
    ///
    /// # Errors
    /// When a setting is unknown, or can't be what it is.
    pub(crate) fn of<'a>(layers: impl IntoIterator<Item = &'a Settings>) -> Result<Self, ReadError> {
        let mut config = Self::default();
        for (name, (place, value)) in layers.into_iter().flatten() {
            config.set(name, value).map_err(|why| place.error(format!("{name}: {why}")))?;
        }
        Ok(config)
    }

    /// How an incremental model's new rows go into its table: dbt-postgres' choice where none is made.
    pub(crate) fn strategy(&self) -> Strategy {
        match self.strategy {
            Some(strategy) => strategy,
            None if self.unique_key.is_empty() => Strategy::Append,
            None => Strategy::DeleteInsert,
        }
    }

    fn set(&mut self, name: &str, value: &Json) -> Result<(), String> {
        let is_hook = matches!(name, "pre_hook" | "pre-hook" | "post_hook" | "post-hook");
        if !is_hook && has_jinja(&value.to_string()) {
            return Err("Jinja is not rendered here".to_owned());
        }
        match name {
            "enabled" => self.is_disabled = !boolean(value)?,
            "materialized" => {
                self.materialized = match text(value)?.as_str() {
                    "view" => Materialized::View,
                    "table" => Materialized::Table,
                    "incremental" => Materialized::Incremental,
                    "ephemeral" => Materialized::Ephemeral,
                    other => return Err(format!("{other} is not known: use view, table, incremental or ephemeral")),
                }
            }
            "schema" => self.schema = optional(value)?,
            "alias" => self.alias = optional(value)?,
            "unique_key" => self.unique_key = texts(value)?,
            "incremental_strategy" => {
                self.strategy = Some(match text(value)?.as_str() {
                    "append" => Strategy::Append,
                    "delete+insert" => Strategy::DeleteInsert,
                    "merge" => Strategy::Merge,
                    other => return Err(format!("{other} is not known: use merge, delete+insert or append")),
                });
            }
            "merge_update_columns" => self.merge_update_columns = texts(value)?,
            "merge_exclude_columns" => self.merge_exclude_columns = texts(value)?,
            "incremental_predicates" => self.incremental_predicates = texts(value)?,
            "full_refresh" => self.full_refresh = if value.is_null() { None } else { Some(boolean(value)?) },
            "on_schema_change" => {
                self.fails_on_schema_change = match text(value)?.as_str() {
                    "ignore" => false,
                    "fail" => true,
                    other => return Err(format!("{other} is not taken: use ignore or fail, and a full refresh")),
                }
            }
            "indexes" => self.indexes = list(value)?.iter().map(index).collect::<Result<_, _>>()?,
            "contract" => self.is_contract_enforced = flag(value, "enforced")?,
            "unlogged" => self.is_unlogged = boolean(value)?,
            "persist_docs" => {
                self.persist_relation_docs = flag(value, "relation")?;
                self.persist_column_docs = flag(value, "columns")?;
            }
            "pre_hook" | "pre-hook" => self.pre_hooks.extend(texts(value)?),
            "post_hook" | "post-hook" => self.post_hooks.extend(texts(value)?),
            // They say nothing of what is built.
            "tags" | "meta" | "docs" => {}
            _ => return Err("this setting is not known here".to_owned()),
        }
        Ok(())
    }
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

/// One of the settings that are mappings of flags; what is not said is false.
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
