use stream::Lane;
use telecom::{Action, Source, UsageEvent};

use crate::{RecordRules, TowerHour};

/// Consecutive records of one lane, as one event delivers them: never empty, offsets strictly ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneBatch {
    lane: Lane,
    rules: RecordRules,
    records: Vec<LaneRecord>,
}

/// One record of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in Kafka, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// What it adds; `None` where it can't be used, but takes its offset all the same.
    pub usage: Option<SourcedUsage>,
}

/// What a record adds, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcedUsage {
    /// What it adds, or takes back.
    pub event: UsageEvent,
    /// The row of a file that it was; without one, the record's identity is its position in Kafka.
    pub source: Option<Source>,
    /// Whether the row is counted or taken back.
    pub action: Action,
    /// The tower that served it, and when, where the record names one.
    pub tower: Option<TowerHour>,
}

/// The records are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// There are none.
    #[error("the batch has no records")]
    Empty,
    /// An offset is negative, or not above the one before.
    #[error("offset {0} is negative or not above the one before it")]
    OutOfOrder(i64),
    /// A record takes something back and does not say which row of which file.
    #[error("the record at offset {0} takes back a row that it does not name")]
    NamelessWithdrawal(i64),
}

impl LaneBatch {
    /// A lane's records, as they were read by these rules.
    ///
    /// # Errors
    /// When there are no records, their offsets don't ascend from 0 or more, or one takes back a row that it does not name.
    pub fn new(lane: Lane, rules: RecordRules, records: Vec<LaneRecord>) -> Result<Self, InvalidBatch> {
        let mut next = 0;
        for record in &records {
            // i64::MAX has no offset after it.
            if record.offset < next || record.offset == i64::MAX {
                return Err(InvalidBatch::OutOfOrder(record.offset));
            }
            next = record.offset + 1;
            if record.usage.is_some_and(|usage| usage.action == Action::Withdraw && usage.source.is_none()) {
                return Err(InvalidBatch::NamelessWithdrawal(record.offset));
            }
        }
        if records.is_empty() { Err(InvalidBatch::Empty) } else { Ok(Self { lane, rules, records }) }
    }

    /// The lane they are of.
    #[must_use]
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// By what they were read.
    #[must_use]
    pub fn rules(&self) -> &RecordRules {
        &self.rules
    }

    /// The records, by offset.
    #[must_use]
    pub fn records(&self) -> &[LaneRecord] {
        &self.records
    }

    /// The first record's offset: `a` of the batch `[a, b)`.
    #[must_use]
    pub fn first_offset(&self) -> i64 {
        self.records.first().map_or(0, |record| record.offset)
    }

    /// The offset after the last record's: `b` of the batch `[a, b)`.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.records.last().map_or(0, |record| record.offset + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(offsets: &[i64], expect: expect_test::Expect) {
        let lane = Lane { epoch: 1, topic: "cdr-data".to_owned(), partition: 0 };
        let record = |&offset: &i64| LaneRecord { offset, timestamp_ms: 0, usage: None };
        match LaneBatch::new(lane, RecordRules::default(), offsets.iter().map(record).collect()) {
            Ok(batch) => expect.assert_eq(&format!("[{}, {})", batch.first_offset(), batch.end())),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn offsets_ascend() {
        use expect_test::expect;
        check(&[0], expect!["[0, 1)"]);
        check(&[5, 6, 9], expect!["[5, 10)"]);
        check(&[], expect!["the batch has no records"]);
        check(&[5, 5], expect!["offset 5 is negative or not above the one before it"]);
        check(&[-1], expect!["offset -1 is negative or not above the one before it"]);
        check(&[i64::MAX], expect!["offset 9223372036854775807 is negative or not above the one before it"]);
    }
}
