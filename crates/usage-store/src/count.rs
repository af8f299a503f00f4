//! The counting protocol for one batch of one lane. Why it is exact: `docs/exactness.md`.

use std::collections::{HashMap, HashSet};
use std::mem;

use telecom::{SourceId, Totals};

use crate::rules::{Design, Read, Rules, Write};
use crate::source::{Verdict, decide};
use crate::{
    Buckets, Claim, Lane, LaneBatch, LaneMemory, LaneProgress, LaneRecord, Refusal, RowKey, SourceEntry, StoredRow,
    UsageStore,
};

/// What became of a batch's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// All of them, also those that can't be used.
    pub records: u64,
    /// Those that were new.
    pub counted: u64,
    /// Their offsets, ascending: what this call, and no one before it, has added. For what is added once and only once in
    /// the usual case (see [`Store::add_tower_activity`](crate::Store::add_tower_activity)): a batch that fails after its
    /// rows were written comes again as settled.
    pub counted_offsets: Vec<i64>,
    /// Those that had been counted from a file of the same content under another name.
    pub duplicates: u64,
    /// Those that their file had brought before: it was published again.
    pub repeats: u64,
    /// Those that an earlier delivery of the same offsets had settled.
    pub settled: u64,
    /// Those that can't be counted, by offset. They are to be rejected, not delivered again.
    pub refused: Vec<(i64, Refusal)>,
    /// Offsets that should have been delivered and never were.
    pub missing_offsets: u64,
}

/// Why a batch could not be counted. It is to be delivered again; nothing of it is acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The store does not know the lane.
    #[error(
        "lane {0} is unknown: run `trunkline init`; if the topic's number of partitions has changed, take a new STREAM_EPOCH"
    )]
    UnknownLane(Lane),
    /// The topic was deleted and created again: its offsets have begun anew.
    #[error(
        "lane {lane} is stopped: the record at offset {offset} is newer than all that were counted below offset {next_offset}, \
         so the topic was created again: take a new STREAM_EPOCH"
    )]
    TopicRecreated {
        /// The lane.
        lane: Lane,
        /// The record's offset.
        offset: i64,
        /// How far the lane has been counted.
        next_offset: i64,
    },
    /// The store has lost a row that it had acknowledged, or offsets that had been skipped have come after all.
    #[error(
        "lane {lane} is stopped: the record at offset {offset} should be in its row, which holds only what is below offset {upto}: \
         the store has lost a write (restore it), or the consumer group was set back to before where this lane began"
    )]
    LostRow {
        /// The lane.
        lane: Lane,
        /// The record's offset.
        offset: i64,
        /// The row's `upto`.
        upto: i64,
    },
    /// A total has outgrown 64 bits.
    #[error("lane {lane}: the record at offset {offset} makes a day's total larger than 64 bits hold")]
    Overflow {
        /// The lane.
        lane: Lane,
        /// The record's offset.
        offset: i64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] anyhow::Error),
}

/// Counts one batch of one lane. When it returns, every row that the batch touches has been stored, and the batch may be
/// acknowledged. However often and with whatever boundaries records are delivered, by however many processes at once,
/// each is in the totals once.
///
/// # Errors
/// See [`CountError`]: the batch is to be delivered again. `memory` is empty then, and also when the call is dropped
/// before it returns.
pub async fn count<S: UsageStore>(
    store: &S,
    memory: &mut LaneMemory,
    batch: &LaneBatch,
) -> Result<Counted, CountError> {
    count_by::<Design, S>(store, memory, batch).await
}

pub(crate) async fn count_by<R: Rules, S: UsageStore>(
    store: &S,
    memory: &mut LaneMemory,
    batch: &LaneBatch,
) -> Result<Counted, CountError> {
    let (lane, first, end) = (batch.lane(), batch.first_offset(), batch.end());
    let keys = RecordKeys::new(store.buckets().await?, batch);

    // Taken out, so that a failure or a dropped call leaves nothing behind.
    let mut known = mem::take(memory);
    let recalls = R::continues(known.end, first);
    if !recalls {
        known.forget();
    }
    let mut newest = read::<R, S>(store, &mut known, batch, &keys).await?;
    if recalls && R::is_newer(newest, first) {
        known.forget();
        newest = read::<R, S>(store, &mut known, batch, &keys).await?;
    }

    let progress = known.progress.ok_or_else(|| CountError::UnknownLane(lane.clone()))?;
    check_topic(lane, &progress, batch)?;
    let verdicts = decide::<R>(batch, progress.next_offset, &mut known.sources);
    let mut counted = fold::<R>(batch, &keys, &verdicts, &mut known)?;
    let touched = Touched::new(batch, &keys, &verdicts);
    let rows = touched.rows_behind(&mut known, end);
    let sources = touched.sources_behind(&mut known, end);
    let ahead = advance(&progress, batch);
    counted.missing_offsets = ahead.map_or(0, |next| next.missing_offsets() - progress.missing_offsets());

    for write in R::WRITES {
        match write {
            Write::Rows if !rows.is_empty() => store.write_rows(lane, end, &rows).await?,
            Write::Sources if !sources.is_empty() => {
                let entries: Vec<_> = sources.iter().filter_map(|id| Some((*id, known.sources.get(id)?))).collect();
                store.write_sources(lane, &entries).await?;
            }
            Write::Lane => {
                if let Some(next) = &ahead {
                    store.write_lane(lane, next).await?;
                }
            }
            Write::Rows | Write::Sources => {}
        }
    }

    // Remembered is the lane as of `end`; where somebody is further on already, that is not what is known.
    if !R::is_newer(newest, end) {
        known.end = Some(end);
        known.progress = ahead.or(known.progress);
        known.trim(end);
        *memory = known;
    }
    Ok(counted)
}

