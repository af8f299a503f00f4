//! Per source, how far it has been counted: what makes a file that is published twice count once, and be taken back once.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use telecom::{Action, FileName, Source, SourceId};

use crate::rules::Rules;
use crate::{LaneBatch, LaneRecord, LaneState};

/// Under how many names the same content is accounted. An entry is written whole, so it must stay small; more names for
/// one content are a mistake of the sender.
pub const MAX_NAMES_PER_SOURCE: usize = 64;

/// Who saw a source first. It never changes, and is deleted when nothing of the source can be published any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The stream epoch that the source belongs to.
    pub epoch: u32,
    /// The timestamp of one of its first records, in milliseconds since 1970-01-01 UTC; where the store was taken over from an
    /// earlier version, no earlier than what that one has closed.
    pub timestamp_ms: i64,
}

/// How far a lane has counted a source: a function of the lane's records below `upto` (and of the source's claim).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Who saw the source first.
    pub claim: Claim,
    /// The last line that is settled, under whatever name: counted, or taken back before it was; 0 before the first.
    pub last_line: u64,
    /// The last line taken back; 0 before the first.
    pub withdrawn_line: u64,
    /// What each file name has brought; records without a name are under `None`.
    pub files: BTreeMap<Option<FileName>, FileCount>,
    /// The entry holds the lane's records below this offset.
    pub upto: i64,
}

/// What one file has brought to a lane. Summed over the lanes, `counted + duplicates` are the rows of the file that were
/// accepted from `first_line` on; `withdrawn` of the counted ones have been taken back since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCount {
    /// The first line seen; 0 where an earlier version wrote the entry, which knew it from its beginning.
    #[serde(default)]
    pub first_line: u64,
    /// The last line seen.
    pub last_line: u64,
    /// Lines that were counted, also those that were taken back later.
    pub counted: u64,
    /// Lines that had been counted already, from a file of the same content under another name.
    pub duplicates: u64,
    /// Records of lines that this file had already brought: it was published again.
    pub repeats: u64,
    /// Counted lines that were taken back.
    #[serde(default)]
    pub withdrawn: u64,
}

/// Why a record was not counted, though it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The source belongs to another stream epoch.
    #[error("the file was counted in stream epoch {0}: a source is counted in one epoch only")]
    OtherEpoch(u32),
    /// An earlier version of the program has first seen the source, too long ago to know which of its lines were counted.
    #[error("the file was first seen by an earlier version, weeks before the upgrade: it can't be published again")]
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
    /// It takes back a line that was counted.
    Withdrawn,
    /// Its line was counted from a file of another name.
    Duplicate,
    /// Its file has brought this line before; or it takes back what was taken back before, or never counted.
    Repeat,
    /// It was decided by an earlier delivery of the same offset.
    Settled,
    /// It can't be counted.
    Refused(Refusal),
}

impl Verdict {
    /// Whether it belongs to what the entry holds, which so has no record above its `upto`. A name too many is not noted in the
    /// entry, but keeps it from expiring.
    pub(crate) const fn is_of_entry(self) -> bool {
        match self {
            Self::Counted | Self::Withdrawn | Self::Duplicate | Self::Repeat => true,
            Self::Refused(refusal) => matches!(refusal, Refusal::TooManyNames),
            Self::Settled => false,
        }
    }
}

impl SourceEntry {
    /// The entry of a source that its lane has not seen yet.
    #[must_use]
    pub fn new(claim: Claim) -> Self {
        Self { claim, last_line: 0, withdrawn_line: 0, files: BTreeMap::new(), upto: 0 }
    }

    /// Decides a record of the source, and notes it. Redelivered, a record gets the same refusal again, so that
    /// refusals can be reported after the entry has been written.
    fn decide<R: Rules>(&mut self, about: &Known<'_>, record: &LaneRecord, source: &Source, action: Action) -> Verdict {
        if self.claim.epoch != about.epoch {
            return Verdict::Refused(Refusal::OtherEpoch(self.claim.epoch));
        }
        if about.state.closed_before_ms.is_some_and(|closed_ms| R::is_closed(self.claim.timestamp_ms, closed_ms)) {
            return Verdict::Refused(Refusal::TooOld);
        }
        let is_named = self.files.len() < MAX_NAMES_PER_SOURCE || self.files.contains_key(&source.file);
        if action == Action::Count && !is_named {
            return Verdict::Refused(Refusal::TooManyNames);
        }
        // An entry that has expired must not be made anew from what it once held.
        if R::is_settled(record.offset, self.upto.max(about.state.progress.next_offset)) {
            return Verdict::Settled;
        }
        match action {
            Action::Count => self.bring::<R>(source),
            Action::Withdraw => self.take_back::<R>(source.line),
        }
    }

    fn bring<R: Rules>(&mut self, source: &Source) -> Verdict {
        let file = self.files.entry(source.file).or_default();
        if R::is_repeat(source.line, file.last_line) {
            file.repeats += 1;
            return Verdict::Repeat;
        }
        if file.last_line == 0 {
            file.first_line = source.line;
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

    /// A line that is taken back before it was counted is settled with that: it is never counted afterwards.
    fn take_back<R: Rules>(&mut self, line: u64) -> Verdict {
        if R::is_withdrawn(line, self.withdrawn_line) {
            return Verdict::Repeat;
        }
        self.withdrawn_line = line;
        if R::was_never_counted(line, self.last_line) {
            R::close(&mut self.last_line, line);
            return Verdict::Repeat;
        }
        // Which of several names brought the line is not known, and does not matter: their sum is what the source has.
        match self.files.values_mut().find(|file| file.counted > file.withdrawn) {
            Some(file) => {
                file.withdrawn += 1;
                Verdict::Withdrawn
            }
            None => Verdict::Repeat,
        }
    }
}

/// What the batch's lane and store say about all its records.
struct Known<'a> {
    epoch: u32,
    state: &'a LaneState,
}

/// Decides all records of a batch in the order of their offsets, whatever the rows already hold, and notes it in the
/// entries. One verdict a record; `None` for one that can't be used.
pub(crate) fn decide<R: Rules>(
    batch: &LaneBatch,
    state: &LaneState,
    entries: &mut HashMap<SourceId, SourceEntry>,
) -> Vec<Option<Verdict>> {
    let known = Known { epoch: batch.lane().epoch, state };
    let is_past = |record: &LaneRecord| R::is_settled(record.offset, state.progress.next_offset);
    let decide_one = |record: &LaneRecord| {
        let usage = record.usage.as_ref()?;
        let Some(source) = &usage.source else {
            return Some(if is_past(record) { Verdict::Settled } else { Verdict::Counted });
        };
        match entries.get_mut(&source.id) {
            Some(entry) => Some(entry.decide::<R>(&known, record, source, usage.action)),
            // The caller has read or made the entry of every source that has a record the lane has not passed.
            None => Some(Verdict::Settled),
        }
    };
    batch.records().iter().map(decide_one).collect()
}
