//! Making the store, and bringing one of an earlier version up to date.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use stream::Lane;

use super::Scylla;
use super::connection::Connection;
use crate::rules::Design;
use crate::upkeep::left_to_count;
use crate::{Buckets, LaneProgress, REPUBLISH_WITHIN_MS, RecordRules, Setup, UsageStore};

/// Of the tables in `schema.cql`. A store of another version is refused.
const VERSION: i32 = 2;
/// The one before, which can be brought up to date.
const EARLIER_VERSION: i32 = 1;

/// Replicas where there are enough nodes: a quorum outlives one of them.
const REPLICAS: usize = 3;

/// What was added to the tables of the version before.
const ADDED_COLUMNS: [(&str, &str, &str); 2] = [("settings", "text", "text"), ("sources", "withdrawn_line", "bigint")];
/// And to the type of a file's counts.
const ADDED_COUNTS: [&str; 2] = ["first_line", "withdrawn"];

/// By what the store counts: one value, so that all of it changes at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Counting {
    pub(super) rules: RecordRules,
    /// By lane. One that is not there has been counted by these rules from its beginning.
    pub(super) rules_from: BTreeMap<String, i64>,
    pub(super) closed_before_ms: Option<i64>,
}

impl Scylla {
    /// Makes the keyspace and the tables; see [`Store::set_up`](crate::Store::set_up), which does more.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn make(&self, setup: &Setup) -> anyhow::Result<()> {
        let connection = &self.connection;
        make_keyspace(connection).await.context("making the tables of the usage store")?;
        if has_table(connection, "settings").await? && version(connection).await? == Some(EARLIER_VERSION) {
            self.upgrade(setup).await?;
        }
        make_tables(connection).await.context("making the tables of the usage store")?;
        let new = Counting { rules: setup.rules.clone(), rules_from: BTreeMap::new(), closed_before_ms: None };
        write_first_counting(connection, &new).await?;
        for (name, value) in [("buckets", i32::from(setup.buckets.number())), ("schema", VERSION)] {
            connection
                .query("INSERT INTO {keyspace}.settings (name, value) VALUES (?, ?) IF NOT EXISTS", &(name, value))
                .await?;
        }
        let made = self.buckets().await?;
        ensure!(
            made == setup.buckets,
            "the usage store was made with {} buckets, which can't be changed to {}: make a new store",
            made.number(),
            setup.buckets.number()
        );
        Ok(())
    }

    /// Where everything has been counted as it was read then. The version comes last: cut short, this is done again.
    async fn upgrade(&self, setup: &Setup) -> anyhow::Result<()> {
        let connection = &self.connection;
        let lanes = self.lanes().await?;
        let left = left_to_count::<Design>(&lanes, &setup.ends);
        ensure!(
            left.is_empty(),
            "the usage store was made by an earlier version of Trunkline, and records wait that are to be counted by that: {}. \
             Let it count them, stop everything, and run `trunkline init` again",
            left.join(", ")
        );
        add_columns(connection).await.context("bringing the tables of the usage store up to date")?;
        let counting = Counting {
            rules: setup.rules.clone(),
            rules_from: rules_from(&lanes),
            closed_before_ms: Some(setup.now_ms - REPUBLISH_WITHIN_MS),
        };
        write_first_counting(connection, &counting).await?;
        connection
            .query(
                "UPDATE {keyspace}.settings SET value = ? WHERE name = 'schema' IF value = ?",
                &(VERSION, EARLIER_VERSION),
            )
            .await?;
        Ok(())
    }
}

fn rules_from(lanes: &[(Lane, LaneProgress)]) -> BTreeMap<String, i64> {
    lanes.iter().map(|(lane, progress)| (lane.to_string(), progress.next_offset)).collect()
}

/// Over how many buckets the store was made, if it is one that this version can use.
pub(super) async fn buckets(connection: &Connection) -> anyhow::Result<Buckets> {
    match version(connection).await? {
        Some(VERSION) => {}
        Some(EARLIER_VERSION) => bail!(
            "the usage store was made by an earlier version of Trunkline: let that one count all that was delivered, stop \
             everything, and run `trunkline init`"
        ),
        Some(version) => bail!(
            "the usage store was made by another version of Trunkline (schema {version}, this one has {VERSION}): use that one"
        ),
        None => bail!("the usage store has not been made: run `trunkline init`"),
    }
    let number =
        setting(connection, "buckets").await?.context("the usage store does not say how many buckets it has")?;
    let buckets = i16::try_from(number).ok().and_then(|number| Buckets::new(number).ok());
    buckets.with_context(|| format!("the usage store says that it has {number} buckets"))
}

