//! The protocol's store in PostgreSQL. Each phase is one statement, and so one round trip and one transaction.

mod setup;
mod tower;
mod upkeep;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use postgres_pool::{Names, Pool};
use stream::Lane;
use telecom::{Day, Msisdn, SourceId, Totals, UsageKind};
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::figures::{signed, unsigned};
use crate::store::LaneUsage;
use crate::{
    Buckets, Claim, FileCount, LaneProgress, LaneState, RecordRules, RowKey, SourceEntry, StoredRow, UsageStore,
};

/// How error messages name the store.
const NAMES: Names = Names { variable: "USAGE_STORE", service: "the usage store" };

/// The store in PostgreSQL, in the schema `usage`.
#[derive(Clone)]
pub struct Postgres {
    connection: Pool,
    buckets: Arc<OnceCell<Buckets>>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres")
    }
}

impl Postgres {
    /// The store at this address, which is connected to when it is first used.
    ///
    /// # Errors
    /// When the address is malformed.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self { connection: Pool::new(url, NAMES)?, buckets: Arc::default() })
    }

    /// Adds a topic's lanes; see [`Store::add_lanes`](crate::Store::add_lanes).
    ///
    /// # Errors
    /// As there.
    pub async fn add_lanes(&self, epoch: u32, topic: &str, partitions: i32) -> anyhow::Result<()> {
        ensure!(partitions > 0, "topic {topic} has no partitions");
        let epoch = i64::from(epoch);
        self.connection.query(include_str!("add_lanes.sql"), &[&epoch, &topic, &partitions]).await?;
        let rows = self
            .connection
            .query("select count(*) from usage.lanes where epoch = $1 and topic = $2", &[&epoch, &topic])
            .await?;
        let known: i64 = one(&rows)?.try_get(0)?;
        ensure!(
            known == i64::from(partitions),
            "stream epoch {epoch} knows topic {topic} with {known} partitions, now it has {partitions}: \
             take a new STREAM_EPOCH"
        );
        Ok(())
    }

    pub(crate) async fn usage_of(&self, msisdn: Msisdn, from: Day, to: Day) -> anyhow::Result<Vec<LaneUsage>> {
        let bucket = self.buckets().await?.of(msisdn);
        let rows = self
            .connection
            .query(
                include_str!("usage_of.sql"),
                &[&bucket, &signed(msisdn.as_u64())?, &from.epoch_days(), &to.epoch_days()],
            )
            .await?;
        let read = |row: &Row| {
            let day = Day::from_epoch_days(row.try_get(0)?).context("a stored day is out of range")?;
            Ok((day, kind_of(row.try_get(1)?)?, totals(row, 2)?))
        };
        rows.iter().map(read).collect()
    }

    pub(crate) async fn all_sources(&self) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
        let rows = self.connection.query(include_str!("all_sources.sql"), &[]).await?;
        rows.iter().map(source_entry).collect()
    }

    /// See [`Store::faults`](crate::Store::faults).
    pub(crate) async fn faults(&self) -> anyhow::Result<Vec<String>> {
        self.buckets().await?;
        let rows = self.connection.query(include_str!("faults.sql"), &[]).await?;
        let row = one(&rows)?;
        let (user, is_standby, is_lax, may_write): (String, bool, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let mut faults = Vec::new();
        if is_standby {
            faults.push("this server is a standby, which takes no writes: name the primary in USAGE_STORE".to_owned());
        }
        if is_lax {
            faults.push(format!(
                "synchronous_commit is off, so a server that dies loses what it has acknowledged: ALTER ROLE {user} \
                 SET synchronous_commit = on"
            ));
        }
        if !may_write {
            faults.push(format!("{user} may not write to the tables in the schema usage: make it their owner"));
        }
        Ok(faults)
    }

    pub(crate) async fn lanes(&self) -> anyhow::Result<Vec<(Lane, LaneProgress)>> {
        let rows = self.connection.query(include_str!("lanes.sql"), &[]).await?;
        let read = |row: &Row| Ok((lane(row, 3)?, progress(row)?));
        rows.iter().map(read).collect()
    }
}

impl UsageStore for Postgres {
    async fn buckets(&self) -> anyhow::Result<Buckets> {
        let read = async || {
            let rows = self.connection.query("select buckets from usage.settings", &[]).await?;
            anyhow::Ok(Buckets::new(one(&rows)?.try_get(0)?)?)
        };
        self.buckets.get_or_try_init(read).await.copied()
    }

    async fn read_lane(&self, lane: &Lane) -> anyhow::Result<Option<LaneState>> {
        let rows = self
            .connection
            .query(include_str!("read_lane.sql"), &[&i64::from(lane.epoch), &lane.topic, &lane.partition])
            .await?;
        let state = |row: &Row| {
            Ok(LaneState {
                progress: progress(row)?,
                rules: record_rules(row, 4)?,
                rules_from: row.try_get(3)?,
                closed_before_ms: row.try_get(6)?,
            })
        };
        rows.first().map(state).transpose()
    }

