//! The protocol's store in ScyllaDB or Cassandra: a register is a row of plain columns, written `USING TIMESTAMP upto`.
//!
//! Of two writes of a cell the databases keep the one with the higher timestamp, so the higher `upto` wins, on every
//! replica, in whatever order they come. Writes with one `upto` carry one value, as what is written is a function of the
//! log: which of them is kept does not matter. `upto` is the offset after a record, so never below 1.

mod address;
mod claims;
mod connection;
mod failure;
mod rows;
mod schema;
mod settings;
mod sources;
mod tls;
mod tower;
mod upkeep;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, ensure};
use scylla::value::CqlDate;
use stream::Lane;
use telecom::{Day, Msisdn, SourceId, Totals};
use tokio::sync::OnceCell;

use self::connection::Connection;
use crate::figures::{signed, unsigned};
use crate::store::LaneUsage;
use crate::{Buckets, Claim, LaneProgress, LaneState, RowKey, SourceEntry, StoredRow, UsageStore};

/// Requests of one call that are on their way at a time: enough to keep a few nodes at work, and 1 MB in memory.
const CONCURRENT_REQUESTS: usize = 16;

/// What a batch of writes may be, as the servers reckon it. Cassandra refuses more than 50 KiB unless configured
/// otherwise (ScyllaDB: 1 MiB); what is added up here is a little more than what the servers find.
const MAX_BATCH_BYTES: usize = 48 * 1024;

/// The most that ScyllaDB takes in an `IN`, unless configured otherwise.
const MAX_KEYS_PER_READ: usize = 100;

/// The store in ScyllaDB or Cassandra, in a keyspace of its own.
#[derive(Clone)]
pub struct Scylla {
    connection: Arc<Connection>,
    buckets: Arc<OnceCell<Buckets>>,
}

impl fmt::Debug for Scylla {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scylla")
    }
}

impl Scylla {
    /// The store at this address, which is connected to when it is first used.
    ///
    /// # Errors
    /// When the address is malformed, or its certificate authorities can't be read.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self { connection: Arc::new(Connection::new(url.parse()?)?), buckets: Arc::default() })
    }

    /// Makes a topic's lanes known; see [`Store::add_lanes`](crate::Store::add_lanes).
    ///
    /// Only the number of partitions is written, once and for ever. A lane has no row before its first progress, so
    /// there is none that could hide it.
    ///
    /// # Errors
    /// As there.
    pub async fn add_lanes(&self, epoch: u32, topic: &str, partitions: i32) -> anyhow::Result<()> {
        ensure!(partitions > 0, "topic {topic} has no partitions");
        self.connection
            .query(
                "INSERT INTO {keyspace}.topics (epoch, topic, partitions) VALUES (?, ?, ?) IF NOT EXISTS",
                &(i64::from(epoch), topic, partitions),
            )
            .await?;
        let known = self.partitions(epoch, topic).await?.unwrap_or_default();
        ensure!(
            known == partitions,
            "stream epoch {epoch} knows topic {topic} with {known} partitions, now it has {partitions}: take a new STREAM_EPOCH"
        );
        Ok(())
    }

    async fn partitions(&self, epoch: u32, topic: &str) -> anyhow::Result<Option<i32>> {
        let rows = self
            .connection
            .query("SELECT partitions FROM {keyspace}.topics WHERE epoch = ? AND topic = ?", &(i64::from(epoch), topic))
            .await?;
        Ok(rows.maybe_first_row::<(i32,)>()?.map(|(partitions,)| partitions))
    }

    pub(crate) async fn lanes(&self) -> anyhow::Result<Vec<(Lane, LaneProgress)>> {
        let mut lanes = Vec::new();
        let read = |page: scylla::response::query_result::QueryRowsResult| {
            for row in page.rows::<(i64, &str, i32)>()? {
                let (epoch, topic, partitions) = row?;
                let epoch = u32::try_from(epoch).context("a stored epoch is out of range")?;
                lanes.extend((0..partitions).map(|partition| Lane { epoch, topic: topic.to_owned(), partition }));
            }
            Ok(())
        };
        self.connection.scan("SELECT epoch, topic, partitions FROM {keyspace}.topics", &(), read).await?;
        lanes.sort_unstable();

        let mut progress = HashMap::new();
        let read = |page: scylla::response::query_result::QueryRowsResult| {
            for row in page.rows::<(&str, i64, i64, Option<i64>)>()? {
                let (lane, next_offset, records, newest_timestamp_ms) = row?;
                let known = LaneProgress { next_offset, records: unsigned(records)?, newest_timestamp_ms };
                progress.insert(lane.to_owned(), known);
            }
            Ok(())
        };
        let cql = "SELECT lane, next_offset, records, newest_timestamp_ms FROM {keyspace}.lanes";
        self.connection.scan(cql, &(), read).await?;
        let with_progress = |lane: Lane| {
            let known = progress.get(&lane.to_string()).copied().unwrap_or_default();
            (lane, known)
        };
        Ok(lanes.into_iter().map(with_progress).collect())
    }

    pub(crate) async fn usage_of(&self, msisdn: Msisdn, from: Day, to: Day) -> anyhow::Result<Vec<LaneUsage>> {
        rows::usage_of(&self.connection, self.buckets().await?.of(msisdn), msisdn, from, to).await
    }

    pub(crate) async fn all_sources(&self) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
        sources::all(&self.connection).await
    }

    /// See [`Store::faults`](crate::Store::faults).
    pub(crate) async fn faults(&self) -> anyhow::Result<Vec<String>> {
        self.buckets().await?;
        Ok(settings::faults(&self.connection).await)
    }
}

