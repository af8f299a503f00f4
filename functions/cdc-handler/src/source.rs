//! Checks the CRM's database for settings that would lose changes; `trunkline init` reports them.

use std::collections::BTreeMap;

use anyhow::Context;
use postgres_pool::{Names, Pool};
use serde::Deserialize;

use crate::config::{OptionalColumns, Topics};
use crate::table::{Column, Kind, TABLES, Table};

/// The publication and the replication slot that `connector.json` names.
const PUBLICATION: &str = "trunkline_crm";
const SLOT: &str = "trunkline_crm";

#[derive(Debug, Deserialize)]
struct Source {
    wal_level: String,
    slot: Option<Slot>,
    publication: Option<Publication>,
    tables: Option<Vec<Facts>>,
}

#[derive(Debug, Deserialize)]
struct Slot {
    wal_status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Publication {
    pubinsert: bool,
    pubupdate: bool,
    pubdelete: bool,
    pubtruncate: bool,
    pubviaroot: bool,
}

/// What the database says of a table.
#[derive(Debug, Deserialize)]
struct Facts {
    name: String,
    is_table: bool,
    is_partitioned: bool,
    has_children: bool,
    key: Option<Vec<String>>,
    columns: BTreeMap<String, SourceColumn>,
    /// Itself or, if it is partitioned, its partitions.
    holders: Option<Vec<Holder>>,
    published: Option<Published>,
}

#[derive(Debug, Deserialize)]
struct SourceColumn {
    #[serde(rename = "type")]
    kind: String,
    is_generated: bool,
}

#[derive(Debug, Deserialize)]
struct Holder {
    name: String,
    identity: char,
    is_unlogged: bool,
}

/// Since PostgreSQL 15 a part of a table can be published.
#[derive(Debug, Deserialize)]
struct Published {
    attnames: Option<Vec<String>>,
    rowfilter: Option<String>,
}

/// Checks the CRM's database. Each finding would lose changes, or have them rejected; it says what to do.
///
/// # Errors
/// When the database can't be reached or refuses.
pub async fn check_source(
    database_url: &str,
    topics: &Topics,
    optional: &OptionalColumns,
) -> anyhow::Result<Vec<String>> {
    let pool = Pool::new(database_url, Names { variable: "CRM_DATABASE_URL", service: "the CRM's database" })?;
    let schema = topics.schema();
    let tables = TABLES.each_ref().map(|table| table.name).to_vec();
    let rows = pool.query(include_str!("source.sql"), &[&schema, &tables, &PUBLICATION, &SLOT]).await?;
    let row = rows.first().context("the CRM's database does not tell of its tables")?;
    let source =
        serde_json::from_value(row.try_get(0)?).context("the CRM's database tells of its tables in another way")?;
    Ok(findings(&source, schema, optional))
}

fn findings(source: &Source, schema: &str, optional: &OptionalColumns) -> Vec<String> {
    let mut findings = Vec::new();
    if source.wal_level != "logical" {
        findings.push(format!("wal_level is {}: set it to logical, or no change is told", source.wal_level));
    }
    if source.slot.as_ref().is_some_and(|slot| slot.wal_status.as_deref() == Some("lost")) {
        findings.push(format!(
            "the replication slot {SLOT} is lost, and changes with it: docs/operations.md says what to do"
        ));
    }
    if let Some(publication) = &source.publication {
        let operations = publication.left_out();
        if !operations.is_empty() {
            findings.push(format!(
                "the publication {PUBLICATION} leaves out {}: ALTER PUBLICATION {PUBLICATION} \
                 SET (publish = 'insert, update, delete, truncate')",
                operations.join(", ")
            ));
        }
    }
    for table in &TABLES {
        let facts = source.tables.iter().flatten().find(|facts| facts.name == table.name);
        let of_table = match facts {
            Some(facts) if facts.is_table => facts.findings(table, schema, source.publication.as_ref(), optional),
            _ => vec![format!("there is no such table in the schema {schema}: see CRM_TOPIC_PREFIX")],
        };
        findings.extend(of_table.into_iter().map(|finding| format!("{}: {finding}", table.name)));
    }
    findings
}

impl Publication {
    fn left_out(&self) -> Vec<&'static str> {
        let operations = [
            (self.pubinsert, "INSERT"),
            (self.pubupdate, "UPDATE"),
            (self.pubdelete, "DELETE"),
            (self.pubtruncate, "TRUNCATE"),
        ];
        operations.into_iter().filter(|(is_published, _)| !is_published).map(|(_, operation)| operation).collect()
    }
}

