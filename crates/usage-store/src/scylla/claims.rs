//! Whose a source is: lightweight transactions, of which only the first can win.

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::value::Row;
use telecom::SourceId;

use super::connection::Connection;
use super::{CONCURRENT_REQUESTS, MAX_KEYS_PER_READ};
use crate::Claim;

pub(super) async fn make(
    connection: &Connection,
    claims: &[(SourceId, Claim)],
) -> anyhow::Result<Vec<(SourceId, Claim)>> {
    let make = async |(id, claim): (SourceId, Claim)| anyhow::Ok((id, make_one(connection, id, claim).await?));
    stream::iter(claims.to_vec()).map(make).buffer_unordered(CONCURRENT_REQUESTS).try_collect().await
}

/// Those that are there.
pub(super) async fn read(connection: &Connection, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, Claim)>> {
    let read = async |ids: Vec<String>| {
        let cql = "SELECT source_id, epoch, claimed_ms FROM {keyspace}.claims WHERE source_id IN ?";
        let found = connection.query(cql, &(ids,)).await?;
        let claim = |(id, epoch, timestamp_ms): (String, i64, i64)| {
            let epoch = u32::try_from(epoch).context("a stored epoch is out of range")?;
            Ok((id.parse()?, Claim { epoch, timestamp_ms }))
        };
        found.rows()?.map(|row| claim(row?)).collect::<anyhow::Result<Vec<_>>>()
    };
    let reads: Vec<Vec<_>> =
        ids.chunks(MAX_KEYS_PER_READ).map(|ids| ids.iter().map(SourceId::to_string).collect()).collect();
    stream::iter(reads).map(read).buffer_unordered(CONCURRENT_REQUESTS).try_concat().await
}

/// Each by a transaction, as it was made by one: their timestamps and a client's don't mix.
pub(super) async fn delete(connection: &Connection, ids: &[SourceId]) -> anyhow::Result<()> {
    let delete = async |id: SourceId| {
        let cql = "DELETE FROM {keyspace}.claims WHERE source_id = ? IF EXISTS";
        connection.query(cql, &(id.to_string(),)).await.map(drop)
    };
    stream::iter(ids.to_vec()).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, delete).await
}

/// Sent again, should it not be answered: if it had been made, it is found to be the first.
async fn make_one(connection: &Connection, id: SourceId, claim: Claim) -> anyhow::Result<Claim> {
    let answer = connection
        .query(
            "INSERT INTO {keyspace}.claims (source_id, epoch, claimed_ms) VALUES (?, ?, ?) IF NOT EXISTS",
            &(id.to_string(), i64::from(claim.epoch), claim.timestamp_ms),
        )
        .await?;
    let row: Row = answer.first_row()?;
    // The columns are there, in an order of the server's, where the claim was not applied; ScyllaDB has them always.
    let column = |name| {
        let (index, _) = answer.column_specs().get_by_name(name)?;
        row.columns.get(index)?.as_ref()
    };
    if column("[applied]")
        .and_then(|value| value.as_boolean())
        .context("a claim's answer does not say if it applied")?
    {
        return Ok(claim);
    }
    let figure =
        |name| column(name).and_then(|value| value.as_bigint()).context("a claim's answer lacks the first claim");
    let epoch = u32::try_from(figure("epoch")?).context("a stored epoch is out of range")?;
    Ok(Claim { epoch, timestamp_ms: figure("claimed_ms")? })
}
