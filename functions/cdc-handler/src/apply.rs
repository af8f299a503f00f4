//! Writes changes into the tables: one transaction for an event, a few statements for a table.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use jiff::Timestamp;
use postgres_pool::{Pool, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::change::Change;
use crate::envelope::Op;
use crate::history::{Ends, Version, Versions, complete, is_known_before};
use crate::moment::{Moment, Position};
use crate::sql;
use crate::table::Table;

/// The changes of one table in an event. They are a set: order and repetition don't matter.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) table: &'static Table,
    rows: Versions,
    /// By key and place.
    deletions: BTreeMap<(i64, Position), Timestamp>,
    truncations: BTreeMap<Position, Timestamp>,
    /// Changes of rows that can't be used, by key and place, and why.
    unusable: BTreeMap<(i64, Position), (Timestamp, &'static str)>,
    /// The highest place and the latest time of the changes; they may be those of different changes.
    reach: Option<(i64, Timestamp)>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Versions that are new, or have another end or value than before.
    pub(crate) versions: u64,
    /// Versions that lack a value, as the row before them is unknown.
    pub(crate) incomplete: u64,
    /// Updates and deletions of unknown rows.
    pub(crate) unseen: u64,
}

impl Changes {
    pub(crate) fn of(table: &'static Table) -> Self {
        Self {
            table,
            rows: BTreeMap::new(),
            deletions: BTreeMap::new(),
            truncations: BTreeMap::new(),
            unusable: BTreeMap::new(),
            reach: None,
        }
    }

    pub(crate) fn add(&mut self, change: Change) {
        let moment = match change {
            Change::Row { key, base_key, op, moment, cells } => {
                let version = Version::new(moment, op, base_key, cells);
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
        self.reaches(moment);
    }

    /// A row has an unusable change at this moment.
    pub(crate) fn add_unusable(&mut self, key: i64, moment: Moment, reason: &'static str) {
        self.unusable.insert((key, moment.position), (moment.at, reason));
        self.reaches(moment);
    }

    fn reaches(&mut self, moment: Moment) {
        let (stream_lsn, at) = self.reach.unwrap_or((moment.position.stream_lsn, moment.at));
        self.reach = Some((stream_lsn.max(moment.position.stream_lsn), at.max(moment.at)));
    }

    /// The keys of the changed rows, and the places of the changes.
    fn places(&self) -> Vec<(i64, Position)> {
        let versions = self.rows.iter().flat_map(|(key, row)| row.keys().map(|place| (*key, *place)));
        versions.chain(self.deletions.keys().copied()).chain(self.unusable.keys().copied()).collect()
    }

    /// Updates and deletions of rows that were unknown before.
    fn unseen(&self, rows: &Versions, ends: &Ends) -> u64 {
        let is_updated = |version: &&Version| version.op == Op::Updated.letter();
        let updates = self
            .rows
            .iter()
            .flat_map(|(key, row)| row.values().filter(is_updated).map(|version| (*key, version.position())));
        let places = updates.chain(self.deletions.keys().copied());
        places.filter(|(key, place)| !is_known_before(rows, ends, *key, *place)).count() as u64
    }
}

/// Writes all changes of an event, or none.
///
/// # Errors
/// When the database can't be reached or refuses.
pub(crate) async fn apply(pool: &Pool, changes: &[Changes]) -> anyhow::Result<Written> {
    if changes.iter().all(|changes| changes.reach.is_none()) {
        return Ok(Written::default());
    }
    pool.transaction(changes, |transaction, changes| Box::pin(apply_all(transaction, changes))).await
}

async fn apply_all(transaction: &Transaction<'_>, changes: &[Changes]) -> anyhow::Result<Written> {
    let mut written = Written::default();
    // Always in the order of `TABLES`, so that two events can't deadlock.
    for changes in changes {
        let table = apply_to_table(transaction, changes).await?;
        written.versions += table.versions;
        written.incomplete += table.incomplete;
        written.unseen += table.unseen;
    }
    Ok(written)
}

async fn apply_to_table(transaction: &Transaction<'_>, changes: &Changes) -> anyhow::Result<Written> {
    let Some((stream_lsn, at)) = changes.reach else { return Ok(Written::default()) };
    let table = changes.table;
    // Events of one table take turns: each sees everything that earlier ones wrote.
    let locked = execute(transaction, sql::LOCK, &[&table.name, &stream_lsn, &at]).await?;
    ensure!(locked == 1, "crm_data.progress has no row of {}: run `trunkline init`", table.name);
    let mut places = truncate(transaction, changes).await?;
    places.extend(changes.places());
    if places.is_empty() {
        return Ok(Written::default());
    }
    delete(transaction, changes).await?;
    note_unusable(transaction, changes).await?;

    let since: BTreeMap<_, _> =
        read_places(transaction, &sql::touched(table), &oldest(places)).await?.into_iter().collect();
    let touched: Vec<_> = since.iter().map(|(key, place)| (*key, *place)).collect();
    let mut rows = read_versions(transaction, table, &touched, true).await?;
    for key in since.keys() {
        let new = changes.rows.get(key).into_iter().flatten().map(|(place, version)| (*place, version.clone()));
        rows.entry(*key).or_default().extend(new);
    }
    let bases = bases(&rows, &since);
    let others =
        if bases.is_empty() { Versions::new() } else { read_versions(transaction, table, &bases, false).await? };
    let keys: BTreeSet<_> = since.keys().copied().chain(bases.iter().map(|(key, _)| *key)).collect();
    let ends = read_ends(transaction, table, &keys).await?;
    let incomplete = complete(&mut rows, &since, &others, &ends);
    let versions = write_versions(transaction, table, &rows).await?;
    write_current(transaction, table, &rows).await?;
    let unseen = changes.unseen(&rows, &ends);
    if unseen > 0 {
        tracing::warn!(
            crm.table = table.name,
            changes = unseen,
            "changes of rows that were never told: is the snapshot whole, and the table's REPLICA IDENTITY DEFAULT?"
        );
    }
    Ok(Written { versions, incomplete, unseen })
}

/// The oldest place of each row: versions before it stay as they are.
fn oldest(places: Vec<(i64, Position)>) -> Vec<(i64, Position)> {
    let mut since = BTreeMap::new();
    for (key, place) in places {
        let oldest = since.entry(key).or_insert(place);
        *oldest = place.min(*oldest);
    }
    since.into_iter().collect()
}

/// The other rows from which versions take values, and before which place.
fn bases(rows: &Versions, since: &BTreeMap<i64, Position>) -> Vec<(i64, Position)> {
    let versions = since.iter().filter_map(|(key, place)| Some(rows.get(key)?.range(*place..)));
    let versions = versions.flatten().map(|(_, version)| version).filter(|version| version.unchanged.contains(&true));
    let bases = versions.filter_map(|version| Some((version.base_key?, version.position())));
    bases.filter(|(key, place)| since.get(key).is_none_or(|since| since > place)).collect()
}

/// Writes the ends of rows. Returns which stored versions have to be completed again.
async fn truncate(transaction: &Transaction<'_>, changes: &Changes) -> anyhow::Result<Vec<(i64, Position)>> {
    let mut places = Vec::new();
    if changes.truncations.is_empty() {
        return Ok(places);
    }
    let (stream, source): (Vec<_>, Vec<_>) =
        changes.truncations.keys().map(|place| (place.stream_lsn, place.source_lsn)).unzip();
    let times: Vec<_> = changes.truncations.values().copied().collect();
    let new = execute(transaction, sql::ADD_TRUNCATIONS, &[&changes.table.name, &stream, &source, &times]).await?;
    if new == 0 {
        return Ok(places);
    }
    for (place, at) in &changes.truncations {
        execute(transaction, &sql::close(changes.table), &[&place.stream_lsn, &place.source_lsn, at]).await?;
        let cut = transaction.prepare_cached(&sql::cut(changes.table)).await?;
        for row in transaction.query(&cut, &[&place.stream_lsn, &place.source_lsn]).await? {
            places.push(place_of(&row)?);
        }
    }
    execute(transaction, &sql::remove_closed(changes.table), &[]).await?;
    Ok(places)
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

async fn note_unusable(transaction: &Transaction<'_>, changes: &Changes) -> anyhow::Result<()> {
    if changes.unusable.is_empty() {
        return Ok(());
    }
    let places: Vec<_> = changes.unusable.keys().copied().collect();
    let (keys, (stream, (streamed, source))) = columns(&places);
    let (times, reasons): (Vec<_>, Vec<_>) = changes.unusable.values().copied().unzip();
    let params: [&(dyn ToSql + Sync); 7] = [&changes.table.name, &keys, &stream, &streamed, &source, &times, &reasons];
    execute(transaction, sql::ADD_UNUSABLE, &params).await?;
    Ok(())
}

/// Places as columns of arrays.
type Columns = (Vec<i64>, (Vec<i64>, (Vec<bool>, Vec<i64>)));

fn columns(places: &[(i64, Position)]) -> Columns {
    places.iter().map(|(key, place)| (*key, (place.stream_lsn, (place.is_streamed, place.source_lsn)))).unzip()
}

fn place_of(row: &Row) -> anyhow::Result<(i64, Position)> {
    let (stream_lsn, is_streamed, source_lsn) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    Ok((row.try_get(0)?, Position { stream_lsn, is_streamed, source_lsn }))
}

async fn read_places(
    transaction: &Transaction<'_>,
    sql: &str,
    places: &[(i64, Position)],
) -> anyhow::Result<Vec<(i64, Position)>> {
    let (keys, (stream, (streamed, source))) = columns(places);
    let statement = transaction.prepare_cached(sql).await?;
    let rows = transaction.query(&statement, &[&keys, &stream, &streamed, &source]).await?;
    rows.iter().map(place_of).collect()
}

/// Reads the newest version of each row before a place and, with `and_after`, all versions from there on.
async fn read_versions(
    transaction: &Transaction<'_>,
    table: &Table,
    places: &[(i64, Position)],
    and_after: bool,
) -> anyhow::Result<Versions> {
    let (keys, (stream, (streamed, source))) = columns(places);
    let statement = transaction.prepare_cached(&sql::read(table)).await?;
    let rows = transaction.query(&statement, &[&keys, &stream, &streamed, &source, &and_after]).await?;
    let mut versions = Versions::new();
    for row in &rows {
        let version = version(table, row)?;
        versions.entry(row.try_get(0)?).or_default().insert(version.position(), version);
    }
    Ok(versions)
}

fn version(table: &Table, row: &Row) -> anyhow::Result<Version> {
    let (_, position) = place_of(row)?;
    let unchanged: Vec<&str> = row.try_get(7)?;
    Ok(Version {
        moment: Moment { position, at: row.try_get(5)? },
        op: row.try_get(4)?,
        values: row.try_get(9)?,
        unchanged: table.columns.iter().map(|column| unchanged.contains(&column.name)).collect(),
        base_key: row.try_get(8)?,
        valid_from: row.try_get(6)?,
        valid_to: None,
        stale_since: None,
    })
}

/// The truncations, and the deletions and unusable changes of these keys.
async fn read_ends(transaction: &Transaction<'_>, table: &Table, keys: &BTreeSet<i64>) -> anyhow::Result<Ends> {
    let keys: Vec<_> = keys.iter().copied().collect();
    let statement = transaction.prepare_cached(sql::ENDS).await?;
    let mut ends = Ends::default();
    for row in transaction.query(&statement, &[&table.name, &keys]).await? {
        let position =
            Position { stream_lsn: row.try_get(1)?, is_streamed: row.try_get(2)?, source_lsn: row.try_get(3)? };
        let moment = Moment { position, at: row.try_get(4)? };
        match (row.try_get(0)?, row.try_get(5)?) {
            (None, _) => ends.truncations.push(moment),
            (Some(key), false) => ends.deletions.entry(key).or_default().push(moment),
            (Some(key), true) => ends.unusable.entry(key).or_default().push(moment),
        }
    }
    Ok(ends)
}

async fn write_versions(transaction: &Transaction<'_>, table: &Table, rows: &Versions) -> anyhow::Result<u64> {
    // By key and place, so that the old version of a row has ended when the new one comes.
    let all = || rows.iter().flat_map(|(key, versions)| versions.values().map(move |version| (*key, version)));
    let keys: Vec<_> = all().map(|(key, _)| key).collect();
    let stream: Vec<_> = all().map(|(_, version)| version.position().stream_lsn).collect();
    let streamed: Vec<_> = all().map(|(_, version)| version.position().is_streamed).collect();
    let source: Vec<_> = all().map(|(_, version)| version.position().source_lsn).collect();
    let ops: Vec<_> = all().map(|(_, version)| version.op.as_str()).collect();
    let changed: Vec<_> = all().map(|(_, version)| version.moment.at).collect();
    let from: Vec<_> = all().map(|(_, version)| version.valid_from).collect();
    let to: Vec<_> = all().map(|(_, version)| version.valid_to).collect();
    let stale: Vec<_> = all().map(|(_, version)| version.stale_since).collect();
    let unchanged: Vec<_> = all().map(|(_, version)| unchanged_names(table, version)).collect();
    let bases: Vec<_> = all().map(|(_, version)| version.base_key).collect();
    let values = by_column(table, all().map(|(_, version)| version));
    let mut params: Vec<&(dyn ToSql + Sync)> =
        vec![&keys, &stream, &streamed, &source, &ops, &changed, &from, &to, &unchanged, &bases, &stale];
    params.extend(values.iter().map(|column| column as &(dyn ToSql + Sync)));
    execute(transaction, &sql::write_versions(table), &params).await
}

async fn write_current(transaction: &Transaction<'_>, table: &Table, rows: &Versions) -> anyhow::Result<()> {
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (key, versions) in rows {
        match versions.values().next_back().filter(|version| version.valid_to.is_none()) {
            Some(version) => there.push((*key, version)),
            None => gone.push(*key),
        }
    }
    execute(transaction, &sql::remove_current(table), &[&gone]).await?;
    let keys: Vec<_> = there.iter().map(|(key, _)| *key).collect();
    let from: Vec<_> = there.iter().map(|(_, version)| version.valid_from).collect();
    let source: Vec<_> = there.iter().map(|(_, version)| version.position().source_lsn).collect();
    let stale: Vec<_> = there.iter().map(|(_, version)| version.stale_since).collect();
    let values = by_column(table, there.iter().map(|(_, version)| *version));
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&keys, &from, &source, &stale];
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
