use bytes::Bytes;

use super::{Lane, Record, line, metadata, name, segment};
use crate::{Error, Lake, Put};

/// What a batch has become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Objects that are new: one, unless the lake had records of the batch.
    pub objects: u64,
    /// Records in them; the others lay in the lake.
    pub records: u64,
    /// The objects' length.
    pub bytes: u64,
}

/// Puts consecutive records of a lane, by ascending offset: all that lie between the first and the last of them. When
/// it returns, each of them is in the lake, once or in objects that overlap. No records are no work.
///
/// # Errors
/// When the store can't be reached or refuses: the batch is to be written again, with these boundaries or others. Also
/// when the lake has another record at the same offset: the topic was created again.
pub async fn write(lake: &Lake, lane: &Lane, records: &[Record]) -> Result<Written, Error> {
    debug_assert!(records.is_sorted_by(|a, b| a.offset < b.offset));
    let mut written = Written::default();
    let mut rest = records;
    while let [first, ..] = rest {
        let key = name(lane, first);
        match put(lake, &key, rest).await? {
            Some(bytes) => {
                written.objects += 1;
                written.records += rest.len() as u64;
                written.bytes += bytes;
                break;
            }
            None => {
                let last = segment::last_offset(lake, lane, &key, first).await?;
                rest = &rest[rest.partition_point(|record| record.offset <= last)..];
            }
        }
    }
    Ok(written)
}

/// The new object's length; `None` where the name is taken.
async fn put(lake: &Lake, key: &str, records: &[Record]) -> Result<Option<u64>, Error> {
    let ([first, ..], [.., last]) = (records, records) else { return Ok(None) };
    let lines = line::encode(records).await.map_err(|error| Error::malformed(format!("compressing {key}"), error))?;
    let bytes = lines.len() as u64;
    let (last_offset, first_timestamp_ms) = (last.offset.to_string(), first.timestamp_ms.to_string());
    let kept = [(metadata::LAST_OFFSET, &*last_offset), (metadata::FIRST_TIMESTAMP_MS, &*first_timestamp_ms)];
    Ok(match lake.put_if_absent(key, Bytes::from(lines), &kept).await? {
        Put::Created => Some(bytes),
        Put::Exists => None,
    })
}
