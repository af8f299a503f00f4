//! Changes become rows: one transaction for an event, a few statements for a table.

use std::collections::BTreeMap;

use anyhow::ensure;
use jiff::Timestamp;
use postgres_pool::{Pool, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::change::Change;
use crate::history::{Version, complete};
use crate::moment::{Moment, Position};
use crate::sql;
use crate::table::Table;

/// What happened to one table in an event: a set, so that it does not matter in which order or how often it came.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) table: &'static Table,
    rows: BTreeMap<i64, BTreeMap<Position, Version>>,
    /// By key and place.
    deletions: BTreeMap<(i64, Position), Timestamp>,
    truncations: BTreeMap<Position, Timestamp>,
    /// How far the table comes with it: the highest place, and the latest time, which need not be the same change's.
    reach: Option<(i64, Timestamp)>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Versions that are new, or have another end or value than before.
    pub(crate) versions: u64,
    /// Versions with a value that was not told, by the change or any before it.
    pub(crate) incomplete: u64,
}

impl Changes {
    pub(crate) fn of(table: &'static Table) -> Self {
        Self { table, rows: BTreeMap::new(), deletions: BTreeMap::new(), truncations: BTreeMap::new(), reach: None }
    }

    pub(crate) fn add(&mut self, change: Change) {
        let moment = match change {
            Change::Row { key, op, moment, cells } => {
                let version = Version::new(moment, op.letter(), cells);
                self.rows.entry(key).or_default().insert(moment.position, version);
                moment
            }
            Change::Deleted { key, moment } => {
                self.deletions.insert((key, moment.position), moment.at);
                moment
            }
            Change::Truncated { moment } => {
                self.truncations.insert(moment.position, moment.at);
                moment
            }
        };
        let (stream_lsn, at) = self.reach.unwrap_or((moment.position.stream_lsn, moment.at));
        self.reach = Some((stream_lsn.max(moment.position.stream_lsn), at.max(moment.at)));
    }

    /// Of each row that is touched, the oldest change: what is before it stays as it is.
    fn since(&self) -> BTreeMap<i64, Position> {
        let versions = self.rows.iter().filter_map(|(key, versions)| Some((*key, *versions.keys().next()?)));
        let deletions = self.deletions.keys().copied();
        let mut since = BTreeMap::new();
        for (key, position) in versions.chain(deletions) {
            let oldest = since.entry(key).or_insert(position);
            *oldest = position.min(*oldest);
        }
        since
    }
}

/// Writes an event's changes, all or none.
///
/// # Errors
/// When the database can't be reached or refuses.
pub(crate) async fn apply(pool: &Pool, changes: &[Changes]) -> anyhow::Result<Written> {
    pool.transaction(changes, |transaction, changes| Box::pin(apply_all(transaction, changes))).await
}

async fn apply_all(transaction: &Transaction<'_>, changes: &[Changes]) -> anyhow::Result<Written> {
    let mut written = Written::default();
    // Always in the order of `TABLES`, so that two events never wait for one another.
    for changes in changes {
        let table = apply_to_table(transaction, changes).await?;
        written.versions += table.versions;
        written.incomplete += table.incomplete;
    }
    Ok(written)
}

