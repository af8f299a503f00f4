//! One chunk: its records become silver objects and rows, in one transaction.

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use lake::bronze::{self, Record};
use lambda_boot::Deadline;
use postgres_pool::Transaction;
use telecom::EventTime;

use crate::audit::{Audit, Layer};
use crate::chunk::Chunk;
use crate::filter::{Filter, Verdict};
use crate::rows::{self, Columns, Load, Unusable};
use crate::run::RunId;
use crate::store::{Stored, store};
use crate::withdraw::{Withdrawn, withdraw};
use crate::{Deps, silver, timeouts};

/// Records whose rows are kept in memory, by the length of their values: a chunk of call records fits, one of long messages is
/// written in parts. Another number would give the parts' objects other names, and leave the old ones beside them.
const PART_BYTES: usize = 96 << 20;
/// Objects of silver that are put side by side; the next one is made meanwhile.
const PUTS_IN_FLIGHT: usize = 4;
/// Another lane's chunk may bring the same messages, and is waited for; a lock that somebody else holds for longer is named.
/// Readers are not kept waiting meanwhile.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '60s'";
/// The last millisecond of the year 9999.
const MAX_TIMESTAMP_MS: i64 = 253_402_300_799_999;
/// How much of an unusable record is kept, as of a rejected row.
const MAX_UNUSABLE_BYTES: usize = 64 << 10;

/// Why a chunk is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It has not been loaded yet.
    Load,
    /// It has, but what it made may be missing: silver objects are written anew, rows that are not there are added.
    Restore,
}

/// A chunk to be done.
pub(crate) struct Job {
    pub(crate) deps: Arc<Deps>,
    pub(crate) run: RunId,
    pub(crate) chunk: Chunk,
    pub(crate) purpose: Purpose,
    pub(crate) deadline: Deadline,
}

/// Kafka's timestamps of a chunk's records, which their producers choose. They are kept for people, and decide nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    earliest: Option<Timestamp>,
    latest: Option<Timestamp>,
    /// That of the record with the highest offset, if it has one.
    last: Option<Timestamp>,
}

impl Times {
    fn add(&mut self, timestamp_ms: i64) {
        // Beyond the times that people write, the nearest of those.
        let written = Timestamp::from_millisecond(timestamp_ms.clamp(0, MAX_TIMESTAMP_MS)).unwrap_or(Timestamp::MAX);
        self.earliest = Some(self.earliest.map_or(written, |earliest| earliest.min(written)));
        self.latest = Some(self.latest.map_or(written, |latest| latest.max(written)));
        self.last = (0..=MAX_TIMESTAMP_MS).contains(&timestamp_ms).then_some(written);
    }
}

/// What has been counted so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    records: u64,
    duplicates: u64,
    rejected: u64,
    /// Rows of silver objects.
    silver: u64,
    stored: Stored,
    /// Rows of silver objects of what was taken back.
    withdrawn: u64,
    taken_back: Withdrawn,
}

/// Does a chunk. When it returns, its objects are in the lake and its rows in PostgreSQL; when it was done before, nothing changes.
///
/// # Errors
/// When the lake or the database fail, or the run has been taken over; also when the counts do not balance
/// ([`Imbalance`](crate::audit::Imbalance)). The chunk then stays as it was.
pub(crate) async fn load(job: &Job) -> anyhow::Result<()> {
    job.deps.pool.transaction(job, |transaction, job| Box::pin(load_in(transaction, job))).await
}

async fn load_in(transaction: &Transaction<'_>, job: &Job) -> anyhow::Result<()> {
    transaction.batch_execute(&timeouts(job.deadline)).await?;
    job.run.hold(transaction).await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    let Some(batch_id) = claim(transaction, job).await? else { return Ok(()) };
    let mut work = Work::new(transaction, job, batch_id)?;
    let segments = job.chunk.segments(&**transaction).await?;
    let mut objects = pin!(bronze::read_range(&job.deps.lake, &segments, job.chunk.offsets.clone()));
    while let Some(records) = objects.try_next().await? {
        work.take(&records).await?;
    }
    work.finish().await
}