    async fn read_sources(&self, lane: &Lane, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
        let ids: Vec<_> = ids.iter().map(SourceId::to_string).collect();
        let rows = self
            .connection
            .query(include_str!("read_sources.sql"), &[&i64::from(lane.epoch), &lane.topic, &lane.partition, &ids])
            .await?;
        rows.iter().map(source_entry).collect()
    }

    async fn claim_sources(&self, claims: &[(SourceId, Claim)]) -> anyhow::Result<Vec<(SourceId, Claim)>> {
        let ids: Vec<_> = claims.iter().map(|(id, _)| id.to_string()).collect();
        let epochs: Vec<_> = claims.iter().map(|(_, claim)| i64::from(claim.epoch)).collect();
        let claimed: Vec<_> = claims.iter().map(|(_, claim)| claim.timestamp_ms).collect();
        let rows = self.connection.query(include_str!("claim_sources.sql"), &[&ids, &epochs, &claimed]).await?;
        rows.iter().map(|row| Ok((source_id(row)?, claim(row)?))).collect()
    }

    async fn read_claims(&self, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, Claim)>> {
        let ids: Vec<_> = ids.iter().map(SourceId::to_string).collect();
        let sql = "select source_id, epoch, claimed_ms from usage.claims where source_id = any($1)";
        let rows = self.connection.query(sql, &[&ids]).await?;
        rows.iter().map(|row| Ok((source_id(row)?, claim(row)?))).collect()
    }

    async fn read_rows(&self, lane: &Lane, keys: &[RowKey]) -> anyhow::Result<Vec<(RowKey, StoredRow)>> {
        let columns = KeyColumns::new(keys.iter())?;
        let rows = self
            .connection
            .query(
                include_str!("read_rows.sql"),
                &[
                    &i64::from(lane.epoch),
                    &lane.topic,
                    &lane.partition,
                    &columns.buckets,
                    &columns.msisdns,
                    &columns.days,
                    &columns.kinds,
                ],
            )
            .await?;
        let read = |row: &Row| {
            let position = usize::try_from(row.try_get::<_, i64>(0)?)?;
            let key =
                position.checked_sub(1).and_then(|index| keys.get(index)).context("a row that was not asked for")?;
            Ok((*key, StoredRow { totals: totals(row, 1)?, upto: row.try_get(5)? }))
        };
        rows.iter().map(read).collect()
    }

    async fn write_rows(&self, lane: &Lane, upto: i64, rows: &[(RowKey, Totals)]) -> anyhow::Result<()> {
        let columns = KeyColumns::new(rows.iter().map(|(key, _)| key))?;
        let figures = |figure: fn(&Totals) -> u64| {
            rows.iter().map(|(_, totals)| signed(figure(totals))).collect::<anyhow::Result<Vec<i64>>>()
        };
        self.connection
            .query(
                include_str!("write_rows.sql"),
                &[
                    &i64::from(lane.epoch),
                    &lane.topic,
                    &lane.partition,
                    &upto,
                    &columns.buckets,
                    &columns.msisdns,
                    &columns.days,
                    &columns.kinds,
                    &figures(|totals| totals.up_bytes)?,
                    &figures(|totals| totals.down_bytes)?,
                    &figures(|totals| totals.seconds)?,
                    &figures(|totals| totals.events)?,
                ],
            )
            .await?;
        Ok(())
    }

    async fn write_sources(&self, lane: &Lane, entries: &[(SourceId, &SourceEntry)]) -> anyhow::Result<()> {
        let ids: Vec<_> = entries.iter().map(|(id, _)| id.to_string()).collect();
        let claimed: Vec<_> = entries.iter().map(|(_, entry)| entry.claim.timestamp_ms).collect();
        let lines = |line: fn(&SourceEntry) -> u64| {
            entries.iter().map(|(_, entry)| signed(line(entry))).collect::<anyhow::Result<Vec<_>>>()
        };
        let files: Vec<_> = entries.iter().map(|(_, entry)| Json(file_names(entry))).collect();
        let uptos: Vec<_> = entries.iter().map(|(_, entry)| entry.upto).collect();
        self.connection
            .query(
                include_str!("write_sources.sql"),
                &[
                    &i64::from(lane.epoch),
                    &lane.topic,
                    &lane.partition,
                    &ids,
                    &claimed,
                    &lines(|entry| entry.last_line)?,
                    &lines(|entry| entry.withdrawn_line)?,
                    &files,
                    &uptos,
                ],
            )
            .await?;
        Ok(())
    }

    async fn write_lane(&self, lane: &Lane, progress: &LaneProgress) -> anyhow::Result<()> {
        self.connection
            .query(
                include_str!("write_lane.sql"),
                &[
                    &i64::from(lane.epoch),
                    &lane.topic,
                    &lane.partition,
                    &progress.next_offset,
                    &signed(progress.records)?,
                    &progress.newest_timestamp_ms,
                ],
            )
            .await?;
        Ok(())
    }
}

