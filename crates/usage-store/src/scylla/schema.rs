//! Making the store.

use anyhow::{Context, ensure};

use super::Scylla;
use super::connection::Connection;
use crate::{Buckets, UsageStore};

/// Of the tables in `schema.cql`. A store of another version is refused.
const VERSION: i32 = 1;

/// Replicas where there are enough nodes: a quorum outlives one of them.
const REPLICAS: usize = 3;

impl Scylla {
    /// Makes the keyspace and the tables; see [`Store::init`](crate::Store::init).
    ///
    /// # Errors
    /// As there.
    pub async fn init(&self, buckets: Buckets) -> anyhow::Result<()> {
        let connection = &self.connection;
        make(connection).await.context("making the tables of the usage store")?;
        for (name, value) in [("schema", VERSION), ("buckets", i32::from(buckets.number()))] {
            connection
                .query("INSERT INTO {keyspace}.settings (name, value) VALUES (?, ?) IF NOT EXISTS", &(name, value))
                .await?;
        }
        let made = self.buckets().await?;
        ensure!(
            made == buckets,
            "the usage store was made with {} buckets, which can't be changed to {}: make a new store",
            made.number(),
            buckets.number()
        );
        Ok(())
    }
}

/// Over how many buckets the store was made, if it is one that this version can use.
pub(super) async fn buckets(connection: &Connection) -> anyhow::Result<Buckets> {
    let version = setting(connection, "schema").await?;
    ensure!(
        version == VERSION,
        "the usage store was made by another version of Trunkline (schema {version}, this one has {VERSION})"
    );
    let number = setting(connection, "buckets").await?;
    let buckets = i16::try_from(number).ok().and_then(|number| Buckets::new(number).ok());
    buckets.with_context(|| format!("the usage store says that it has {number} buckets"))
}

async fn setting(connection: &Connection, name: &'static str) -> anyhow::Result<i32> {
    let rows = connection.query("SELECT value FROM {keyspace}.settings WHERE name = ?", &(name,)).await?;
    let (value,) =
        rows.maybe_first_row::<(i32,)>()?.context("the usage store has not been made: run `trunkline init`")?;
    Ok(value)
}

async fn make(connection: &Connection) -> anyhow::Result<()> {
    if !connection.has_keyspace().await? {
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
    }
    // A comment may hold a semicolon, but no end of a line.
    for statement in include_str!("schema.cql").split_terminator(";\n") {
        connection.define(statement).await?;
    }
    Ok(())
}