/// Locks the chunk; `None` when it was done meanwhile, else the `batch_id` for its rows.
async fn claim(transaction: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<i64>> {
    const SQL: &str = "SELECT loaded_at IS NOT NULL, run_id IS NOT DISTINCT FROM $2 FROM ops.chunks
        WHERE batch_id = $1 FOR UPDATE";
    const NEXT: &str = "SELECT nextval(pg_get_serial_sequence('ops.chunks', 'batch_id'))";
    let row = transaction.query_one(SQL, &[&job.chunk.batch_id, &job.run.0]).await?;
    let (is_loaded, is_ours): (bool, bool) = (row.get(0), row.get(1));
    Ok(match job.purpose {
        Purpose::Load => (!is_loaded).then_some(job.chunk.batch_id),
        Purpose::Restore if is_ours => None,
        // What is restored is new to the models.
        Purpose::Restore => Some(transaction.query_one(NEXT, &[]).await?.get(0)),
    })
}

/// A chunk in work.
struct Work<'a> {
    transaction: &'a Transaction<'a>,
    job: &'a Job,
    load: Load,
    filter: Filter,
    /// Rows that are not written yet, those that take others back, and the offset by which their objects are named.
    columns: Columns,
    withdrawn: Option<Columns>,
    part_start: i64,
    part_bytes: usize,
    counts: Counts,
    times: Times,
}

impl<'a> Work<'a> {
    fn new(transaction: &'a Transaction<'a>, job: &'a Job, batch_id: i64) -> anyhow::Result<Self> {
        let chunk = &job.chunk;
        Ok(Self {
            transaction,
            job,
            load: Load { batch_id, loaded_at: EventTime::of(SystemTime::now(), &job.deps.zone)? },
            filter: Filter::default(),
            columns: Columns::new(chunk.stream, &chunk.lane),
            withdrawn: Columns::withdrawn(chunk.stream, &chunk.lane),
            part_start: chunk.offsets.start,
            part_bytes: 0,
            counts: Counts::default(),
            times: Times::default(),
        })
    }

    /// Takes the next records of the lane.
    async fn take(&mut self, records: &[Record]) -> anyhow::Result<()> {
        let chunk = &self.job.chunk;
        let judged: Vec<_> =
            records.iter().map(|record| rows::read(chunk.stream, record, &self.job.deps.zone)).collect();
        self.filter.look_up(self.transaction, chunk, judged.iter().filter_map(|row| row.as_ref().ok())).await?;
        let mut unusable = Vec::new();
        for (record, row) in records.iter().zip(&judged) {
            self.counts.records += 1;
            self.times.add(record.timestamp_ms);
            self.part_bytes += record.value.as_ref().map_or(0, Vec::len);
            let row = match row {
                Ok(row) => row,
                Err(why) => {
                    unusable.push((record, why));
                    continue;
                }
            };
            match (self.filter.judge(row), &mut self.withdrawn) {
                (Verdict::New, _) => self.columns.push(row),
                (Verdict::Withdraws, Some(withdrawn)) => withdrawn.push(row),
                (Verdict::Withdraws, None) => unreachable!("only call records are taken back"),
                (Verdict::Duplicate, _) => self.counts.duplicates += 1,
            }
        }
        if !unusable.is_empty() {
            self.counts.rejected += self.reject(&unusable).await?;
        }
        if self.part_bytes >= PART_BYTES {
            self.write().await?;
            self.part_bytes = 0;
            self.part_start = records.last().map_or(self.part_start, |record| record.offset + 1);
        }
        Ok(())
    }

    /// Writes the rows that are in memory.
    async fn write(&mut self) -> anyhow::Result<()> {
        let chunk = &self.job.chunk;
        let columns = std::mem::replace(&mut self.columns, Columns::new(chunk.stream, &chunk.lane));
        if !columns.is_empty() {
            self.counts.silver += self.put(&columns).await?;
            self.counts.stored += store(self.transaction, self.job.run, &columns, self.load, self.job.purpose).await?;
        }
        // Behind the rows, as these may be among them.
        let withdrawn = std::mem::replace(&mut self.withdrawn, Columns::withdrawn(chunk.stream, &chunk.lane));
        if let Some(withdrawn) = withdrawn.filter(|withdrawn| !withdrawn.is_empty()) {
            self.counts.withdrawn += self.put(&withdrawn).await?;
            self.counts.taken_back += withdraw(self.transaction, chunk, &withdrawn, self.load).await?;
        }
        Ok(())
    }

    /// Puts the rows' silver objects. Returns how many rows these have.
    async fn put(&self, columns: &Columns) -> anyhow::Result<u64> {
        let lake = &self.job.deps.lake;
        let puts = silver::objects(columns, self.part_start).map(|object| async move {
            let object = object?;
            lake.put(&object.key, object.bytes).await?;
            anyhow::Ok(object.rows)
        });
        let sum = async |sum, rows| Ok(sum + rows);
        stream::iter(puts).buffer_unordered(PUTS_IN_FLIGHT).try_fold(0, sum).await
    }

