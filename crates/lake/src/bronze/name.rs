use stream::{Lane, Record};

use super::topic_prefix;

/// The ending of all objects' names.
pub(super) const SUFFIX: &str = ".jsonl.zst";

/// What the name of an object says, below its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) records: u64,
}

impl Name {
    /// The name for these records; none for no records.
    pub(super) fn of(records: &[Record]) -> Option<Self> {
        let (first, last) = (records.first()?.offset, records.last()?.offset);
        Some(Self { first, last, records: records.len() as u64 })
    }

    /// Reads the part of a name below a lane. Accepts only the canonical spelling.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_suffix(SUFFIX)?.splitn(3, '-');
        let (last, first, records) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let name = Self { first: first.parse().ok()?, last: last.parse().ok()?, records: records.parse().ok()? };
        let is_true = (0..=name.last).contains(&name.first) && (1..=name.offsets()).contains(&name.records);
        (is_true && name.text() == text).then_some(name)
    }

    /// The object's whole name.
    pub(super) fn key(self, lane: &Lane) -> String {
        format!("{}{}", lane_prefix(lane), self.text())
    }

    /// How many offsets it spans.
    pub(super) fn offsets(self) -> u64 {
        (self.last - self.first).unsigned_abs() + 1
    }

    fn text(self) -> String {
        format!("{:020}-{:020}-{}{SUFFIX}", self.last, self.first, self.records)
    }
}

/// The names of a lane's objects begin so.
pub(super) fn lane_prefix(lane: &Lane) -> String {
    format!("{}{}/", partition_prefix(lane.epoch, &lane.topic), lane.partition)
}

/// A number and a `/` behind it, and these are a lane's.
pub(super) fn partition_prefix(epoch: u32, topic: &str) -> String {
    format!("{}partition=", topic_prefix(epoch, topic))
}

/// Behind this name of a listing lie a lane's objects that reach to `offset` or beyond it.
pub(super) fn before(lane: &Lane, offset: i64) -> String {
    format!("{}{:020}", lane_prefix(lane), offset.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_is_written_as() {
        let name = Name { first: 3, last: 10, records: 8 };
        let text = "00000000000000000010-00000000000000000003-8.jsonl.zst";
        assert_eq!((name.text().as_str(), Name::parse(text)), (text, Some(name)));
        let last = Name { first: i64::MAX, last: i64::MAX, records: 1 };
        assert_eq!(Name::parse(&last.text()), Some(last));
        for other in [
            "00000000000000000010.jsonl.zst",
            "00000000000000000010-00000000000000000003.jsonl.zst",
            "10-3-8.jsonl.zst",
            "00000000000000000010-00000000000000000003-08.jsonl.zst",
            "00000000000000000010-00000000000000000003-8-1.jsonl.zst",
            "00000000000000000010-00000000000000000003-8.jsonl",
            // None begins behind its end, or has more records than offsets, or none.
            "00000000000000000003-00000000000000000010-1.jsonl.zst",
            "00000000000000000010-00000000000000000003-9.jsonl.zst",
            "00000000000000000010-00000000000000000003-0.jsonl.zst",
            "00000000000000000010--0000000000000000003-1.jsonl.zst",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_listing_behind_an_offset_has_what_reaches_to_it() {
        let lane = Lane { epoch: 1, topic: "t".to_owned(), partition: 0 };
        let key = |first, last| Name { first, last, records: 1 }.key(&lane);
        assert!(key(0, 9) < before(&lane, 10));
        assert!(key(0, 10) > before(&lane, 10));
        assert!(key(10, 99) > before(&lane, 10));
        assert!(key(0, 0) > before(&lane, 0));
    }
}