/// The columns of many keys, as PostgreSQL's arrays.
struct KeyColumns {
    buckets: Vec<i16>,
    msisdns: Vec<i64>,
    days: Vec<i32>,
    kinds: Vec<i16>,
}

impl KeyColumns {
    fn new<'a>(keys: impl Iterator<Item = &'a RowKey> + Clone) -> anyhow::Result<Self> {
        Ok(Self {
            buckets: keys.clone().map(|key| key.bucket).collect(),
            msisdns: keys.clone().map(|key| signed(key.msisdn.as_u64())).collect::<anyhow::Result<_>>()?,
            days: keys.clone().map(|key| key.day.epoch_days()).collect(),
            kinds: keys.map(|key| kind_number(key.kind)).collect(),
        })
    }
}

/// A kind's number in the tables. It must never change.
const fn kind_number(kind: UsageKind) -> i16 {
    match kind {
        UsageKind::DataVideo => 1,
        UsageKind::DataAudio => 2,
        UsageKind::DataImage => 3,
        UsageKind::DataText => 4,
        UsageKind::DataApplication => 5,
        UsageKind::CallVoice => 6,
        UsageKind::CallVideo => 7,
    }
}

fn kind_of(number: i16) -> anyhow::Result<UsageKind> {
    let kind = UsageKind::ALL.into_iter().find(|kind| kind_number(*kind) == number);
    kind.with_context(|| format!("the usage store has an unknown kind {number}: was it written by a newer version?"))
}

/// An entry's files as JSON. A file without a name has the empty one.
fn file_names(entry: &SourceEntry) -> BTreeMap<String, FileCount> {
    let name = |file: &Option<telecom::FileName>| file.map_or_else(String::new, |file| file.to_string());
    entry.files.iter().map(|(file, count)| (name(file), *count)).collect()
}

/// Columns: `source_id, epoch, claimed_ms, last_line, withdrawn_line, files, upto`.
fn source_entry(row: &Row) -> anyhow::Result<(SourceId, SourceEntry)> {
    let Json(files): Json<BTreeMap<String, FileCount>> = row.try_get(5)?;
    let parse = |(name, count): (String, FileCount)| {
        let file = if name.is_empty() { None } else { Some(name.parse()?) };
        anyhow::Ok((file, count))
    };
    let entry = SourceEntry {
        claim: claim(row)?,
        last_line: unsigned(row.try_get(3)?)?,
        withdrawn_line: unsigned(row.try_get(4)?)?,
        files: files.into_iter().map(parse).collect::<Result<_, _>>()?,
        upto: row.try_get(6)?,
    };
    Ok((source_id(row)?, entry))
}

/// Columns: `source_id, …`.
fn source_id(row: &Row) -> anyhow::Result<SourceId> {
    Ok(row.try_get::<_, &str>(0)?.parse()?)
}

/// Columns: `source_id, epoch, claimed_ms, …`.
fn claim(row: &Row) -> anyhow::Result<Claim> {
    let epoch = u32::try_from(row.try_get::<_, i64>(1)?).context("a stored epoch is out of range")?;
    Ok(Claim { epoch, timestamp_ms: row.try_get(2)? })
}

/// Columns, from the one at `first` on: `epoch, topic, partition`.
fn lane(row: &Row, first: usize) -> anyhow::Result<Lane> {
    let epoch = u32::try_from(row.try_get::<_, i64>(first)?).context("a stored epoch is out of range")?;
    Ok(Lane { epoch, topic: row.try_get(first + 1)?, partition: row.try_get(first + 2)? })
}

/// Columns, from the one at `first` on: `rules, zone`.
fn record_rules(row: &Row, first: usize) -> anyhow::Result<RecordRules> {
    let number =
        u32::try_from(row.try_get::<_, i32>(first)?).context("the stored number of the rules is out of range")?;
    Ok(RecordRules { number, zone: row.try_get(first + 1)? })
}

/// Columns: `next_offset, records, newest_timestamp_ms, …`.
fn progress(row: &Row) -> anyhow::Result<LaneProgress> {
    Ok(LaneProgress {
        next_offset: row.try_get(0)?,
        records: unsigned(row.try_get(1)?)?,
        newest_timestamp_ms: row.try_get(2)?,
    })
}

/// Columns, from the one at `first` on: `up_bytes, down_bytes, seconds, events`.
fn totals(row: &Row, first: usize) -> anyhow::Result<Totals> {
    let figure = |index: usize| unsigned(row.try_get(first + index)?);
    Ok(Totals { up_bytes: figure(0)?, down_bytes: figure(1)?, seconds: figure(2)?, events: figure(3)? })
}

fn one(rows: &[Row]) -> anyhow::Result<&Row> {
    rows.first().ok_or_else(|| anyhow!("the usage store has not been made: run `trunkline init`"))
}

#[cfg(test)]
mod tests;