impl UsageStore for Scylla {
    async fn buckets(&self) -> anyhow::Result<Buckets> {
        self.buckets.get_or_try_init(|| schema::buckets(&self.connection)).await.copied()
    }

    async fn read_lane(&self, lane: &Lane) -> anyhow::Result<Option<LaneState>> {
        let name = lane.to_string();
        let values = (&name,);
        let progress = self
            .connection
            .query("SELECT next_offset, records, newest_timestamp_ms FROM {keyspace}.lanes WHERE lane = ?", &values);
        let partitions = self.partitions(lane.epoch, &lane.topic);
        let counting = schema::counting(&self.connection);
        let (partitions, progress, counting) = tokio::try_join!(partitions, progress, counting)?;
        if !partitions.is_some_and(|partitions| (0..partitions).contains(&lane.partition)) {
            return Ok(None);
        }
        let progress = match progress.maybe_first_row::<(i64, i64, Option<i64>)>()? {
            Some((next_offset, records, newest_timestamp_ms)) => {
                LaneProgress { next_offset, records: unsigned(records)?, newest_timestamp_ms }
            }
            None => LaneProgress::default(),
        };
        Ok(Some(LaneState {
            progress,
            rules: counting.rules,
            rules_from: counting.rules_from.get(&name).copied().unwrap_or_default(),
            closed_before_ms: counting.closed_before_ms,
        }))
    }

    async fn read_sources(&self, lane: &Lane, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
        sources::read(&self.connection, lane, ids).await
    }

    async fn claim_sources(&self, claims: &[(SourceId, Claim)]) -> anyhow::Result<Vec<(SourceId, Claim)>> {
        claims::make(&self.connection, claims).await
    }

    async fn read_claims(&self, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, Claim)>> {
        claims::read(&self.connection, ids).await
    }

    async fn read_rows(&self, lane: &Lane, keys: &[RowKey]) -> anyhow::Result<Vec<(RowKey, StoredRow)>> {
        rows::read(&self.connection, lane, keys).await
    }

    async fn write_rows(&self, lane: &Lane, upto: i64, rows: &[(RowKey, Totals)]) -> anyhow::Result<()> {
        rows::write(&self.connection, lane, upto, rows).await
    }

    async fn write_sources(&self, lane: &Lane, entries: &[(SourceId, &SourceEntry)]) -> anyhow::Result<()> {
        sources::write(&self.connection, lane, entries).await
    }

    async fn write_lane(&self, lane: &Lane, progress: &LaneProgress) -> anyhow::Result<()> {
        self.connection
            .execute(
                "INSERT INTO {keyspace}.lanes (lane, next_offset, records, newest_timestamp_ms) VALUES (?, ?, ?, ?) \
                 USING TIMESTAMP ?",
                &(
                    lane.to_string(),
                    progress.next_offset,
                    signed(progress.records)?,
                    progress.newest_timestamp_ms,
                    progress.next_offset,
                ),
            )
            .await
    }
}

/// Parts of at most [`MAX_BATCH_BYTES`], in order; something larger is a part of its own.
fn batches<T>(items: impl IntoIterator<Item = T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut batches, mut room) = (Vec::<Vec<T>>::new(), 0);
    for item in items {
        let bytes = bytes(&item);
        match batches.last_mut() {
            Some(batch) if bytes <= room => batch.push(item),
            _ => {
                room = MAX_BATCH_BYTES;
                batches.push(vec![item]);
            }
        }
        room = room.saturating_sub(bytes);
    }
    batches
}

fn date(day: Day) -> CqlDate {
    // CQL counts days from the middle of 32 bits.
    CqlDate(day.epoch_days().cast_unsigned().wrapping_add(1 << 31))
}

fn day(CqlDate(date): CqlDate) -> anyhow::Result<Day> {
    Day::from_epoch_days(date.wrapping_sub(1 << 31).cast_signed()).context("a stored day is out of range")
}

#[cfg(test)]
mod tests;