/// The key of each record's row, and all of them once, ascending.
struct RecordKeys {
    by_record: Vec<Option<RowKey>>,
    distinct: Vec<RowKey>,
}

impl RecordKeys {
    fn new(buckets: Buckets, batch: &LaneBatch) -> Self {
        let key = |record: &LaneRecord| {
            record.usage.map(|usage| buckets.key(usage.event.msisdn, usage.event.day, usage.event.kind))
        };
        let by_record: Vec<_> = batch.records().iter().map(key).collect();
        let mut distinct: Vec<_> = by_record.iter().flatten().copied().collect();
        distinct.sort_unstable();
        distinct.dedup();
        Self { by_record, distinct }
    }
}

/// Reads what the batch needs and is not known yet; says the highest `upto` among what it read.
async fn read<R: Rules, S: UsageStore>(
    store: &S,
    known: &mut LaneMemory,
    batch: &LaneBatch,
    keys: &RecordKeys,
) -> Result<i64, CountError> {
    let lane = batch.lane();
    let mut newest = 0;
    if known.progress.is_none() {
        let progress = store.read_lane(lane).await?.ok_or_else(|| CountError::UnknownLane(lane.clone()))?;
        newest = newest.max(progress.next_offset);
        known.progress = Some(progress);
    }
    for read in R::READS {
        match read {
            Read::Sources => {
                let unknown = first_timestamps(batch, |id| !R::RECALLS_SOURCES || !known.sources.contains_key(&id));
                for (id, entry) in read_sources(store, lane, &unknown).await? {
                    newest = newest.max(entry.upto);
                    known.sources.insert(id, entry);
                }
            }
            Read::Rows => {
                let unknown: Vec<_> =
                    keys.distinct.iter().filter(|key| !known.rows.contains_key(key)).copied().collect();
                if unknown.is_empty() {
                    continue;
                }
                let found = store.read_rows(lane, &unknown).await?;
                known.rows.extend(unknown.into_iter().map(|key| (key, StoredRow::default())));
                for (key, row) in found {
                    newest = newest.max(row.upto);
                    known.rows.insert(key, row);
                }
            }
        }
    }
    Ok(newest)
}

/// The batch's sources that are wanted, ascending, each with the timestamp of its first record in the batch.
fn first_timestamps(batch: &LaneBatch, is_wanted: impl Fn(SourceId) -> bool) -> Vec<(SourceId, i64)> {
    let mut first = HashMap::new();
    for record in batch.records() {
        if let Some(source) = record.usage.and_then(|usage| usage.source)
            && is_wanted(source.id)
        {
            first.entry(source.id).or_insert(record.timestamp_ms);
        }
    }
    let mut first: Vec<_> = first.into_iter().collect();
    first.sort_unstable();
    first
}

/// The lane's entries of these sources; those that the lane has not seen are claimed.
async fn read_sources<S: UsageStore>(
    store: &S,
    lane: &Lane,
    sources: &[(SourceId, i64)],
) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = sources.iter().map(|(id, _)| *id).collect();
    let mut entries = store.read_sources(lane, &ids).await?;
    let known: HashSet<_> = entries.iter().map(|(id, _)| *id).collect();
    let claims: Vec<_> = sources
        .iter()
        .filter(|(id, _)| !known.contains(id))
        .map(|(id, timestamp_ms)| (*id, Claim { epoch: lane.epoch, timestamp_ms: *timestamp_ms }))
        .collect();
    if !claims.is_empty() {
        let claimed = store.claim_sources(&claims).await?;
        anyhow::ensure!(
            claimed.len() == claims.len(),
            "the store answered {} of {} claims",
            claimed.len(),
            claims.len()
        );
        entries.extend(claimed.into_iter().map(|(id, claim)| (id, SourceEntry::new(claim))));
    }
    Ok(entries)
}

