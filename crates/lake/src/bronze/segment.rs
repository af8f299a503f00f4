use std::ops::Range;

use futures::TryStreamExt;
use stream::Lane;

use super::Hour;
use super::name::{Name, before, lane_prefix, partition_prefix};
use crate::{Error, Lake, Listed};

/// An object: all records of its lane from `first` to `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The lane's partition.
    pub partition: i32,
    /// The first record's offset.
    pub first: i64,
    /// The last record's offset.
    pub last: i64,
    /// The hour in the object's name, if it lies [by hour](super::by_hour).
    pub hour: Option<Hour>,
    /// The object's name.
    pub key: String,
    /// The object's length.
    pub bytes: u64,
}

impl Segment {
    fn of(lane: &Lane, name: Name, bytes: u64) -> Self {
        let (partition, key) = (lane.partition, name.key(lane));
        Self { partition, first: name.first, last: name.last, hour: None, key, bytes }
    }
}

/// The partitions of which a topic has objects, ascending.
///
/// # Errors
/// When the store can't be reached or refuses.
pub async fn partitions(lake: &Lake, epoch: u32, topic: &str) -> Result<Vec<i32>, Error> {
    let prefix = partition_prefix(epoch, topic);
    let folders: Vec<String> = lake.folders(&prefix).try_collect().await?;
    let number = |folder: &String| folder.strip_prefix(&prefix)?.strip_suffix('/')?.parse().ok();
    let mut partitions: Vec<i32> = folders.iter().filter_map(number).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// The first `most` of a lane's objects that reach to the offset `from` or beyond it, in the order of their last
/// offsets, returned in the order of their first; they may overlap (see [`needed`]). The cost depends on the objects
/// returned, however many lie before them.
///
/// # Errors
/// When the store can't be reached or refuses.
pub async fn segments(lake: &Lake, lane: &Lane, from: i64, most: usize) -> Result<Vec<Segment>, Error> {
    let mut found = Vec::new();
    let mut listing = Listing::from(lake, lane, from);
    while found.len() < most {
        let Some(segment) = listing.next().await? else { break };
        found.push(segment);
    }
    in_order(&mut found);
    Ok(found)
}

/// By first offset; of those with one the longest first, so that the others are not needed.
pub(super) fn in_order(segments: &mut [Segment]) {
    segments.sort_by_key(|segment| (segment.first, std::cmp::Reverse(segment.last)));
}

/// A lane's objects by last offset.
pub(super) struct Listing<'a> {
    lane: &'a Lane,
    prefix: String,
    objects: futures::stream::BoxStream<'static, Result<Listed, Error>>,
}

impl<'a> Listing<'a> {
    /// Those that reach to this offset or beyond it.
    pub(super) fn from(lake: &Lake, lane: &'a Lane, from: i64) -> Self {
        let prefix = lane_prefix(lane);
        let objects = lake.list_after(&prefix, Some(&before(lane, from)));
        Self { lane, prefix, objects }
    }

    /// The next one. A foreign object in between is skipped, with a warning.
    pub(super) async fn next(&mut self) -> Result<Option<Segment>, Error> {
        while let Some(Listed { key, bytes }) = self.objects.try_next().await? {
            match key.strip_prefix(&self.prefix).and_then(Name::parse) {
                Some(name) => return Ok(Some(Segment::of(self.lane, name, bytes))),
                None => tracing::warn!(lake.key = key, "this object is none of bronze: it is not read"),
            }
        }
        Ok(None)
    }
}

/// The segments of a lane (by first offset) that hold some of `offsets` which no earlier segment holds.
#[must_use]
pub fn needed<'a>(segments: &'a [Segment], offsets: &Range<i64>) -> Vec<&'a Segment> {
    let mut from = offsets.start;
    let mut needed = Vec::new();
    for segment in segments {
        if from < offsets.end && segment.first < offsets.end && segment.last >= from {
            from = segment.last + 1;
            needed.push(segment);
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(first: i64, last: i64) -> Segment {
        let key = format!("{first}-{last}");
        Segment { partition: 0, first, last, hour: None, key, bytes: 1 }
    }

    #[test]
    fn what_others_have_is_not_needed() {
        let check = |offsets: Range<i64>, expected: &[&str]| {
            let segments = [(0, 9), (5, 14), (7, 8), (15, 15), (30, 39)].map(|(first, last)| segment(first, last));
            let keys: Vec<_> = needed(&segments, &offsets).iter().map(|segment| segment.key.as_str()).collect();
            assert_eq!(keys, expected, "{offsets:?}");
        };
        check(0..40, &["0-9", "5-14", "15-15", "30-39"]);
        check(0..10, &["0-9"]);
        check(0..11, &["0-9", "5-14"]);
        check(10..31, &["5-14", "15-15", "30-39"]);
        check(16..30, &[]);
        check(40..50, &[]);
        check(7..7, &[]);
    }

    #[test]
    fn of_objects_with_one_beginning_the_longest_is_needed() {
        let mut segments = [segment(0, 3), segment(5, 6), segment(0, 9)];
        in_order(&mut segments);
        let keys: Vec<_> = needed(&segments, &(0..10)).iter().map(|segment| segment.key.as_str()).collect();
        assert_eq!(keys, ["0-9"]);
    }
}
