//! What keeps the tables from growing: a source's entries and claim are deleted when nothing of it can come any more. Why that
//! is so: `docs/exactness.md`.
//!
//! No clock decides that alone. Each night a lane gets a **mark**: how long its log was, and when that was asked for. An entry
//! may go when the log was marked after the entry's last record, the lane has been counted up to a mark that lies 28 other
//! days' marks behind that one, and all that was to be published of the source had been by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;

use anyhow::ensure;
use stream::Lane;
use telecom::{FileName, SourceId};

use crate::rules::{Design, Rules};
use crate::{LaneProgress, RecordRules};

pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How long after all rows of a file had been published any of them may be published again or taken back, in milliseconds: 28
/// days. Publishers keep a day away from it, as their clock is not that of the marks.
pub const REPUBLISH_WITHIN_MS: i64 = 28 * DAY_MS;

/// How long an entry is kept at least after its last record was published, in milliseconds: 35 days.
pub const KEPT_MS: i64 = 35 * DAY_MS;

/// So many days' marks must follow the one after an entry's last record: 28 between, and one that has been reached.
pub(crate) const LATER_DAYS: usize = 29;

/// How long a mark is kept: some days longer than an entry needs it, so that some nights may be left out.
const MARK_LIFETIME_MS: i64 = KEPT_MS + 10 * DAY_MS;

/// How many sources' entries are read at a time: those whose id begins with one hexadecimal digit. So memory does not grow
/// with all that is kept, and a server meets few deleted entries at once.
pub(crate) const SLICES: u8 = 16;

/// How long a lane's log was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// When that was asked for, by the asker's clock read before: milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The offset that the next record was to get.
    pub end: i64,
}

/// What upkeep asks of a database. It is no part of the counting protocol. What expires may be deleted at any time beside it,
/// also twice.
pub(crate) trait Upkeep: Sync {
    /// By what the store counts.
    fn read_rules(&self) -> impl Future<Output = anyhow::Result<RecordRules>> + Send;

    /// Counts by other rules from now on: all lanes at once, each from where it is.
    fn write_rules(&self, rules: &RecordRules, from: &[(Lane, i64)])
    -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Every known lane and its progress.
    fn read_lanes(&self) -> impl Future<Output = anyhow::Result<Vec<(Lane, LaneProgress)>>> + Send;

    /// Every lane's marks.
    fn read_marks(&self) -> impl Future<Output = anyhow::Result<Vec<(Lane, Mark)>>> + Send;

    /// Adds marks. A lane has one at a moment.
    fn write_marks(&self, marks: &[(Lane, Mark)]) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Deletes marks.
    fn delete_marks(&self, marks: &[(Lane, Mark)]) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// The entries, of all these lanes, of sources whose id begins with this hexadecimal digit.
    fn read_kept(&self, lanes: &[Lane], digit: u8) -> impl Future<Output = anyhow::Result<Vec<Kept>>> + Send;

    /// Deletes claims.
    fn delete_claims(&self, sources: &[SourceId]) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Deletes entries, each unless it has been written with a higher `upto` since.
    fn delete_sources(&self, entries: &[(Lane, SourceId, i64)]) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What upkeep has to know of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) lane: Lane,
    pub(crate) source: SourceId,
    pub(crate) upto: i64,
    pub(crate) files: Vec<FileName>,
}

/// A source of which nothing more has been delivered for long. It is deleted if nothing more can be published, either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietSource {
    /// The source.
    pub id: SourceId,
    /// The names under which it came.
    pub files: BTreeSet<FileName>,
    /// All rows of all these files, and of others with the same content, must have been published by then.
    pub quiet_since_ms: i64,
    entries: Vec<(Lane, i64)>,
}

impl QuietSource {
    /// Whether it may be deleted, if all that was ever to be published of it had been at this moment.
    #[must_use]
    pub fn may_go(&self, published_ms: i64) -> bool {
        Design::was_published(published_ms, self.quiet_since_ms)
    }
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Sources, each with its claim.
    pub sources: u64,
    /// Their entries: one for each lane that had any of their rows.
    pub entries: u64,
}

/// Lets the store count by these rules: from where each lane is, if that is its log's end. A lane of an earlier epoch is not
/// counted any more.
pub(crate) async fn adopt<R: Rules>(
    store: &impl Upkeep,
    rules: &RecordRules,
    ends: &[(Lane, i64)],
) -> anyhow::Result<()> {
    let counted_by = store.read_rules().await?;
    if counted_by == *rules {
        return Ok(());
    }
    let lanes = store.read_lanes().await?;
    let left = left_to_count::<R>(&lanes, ends);
    ensure!(
        left.is_empty(),
        "the usage store counts by {counted_by}, and is to count by {rules}, but records wait that were delivered under the \
         former: {}. Let the functions count them as they are configured now, stop everything, and run `trunkline init` again",
        left.join(", ")
    );
    let from: Vec<_> = lanes.into_iter().map(|(lane, progress)| (lane, progress.next_offset)).collect();
    store.write_rules(rules, &from).await
}

/// Which lanes of the newest epoch have not been counted to their logs' ends, for people.
pub(crate) fn left_to_count<R: Rules>(lanes: &[(Lane, LaneProgress)], ends: &[(Lane, i64)]) -> Vec<String> {
    let current = ends.iter().map(|(lane, _)| lane.epoch).max();
    let left = |(lane, progress): &(Lane, LaneProgress)| match ends.iter().find(|(other, _)| other == lane) {
        Some((_, end)) if R::is_drained(progress.next_offset, *end) => None,
        Some((_, end)) => Some(format!("{} in {lane}", end - progress.next_offset)),
        None if Some(lane.epoch) < current => None,
        None => Some(format!("an unknown number in {lane}")),
    };
    lanes.iter().filter_map(left).collect()
}

