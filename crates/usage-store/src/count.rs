//! The counting protocol for one batch of one lane. Why it is exact: `docs/exactness.md`.

use std::collections::HashMap;
use std::mem;

use stream::Lane;
use telecom::{SourceId, Totals};

use crate::rules::{Design, Read, Rules, Write};
use crate::source::{Verdict, decide};
use crate::{
    Buckets, Claim, LaneBatch, LaneMemory, LaneProgress, LaneRecord, LaneState, RecordRules, Refusal, RowKey,
    SourceEntry, SourcedUsage, StoredRow, TowerHour, UsageStore,
};

/// What became of a batch's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// All of them, also those that can't be used.
    pub records: u64,
    /// Those that were new.
    pub counted: u64,
    /// What they add to the towers that served them: what this call, and no one before it, has counted. For
    /// [`Store::add_tower_activity`](crate::Store::add_tower_activity), which adds it once and only once in the usual
    /// case: a batch that fails after its rows were written comes again as settled.
    pub towers: HashMap<TowerHour, Totals>,
    /// Those that took back a row that had been counted.
    pub withdrawn: u64,
    /// Those that had been counted from a file of the same content under another name.
    pub duplicates: u64,
    /// Those that their file had brought before: it was published again. Also those that would take back what was taken
    /// back before, or never counted.
    pub repeats: u64,
    /// Those that an earlier delivery of the same offsets had settled.
    pub settled: u64,
    /// Those that can't be counted, by their index in the batch. They are to be rejected, not delivered again.
    pub refused: Vec<(usize, Refusal)>,
    /// Offsets that no record came with, before the batch or inside it.
    pub missing_offsets: u64,
    /// The first of them.
    pub first_missing_offset: Option<i64>,
}

