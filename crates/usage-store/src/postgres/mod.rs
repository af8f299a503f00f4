//! The protocol's store in PostgreSQL: one statement, and so one round trip and one transaction, a phase.

mod tower;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use postgres_pool::{Names, Pool};
use telecom::{Day, Msisdn, SourceId, Totals, UsageKind};
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::figures::{signed, unsigned};
use crate::store::LaneUsage;
use crate::{
    Buckets, Claim, FileCount, Lane, LaneProgress, RowKey, SOURCE_LIFETIME_MS, SourceEntry, StoredRow, UsageStore,
};

/// What messages call the store.
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

    /// Makes the tables; see [`Store::init`](crate::Store::init).
    ///
    /// # Errors
    /// As there.
    pub async fn init(&self, buckets: Buckets) -> anyhow::Result<()> {
        self.connection.batch(include_str!("schema.sql")).await.context("making the tables of the usage store")?;
        let (kinds, names): (Vec<_>, Vec<_>) =
            UsageKind::ALL.iter().map(|kind| (kind_number(*kind), (kind.category(), kind.usage_type()))).unzip();
        let (categories, types): (Vec<_>, Vec<_>) =
            names.into_iter().map(|(category, usage_type)| (category.as_str(), usage_type)).unzip();
        self.connection
            .query(
                "INSERT INTO usage.kinds (kind, category, usage_type) \
                 SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING",
                &[&kinds, &categories, &types],
            )
            .await?;
        self.connection
            .query("INSERT INTO usage.settings (buckets) VALUES ($1) ON CONFLICT DO NOTHING", &[&buckets.number()])
            .await?;
        let made = self.buckets().await?;
        ensure!(
            made == buckets,
            "the usage store was made with {} buckets, which can't be changed to {}: make a new store",
            made.number(),
            buckets.number()
        );
        Ok(())
    }

    /// Makes a topic's lanes known; see [`Store::add_lanes`](crate::Store::add_lanes).
    ///
    /// # Errors
    /// As there.
    pub async fn add_lanes(&self, epoch: u32, topic: &str, partitions: i32) -> anyhow::Result<()> {
        ensure!(partitions > 0, "topic {topic} has no partitions");
        let epoch = i64::from(epoch);
        self.connection
            .query(
                "INSERT INTO usage.lanes (epoch, topic, partition) \
                 SELECT $1, $2, partition FROM generate_series(0, $3 - 1) AS partition \
                 WHERE NOT EXISTS (SELECT FROM usage.lanes WHERE epoch = $1 AND topic = $2) \
                 ORDER BY partition ON CONFLICT DO NOTHING",
                &[&epoch, &topic, &partitions],
            )
            .await?;
        let rows = self
            .connection
            .query("SELECT count(*) FROM usage.lanes WHERE epoch = $1 AND topic = $2", &[&epoch, &topic])
            .await?;
        let known: i64 = one(&rows)?.try_get(0)?;
        ensure!(
            known == i64::from(partitions),
            "stream epoch {epoch} knows topic {topic} with {known} partitions, now it has {partitions}: take a new STREAM_EPOCH"
        );
        Ok(())
    }

    pub(crate) async fn usage_of(&self, msisdn: Msisdn, from: Day, to: Day) -> anyhow::Result<Vec<LaneUsage>> {
        let bucket = self.buckets().await?.of(msisdn);
        let rows = self
            .connection
            .query(
                "SELECT day - date '1970-01-01', kind, up_bytes, down_bytes, seconds, events FROM usage.daily \
                 WHERE bucket = $1 AND msisdn = $2 \
                 AND day BETWEEN date '1970-01-01' + $3::integer AND date '1970-01-01' + $4::integer",
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
        let rows = self
            .connection
            .query(
                "SELECT source_id, epoch, claimed_ms, last_line, files, upto \
                 FROM usage.sources JOIN usage.lanes ON lanes.id = sources.lane",
                &[],
            )
            .await?;
        rows.iter().map(source_entry).collect()
    }

    pub(crate) async fn lanes(&self) -> anyhow::Result<Vec<(Lane, LaneProgress)>> {
        let rows = self
            .connection
            .query(
                "SELECT next_offset, records, newest_timestamp_ms, epoch, topic, partition FROM usage.lanes \
                 ORDER BY epoch, topic, partition",
                &[],
            )
            .await?;
        let read = |row: &Row| {
            let epoch = u32::try_from(row.try_get::<_, i64>(3)?).context("a stored epoch is out of range")?;
            Ok((Lane { epoch, topic: row.try_get(4)?, partition: row.try_get(5)? }, progress(row)?))
        };
        rows.iter().map(read).collect()
    }

    pub(crate) async fn expire_sources(&self) -> anyhow::Result<u64> {
        let rows = self
            .connection
            .query(
                "WITH expired AS ( \
                    DELETE FROM usage.sources USING usage.lanes \
                    WHERE lanes.id = sources.lane AND lanes.newest_timestamp_ms - sources.claimed_ms > $1 \
                    RETURNING 1 \
                 ) SELECT count(*) FROM expired",
                &[&SOURCE_LIFETIME_MS],
            )
            .await?;
        unsigned(one(&rows)?.try_get(0)?)
    }
}