async fn apply_to_table(transaction: &Transaction<'_>, changes: &Changes) -> anyhow::Result<Written> {
    let Some((stream_lsn, at)) = changes.reach else { return Ok(Written::default()) };
    let table = changes.table;
    // Events of one table take turns: each sees all of what the ones before it wrote.
    let locked = execute(transaction, sql::LOCK, &[&table.name, &stream_lsn, &at]).await?;
    ensure!(locked == 1, "crm_data.progress has no row of {}: run `trunkline init`", table.name);
    truncate(transaction, changes).await?;
    let keys = changes.since();
    if keys.is_empty() {
        return Ok(Written::default());
    }
    delete(transaction, changes).await?;

    let mut stored = read_versions(transaction, table, &keys).await?;
    let (truncations, mut deletions) = read_ends(transaction, table, &keys).await?;
    let mut rows = BTreeMap::new();
    let mut written = Written::default();
    for (key, since) in &keys {
        let mut versions = stored.remove(key).unwrap_or_default();
        let is_first_settled = versions.first_key_value().is_some_and(|(position, _)| position < since);
        versions.extend(changes.rows.get(key).into_iter().flatten().map(|(at, version)| (*at, version.clone())));
        let mut versions: Vec<_> = versions.into_values().collect();
        let mut ends = deletions.remove(key).unwrap_or_default();
        ends.extend(&truncations);
        complete(&mut versions, is_first_settled, &ends);
        let is_incomplete = |first: &Version| !is_first_settled && first.unchanged.contains(&true);
        written.incomplete += u64::from(versions.first().is_some_and(is_incomplete));
        rows.insert(*key, versions);
    }
    written.versions = write_versions(transaction, table, &rows).await?;
    write_current(transaction, table, &rows).await?;
    Ok(written)
}

async fn truncate(transaction: &Transaction<'_>, changes: &Changes) -> anyhow::Result<()> {
    if changes.truncations.is_empty() {
        return Ok(());
    }
    let (stream, source): (Vec<_>, Vec<_>) =
        changes.truncations.keys().map(|place| (place.stream_lsn, place.source_lsn)).unzip();
    let times: Vec<_> = changes.truncations.values().copied().collect();
    execute(transaction, sql::ADD_TRUNCATIONS, &[&changes.table.name, &stream, &source, &times]).await?;
    for (place, at) in &changes.truncations {
        execute(transaction, &sql::close(changes.table), &[&place.stream_lsn, &place.source_lsn, at]).await?;
    }
    execute(transaction, &sql::remove_closed(changes.table), &[]).await?;
    Ok(())
}

async fn delete(transaction: &Transaction<'_>, changes: &Changes) -> anyhow::Result<()> {
    if changes.deletions.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = changes.deletions.keys().map(|(key, _)| *key).collect();
    let (stream, source): (Vec<_>, Vec<_>) =
        changes.deletions.keys().map(|(_, place)| (place.stream_lsn, place.source_lsn)).unzip();
    let times: Vec<_> = changes.deletions.values().copied().collect();
    execute(transaction, sql::ADD_DELETIONS, &[&changes.table.name, &keys, &stream, &source, &times]).await?;
    Ok(())
}

type Versions = BTreeMap<i64, BTreeMap<Position, Version>>;

async fn read_versions(
    transaction: &Transaction<'_>,
    table: &Table,
    since: &BTreeMap<i64, Position>,
) -> anyhow::Result<Versions> {
    let keys: Vec<_> = since.keys().copied().collect();
    let stream: Vec<_> = since.values().map(|place| place.stream_lsn).collect();
    let streamed: Vec<_> = since.values().map(|place| place.is_streamed).collect();
    let source: Vec<_> = since.values().map(|place| place.source_lsn).collect();
    let statement = transaction.prepare_cached(&sql::read(table)).await?;
    let rows = transaction.query(&statement, &[&keys, &stream, &streamed, &source]).await?;
    let mut versions = Versions::new();
    for row in &rows {
        let version = version(table, row)?;
        versions.entry(row.try_get(0)?).or_default().insert(version.position(), version);
    }
    Ok(versions)
}

fn version(table: &Table, row: &Row) -> anyhow::Result<Version> {
    let position = Position { stream_lsn: row.try_get(1)?, is_streamed: row.try_get(2)?, source_lsn: row.try_get(3)? };
    let unchanged: Vec<&str> = row.try_get(7)?;
    Ok(Version {
        moment: Moment { position, at: row.try_get(5)? },
        op: row.try_get(4)?,
        values: row.try_get(8)?,
        unchanged: table.columns.iter().map(|column| unchanged.contains(&column.name)).collect(),
        valid_from: row.try_get(6)?,
        valid_to: None,
    })
}