impl Counted {
    fn add_new(&mut self, usage: &SourcedUsage) {
        self.counted += 1;
        if let Some(hour) = usage.tower {
            let fits = self.towers.entry(hour).or_default().add_event(&usage.event);
            debug_assert_eq!(fits, Some(()), "a batch's records are too few and too small to outgrow 64 bits");
        }
    }
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
    /// A record takes back what its row does not have.
    #[error(
        "lane {lane} is stopped: the record at offset {offset} takes back a row of a file, and the total that held it is smaller \
         than that: the store has lost a write, or the file was counted under other rules (restore the store)"
    )]
    NothingToTakeBack {
        /// The lane.
        lane: Lane,
        /// The record's offset.
        offset: i64,
    },
    /// The records were read by other rules than the store counts by.
    #[error(
        "the usage store counts by {counted_by}, and this function reads by {read_by}: let everything that is delivered be \
         counted as it was, stop the functions, run `trunkline init`, start the new ones"
    )]
    OtherRules {
        /// How the records were read.
        read_by: RecordRules,
        /// How the store's are.
        counted_by: RecordRules,
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
    let mut recalls = R::continues(known.end, first);
    let found = loop {
        if !recalls {
            known.forget();
        }
        let found = read::<R, S>(store, &mut known, batch, &keys).await?;
        // What is remembered is the lane as of the batch's beginning.
        let has_moved = R::is_newer(found.newest, first) || R::is_lane_newer(found.state.progress.next_offset, first);
        if found.is_whole && !(recalls && has_moved) {
            break found;
        }
        recalls = false;
    };

    let state = &found.state;
    check_topic(lane, &state.progress, batch)?;
    let verdicts = decide::<R>(batch, state, &mut known.sources);
    let mut counted = fold::<R>(batch, &keys, &verdicts, state, &mut known)?;
    let touched = Touched::new(batch, &keys, &verdicts);
    let rows = touched.rows_behind(&mut known, end);
    let sources = touched.sources_behind(&mut known, end);
    let ahead = advance(&state.progress, batch);
    if let Some(next) = &ahead {
        counted.missing_offsets = next.missing_offsets() - state.progress.missing_offsets();
        counted.first_missing_offset = first_missing(&state.progress, batch);
    }

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
    if !R::is_newer(found.newest, end) && !R::is_lane_newer(found.state.progress.next_offset, end) {
        known.end = Some(end);
        known.trim(end, R::MAX_REMEMBERED_SOURCES);
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

/// What was found beside what is remembered.
struct Found {
    state: LaneState,
    /// The highest `upto` among the entries and rows.
    newest: i64,
    /// An entry that is missing was never there, or has expired and had nothing that the lane's progress is not past.
    is_whole: bool,
}

/// Reads what the batch needs and is not known yet.
async fn read<R: Rules, S: UsageStore>(
    store: &S,
    known: &mut LaneMemory,
    batch: &LaneBatch,
    keys: &RecordKeys,
) -> Result<Found, CountError> {
    let (mut state, mut newest, mut next_offset, mut has_unseen) = (None, 0, 0, false);
    for read in R::READS {
        match read {
            Read::Lane => {
                let lane = read_lane::<R, S>(store, batch).await?;
                next_offset = lane.progress.next_offset;
                state = Some(lane);
            }
            Read::Sources => newest = newest.max(read_sources::<R, S>(store, known, batch).await?),
            Read::Claims => {
                if let Some(state) = &state {
                    has_unseen = claim_unseen::<R, S>(store, known, batch, state).await?;
                }
            }
            Read::Rows if has_unseen && R::CHECKS_UNSEEN => {
                // The progress again, which takes less time than the rows.
                let (rows, lane) =
                    tokio::try_join!(read_rows(store, known, batch, keys), read_lane::<R, S>(store, batch))?;
                newest = newest.max(rows);
                state = Some(lane);
            }
            Read::Rows => newest = newest.max(read_rows(store, known, batch, keys).await?),
        }
    }
    let state = state.ok_or_else(|| CountError::UnknownLane(batch.lane().clone()))?;
    let is_whole = !R::is_lane_newer(state.progress.next_offset, next_offset);
    Ok(Found { state, newest, is_whole })
}

async fn read_lane<R: Rules, S: UsageStore>(store: &S, batch: &LaneBatch) -> Result<LaneState, CountError> {
    let lane = batch.lane();
    let state = store.read_lane(lane).await?.ok_or_else(|| CountError::UnknownLane(lane.clone()))?;
    if !R::may_count(batch.rules(), &state.rules) {
        return Err(CountError::OtherRules { read_by: batch.rules().clone(), counted_by: state.rules });
    }
    Ok(state)
}

/// Reads entries that are not known; says the highest `upto` among them.
async fn read_sources<R: Rules, S: UsageStore>(
    store: &S,
    known: &mut LaneMemory,
    batch: &LaneBatch,
) -> Result<i64, CountError> {
    let wanted = first_records(batch, |id| !R::RECALLS_SOURCES || !known.sources.contains_key(&id));
    if wanted.is_empty() {
        return Ok(0);
    }
    let ids: Vec<_> = wanted.iter().map(|first| first.id).collect();
    let found = store.read_sources(batch.lane(), &ids).await?;
    let newest = found.iter().map(|(_, entry)| entry.upto).max();
    known.sources.extend(found);
    Ok(newest.unwrap_or_default())
}

/// Reads rows that are not known; says the highest `upto` among them.
async fn read_rows<S: UsageStore>(
    store: &S,
    known: &mut LaneMemory,
    batch: &LaneBatch,
    keys: &RecordKeys,
) -> Result<i64, CountError> {
    let wanted: Vec<_> = keys.distinct.iter().filter(|key| !known.rows.contains_key(key)).copied().collect();
    if wanted.is_empty() {
        return Ok(0);
    }
    let found = store.read_rows(batch.lane(), &wanted).await?;
    known.rows.extend(wanted.into_iter().map(|key| (key, StoredRow::default())));
    let newest = found.iter().map(|(_, row)| row.upto).max();
    known.rows.extend(found);
    Ok(newest.unwrap_or_default())
}

/// A source's records in a batch.
#[derive(Clone, Copy)]
struct FirstRecord {
    id: SourceId,
    /// The first one's timestamp.
    timestamp_ms: i64,
    /// The last one's offset.
    last_offset: i64,
}

/// The batch's sources that are wanted, ascending.
fn first_records(batch: &LaneBatch, is_wanted: impl Fn(SourceId) -> bool) -> Vec<FirstRecord> {
    let mut first = HashMap::<_, FirstRecord>::new();
    for record in batch.records() {
        if let Some(source) = record.usage.and_then(|usage| usage.source)
            && is_wanted(source.id)
        {
            let (id, timestamp_ms) = (source.id, record.timestamp_ms);
            let new = FirstRecord { id, timestamp_ms, last_offset: record.offset };
            first.entry(id).or_insert(new).last_offset = record.offset;
        }
    }
    let mut first: Vec<_> = first.into_values().collect();
    first.sort_unstable_by_key(|first| first.id);
    first
}

/// Whose the batch's sources are of which the lane has no entry. Those with a record that the lane has not passed are claimed,
/// and their entries begun. Of the others, an entry that has expired may have known: for them nothing is made anew. Says
/// whether there were any.
async fn claim_unseen<R: Rules, S: UsageStore>(
    store: &S,
    known: &mut LaneMemory,
    batch: &LaneBatch,
    state: &LaneState,
) -> anyhow::Result<bool> {
    let unseen = first_records(batch, |id| !known.sources.contains_key(&id));
    let (past, new): (Vec<_>, Vec<_>) =
        unseen.iter().partition(|source| source.last_offset < state.progress.next_offset);
    let mut claims = Vec::new();
    if !new.is_empty() {
        let claim = |new: &FirstRecord| {
            let timestamp_ms = R::claimed_at(new.timestamp_ms, state.closed_before_ms);
            (new.id, Claim { epoch: batch.lane().epoch, timestamp_ms })
        };
        let wanted: Vec<_> = new.iter().map(claim).collect();
        claims = store.claim_sources(&wanted).await?;
        anyhow::ensure!(claims.len() == new.len(), "the store answered {} of {} claims", claims.len(), new.len());
    }
    if !past.is_empty() {
        let ids: Vec<_> = past.iter().map(|past| past.id).collect();
        claims.extend(store.read_claims(&ids).await?);
    }
    known.sources.extend(claims.into_iter().map(|(id, claim)| (id, SourceEntry::new(claim))));
    Ok(!unseen.is_empty())
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
    state: &LaneState,
    known: &mut LaneMemory,
) -> Result<Counted, CountError> {
    let mut counted = Counted { records: batch.records().len() as u64, ..Counted::default() };
    for (index, ((record, key), verdict)) in batch.records().iter().zip(&keys.by_record).zip(verdicts).enumerate() {
        let (Some(usage), Some(key), Some(verdict)) = (&record.usage, key, verdict) else { continue };
        let row = known.rows.entry(*key).or_default();
        match verdict {
            Verdict::Counted | Verdict::Withdrawn if R::is_held(record.offset, row.upto) => counted.settled += 1,
            Verdict::Counted => {
                counted.add_new(usage);
                row.totals
                    .add_event(&usage.event)
                    .ok_or_else(|| CountError::Overflow { lane: batch.lane().clone(), offset: record.offset })?;
            }
            Verdict::Withdrawn => {
                counted.withdrawn += 1;
                row.totals.take_event(&usage.event).ok_or_else(|| CountError::NothingToTakeBack {
                    lane: batch.lane().clone(),
                    offset: record.offset,
                })?;
            }
            Verdict::Duplicate => counted.duplicates += 1,
            Verdict::Repeat => counted.repeats += 1,
            Verdict::Settled
                if R::is_held(record.offset, row.upto) || R::was_read_otherwise(record.offset, state.rules_from) =>
            {
                counted.settled += 1;
            }
            Verdict::Settled => {
                return Err(CountError::LostRow { lane: batch.lane().clone(), offset: record.offset, upto: row.upto });
            }
            Verdict::Refused(refusal) => counted.refused.push((index, *refusal)),
        }
    }
    Ok(counted)
}

/// The rows and sources that the batch has a say in. Also those that it adds nothing to: so a row that lies behind its lane
/// or source is known to have been lost.
struct Touched {
    rows: Vec<RowKey>,
    sources: Vec<SourceId>,
}

impl Touched {
    fn new(batch: &LaneBatch, keys: &RecordKeys, verdicts: &[Option<Verdict>]) -> Self {
        let mut touched = Self { rows: Vec::with_capacity(keys.distinct.len()), sources: Vec::new() };
        for ((record, key), verdict) in batch.records().iter().zip(&keys.by_record).zip(verdicts) {
            let Some(verdict) = verdict else { continue };
            touched.rows.extend(key);
            // Nothing was noted for what is settled: where the entry has expired, it stays away.
            if verdict.is_of_entry() {
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

/// The first offset that the batch shows to have no record.
fn first_missing(progress: &LaneProgress, batch: &LaneBatch) -> Option<i64> {
    let mut next = progress.next_offset;
    for record in batch.records().iter().filter(|record| record.offset >= progress.next_offset) {
        if record.offset > next {
            return Some(next);
        }
        next = record.offset + 1;
    }
    None
}

#[cfg(test)]
mod tests;