/// A record that is delivered again has the timestamp it had; a newer one at an offset that was counted is another one.
fn check_topic(lane: &Lane, progress: &LaneProgress, batch: &LaneBatch) -> Result<(), CountError> {
    let next_offset = progress.next_offset;
    let other = batch
        .records()
        .iter()
        .take_while(|record| record.offset < next_offset)
        .find(|record| Some(record.timestamp_ms) > progress.newest_timestamp_ms);
    match other {
        Some(record) => Err(CountError::TopicRecreated { lane: lane.clone(), offset: record.offset, next_offset }),
        None => Ok(()),
    }
}

/// Adds the records that are new to the rows that don't hold them yet.
fn fold<R: Rules>(
    batch: &LaneBatch,
    keys: &RecordKeys,
    verdicts: &[Option<Verdict>],
    known: &mut LaneMemory,
) -> Result<Counted, CountError> {
    let mut counted = Counted { records: batch.records().len() as u64, ..Counted::default() };
    for ((record, key), verdict) in batch.records().iter().zip(&keys.by_record).zip(verdicts) {
        let (Some(usage), Some(key), Some(verdict)) = (&record.usage, key, verdict) else { continue };
        let row = known.rows.entry(*key).or_default();
        match verdict {
            Verdict::Counted if R::is_held(record.offset, row.upto) => counted.settled += 1,
            Verdict::Counted => {
                counted.counted += 1;
                counted.counted_offsets.push(record.offset);
                row.totals
                    .add_event(&usage.event)
                    .ok_or_else(|| CountError::Overflow { lane: batch.lane().clone(), offset: record.offset })?;
            }
            Verdict::Duplicate => counted.duplicates += 1,
            Verdict::Repeat => counted.repeats += 1,
            Verdict::Settled if R::is_held(record.offset, row.upto) => counted.settled += 1,
            Verdict::Settled => {
                return Err(CountError::LostRow { lane: batch.lane().clone(), offset: record.offset, upto: row.upto });
            }
            Verdict::Refused(refusal) => counted.refused.push((record.offset, *refusal)),
        }
    }
    Ok(counted)
}

/// The rows and sources that the batch has a say in: all but those of which it has only records of another epoch or time.
/// Also those that it adds nothing to: so a row that lies behind its lane or source is known to have been lost.
struct Touched {
    rows: Vec<RowKey>,
    sources: Vec<SourceId>,
}

impl Touched {
    fn new(batch: &LaneBatch, keys: &RecordKeys, verdicts: &[Option<Verdict>]) -> Self {
        let mut touched = Self { rows: Vec::with_capacity(keys.distinct.len()), sources: Vec::new() };
        for ((record, key), verdict) in batch.records().iter().zip(&keys.by_record).zip(verdicts) {
            // A name too many is forgotten with its entry; its record then counts as settled, and its row must be past it.
            if matches!(verdict, None | Some(Verdict::Refused(Refusal::OtherEpoch(_) | Refusal::TooOld))) {
                continue;
            }
            touched.rows.extend(key);
            // Nothing was noted for what is settled: where the entry has expired, it stays away.
            if matches!(verdict, Some(Verdict::Counted | Verdict::Duplicate | Verdict::Repeat)) {
                touched.sources.extend(record.usage.and_then(|usage| usage.source).map(|source| source.id));
            }
        }
        touched.rows.sort_unstable();
        touched.rows.dedup();
        touched.sources.sort_unstable();
        touched.sources.dedup();
        touched
    }

    /// Brings the rows that lie behind to `end`, and gives them as they are to be written.
    fn rows_behind(&self, known: &mut LaneMemory, end: i64) -> Vec<(RowKey, Totals)> {
        let bring = |key: &RowKey| {
            let row = known.rows.get_mut(key).filter(|row| row.upto < end)?;
            row.upto = end;
            Some((*key, row.totals))
        };
        self.rows.iter().filter_map(bring).collect()
    }

    /// Brings the entries that lie behind to `end`, and says which they are.
    fn sources_behind(&self, known: &mut LaneMemory, end: i64) -> Vec<SourceId> {
        let bring = |id: &&SourceId| match known.sources.get_mut(*id) {
            Some(entry) if entry.upto < end => {
                entry.upto = end;
                true
            }
            _ => false,
        };
        self.sources.iter().filter(bring).copied().collect()
    }
}

/// The lane's progress after the batch, unless it is as far already.
fn advance(progress: &LaneProgress, batch: &LaneBatch) -> Option<LaneProgress> {
    if batch.end() <= progress.next_offset {
        return None;
    }
    let new = batch.records().iter().filter(|record| record.offset >= progress.next_offset);
    Some(LaneProgress {
        next_offset: batch.end(),
        records: progress.records + new.count() as u64,
        newest_timestamp_ms: progress.newest_timestamp_ms.max(batch.records().iter().map(|r| r.timestamp_ms).max()),
    })
}

#[cfg(test)]
mod tests;
