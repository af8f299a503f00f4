use std::collections::BTreeMap;
use std::ops::Range;

use futures::{StreamExt, TryStreamExt, future, stream};

use super::{Hour, Lane, Record, metadata, read, topic_prefix};
use crate::{Error, Lake, Listed};

/// Requests in flight while objects are looked at: they wait for the store, not for this machine.
const LOOKS_IN_FLIGHT: usize = 32;

/// An object: all records of its lane from `first` to `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The lane's partition.
    pub partition: i32,
    /// The hour in the object's name: that of its first record's Kafka timestamp.
    pub hour: Hour,
    /// The first record's offset.
    pub first: i64,
    /// The last record's offset.
    pub last: i64,
    /// The object's name.
    pub key: String,
    /// The object's length.
    pub bytes: u64,
}

/// A topic's objects of the hours from `since` on, by partition and first offset; they may overlap (see [`needed`]).
///
/// A listing does not tell an object's last offset, so each one is looked at (one request, 32 side by side), but for
/// those whose names are `known`: they are left out. A name says the same for ever. Do not leave objects out by their
/// first offset: one that begins below a high-water mark may reach above it.
///
/// # Errors
/// When the store can't be reached or refuses; also when two objects of a lane begin at one offset, which means that the
/// topic was created again.
pub async fn segments(
    lake: &Lake,
    epoch: u32,
    topic: &str,
    since: Option<Hour>,
    known: impl Fn(&str) -> bool,
) -> Result<BTreeMap<i32, Vec<Segment>>, Error> {
    let prefix = topic_prefix(epoch, topic);
    let after = since.map(|hour| format!("{prefix}{hour}"));
    let unknown: Vec<_> = lake
        .list_after(&prefix, after.as_deref())
        .try_filter(|listed| future::ready(!known(&listed.key)))
        .try_collect()
        .await?;
    let looks = unknown.into_iter().filter_map(|listed| Name::parse(&prefix, listed)).map(|name| look(lake, name));
    let mut partitions: BTreeMap<i32, Vec<Segment>> = BTreeMap::new();
    let mut found = stream::iter(looks).buffered(LOOKS_IN_FLIGHT);
    while let Some(segment) = found.try_next().await? {
        partitions.entry(segment.partition).or_default().push(segment);
    }
    for segments in partitions.values_mut() {
        segments.sort_by_key(|segment| segment.first);
        if let Some([one, other]) = segments.array_windows().find(|[one, other]| one.first == other.first) {
            return Err(created_again(format!("listing {prefix}"), format!("{} and {}", one.key, other.key)));
        }
    }
    Ok(partitions)
}

/// Those of a lane's segments (by first offset) that have something of `offsets` that none before them has.
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

/// What an object's name says.
struct Name {
    partition: i32,
    hour: Hour,
    first: i64,
    listed: Listed,
}

impl Name {
    /// An object that somebody else put among ours is passed, and said.
    fn parse(prefix: &str, listed: Listed) -> Option<Self> {
        let parts = || {
            let (hour, rest) = listed.key.strip_prefix(prefix)?.split_once("/partition=")?;
            let (partition, first) = rest.strip_suffix(".jsonl.zst")?.split_once('/')?;
            Some((partition.parse().ok()?, hour.parse().ok()?, first.parse().ok()?))
        };
        let Some((partition, hour, first)) = parts() else {
            tracing::warn!(lake.key = listed.key, "this object is none of bronze: it is not read");
            return None;
        };
        Some(Self { partition, hour, first, listed })
    }
}

async fn look(lake: &Lake, name: Name) -> Result<Segment, Error> {
    let Name { partition, hour, first, listed: Listed { key, bytes } } = name;
    let (last, _) = kept(lake, &key, first).await?;
    Ok(Segment { partition, hour, first, last, key, bytes })
}

/// The last offset of the object that begins with `first`.
pub(super) async fn last_offset(lake: &Lake, lane: &Lane, key: &str, first: &Record) -> Result<i64, Error> {
    let (last, first_timestamp_ms) = kept(lake, key, first.offset).await?;
    if first_timestamp_ms != first.timestamp_ms {
        let why = format!("{key} has another record at offset {}", first.offset);
        return Err(created_again(format!("putting records of lane {lane}"), why));
    }
    Ok(last)
}

/// An object's last offset, and its first record's timestamp. Copying a bucket may lose what is kept with its objects;
/// then they are read.
async fn kept(lake: &Lake, key: &str, first: i64) -> Result<(i64, i64), Error> {
    let head = lake.head(key).await?.ok_or_else(|| Error::NotFound { key: key.to_owned() })?;
    let number = |name| head.metadata.get(name).and_then(|text| text.parse::<i64>().ok());
    match (number(metadata::LAST_OFFSET), number(metadata::FIRST_TIMESTAMP_MS)) {
        (Some(last), Some(timestamp_ms)) if last >= first => Ok((last, timestamp_ms)),
        _ => match read(lake, key).await?.as_slice() {
            [first, .., last] => Ok((last.offset, first.timestamp_ms)),
            [only] => Ok((only.offset, only.timestamp_ms)),
            [] => Err(Error::malformed(format!("reading {key}"), "it has no record")),
        },
    }
}

fn created_again(doing: String, why: String) -> Error {
    Error::Permanent { doing, why, advice: "the topic was created again: take a new STREAM_EPOCH" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_is_not_needed() {
        let segment = |first, last| Segment {
            partition: 0,
            hour: Hour::of(0),
            first,
            last,
            key: format!("{first}-{last}"),
            bytes: 1,
        };
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
}