async fn version(connection: &Connection) -> anyhow::Result<Option<i32>> {
    setting(connection, "schema").await
}

async fn setting(connection: &Connection, name: &'static str) -> anyhow::Result<Option<i32>> {
    let rows = connection.query("SELECT value FROM {keyspace}.settings WHERE name = ?", &(name,)).await?;
    Ok(rows.maybe_first_row::<(Option<i32>,)>()?.and_then(|(value,)| value))
}

/// By what the store counts.
pub(super) async fn counting(connection: &Connection) -> anyhow::Result<Counting> {
    Ok(counting_text(connection).await?.1)
}

async fn counting_text(connection: &Connection) -> anyhow::Result<(String, Counting)> {
    let rows = connection.query("SELECT text FROM {keyspace}.settings WHERE name = 'counting'", &()).await?;
    let text = rows.maybe_first_row::<(Option<String>,)>()?.and_then(|(text,)| text);
    let text = text.context("the usage store does not say by what it counts: run `trunkline init`")?;
    let counting = serde_json::from_str(&text).context("the usage store says in a strange form by what it counts")?;
    Ok((text, counting))
}

async fn write_first_counting(connection: &Connection, counting: &Counting) -> anyhow::Result<()> {
    connection
        .query(
            "INSERT INTO {keyspace}.settings (name, text) VALUES ('counting', ?) IF NOT EXISTS",
            &(serde_json::to_string(counting)?,),
        )
        .await?;
    Ok(())
}

/// Lets the store count by other rules, unless somebody else has changed that meanwhile.
pub(super) async fn change_rules(
    connection: &Connection,
    rules: &RecordRules,
    from: &[(Lane, i64)],
) -> anyhow::Result<()> {
    let (text, counting) = counting_text(connection).await?;
    let rules_from = from.iter().map(|(lane, from)| (lane.to_string(), *from)).collect();
    let changed = serde_json::to_string(&Counting { rules: rules.clone(), rules_from, ..counting })?;
    connection
        .query("UPDATE {keyspace}.settings SET text = ? WHERE name = 'counting' IF text = ?", &(&changed, text))
        .await?;
    let (text, _) = counting_text(connection).await?;
    ensure!(text == changed, "somebody else has changed the usage store's rules at this moment: run this again");
    Ok(())
}

async fn make_keyspace(connection: &Connection) -> anyhow::Result<()> {
    if connection.has_keyspace().await? {
        return Ok(());
    }
    let (datacenter, nodes) = connection.datacenter().await?;
    let keyspace = format!(
        "CREATE KEYSPACE IF NOT EXISTS {{keyspace}} \
         WITH replication = {{'class': 'NetworkTopologyStrategy', '{}': {}}}",
        datacenter.replace('\'', "''"),
        nodes.min(REPLICAS)
    );
    // ScyllaDB has no counters in tablets, or only in its newest versions. Who doesn't know tablets refuses them.
    let without_tablets = format!("{keyspace} AND tablets = {{'enabled': false}}");
    if connection.define(&without_tablets).await.is_err() {
        connection.define(&keyspace).await?;
    }
    Ok(())
}

async fn make_tables(connection: &Connection) -> anyhow::Result<()> {
    // A comment may hold a semicolon, but no end of a line.
    for statement in include_str!("schema.cql").split_terminator(";\n") {
        connection.define(statement).await?;
    }
    Ok(())
}

/// Rows that are there have no value in what is added: that is read as 0.
async fn add_columns(connection: &Connection) -> anyhow::Result<()> {
    for (table, column, kind) in ADDED_COLUMNS {
        if !columns(connection, table).await?.iter().any(|name| name == column) {
            connection.define(&format!("ALTER TABLE {{keyspace}}.{table} ADD {column} {kind}")).await?;
        }
    }
    let sql = "SELECT field_names FROM system_schema.types WHERE keyspace_name = ? AND type_name = 'file_count'";
    let rows = connection.query(sql, &(connection.keyspace(),)).await?;
    let fields = rows.maybe_first_row::<(Vec<String>,)>()?.map(|(fields,)| fields).unwrap_or_default();
    for field in ADDED_COUNTS {
        if !fields.iter().any(|name| name == field) {
            connection.define(&format!("ALTER TYPE {{keyspace}}.file_count ADD {field} bigint")).await?;
        }
    }
    Ok(())
}

async fn has_table(connection: &Connection, table: &str) -> anyhow::Result<bool> {
    Ok(!columns(connection, table).await?.is_empty())
}

async fn columns(connection: &Connection, table: &str) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT column_name FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?";
    let rows = connection.query(sql, &(connection.keyspace(), table)).await?;
    rows.rows::<(String,)>()?.map(|row| Ok(row?.0)).collect()
}
