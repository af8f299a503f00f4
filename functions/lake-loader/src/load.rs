//! Loads one chunk: its records become silver objects and rows, in one transaction.

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use ::stream::Record;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use lake::bronze;
use lambda_boot::Deadline;
use postgres_pool::Transaction;
use telecom::EventTime;

use crate::audit::{Audit, Layer};
use crate::chunk::{Chunk, Purpose};
use crate::filter::{Filter, Verdict};
use crate::rows::{self, Columns, Load, Unusable};
use crate::run::RunId;
use crate::store::{Stored, store};
use crate::withdraw::{Withdrawn, withdraw};
use crate::{Deps, silver, timeouts};

/// Rows in memory, by the length of their records' values: a chunk of call records fits, one of long messages is
/// written in parts. Do not change it: the parts' objects would get other names, and the old ones would stay beside
/// them.
const PART_BYTES: usize = 96 << 20;
/// Silver objects that are put in parallel; the next one is made meanwhile.
const PUTS_IN_FLIGHT: usize = 4;
/// Another lane's chunk may bring the same messages and is waited for. A lock that is held for longer is somebody
/// else's, and the error names its holder. Readers do not queue behind this wait.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '60s'";
/// The last millisecond of the year 9999.
const MAX_TIMESTAMP_MS: i64 = 253_402_300_799_999;
/// How many bytes of an unusable record are kept: as many as of a rejected row.
const MAX_UNUSABLE_BYTES: usize = 64 << 10;

/// A chunk to be loaded.
pub(crate) struct Job {
    pub(crate) deps: Arc<Deps>,
    pub(crate) run: RunId,
    pub(crate) chunk: Chunk,
    pub(crate) purpose: Purpose,
    pub(crate) deadline: Deadline,
}

/// Kafka's timestamps of a chunk's records, which their producers choose. They are shown to people and decide nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    earliest: Option<Timestamp>,
    latest: Option<Timestamp>,
    /// The timestamp of the record with the highest offset, if it has one.
    last: Option<Timestamp>,
}

impl Times {
    fn add(&mut self, timestamp_ms: i64) {
        // A time outside of 1970 to 9999 becomes the nearest one inside.
        let written = Timestamp::from_millisecond(timestamp_ms.clamp(0, MAX_TIMESTAMP_MS)).unwrap_or(Timestamp::MAX);
        self.earliest = Some(self.earliest.map_or(written, |earliest| earliest.min(written)));
        self.latest = Some(self.latest.map_or(written, |latest| latest.max(written)));
        self.last = (0..=MAX_TIMESTAMP_MS).contains(&timestamp_ms).then_some(written);
    }
}

/// The counts so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    records: u64,
    duplicates: u64,
    rejected: u64,
    /// Rows of silver objects.
    silver: u64,
    stored: Stored,
    /// Rows of the silver objects of withdrawn rows.
    withdrawn: u64,
    taken_back: Withdrawn,
}

/// Loads a chunk. When it returns, the chunk's objects are in the lake and its rows in PostgreSQL. If the chunk was
/// loaded before, nothing changes.
///
/// # Errors
/// When the lake or the database fail, another run has taken over, or the counts do not add up
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

/// Locks the chunk. Returns the `batch_id` for its rows, or `None` if it was loaded meanwhile.
async fn claim(transaction: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<i64>> {
    const SQL: &str = include_str!("sql/lock_chunk.sql");
    const NEXT: &str = "select nextval(pg_get_serial_sequence('ops.chunks', 'batch_id'))";
    let row = transaction.query_one(SQL, &[&job.chunk.batch_id, &job.run.0]).await?;
    let (is_loaded, is_ours): (bool, bool) = (row.get(0), row.get(1));
    Ok(match job.purpose {
        Purpose::Load => (!is_loaded).then_some(job.chunk.batch_id),
        Purpose::Restore if is_ours => None,
        // Restored rows are new to the models.
        Purpose::Restore => Some(transaction.query_one(NEXT, &[]).await?.get(0)),
    })
}

/// A chunk that is being loaded.
struct Work<'a> {
    transaction: &'a Transaction<'a>,
    job: &'a Job,
    load: Load,
    filter: Filter,
    /// Rows that are not written yet.
    columns: Columns,
    /// Rows that take others back and are not written yet.
    withdrawn: Option<Columns>,
    /// The offset by which their objects are named.
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
        // After the rows: a row that is taken back may be among them.
        let withdrawn = std::mem::replace(&mut self.withdrawn, Columns::withdrawn(chunk.stream, &chunk.lane));
        if let Some(withdrawn) = withdrawn.filter(|withdrawn| !withdrawn.is_empty()) {
            self.counts.withdrawn += self.put(&withdrawn).await?;
            self.counts.taken_back += withdraw(self.transaction, chunk, &withdrawn, self.load).await?;
        }
        Ok(())
    }

    /// Puts the rows' silver objects. Returns how many rows they have.
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

    /// Keeps records that can't be used. Returns how many.
    async fn reject(&self, unusable: &[(&Record, &Unusable)]) -> anyhow::Result<u64> {
        const SQL: &str = include_str!("sql/keep_unusable.sql");
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

    /// Writes the rest, the counts, and that the chunk is loaded.
    async fn finish(mut self) -> anyhow::Result<()> {
        const DONE: &str = include_str!("sql/end_chunk.sql");
        const OBJECTS: &str =
            "update ops.loaded_objects set loaded_at = now() where batch_id = $1 and loaded_at is null";
        self.write().await?;
        let Self { transaction, job, counts, load, times, .. } = self;
        self.filter.keep(transaction, &job.chunk).await?;
        let number = |count: u64| i64::try_from(count);
        let batch_id = &job.chunk.batch_id;
        // The offsets that the topic has skipped, between objects and inside of them.
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
        // Last, as lanes that are loaded in parallel wait for each other here.
        for audit in audits(&job.chunk, &counts, gap_offsets) {
            audit.balance()?;
            audit.add(transaction, job.run).await?;
        }
        Ok(())
    }
}

/// A chunk's counts, by table.
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
        // Including those that take back a row that is not there any more.
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