    /// Keeps records that can't be used. Returns how many there are.
    async fn reject(&self, unusable: &[(&Record, &Unusable)]) -> anyhow::Result<u64> {
        const SQL: &str = "INSERT INTO ops.unusable_records
                (epoch, topic, partition, \"offset\", reason, detail, key, value, is_truncated, batch_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (epoch, topic, partition, \"offset\") DO UPDATE SET reason = excluded.reason";
        let lane = &self.job.chunk.lane;
        let epoch = i64::from(lane.epoch);
        let statement = self.transaction.prepare_cached(SQL).await?;
        let mut kept = 0;
        for (record, why) in unusable {
            let key = record.key.as_deref().map(beginning);
            let value = record.value.as_deref().map(beginning);
            let is_truncated = record.key.as_deref() != key || record.value.as_deref() != value;
            kept += self
                .transaction
                .execute(
                    &statement,
                    &[
                        &epoch,
                        &lane.topic,
                        &lane.partition,
                        &record.offset,
                        &why.reason,
                        &why.detail,
                        &key,
                        &value,
                        &is_truncated,
                        &self.load.batch_id,
                    ],
                )
                .await?;
        }
        Ok(kept)
    }

    /// Writes the rest, accounts for all of it, and says that it is loaded.
    async fn finish(mut self) -> anyhow::Result<()> {
        const DONE: &str = "UPDATE ops.chunks SET loaded_at = coalesce(loaded_at, now()), run_id = $2,
                records = $3, accepted = $4, duplicates = $5, rejected = $6,
                rebuild_batch_id = coalesce($7, rebuild_batch_id), gap_offsets = $8,
                earliest_at = $9, latest_at = $10, last_record_at = $11, withdrawn = $12
            WHERE batch_id = $1";
        const OBJECTS: &str =
            "UPDATE ops.loaded_objects SET loaded_at = now() WHERE batch_id = $1 AND loaded_at IS NULL";
        self.write().await?;
        let Self { transaction, job, counts, load, times, .. } = self;
        self.filter.keep(transaction, &job.chunk).await?;
        let number = |count: u64| i64::try_from(count);
        let batch_id = &job.chunk.batch_id;
        // Between objects, and inside of them: the topic has skipped these offsets.
        let offsets = (job.chunk.offsets.end - job.chunk.offsets.start).unsigned_abs();
        let gap_offsets = offsets.saturating_sub(counts.records);
        let put_back = counts.stored.new + counts.taken_back.stored.new;
        let has_put_back = job.purpose == Purpose::Restore && put_back > 0;
        let rebuild_batch_id = (has_put_back || counts.stored.replaced > 0).then_some(load.batch_id);
        transaction
            .execute(
                DONE,
                &[
                    batch_id,
                    &job.run.0,
                    &number(counts.records)?,
                    &number(counts.silver)?,
                    &number(counts.duplicates)?,
                    &number(counts.rejected)?,
                    &rebuild_batch_id,
                    &number(gap_offsets)?,
                    &times.earliest,
                    &times.latest,
                    &times.last,
                    &number(counts.withdrawn)?,
                ],
            )
            .await?;
        transaction.execute(OBJECTS, &[batch_id]).await?;
        // Last, as lanes that are loaded side by side wait here for one another.
        for audit in audits(&job.chunk, &counts, gap_offsets) {
            audit.balance()?;
            audit.add(transaction, job.run).await?;
        }
        Ok(())
    }
}

/// A chunk's accounts.
fn audits(chunk: &Chunk, counts: &Counts, gap_offsets: u64) -> Vec<Audit> {
    let table = chunk.stream.table();
    let silver = Audit {
        layer: Layer::Silver,
        table_name: table.silver.to_owned(),
        rows_in: counts.records,
        rows_out: counts.silver,
        duplicates: counts.duplicates,
        rejected: counts.rejected,
        withdrawn: counts.withdrawn,
        chunks: 1,
        gap_offsets,
        bytes: chunk.bytes.unsigned_abs(),
    };
    let Counts { stored, taken_back, .. } = counts;
    let raw = Audit {
        layer: Layer::Raw,
        table_name: table.full_name(),
        rows_in: counts.silver + counts.withdrawn,
        rows_out: stored.new,
        // Also what takes back a row that is not there any more.
        duplicates: stored.known + (counts.withdrawn - taken_back.removed.min(counts.withdrawn)),
        withdrawn: taken_back.removed,
        chunks: 1,
        ..Audit::default()
    };
    let withdrawn = chunk.stream.withdrawn_table().filter(|_| counts.withdrawn > 0).map(|table| Audit {
        layer: Layer::Raw,
        table_name: table.full_name(),
        rows_in: counts.withdrawn,
        rows_out: taken_back.stored.new,
        duplicates: taken_back.stored.known,
        chunks: 1,
        ..Audit::default()
    });
    [silver, raw].into_iter().chain(withdrawn).collect()
}

fn beginning(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(MAX_UNUSABLE_BYTES)]
}
