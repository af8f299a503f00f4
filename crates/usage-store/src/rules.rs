//! The rules of the counting protocol, each by name, so that the simulator can break one at a time and show that it is
//! needed. The argument for them is in `docs/exactness.md`.

/// Something that is read before a batch is decided.
#[derive(Clone, Copy)]
pub(crate) enum Read {
    /// The entries of the batch's sources.
    Sources,
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
    /// Entries are read before rows: then no entry knows of a record that the rows, read later, don't hold.
    const READS: [Read; 2] = [Read::Sources, Read::Rows];

    /// Entries are written after rows, for the same reason.
    const WRITES: [Write; 3] = [Write::Rows, Write::Sources, Write::Lane];

    /// Entries are remembered together with the rows, as of the same offset, or not at all.
    const RECALLS_SOURCES: bool = true;

    /// What is remembered is used only where the batch begins where this process's last one of the lane ended.
    fn continues(remembered_end: Option<i64>, first: i64) -> bool {
        remembered_end == Some(first)
    }

    /// What is remembered is dropped when something read is newer than the batch's beginning: somebody else has been
    /// here.
    fn is_newer(upto: i64, first: i64) -> bool {
        upto > first
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

    /// A row of a file that this file has already brought: the file was published again.
    fn is_repeat(line: u64, last_line_of_file: u64) -> bool {
        line <= last_line_of_file
    }

    /// A row of a file whose content has not been counted yet under any name.
    fn is_new(line: u64, last_line: u64) -> bool {
        line > last_line
    }

    /// A record so much younger than its source's first one that the source's entry may have expired.
    fn is_too_old(claimed_ms: i64, timestamp_ms: i64) -> bool {
        timestamp_ms.saturating_sub(claimed_ms) > crate::REPUBLISH_WITHIN_MS
    }
}

/// The protocol as designed.
pub(crate) struct Design;

impl Rules for Design {}
