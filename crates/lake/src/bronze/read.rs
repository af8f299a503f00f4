use std::ops::Range;

use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::{Record, Segment, line, needed};
use crate::{Error, Lake};

/// Objects that are read ahead of the one that is taken: enough to hide the store's answer time, and two batches' memory.
const READ_AHEAD: usize = 2;

/// An object's records: at most a batch (6 MB of payload), by ascending offset.
///
/// # Errors
/// [`Error::NotFound`], when the store can't be reached or refuses, and when the object is none of bronze.
pub async fn read(lake: &Lake, key: &str) -> Result<Vec<Record>, Error> {
    let doing = || format!("reading {key}");
    let first = key
        .rsplit('/')
        .next()
        .and_then(|name| name.strip_suffix(".jsonl.zst")?.parse().ok())
        .ok_or_else(|| Error::malformed(doing(), "an object of bronze is named <first offset>.jsonl.zst"))?;
    let body = lake.get_stream(key).await?.into_bytes().await?;
    // Up to a tenth of a second's work.
    let decoded = tokio::task::spawn_blocking(move || line::decode(&body, first)).await;
    decoded.map_err(|error| error.to_string()).flatten().map_err(|why| Error::malformed(doing(), why))
}

/// The records of `offsets` in a lane's `segments` (by first offset), each once, by ascending offset; an object's at a time.
/// Offsets that no segment has are passed.
pub fn read_range(
    lake: &Lake,
    segments: &[Segment],
    offsets: Range<i64>,
) -> impl Stream<Item = Result<Vec<Record>, Error>> + Send + use<> {
    let mut from = offsets.start;
    let pieces: Vec<_> = needed(segments, &offsets)
        .into_iter()
        .map(|segment| {
            let piece = (segment.key.clone(), from.max(segment.first)..(segment.last + 1).min(offsets.end));
            from = segment.last + 1;
            piece
        })
        .collect();
    let lake = lake.clone();
    stream::iter(pieces)
        .map(move |(key, piece)| {
            let lake = lake.clone();
            async move {
                let mut records = read(&lake, &key).await?;
                records.retain(|record| piece.contains(&record.offset));
                Ok(records)
            }
        })
        .buffered(READ_AHEAD)
        .try_filter(|records| futures::future::ready(!records.is_empty()))
}
