use std::collections::HashMap;
use std::pin::pin;

use bytes::Bytes;
use futures::TryStreamExt;
use stream::{Lane, Record};

use super::name::Name;
use super::segment::{Listing, in_order};
use super::{Segment, line, read_range};
use crate::{Error, Lake, Put};

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Objects that are new: one, unless the lake had all records of the batch.
    pub objects: u64,
    /// Records in them; the others lay in the lake.
    pub records: u64,
    /// The objects' length.
    pub bytes: u64,
}

/// Puts consecutive records of a lane, by ascending offset: all that lie between the first and the last of them. When
/// it returns, each of them is in the lake, once or in objects that overlap. No records are no work.
///
/// `end` is the offset behind the last record of the lane that the caller has put, if it has put any. If the batch
/// begins there, the lake is not listed.
///
/// # Errors
/// When the store can't be reached or refuses: the batch is to be written again, with these boundaries or others. Also
/// when the lake has other records there, or only later ones: the topic was created again.
pub async fn write(lake: &Lake, lane: &Lane, records: &[Record], end: Option<i64>) -> Result<Written, Error> {
    debug_assert!(records.is_sorted_by(|a, b| a.offset < b.offset));
    let goes_on = end.is_some() && end == records.first().map(|first| first.offset);
    let rest = if goes_on { records } else { unknown(lake, lane, records).await? };
    let Some(name) = Name::of(rest) else { return Ok(Written::default()) };
    let key = name.key(lane);
    let lines = line::encode(rest).await.map_err(|error| Error::malformed(format!("compressing {key}"), error))?;
    let bytes = lines.len() as u64;
    Ok(match lake.put_if_absent(&key, Bytes::from(lines), &[]).await? {
        Put::Created => Written { objects: 1, records: name.records, bytes },
        // Another process has put it just now, or a repeated request finds its own object.
        Put::Exists => Written::default(),
    })
}

/// The records behind those that the lake has.
async fn unknown<'a>(lake: &Lake, lane: &Lane, records: &'a [Record]) -> Result<&'a [Record], Error> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(records) };
    let mut listing = Listing::from(lake, lane, first.offset);
    let mut found = Vec::new();
    while let Some(segment) = listing.next().await? {
        let goes_beyond = segment.last > last.offset;
        found.push(segment);
        if goes_beyond {
            break;
        }
    }
    if let Ok(rest) = behind(lake, records, &mut found).await? {
        return Ok(rest);
    }
    // One that goes further still may begin before those.
    while let Some(segment) = listing.next().await? {
        found.push(segment);
    }
    behind(lake, records, &mut found).await?.map_err(|offset| Error::Permanent {
        doing: format!("putting records of lane {lane}"),
        why: format!("the lake goes further, and has not this record at offset {offset}"),
        advice: "the topic was created again: take a new STREAM_EPOCH; or its group was set back to before where the lake \
                 begins: set it to where it was",
    })
}

/// The records behind what these segments have.
///
/// # Errors
/// With the offset of the first record before their end that they have not, or have otherwise.
async fn behind<'a>(
    lake: &Lake,
    records: &'a [Record],
    segments: &mut [Segment],
) -> Result<Result<&'a [Record], i64>, Error> {
    in_order(segments);
    let end = segments.iter().map(|segment| segment.last + 1).max().unwrap_or(i64::MIN);
    let (known, rest) = records.split_at(records.partition_point(|record| record.offset < end));
    let ([first, ..], [.., last]) = (known, known) else { return Ok(Ok(rest)) };
    let mut there = HashMap::new();
    let mut objects = pin!(read_range(lake, segments, first.offset..last.offset + 1));
    while let Some(records) = objects.try_next().await? {
        there.extend(records.into_iter().map(|record| (record.offset, record)));
    }
    let other = known.iter().find(|record| there.get(&record.offset) != Some(record));
    Ok(other.map_or(Ok(rest), |record| Err(record.offset)))
}
