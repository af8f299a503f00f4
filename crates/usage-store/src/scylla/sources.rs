//! Entries of sources: a partition a lane.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use scylla::response::query_result::QueryRowsResult;
use scylla::{DeserializeValue, SerializeValue};
use telecom::SourceId;

use super::connection::Connection;
use super::{CONCURRENT_REQUESTS, MAX_KEYS_PER_READ, batches};
use crate::figures::{signed, unsigned};
use crate::{Claim, FileCount, Lane, LaneProgress, SOURCE_LIFETIME_MS, SourceEntry};

/// What an entry is to a server beside its files.
const ENTRY_BYTES: usize = 160;
/// What a file of an entry is beside its name.
const FILE_BYTES: usize = 60;

#[derive(SerializeValue, DeserializeValue)]
struct StoredCount {
    last_line: i64,
    counted: i64,
    duplicates: i64,
    repeats: i64,
}

type StoredFiles = BTreeMap<String, StoredCount>;

pub(super) async fn read(
    connection: &Connection,
    lane: &Lane,
    ids: &[SourceId],
) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
    let name = lane.to_string();
    let read = async |ids: Vec<String>| {
        let found = connection
            .query(
                "SELECT source_id, claimed_ms, last_line, files, upto FROM {keyspace}.sources \
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
            let line = signed(entry.last_line)?;
            Ok((&lane, id.to_string(), entry.claim.timestamp_ms, line, stored(entry)?, entry.upto, entry.upto))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let bytes = |(lane, _, _, _, files, ..): &(&String, _, _, _, StoredFiles, _, _)| {
        ENTRY_BYTES + lane.len() + files.keys().map(|file| FILE_BYTES + file.len()).sum::<usize>()
    };
    let write = async |batch: Vec<_>| {
        connection
            .write(
                "INSERT INTO {keyspace}.sources (lane, source_id, claimed_ms, last_line, files, upto) \
                 VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
                &batch,
            )
            .await
    };
    stream::iter(batches(values, bytes)).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, write).await
}

pub(super) async fn all(connection: &Connection) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
    let mut entries = Vec::new();
    let read = |page: QueryRowsResult| {
        for row in page.rows::<(&str, String, i64, i64, StoredFiles, i64)>()? {
            let (lane, id, claimed_ms, last_line, files, upto) = row?;
            let epoch = lane.split('/').next().unwrap_or_default().parse()?;
            entries.push(entry(epoch, (id, claimed_ms, last_line, files, upto))?);
        }
        Ok(())
    };
    let cql = "SELECT lane, source_id, claimed_ms, last_line, files, upto FROM {keyspace}.sources";
    connection.scan(cql, &(), read).await?;
    Ok(entries)
}

/// Deleted `USING TIMESTAMP upto`, so that what has been written since stays.
pub(super) async fn expire(connection: &Connection, lanes: &[(Lane, LaneProgress)]) -> anyhow::Result<u64> {
    let mut expired = Vec::new();
    for (lane, progress) in lanes {
        let Some(newest_ms) = progress.newest_timestamp_ms else { continue };
        let lane = lane.to_string();
        let read = |page: QueryRowsResult| {
            for row in page.rows::<(String, i64, i64)>()? {
                let (id, claimed_ms, upto) = row?;
                if newest_ms.saturating_sub(claimed_ms) > SOURCE_LIFETIME_MS {
                    expired.push((upto, lane.clone(), id));
                }
            }
            Ok(())
        };
        let cql = "SELECT source_id, claimed_ms, upto FROM {keyspace}.sources WHERE lane = ?";
        connection.scan(cql, &(&lane,), read).await?;
    }
    let number = expired.len() as u64;
    let delete = async |key: (i64, String, String)| {
        let cql = "DELETE FROM {keyspace}.sources USING TIMESTAMP ? WHERE lane = ? AND source_id = ?";
        connection.execute(cql, &key).await
    };
    stream::iter(expired).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, delete).await?;
    Ok(number)
}

/// An entry's files: without a name, under the empty one.
fn stored(entry: &SourceEntry) -> anyhow::Result<StoredFiles> {
    let stored = |count: &FileCount| {
        anyhow::Ok(StoredCount {
            last_line: signed(count.last_line)?,
            counted: signed(count.counted)?,
            duplicates: signed(count.duplicates)?,
            repeats: signed(count.repeats)?,
        })
    };
    let name = |file: &Option<telecom::FileName>| file.map_or_else(String::new, |file| file.to_string());
    entry.files.iter().map(|(file, count)| Ok((name(file), stored(count)?))).collect()
}

fn entry(
    epoch: u32,
    (id, claimed_ms, last_line, files, upto): (String, i64, i64, StoredFiles, i64),
) -> anyhow::Result<(SourceId, SourceEntry)> {
    let count = |stored: StoredCount| {
        anyhow::Ok(FileCount {
            last_line: unsigned(stored.last_line)?,
            counted: unsigned(stored.counted)?,
            duplicates: unsigned(stored.duplicates)?,
            repeats: unsigned(stored.repeats)?,
        })
    };
    let file = |(name, stored): (String, StoredCount)| {
        let file = if name.is_empty() { None } else { Some(name.parse()?) };
        anyhow::Ok((file, count(stored)?))
    };
    let entry = SourceEntry {
        claim: Claim { epoch, timestamp_ms: claimed_ms },
        last_line: unsigned(last_line)?,
        files: files.into_iter().map(file).collect::<anyhow::Result<_>>()?,
        upto,
    };
    Ok((id.parse()?, entry))
}
