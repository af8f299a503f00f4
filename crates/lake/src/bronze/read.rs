use std::ops::Range;
use std::sync::Arc;

use ::stream::Record;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::name::{Name, SUFFIX};
use super::{Segment, line, needed};
use crate::{Error, Lake};

/// Objects that are read at the same time, so that small ones don't wait for the store one after the other.
const READ_AHEAD: usize = 16;
/// Their compressed bytes together. 1 MiB is about two full batches, some 10 MiB once decoded.
const READ_AHEAD_BYTES: u32 = 1 << 20;

/// An object's records: at most a batch (6 MB of payload), by ascending offset.
///
/// # Errors
/// [`Error::NotFound`], when the store can't be reached or refuses, and when the object does not belong to bronze.
pub async fn read(lake: &Lake, key: &str) -> Result<Vec<Record>, Error> {
    let doing = || format!("reading {key}");
    let name = key.rsplit('/').next().unwrap_or_default();
    let by_hour = || name.strip_suffix(SUFFIX)?.parse().ok();
    let first = Name::parse(name).map(|name| name.first).or_else(by_hour);
    let first = first.ok_or_else(|| Error::malformed(doing(), "this is no name of an object of bronze"))?;
    let body = lake.get_stream(key).await?.into_bytes().await?;
    // Up to a tenth of a second's work.
    let decoded = tokio::task::spawn_blocking(move || line::decode(&body, first)).await;
    decoded.map_err(|error| error.to_string()).flatten().map_err(|why| Error::malformed(doing(), why))
}

/// The records of `offsets` in a lane's `segments` (by first offset), each once, by ascending offset; an object's at a
/// time. Offsets that no segment has are passed.
pub fn read_range(
    lake: &Lake,
    segments: &[Segment],
    offsets: Range<i64>,
) -> impl Stream<Item = Result<Vec<Record>, Error>> + Send + use<> {
    let mut from = offsets.start;
    let pieces: Vec<_> = needed(segments, &offsets)
        .into_iter()
        .map(|segment| {
            let bytes = u32::try_from(segment.bytes).unwrap_or(u32::MAX).min(READ_AHEAD_BYTES);
            let piece = (segment.key.clone(), bytes, from.max(segment.first)..(segment.last + 1).min(offsets.end));
            from = segment.last + 1;
            piece
        })
        .collect();
    let lake = lake.clone();
    let room = Arc::new(Semaphore::new(READ_AHEAD_BYTES as usize));
    stream::iter(pieces)
        .map(move |(key, bytes, piece)| {
            let (lake, room) = (lake.clone(), Arc::clone(&room));
            async move {
                // First come, first served: the object that is taken next never waits for those behind it.
                let room = room.acquire_many_owned(bytes).await;
                let mut records = read(&lake, &key).await?;
                records.retain(|record| piece.contains(&record.offset));
                Ok((records, room))
            }
        })
        .buffered(READ_AHEAD)
        .map_ok(|(records, _)| records)
        .try_filter(|records| futures::future::ready(!records.is_empty()))
}
