//! Entries of sources: a partition a lane.

use std::collections::BTreeMap;

use ::stream::Lane;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::response::query_result::QueryRowsResult;
use scylla::{DeserializeValue, SerializeValue};
use telecom::SourceId;

use super::connection::Connection;
use super::{CONCURRENT_REQUESTS, MAX_KEYS_PER_READ, batches};
use crate::figures::{signed, unsigned};
use crate::upkeep::Kept;
use crate::{Claim, FileCount, SourceEntry};

/// What an entry is to a server beside its files.
const ENTRY_BYTES: usize = 190;
/// What a file of an entry is beside its name.
const FILE_BYTES: usize = 84;

#[derive(SerializeValue, DeserializeValue)]
struct StoredCount {
    last_line: i64,
    counted: i64,
    duplicates: i64,
    repeats: i64,
    /// Those of an earlier version have none of these.
    first_line: Option<i64>,
    withdrawn: Option<i64>,
}

type StoredFiles = BTreeMap<String, StoredCount>;

/// The columns of an entry: source, time of the claim, last line, withdrawn line (none of an earlier version's), files, upto.
type Columns = (String, i64, i64, Option<i64>, StoredFiles, i64);

pub(super) async fn read(
    connection: &Connection,
    lane: &Lane,
    ids: &[SourceId],
) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
    let name = lane.to_string();
    let read = async |ids: Vec<String>| {
        let found = connection
            .query(
                "SELECT source_id, claimed_ms, last_line, withdrawn_line, files, upto FROM {keyspace}.sources \
                 WHERE lane = ? AND source_id IN ?",
                &(&name, ids),
            )
            .await?;
        let rows = found.rows()?;
        rows.map(|row| entry(lane.epoch, row?)).collect::<anyhow::Result<Vec<_>>>()
    };
    let reads: Vec<Vec<_>> =
        ids.chunks(MAX_KEYS_PER_READ).map(|ids| ids.iter().map(SourceId::to_string).collect()).collect();
    stream::iter(reads).map(read).buffer_unordered(CONCURRENT_REQUESTS).try_concat().await
}

pub(super) async fn write(
    connection: &Connection,
    lane: &Lane,
    entries: &[(SourceId, &SourceEntry)],
) -> anyhow::Result<()> {
    let lane = lane.to_string();
    let values = entries
        .iter()
        .map(|(id, entry)| {
            let (line, withdrawn) = (signed(entry.last_line)?, signed(entry.withdrawn_line)?);
            let claimed_ms = entry.claim.timestamp_ms;
            Ok((&lane, id.to_string(), claimed_ms, line, withdrawn, stored(entry)?, entry.upto, entry.upto))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let bytes = |(lane, _, _, _, _, files, ..): &(&String, _, _, _, _, StoredFiles, _, _)| {
        ENTRY_BYTES + lane.len() + files.keys().map(|file| FILE_BYTES + file.len()).sum::<usize>()
    };
    let write = async |batch: Vec<_>| {
        connection
            .write(
                "INSERT INTO {keyspace}.sources (lane, source_id, claimed_ms, last_line, withdrawn_line, files, upto) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
                &batch,
            )
            .await
    };
    stream::iter(batches(values, bytes)).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, write).await
}

pub(super) async fn all(connection: &Connection) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
    let mut entries = Vec::new();
    let read = |page: QueryRowsResult| {
        for row in page.rows::<(&str, String, i64, i64, Option<i64>, StoredFiles, i64)>()? {
            let (lane, id, claimed_ms, last_line, withdrawn_line, files, upto) = row?;
            let epoch = lane.split('/').next().unwrap_or_default().parse()?;
            entries.push(entry(epoch, (id, claimed_ms, last_line, withdrawn_line, files, upto))?);
        }
        Ok(())
    };
    let cql = "SELECT lane, source_id, claimed_ms, last_line, withdrawn_line, files, upto FROM {keyspace}.sources";
    connection.scan(cql, &(), read).await?;
    Ok(entries)
}

/// Those of some lanes whose source begins with this hexadecimal digit.
pub(super) async fn kept(connection: &Connection, lanes: &[Lane], digit: u8) -> anyhow::Result<Vec<Kept>> {
    // Behind all digits there is a letter.
    let (from, to) = (format!("{digit:x}"), if digit < 15 { format!("{:x}", digit + 1) } else { "g".to_owned() });
    let mut kept = Vec::new();
    for lane in lanes {
        let read = |page: QueryRowsResult| {
            for row in page.rows::<(&str, StoredFiles, i64)>()? {
                let (id, files, upto) = row?;
                let named = files.keys().filter(|name| !name.is_empty());
                let files = named.map(|name| name.parse()).collect::<Result<_, _>>()?;
                kept.push(Kept { lane: lane.clone(), source: id.parse()?, upto, files });
            }
            Ok(())
        };
        let cql = "SELECT source_id, files, upto FROM {keyspace}.sources \
                   WHERE lane = ? AND source_id >= ? AND source_id < ?";
        connection.scan(cql, &(lane.to_string(), &from, &to), read).await?;
    }
    Ok(kept)
}

/// Deleted `USING TIMESTAMP upto`, so that what has been written since stays.
pub(super) async fn delete(connection: &Connection, entries: &[(Lane, SourceId, i64)]) -> anyhow::Result<()> {
    let delete = async |(upto, lane, id): (i64, String, String)| {
        let cql = "DELETE FROM {keyspace}.sources USING TIMESTAMP ? WHERE lane = ? AND source_id = ?";
        connection.execute(cql, &(upto, lane, id)).await
    };
    let keys: Vec<_> = entries.iter().map(|(lane, id, upto)| (*upto, lane.to_string(), id.to_string())).collect();
    stream::iter(keys).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, delete).await
}

/// An entry's files: without a name, under the empty one.
fn stored(entry: &SourceEntry) -> anyhow::Result<StoredFiles> {
    let stored = |count: &FileCount| {
        anyhow::Ok(StoredCount {
            last_line: signed(count.last_line)?,
            counted: signed(count.counted)?,
            duplicates: signed(count.duplicates)?,
            repeats: signed(count.repeats)?,
            first_line: Some(signed(count.first_line)?),
            withdrawn: Some(signed(count.withdrawn)?),
        })
    };
    let name = |file: &Option<telecom::FileName>| file.map_or_else(String::new, |file| file.to_string());
    entry.files.iter().map(|(file, count)| Ok((name(file), stored(count)?))).collect()
}

fn entry(
    epoch: u32,
    (id, claimed_ms, last_line, withdrawn_line, files, upto): Columns,
) -> anyhow::Result<(SourceId, SourceEntry)> {
    let count = |stored: StoredCount| {
        anyhow::Ok(FileCount {
            first_line: unsigned(stored.first_line.unwrap_or_default())?,
            last_line: unsigned(stored.last_line)?,
            counted: unsigned(stored.counted)?,
            duplicates: unsigned(stored.duplicates)?,
            repeats: unsigned(stored.repeats)?,
            withdrawn: unsigned(stored.withdrawn.unwrap_or_default())?,
        })
    };
    let file = |(name, stored): (String, StoredCount)| {
        let file = if name.is_empty() { None } else { Some(name.parse()?) };
        anyhow::Ok((file, count(stored)?))
    };
    let entry = SourceEntry {
        claim: Claim { epoch, timestamp_ms: claimed_ms },
        last_line: unsigned(last_line)?,
        withdrawn_line: unsigned(withdrawn_line.unwrap_or_default())?,
        files: files.into_iter().map(file).collect::<anyhow::Result<_>>()?,
        upto,
    };
    Ok((id.parse()?, entry))
}
