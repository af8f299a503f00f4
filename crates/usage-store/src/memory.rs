use std::collections::HashMap;

use telecom::SourceId;

use crate::{RowKey, SourceEntry, StoredRow};

/// The most rows that are remembered of a lane between batches, apart from the last batch's own. With a batch of the
/// service's 10,000 records on top, the table stays below 57,344 entries of 72 bytes: 4 MB a lane.
pub const MAX_REMEMBERED_ROWS: usize = 40_000;

/// The most sources that are remembered of a lane between batches, apart from the last batch's own: files overlap little
/// in time, so few are enough.
pub const MAX_REMEMBERED_SOURCES: usize = 1_000;

/// What a process remembers of a lane between two batches, to read less: the lane as of the end of the last batch.
///
/// [`count`](crate::count) uses it only if it is known to be right, and empties it whenever it fails or is dropped
/// half-way. Losing it costs time and nothing else.
#[derive(Debug, Default)]
pub struct LaneMemory {
    /// Where the last batch ended.
    pub(crate) end: Option<i64>,
    pub(crate) sources: HashMap<SourceId, SourceEntry>,
    pub(crate) rows: HashMap<RowKey, StoredRow>,
}

impl LaneMemory {
    /// Forgets everything.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Keeps the memory bounded: where there is too much, what was touched longest ago is forgotten, but nothing that the
    /// last batch touched. Any part may be forgotten, as what is missing is read again.
    pub(crate) fn trim(&mut self, end: i64, max_sources: usize) {
        if let Some(excess @ 1..) = self.rows.len().checked_sub(MAX_REMEMBERED_ROWS) {
            let mut uptos: Vec<_> = self.rows.values().map(|row| row.upto).collect();
            let (_, newest_of_excess, _) = uptos.select_nth_unstable(excess - 1);
            let forgotten = (*newest_of_excess).min(end - 1);
            self.rows.retain(|_, row| row.upto > forgotten);
            self.rows.shrink_to(MAX_REMEMBERED_ROWS);
        }
        if self.sources.len() > max_sources {
            self.sources.retain(|_, entry| entry.upto == end);
        }
    }
}
