//! Usage rows.

use std::collections::BTreeMap;

use ::stream::Lane;
use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlDate;
use telecom::{Day, Month, Msisdn, Totals, UsageKind};

use super::connection::Connection;
use super::{CONCURRENT_REQUESTS, MAX_KEYS_PER_READ, batches, date, day};
use crate::figures::{signed, unsigned};
use crate::store::LaneUsage;
use crate::{RowKey, StoredRow};

/// What a row is to a server beside its texts: 27 bytes of key and timestamps, and five cells with a value, a timestamp
/// and two numbers for an expiry that it hasn't, 24 bytes each.
const ROW_BYTES: usize = 160;

/// A server's partition: the rows of a bucket in a month.
type Partition = (Month, i16);

pub(super) async fn read(
    connection: &Connection,
    lane: &Lane,
    keys: &[RowKey],
) -> anyhow::Result<Vec<(RowKey, StoredRow)>> {
    let lane = lane.to_string();
    let partitions = by_partition(keys, |key| key);
    let reads = partitions.iter().flat_map(|(partition, keys)| {
        keys.chunks(MAX_KEYS_PER_READ).map(|keys| read_some(connection, &lane, *partition, keys))
    });
    // Collected, so that the type of the stream does not depend on a lifetime.
    let reads: Vec<_> = reads.collect();
    stream::iter(reads).buffer_unordered(CONCURRENT_REQUESTS).try_concat().await
}

async fn read_some(
    connection: &Connection,
    lane: &str,
    (month, bucket): Partition,
    keys: &[&RowKey],
) -> anyhow::Result<Vec<(RowKey, StoredRow)>> {
    let clusterings = keys
        .iter()
        .map(|key| {
            let (category, usage_type) = (key.kind.category().as_str(), key.kind.usage_type());
            Ok((signed(key.msisdn.as_u64())?, date(key.day), category, usage_type, lane))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let found = connection
        .query(
            "SELECT msisdn, day, category, usage_type, up_bytes, down_bytes, seconds, events, upto FROM {keyspace}.usage \
             WHERE month = ? AND bucket = ? AND (msisdn, day, category, usage_type, lane) IN ?",
            &(month.number(), bucket, clusterings),
        )
        .await?;
    let mut rows = Vec::with_capacity(found.rows_num());
    for row in found.rows::<(i64, CqlDate, &str, &str, i64, i64, i64, i64, i64)>()? {
        let (msisdn, date, category, usage_type, up_bytes, down_bytes, seconds, events, upto) = row?;
        let msisdn = Msisdn::from_u64(unsigned(msisdn)?).context("a stored subscriber number is out of range")?;
        let key = RowKey { bucket, msisdn, day: day(date)?, kind: kind(category, usage_type)? };
        rows.push((key, StoredRow { totals: totals([up_bytes, down_bytes, seconds, events])?, upto }));
    }
    Ok(rows)
}

pub(super) async fn write(
    connection: &Connection,
    lane: &Lane,
    upto: i64,
    rows: &[(RowKey, Totals)],
) -> anyhow::Result<()> {
    let lane = lane.to_string();
    let mut writes = Vec::new();
    for ((month, bucket), rows) in by_partition(rows, |(key, _)| key) {
        let values = rows
            .into_iter()
            .map(|(key, totals)| {
                Ok((
                    month.number(),
                    bucket,
                    signed(key.msisdn.as_u64())?,
                    date(key.day),
                    key.kind.category().as_str(),
                    key.kind.usage_type(),
                    lane.as_str(),
                    signed(totals.up_bytes)?,
                    signed(totals.down_bytes)?,
                    signed(totals.seconds)?,
                    signed(totals.events)?,
                    upto,
                    upto,
                ))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let bytes =
            |(_, _, _, _, category, usage_type, lane, ..): &(_, _, _, _, &str, &str, &str, _, _, _, _, _, _)| {
                ROW_BYTES + category.len() + usage_type.len() + lane.len()
            };
        writes.extend(batches(values, bytes));
    }
    let write = async |batch: Vec<_>| {
        connection
            .write(
                "INSERT INTO {keyspace}.usage (month, bucket, msisdn, day, category, usage_type, lane, \
                 up_bytes, down_bytes, seconds, events, upto) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
                &batch,
            )
            .await
    };
    stream::iter(writes).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, write).await
}

pub(super) async fn usage_of(
    connection: &Connection,
    bucket: i16,
    msisdn: Msisdn,
    from: Day,
    to: Day,
) -> anyhow::Result<Vec<LaneUsage>> {
    let number = signed(msisdn.as_u64())?;
    let read_month = async |month: Month| {
        let found = connection
            .query(
                "SELECT day, category, usage_type, up_bytes, down_bytes, seconds, events FROM {keyspace}.usage \
                 WHERE month = ? AND bucket = ? AND msisdn = ? AND day >= ? AND day <= ?",
                &(month.number(), bucket, number, date(from), date(to)),
            )
            .await?;
        let mut usage = Vec::with_capacity(found.rows_num());
        for row in found.rows::<(CqlDate, &str, &str, i64, i64, i64, i64)>()? {
            let (date, category, usage_type, up_bytes, down_bytes, seconds, events) = row?;
            let totals = totals([up_bytes, down_bytes, seconds, events])?;
            usage.push((day(date)?, kind(category, usage_type)?, totals));
        }
        anyhow::Ok(usage)
    };
    let months = std::iter::successors(Some(from.month()), |month| month.next());
    let months = months.take_while(|month| *month <= to.month());
    stream::iter(months).map(read_month).buffered(CONCURRENT_REQUESTS).try_concat().await
}

/// What lies in each partition, in the order it had.
fn by_partition<T>(items: &[T], key: impl Fn(&T) -> &RowKey) -> BTreeMap<Partition, Vec<&T>> {
    let mut partitions = BTreeMap::<_, Vec<_>>::new();
    for item in items {
        let key = key(item);
        partitions.entry((key.day.month(), key.bucket)).or_default().push(item);
    }
    partitions
}

fn kind(category: &str, usage_type: &str) -> anyhow::Result<UsageKind> {
    UsageKind::from_parts(category, usage_type).with_context(|| {
        format!("the usage store has an unknown kind {category}/{usage_type}: was it written by a newer version?")
    })
}

pub(super) fn totals([up_bytes, down_bytes, seconds, events]: [i64; 4]) -> anyhow::Result<Totals> {
    Ok(Totals {
        up_bytes: unsigned(up_bytes)?,
        down_bytes: unsigned(down_bytes)?,
        seconds: unsigned(seconds)?,
        events: unsigned(events)?,
    })
}