/// The truncations, and the deletions by key.
async fn read_ends(
    transaction: &Transaction<'_>,
    table: &Table,
    keys: &BTreeMap<i64, Position>,
) -> anyhow::Result<(Vec<Moment>, BTreeMap<i64, Vec<Moment>>)> {
    let keys: Vec<_> = keys.keys().copied().collect();
    let statement = transaction.prepare_cached(sql::ENDS).await?;
    let (mut truncations, mut deletions) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
    for row in transaction.query(&statement, &[&table.name, &keys]).await? {
        let position = Position { stream_lsn: row.try_get(1)?, is_streamed: true, source_lsn: row.try_get(2)? };
        let moment = Moment { position, at: row.try_get(3)? };
        match row.try_get(0)? {
            None => truncations.push(moment),
            Some(key) => deletions.entry(key).or_default().push(moment),
        }
    }
    Ok((truncations, deletions))
}

async fn write_versions(
    transaction: &Transaction<'_>,
    table: &Table,
    rows: &BTreeMap<i64, Vec<Version>>,
) -> anyhow::Result<u64> {
    // By key and place, so that the old version of a row has ended when the new one comes.
    let all = || rows.iter().flat_map(|(key, versions)| versions.iter().map(move |version| (*key, version)));
    let keys: Vec<_> = all().map(|(key, _)| key).collect();
    let stream: Vec<_> = all().map(|(_, version)| version.position().stream_lsn).collect();
    let streamed: Vec<_> = all().map(|(_, version)| version.position().is_streamed).collect();
    let source: Vec<_> = all().map(|(_, version)| version.position().source_lsn).collect();
    let ops: Vec<_> = all().map(|(_, version)| version.op.as_str()).collect();
    let changed: Vec<_> = all().map(|(_, version)| version.moment.at).collect();
    let from: Vec<_> = all().map(|(_, version)| version.valid_from).collect();
    let to: Vec<_> = all().map(|(_, version)| version.valid_to).collect();
    let unchanged: Vec<_> = all().map(|(_, version)| unchanged_names(table, version)).collect();
    let values = by_column(table, all().map(|(_, version)| version));
    let mut params: Vec<&(dyn ToSql + Sync)> =
        vec![&keys, &stream, &streamed, &source, &ops, &changed, &from, &to, &unchanged];
    params.extend(values.iter().map(|column| column as &(dyn ToSql + Sync)));
    execute(transaction, &sql::write_versions(table), &params).await
}

async fn write_current(
    transaction: &Transaction<'_>,
    table: &Table,
    rows: &BTreeMap<i64, Vec<Version>>,
) -> anyhow::Result<()> {
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (key, versions) in rows {
        match versions.last().filter(|version| version.valid_to.is_none()) {
            Some(version) => there.push((*key, version)),
            None => gone.push(*key),
        }
    }
    execute(transaction, &sql::remove_current(table), &[&gone]).await?;
    let keys: Vec<_> = there.iter().map(|(key, _)| *key).collect();
    let from: Vec<_> = there.iter().map(|(_, version)| version.valid_from).collect();
    let source: Vec<_> = there.iter().map(|(_, version)| version.position().source_lsn).collect();
    let values = by_column(table, there.iter().map(|(_, version)| *version));
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&keys, &from, &source];
    params.extend(values.iter().map(|column| column as &(dyn ToSql + Sync)));
    execute(transaction, &sql::write_current(table), &params).await?;
    Ok(())
}

fn unchanged_names(table: &Table, version: &Version) -> String {
    let columns = table.columns.iter().zip(&version.unchanged);
    columns.filter(|(_, is_unchanged)| **is_unchanged).map(|(column, _)| column.name).collect::<Vec<_>>().join(",")
}

/// The versions' values, column by column.
fn by_column<'a>(table: &Table, versions: impl Iterator<Item = &'a Version> + Clone) -> Vec<Vec<Option<&'a str>>> {
    (0..table.columns.len())
        .map(|column| versions.clone().map(|version| version.values[column].as_deref()).collect())
        .collect()
}

async fn execute(transaction: &Transaction<'_>, sql: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<u64> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.execute(&statement, params).await?)
}