impl Facts {
    fn findings(
        &self,
        table: &Table,
        schema: &str,
        publication: Option<&Publication>,
        optional: &OptionalColumns,
    ) -> Vec<String> {
        let mut findings = Vec::new();
        match self.key.as_deref() {
            None => findings.push(format!("it has no primary key: make {} one", table.key)),
            Some([key]) if key == table.key => {}
            Some(key) => findings.push(format!(
                "its primary key is ({}) and not {} alone: its changes are rejected",
                key.join(", "),
                table.key
            )),
        }
        if self.has_children {
            findings.push("tables inherit from it, and their rows are not followed".to_owned());
        }
        findings.extend(self.holders.iter().flatten().filter_map(|holder| holder.finding(schema)));
        findings.extend(table.columns.iter().filter_map(|column| self.column_finding(table, column, optional)));
        findings
            .extend(publication.and_then(|publication| self.publication_finding(table, schema, publication, optional)));
        findings
    }

    fn column_finding(&self, table: &Table, column: &Column, optional: &OptionalColumns) -> Option<String> {
        let name = column.name;
        match self.columns.get(name) {
            None if optional.has(table, column) => None,
            None => {
                Some(format!("it has no column {name}: its rows are rejected, unless CRM_OPTIONAL_COLUMNS names it"))
            }
            Some(known) if known.is_generated && !optional.has(table, column) => Some(format!(
                "{name} is a generated column, which snapshots tell and changes don't: its changes are rejected, unless \
                 CRM_OPTIONAL_COLUMNS names it"
            )),
            Some(known) if !known.can_be(column.kind) => {
                Some(format!("{name} is {}, which can't be read as {}: its rows are rejected", known.kind, column.kind))
            }
            Some(_) => None,
        }
    }

    fn publication_finding(
        &self,
        table: &Table,
        schema: &str,
        publication: &Publication,
        optional: &OptionalColumns,
    ) -> Option<String> {
        if self.is_partitioned && !publication.pubviaroot {
            return Some(format!(
                "it is partitioned, and its changes are told under the partitions' names: \
                 ALTER PUBLICATION {PUBLICATION} SET (publish_via_partition_root = true)"
            ));
        }
        let Some(published) = &self.published else {
            return Some(format!(
                "it is not in the publication: ALTER PUBLICATION {PUBLICATION} ADD TABLE {schema}.{}",
                table.name
            ));
        };
        if published.rowfilter.is_some() {
            return Some(
                "the publication filters its rows, so changes are lost: add the table without WHERE".to_owned(),
            );
        }
        let names = published.attnames.as_ref();
        let is_published = |name: &str| names.is_none_or(|names| names.iter().any(|known| known == name));
        let is_told = |name: &str| self.columns.get(name).is_some_and(|known| !known.is_generated);
        let left_out = table.columns.iter().filter(|column| !optional.has(table, column)).map(|column| column.name);
        let left_out: Vec<_> = left_out.filter(|name| is_told(name) && !is_published(name)).collect();
        (!left_out.is_empty())
            .then(|| format!("the publication leaves out its {}: its changes are rejected", left_out.join(", ")))
    }
}

impl Holder {
    fn finding(&self, schema: &str) -> Option<String> {
        let name = &self.name;
        let set = format!("ALTER TABLE {schema}.{name} REPLICA IDENTITY DEFAULT");
        match self.identity {
            _ if self.is_unlogged => {
                Some(format!("{name} is unlogged, so nothing of it is told: ALTER TABLE {schema}.{name} SET LOGGED"))
            }
            'i' => Some(format!("{name} has REPLICA IDENTITY USING INDEX, so its deletions don't tell the key: {set}")),
            'n' => Some(format!("{name} has REPLICA IDENTITY NOTHING: once published, it can't be changed: {set}")),
            _ => None,
        }
    }
}

impl SourceColumn {
    /// Whether this kind can be read from what Debezium writes with the settings of `connector.json`.
    fn can_be(&self, kind: Kind) -> bool {
        let whole = ["int2", "int4", "int8", "numeric"];
        let text = ["text", "varchar", "bpchar", "citext"];
        let others: &[&str] = match kind {
            Kind::Text => &["bool", "enum", "json", "jsonb", "uuid", "xml"],
            Kind::Integer => &[],
            Kind::Time => &["timestamptz", "timestamp", "date"],
        };
        let is_one_of = |names: &[&str]| names.contains(&self.kind.as_str());
        is_one_of(others) || is_one_of(&text) || (kind != Kind::Time && is_one_of(&whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_connectors() {
        let connector: serde_json::Value = serde_json::from_str(include_str!("../connector.json")).unwrap();
        assert_eq!(connector["config"]["publication.name"], PUBLICATION);
        assert_eq!(connector["config"]["slot.name"], SLOT);
    }
}
