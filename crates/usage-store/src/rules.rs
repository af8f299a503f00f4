//! The rules of the counting protocol, each by name, so that the simulator can break one at a time and show that it is
//! needed. The argument for them is in `docs/exactness.md`.

use crate::RecordRules;

/// Something that is read before a batch is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The lane's progress, and by what the store counts.
    Lane,
    /// The entries of the batch's sources.
    Sources,
    /// Whose the sources are that have no entry: those with a record that the lane has not passed are claimed.
    Claims,
    /// The rows that the batch touches.
    Rows,
}

/// Something that is written after a batch is decided; each is acknowledged before the next is begun.
#[derive(Clone, Copy)]
pub(crate) enum Write {
    /// The rows that the batch touches.
    Rows,
    /// The entries of the batch's sources.
    Sources,
    /// The lane's progress.
    Lane,
}

/// The rules. A batch is `[first, end)`; `upto` is the offset up to which something stored holds the lane.
pub(crate) trait Rules {
    /// Entries are read before rows: then no entry knows of a record that the rows, read later, don't hold. And after the
    /// lane's progress: then they hold all that is below it.
    const READS: [Read; 4] = [Read::Lane, Read::Sources, Read::Claims, Read::Rows];

    /// Where an entry is missing, it may have expired: then the progress, read once more, is past all that it held.
    const CHECKS_UNSEEN: bool = true;

    /// Entries are written after rows, for the same reason.
    const WRITES: [Write; 3] = [Write::Rows, Write::Sources, Write::Lane];

    /// Entries are remembered together with the rows, as of the same offset, or not at all.
    const RECALLS_SOURCES: bool = true;

    /// Not a rule: the fewer sources are remembered, the more often they meet what is remembered of rows.
    const MAX_REMEMBERED_SOURCES: usize = crate::MAX_REMEMBERED_SOURCES;

    /// What is remembered is used only where the batch begins where this process's last one of the lane ended.
    fn continues(remembered_end: Option<i64>, first: i64) -> bool {
        remembered_end == Some(first)
    }

    /// What is remembered is dropped when something read is newer than the batch's beginning: somebody else has been
    /// here.
    fn is_newer(upto: i64, first: i64) -> bool {
        upto > first
    }

    /// The lane's progress, too, is something read.
    fn is_lane_newer(next_offset: i64, as_of: i64) -> bool {
        next_offset > as_of
    }

    /// Records that were read by other rules than the store counts by are not counted.
    fn may_count(read_by: &RecordRules, counted_by: &RecordRules) -> bool {
        read_by == counted_by
    }

    /// A record below its source's `upto`, or below the offset up to which the lane is done, has been decided before,
    /// and its row is past it.
    fn is_settled(offset: i64, upto: i64) -> bool {
        offset < upto
    }

    /// A record below its row's `upto` is in the row already.
    fn is_held(offset: i64, row_upto: i64) -> bool {
        offset < row_upto
    }

    /// But where other rules counted it, they may have counted it in another row.
    fn was_read_otherwise(offset: i64, rules_from: i64) -> bool {
        offset < rules_from
    }

    /// A row of a file that this file has already brought: the file was published again.
    fn is_repeat(line: u64, last_line_of_file: u64) -> bool {
        line <= last_line_of_file
    }

    /// A row of a file whose content has not been settled yet under any name.
    fn is_new(line: u64, last_line: u64) -> bool {
        line > last_line
    }

    /// A row that has been taken back before.
    fn is_withdrawn(line: u64, withdrawn_line: u64) -> bool {
        line <= withdrawn_line
    }

    /// A row that is to be taken back and was not counted.
    fn was_never_counted(line: u64, last_line: u64) -> bool {
        line > last_line
    }

    /// It is settled all the same, so that it is never counted later.
    fn close(last_line: &mut u64, line: u64) {
        *last_line = line;
    }

    /// A source that an earlier version of the program has judged by rules that can't be repeated.
    fn is_closed(claimed_ms: i64, closed_before_ms: i64) -> bool {
        claimed_ms < closed_before_ms
    }

    /// One that is claimed since is not closed, whatever the clock of its sender says.
    fn claimed_at(timestamp_ms: i64, closed_before_ms: Option<i64>) -> i64 {
        closed_before_ms.map_or(timestamp_ms, |closed_ms| timestamp_ms.max(closed_ms))
    }

    /// Other rules are taken when the lane has been counted to the end of its log.
    fn is_drained(next_offset: i64, end: i64) -> bool {
        next_offset >= end
    }

    /// An entry expires where its lane has brought nothing of the source since a mark was made,
    fn is_silent(upto: i64, mark_end: i64) -> bool {
        upto <= mark_end
    }

    /// so many days later days have marks
    const LATER_DAYS: usize = crate::upkeep::LATER_DAYS;

    /// that were made later, whatever the clocks said,
    fn is_after(end: i64, mark_end: i64) -> bool {
        end >= mark_end
    }

    /// up to which the lane has been counted,
    fn is_reached(end: i64, next_offset: i64) -> bool {
        end <= next_offset
    }

    /// that is so in all lanes, for the source's claim is theirs, too,
    const ASKS_ALL_LANES: bool = true;

    /// and everything had been published when the mark was made.
    fn was_published(published_ms: i64, quiet_since_ms: i64) -> bool {
        published_ms <= quiet_since_ms
    }
}

/// The protocol as designed.
pub(crate) struct Design;

impl Rules for Design {}