/// Notes how long the lanes' logs are, and forgets old marks; says how many were made. `at_ms` was read before the ends were asked
/// for. A lane of an earlier epoch is not counted any more: its log ends where it was left.
pub(crate) async fn mark(store: &impl Upkeep, at_ms: i64, ends: &[(Lane, i64)]) -> anyhow::Result<u64> {
    let current = ends.iter().map(|(lane, _)| lane.epoch).max();
    let ends: HashMap<_, _> = ends.iter().map(|(lane, end)| (lane, *end)).collect();
    let mut marks = Vec::new();
    for (lane, progress) in store.read_lanes().await? {
        let is_left = Some(lane.epoch) < current;
        // Of a log that holds nothing any more, nothing waits, wherever it ends.
        if let Some(end) = ends.get(&lane).copied().or_else(|| is_left.then_some(0)) {
            marks.push((lane, Mark { at_ms, end: end.max(progress.next_offset) }));
        }
    }
    store.write_marks(&marks).await?;
    let mut old = store.read_marks().await?;
    old.retain(|(_, mark)| mark.at_ms < at_ms - MARK_LIFETIME_MS);
    store.delete_marks(&old).await?;
    Ok(marks.len() as u64)
}

/// What the marks say of each lane, at a moment.
#[derive(Clone, Debug)]
pub struct Quiet {
    lanes: Vec<(Lane, Vec<Mark>)>,
}

impl Quiet {
    pub(crate) async fn read<R: Rules>(store: &impl Upkeep, now_ms: i64) -> anyhow::Result<Self> {
        let mut marks = BTreeMap::<_, Vec<_>>::new();
        for (lane, mark) in store.read_marks().await? {
            marks.entry(lane).or_default().push(mark);
        }
        let lanes = store.read_lanes().await?.into_iter().map(|(lane, progress)| {
            let marks = marks.remove(&lane).unwrap_or_default();
            (lane, reached::<R>(&marks, now_ms, progress.next_offset))
        });
        Ok(Self { lanes: lanes.collect() })
    }

    /// The lanes, in no order.
    fn lanes(&self) -> Vec<Lane> {
        self.lanes.iter().map(|(lane, _)| lane.clone()).collect()
    }

    /// Since when the source has been quiet in all lanes. One without an entry is as one with an entry of nothing.
    fn since<R: Rules>(&self, uptos: &HashMap<&Lane, i64>) -> Option<i64> {
        let in_lane = |(lane, marks): &(Lane, Vec<Mark>)| {
            let upto = match uptos.get(lane) {
                Some(upto) => *upto,
                None if R::ASKS_ALL_LANES => 0,
                None => return Some(i64::MAX),
            };
            marks.iter().filter(|mark| R::is_silent(upto, mark.end)).map(|mark| mark.at_ms).max()
        };
        self.lanes.iter().map(in_lane).try_fold(i64::MAX, |since, lane| Some(since.min(lane?)))
    }
}

/// The marks that are old enough, and of which the lane has been counted far enough.
fn reached<R: Rules>(marks: &[Mark], now_ms: i64, next_offset: i64) -> Vec<Mark> {
    let day = |mark: &Mark| mark.at_ms.div_euclid(DAY_MS);
    let is_reached = |mark: &&Mark| {
        // A clock that was wrong once gives one mark a wrong place in time; its place in the log is right.
        let later = marks.iter().filter(|later| {
            day(later) > day(mark) && R::is_after(later.end, mark.end) && R::is_reached(later.end, next_offset)
        });
        later.map(day).collect::<BTreeSet<_>>().len() >= R::LATER_DAYS
    };
    marks.iter().filter(|mark| mark.at_ms <= now_ms.saturating_sub(KEPT_MS)).filter(is_reached).copied().collect()
}

/// The sources, of those whose id begins with this digit, of which nothing more has been delivered for long.
pub(crate) async fn quiet_sources<R: Rules>(
    store: &impl Upkeep,
    quiet: &Quiet,
    digit: u8,
) -> anyhow::Result<Vec<QuietSource>> {
    let mut sources = BTreeMap::<_, Vec<_>>::new();
    for kept in store.read_kept(&quiet.lanes(), digit).await? {
        sources.entry(kept.source).or_default().push(kept);
    }
    let quiet_source = |(id, entries): (SourceId, Vec<Kept>)| {
        let uptos: HashMap<_, _> = entries.iter().map(|kept| (&kept.lane, kept.upto)).collect();
        let quiet_since_ms = quiet.since::<R>(&uptos)?;
        let files = entries.iter().flat_map(|kept| kept.files.iter().copied()).collect();
        let entries = entries.into_iter().map(|kept| (kept.lane, kept.upto)).collect();
        Some(QuietSource { id, files, quiet_since_ms, entries })
    };
    Ok(sources.into_iter().filter_map(quiet_source).collect())
}

/// Deletes sources whole: a claim before its entries, so that what is left of an interrupted call is found by the next.
pub(crate) async fn expire(store: &impl Upkeep, sources: &[QuietSource]) -> anyhow::Result<Expired> {
    let ids: Vec<_> = sources.iter().map(|source| source.id).collect();
    let entry = |source: &QuietSource| {
        let id = source.id;
        source.entries.iter().map(move |(lane, upto)| (lane.clone(), id, *upto)).collect::<Vec<_>>()
    };
    let entries: Vec<_> = sources.iter().flat_map(entry).collect();
    store.delete_claims(&ids).await?;
    store.delete_sources(&entries).await?;
    Ok(Expired { sources: ids.len() as u64, entries: entries.len() as u64 })
}