impl UsageStore for Postgres {
    async fn buckets(&self) -> anyhow::Result<Buckets> {
        let read = async || {
            let rows = self.connection.query("SELECT buckets FROM usage.settings", &[]).await?;
            anyhow::Ok(Buckets::new(one(&rows)?.try_get(0)?)?)
        };
        self.buckets.get_or_try_init(read).await.copied()
    }

    async fn read_lane(&self, lane: &Lane) -> anyhow::Result<Option<LaneProgress>> {
        let rows = self
            .connection
            .query(
                "SELECT next_offset, records, newest_timestamp_ms FROM usage.lanes \
                 WHERE epoch = $1 AND topic = $2 AND partition = $3",
                &[&i64::from(lane.epoch), &lane.topic, &lane.partition],
            )
            .await?;
        rows.first().map(progress).transpose()
    }

    async fn read_sources(&self, lane: &Lane, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
        let ids: Vec<_> = ids.iter().map(SourceId::to_string).collect();
        let rows = self
            .connection
            .query(
                "SELECT source_id, epoch, claimed_ms, last_line, files, upto \
                 FROM usage.sources JOIN usage.lanes ON lanes.id = sources.lane \
                 WHERE epoch = $1 AND topic = $2 AND partition = $3 AND source_id = ANY($4)",
                &[&i64::from(lane.epoch), &lane.topic, &lane.partition, &ids],
            )
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
        let lines = entries.iter().map(|(_, entry)| signed(entry.last_line)).collect::<anyhow::Result<Vec<_>>>()?;
        let files: Vec<_> = entries.iter().map(|(_, entry)| Json(file_names(entry))).collect();
        let uptos: Vec<_> = entries.iter().map(|(_, entry)| entry.upto).collect();
        self.connection
            .query(
                include_str!("write_sources.sql"),
                &[&i64::from(lane.epoch), &lane.topic, &lane.partition, &ids, &claimed, &lines, &files, &uptos],
            )
            .await?;
        Ok(())
    }

    async fn write_lane(&self, lane: &Lane, progress: &LaneProgress) -> anyhow::Result<()> {
        self.connection
            .query(
                "UPDATE usage.lanes SET next_offset = $4, records = $5, newest_timestamp_ms = $6 \
                 WHERE epoch = $1 AND topic = $2 AND partition = $3 AND next_offset < $4",
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

/// A kind's number in the tables: never to be changed.
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

/// An entry's files as JSON: without a name, under the empty one.
fn file_names(entry: &SourceEntry) -> BTreeMap<String, FileCount> {
    let name = |file: &Option<telecom::FileName>| file.map_or_else(String::new, |file| file.to_string());
    entry.files.iter().map(|(file, count)| (name(file), *count)).collect()
}

/// Columns: `source_id, epoch, claimed_ms, last_line, files, upto`.
fn source_entry(row: &Row) -> anyhow::Result<(SourceId, SourceEntry)> {
    let Json(files): Json<BTreeMap<String, FileCount>> = row.try_get(4)?;
    let parse = |(name, count): (String, FileCount)| {
        let file = if name.is_empty() { None } else { Some(name.parse()?) };
        anyhow::Ok((file, count))
    };
    let entry = SourceEntry {
        claim: claim(row)?,
        last_line: unsigned(row.try_get(3)?)?,
        files: files.into_iter().map(parse).collect::<Result<_, _>>()?,
        upto: row.try_get(5)?,
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
