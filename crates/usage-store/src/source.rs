//! Per source, how far it has been counted: what makes a file that is published twice count once.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use telecom::{FileName, Source, SourceId};

use crate::rules::Rules;
use crate::{LaneBatch, LaneRecord};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How long a source's entry is kept after the source was first seen, in milliseconds of the lane's own time (the
/// timestamps of its records): 35 days.
pub const SOURCE_LIFETIME_MS: i64 = 35 * DAY_MS;

/// How long after a source was first seen its records are taken, in milliseconds: 28 days. A later one is refused, as its
/// source's entry may be gone. The week between this and [`SOURCE_LIFETIME_MS`] is for records that wait in the topic.
pub const REPUBLISH_WITHIN_MS: i64 = 28 * DAY_MS;

/// Under how many names the same content is accounted. An entry is written whole, so it must stay small; more names for
/// one content are a mistake of the sender.
pub const MAX_NAMES_PER_SOURCE: usize = 64;

/// Who saw a source first. It never changes and is never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The stream epoch that the source belongs to.
    pub epoch: u32,
    /// The timestamp of one of its first records, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
}

/// How far a lane has counted a source: a function of the lane's records below `upto` (and of the source's claim).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Who saw the source first.
    pub claim: Claim,
    /// The last line counted, under whatever name; 0 before the first.
    pub last_line: u64,
    /// What each file name has brought; records without a name are under `None`.
    pub files: BTreeMap<Option<FileName>, FileCount>,
    /// The entry holds the lane's records below this offset.
    pub upto: i64,
}

/// What one file has brought to a lane. Summed over the lanes, `counted + duplicates` are the file's accepted rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCount {
    /// The last line seen.
    pub last_line: u64,
    /// Lines that were counted.
    pub counted: u64,
    /// Lines that had been counted already, from a file of the same content under another name.
    pub duplicates: u64,
    /// Records of lines that this file had already brought: it was published again.
    pub repeats: u64,
}

/// Why a record was not counted, though it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The source belongs to another stream epoch.
    #[error("the file was counted in stream epoch {0}: a source is counted in one epoch only")]
    OtherEpoch(u32),
    /// The source was first seen too long ago to know which of its lines have been counted.
    #[error("the file was first seen more than {} days ago: it can't be published again", REPUBLISH_WITHIN_MS / DAY_MS)]
    TooOld,
    /// The same content came under too many names.
    #[error("the file's content came under more than {MAX_NAMES_PER_SOURCE} names")]
    TooManyNames,
}

impl Refusal {
    /// The stable name under which refusals are counted and filtered.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherEpoch(_) => "source_of_another_epoch",
            Self::TooOld => "source_too_old",
            Self::TooManyNames => "source_with_too_many_names",
        }
    }
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new.
    Counted,
    /// Its line was counted from a file of another name.
    Duplicate,
    /// Its file has brought this line before.
    Repeat,
    /// It was decided by an earlier delivery of the same offset.
    Settled,
    /// It can't be counted.
    Refused(Refusal),
}

impl SourceEntry {
    /// The entry of a source that its lane has not seen yet.
    #[must_use]
    pub fn new(claim: Claim) -> Self {
        Self { claim, last_line: 0, files: BTreeMap::new(), upto: 0 }
    }

    /// Decides a record of the source, and notes it. Redelivered, a record gets the same refusal again, so that
    /// refusals can be reported after the entry has been written.
    fn decide<R: Rules>(&mut self, epoch: u32, next_offset: i64, record: &LaneRecord, source: &Source) -> Verdict {
        if self.claim.epoch != epoch {
            return Verdict::Refused(Refusal::OtherEpoch(self.claim.epoch));
        }
        if R::is_too_old(self.claim.timestamp_ms, record.timestamp_ms) {
            return Verdict::Refused(Refusal::TooOld);
        }
        if self.files.len() >= MAX_NAMES_PER_SOURCE && !self.files.contains_key(&source.file) {
            return Verdict::Refused(Refusal::TooManyNames);
        }
        // An entry that has expired must not be made anew from what it once held.
        if R::is_settled(record.offset, self.upto.max(next_offset)) {
            return Verdict::Settled;
        }
        let file = self.files.entry(source.file).or_default();
        if R::is_repeat(source.line, file.last_line) {
            file.repeats += 1;
            return Verdict::Repeat;
        }
        file.last_line = source.line;
        if R::is_new(source.line, self.last_line) {
            self.last_line = source.line;
            file.counted += 1;
            Verdict::Counted
        } else {
            file.duplicates += 1;
            Verdict::Duplicate
        }
    }
}

/// Decides all records of a batch in the order of their offsets, whatever the rows already hold, and notes it in the
/// entries. One verdict a record; `None` for one that can't be used. The lane has been counted up to `next_offset`.
pub(crate) fn decide<R: Rules>(
    batch: &LaneBatch,
    next_offset: i64,
    entries: &mut HashMap<SourceId, SourceEntry>,
) -> Vec<Option<Verdict>> {
    let epoch = batch.lane().epoch;
    let decide_one = |record: &LaneRecord| {
        let usage = record.usage.as_ref()?;
        let Some(source) = &usage.source else {
            let is_settled = R::is_settled(record.offset, next_offset);
            return Some(if is_settled { Verdict::Settled } else { Verdict::Counted });
        };
        // The caller has read or made the entry of every source of the batch.
        let entry = entries.get_mut(&source.id)?;
        Some(entry.decide::<R>(epoch, next_offset, record, source))
    };
    batch.records().iter().map(decide_one).collect()
}
