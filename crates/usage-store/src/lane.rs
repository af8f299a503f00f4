use crate::RecordRules;

/// How far a lane has been counted: a function of its records below `next_offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneProgress {
    /// All records below this offset have been counted.
    pub next_offset: i64,
    /// How many records there were below it.
    pub records: u64,
    /// The latest timestamp of these records, in milliseconds since 1970-01-01 UTC.
    pub newest_timestamp_ms: Option<i64>,
}

impl LaneProgress {
    /// Offsets below `next_offset` that no record came with. A transaction's marks are such offsets, and nothing is lost with
    /// them; or records were deleted before they were counted, or passed over by hand.
    #[must_use]
    pub fn missing_offsets(&self) -> u64 {
        u64::try_from(self.next_offset).unwrap_or_default().saturating_sub(self.records)
    }
}

/// What a batch has to know of its lane and store before it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// How far the lane has been counted.
    pub progress: LaneProgress,
    /// By what the store counts.
    pub rules: RecordRules,
    /// Records below this offset were read by other rules: whether a row holds them can't be told.
    pub rules_from: i64,
    /// A source that was claimed before this moment is not counted any more: an earlier version has judged it by rules that
    /// this one can't repeat.
    pub closed_before_ms: Option<i64>,
}
