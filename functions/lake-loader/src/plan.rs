//! What is new in the lake becomes chunks.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::try_join_all;
use jiff::Timestamp;
use lake::bronze::{self, Hour, Segment};
use postgres_pool::Transaction;

use crate::Deps;
use crate::chunk::{Drafts, timestamp};
use crate::run::RunId;
use crate::table::Stream;

/// A lane's objects come hour by hour, but hours are told by producers' clocks, and a function may write late: so far
/// back it is looked. What lies further back is found by the gap that it leaves.
const LOOK_BACK_HOURS: u32 = 24;

/// New objects of a topic that are looked at in one go: some ten seconds. A long absence is caught up in turns.
const MAX_NEW_OBJECTS: usize = 20_000;

/// Decides chunks for what the lake has and `ops.chunks` has not. Says whether something was new.
///
/// # Errors
/// When the lake or the database fail, or the run has been taken over.
pub(crate) async fn plan(deps: &Deps, run: RunId) -> anyhow::Result<bool> {
    let topics = deps.topics.iter().map(|(stream, topic)| plan_topic(deps, run, *stream, topic));
    Ok(try_join_all(topics).await?.into_iter().any(|is_new| is_new))
}

async fn plan_topic(deps: &Deps, run: RunId, stream: Stream, topic: &str) -> anyhow::Result<bool> {
    let found = Known::recent(deps, topic).await?.look(deps, topic, MAX_NEW_OBJECTS).await?;
    let ends: BTreeMap<i32, i64> =
        found.iter().filter_map(|(lane, segments)| Some((*lane, segments.last()?.first))).collect();
    let mut plan = Plan::of(deps, run, stream, topic, found).await?;
    if plan.gap_offsets() > 0 {
        // An object may lie further back, and a listing of many pages can miss one that is put meanwhile. What lies before
        // an object is there when it is: a gap is believed when a listing that began after the object behind it was seen still has it.
        let mut found = Known::all(deps, topic).await?.look(deps, topic, usize::MAX).await?;
        found.retain(|lane, segments| {
            let end = ends.get(lane);
            segments.retain(|segment| end.is_some_and(|end| segment.first <= *end));
            !segments.is_empty()
        });
        plan = Plan::of(deps, run, stream, topic, found).await?;
    }
    if plan.gap_offsets() > 0 {
        tracing::warn!(
            kafka.topic = topic,
            gap_offsets = plan.gap_offsets(),
            "the lake lacks offsets: retention was faster than the lake's writer, or they are Kafka's own records"
        );
    }
    let is_new = !plan.lanes.is_empty();
    if is_new {
        deps.pool.transaction(&plan, |transaction, plan| Box::pin(plan.keep(transaction))).await?;
    }
    Ok(is_new)
}

/// Objects that need no second look.
struct Known {
    /// Older hours are not listed.
    since: Option<Hour>,
    keys: HashSet<String>,
}

impl Known {
    /// Those of the last hours that something came from.
    async fn recent(deps: &Deps, topic: &str) -> anyhow::Result<Self> {
        const LAST: &str = "SELECT max(hour) FROM ops.loaded_objects WHERE epoch = $1 AND topic = $2";
        const SINCE: &str = "SELECT key FROM ops.loaded_objects WHERE epoch = $1 AND topic = $2 AND hour >= $3";
        let epoch = i64::from(deps.epoch);
        let last = deps.pool.query(LAST, &[&epoch, &topic]).await?;
        let last: Option<Timestamp> = last.first().and_then(|row| row.get(0));
        let Some(last) = last else { return Ok(Self { since: None, keys: HashSet::new() }) };
        let since = Hour::of(last.as_millisecond()).minus(LOOK_BACK_HOURS);
        let keys = deps.pool.query(SINCE, &[&epoch, &topic, &timestamp(since)]).await?;
        Ok(Self { since: Some(since), keys: keys.iter().map(|row| row.get(0)).collect() })
    }

    /// All of them.
    async fn all(deps: &Deps, topic: &str) -> anyhow::Result<Self> {
        const SQL: &str = "SELECT key FROM ops.loaded_objects WHERE epoch = $1 AND topic = $2";
        let keys = deps.pool.query(SQL, &[&i64::from(deps.epoch), &topic]).await?;
        Ok(Self { since: None, keys: keys.iter().map(|row| row.get(0)).collect() })
    }

    /// The topic's other objects, at most so many of the earliest hours.
    async fn look(&self, deps: &Deps, topic: &str, most: usize) -> anyhow::Result<Found> {
        let new = AtomicUsize::new(0);
        let is_left_out = |key: &str| self.keys.contains(key) || new.fetch_add(1, Ordering::Relaxed) >= most;
        Ok(bronze::segments(&deps.lake, deps.epoch, topic, self.since, is_left_out).await?)
    }
}

/// Segments by partition.
type Found = BTreeMap<i32, Vec<Segment>>;

/// New objects of a topic, and the chunks that take them.
struct Plan<'a> {
    run: RunId,
    epoch: i64,
    stream: Stream,
    topic: &'a str,
    lanes: Vec<(i32, Vec<Segment>, Drafts)>,
}

impl<'a> Plan<'a> {
    async fn of(deps: &Deps, run: RunId, stream: Stream, topic: &'a str, found: Found) -> anyhow::Result<Self> {
        const NEXT: &str = "SELECT end_offset FROM ops.chunks WHERE epoch = $1 AND topic = $2 AND partition = $3
            ORDER BY start_offset DESC LIMIT 1";
        let epoch = i64::from(deps.epoch);
        let mut lanes = Vec::new();
        for (partition, segments) in found {
            let next = deps.pool.query(NEXT, &[&epoch, &topic, &partition]).await?;
            let next = next.first().map_or(0, |row| row.get(0));
            let drafts = Drafts::of(&segments, next, deps.chunk_records);
            lanes.push((partition, segments, drafts));
        }
        Ok(Self { run, epoch, stream, topic, lanes })
    }

    fn gap_offsets(&self) -> i64 {
        self.lanes.iter().map(|(_, _, drafts)| drafts.gap_offsets()).sum()
    }

    async fn keep(&self, transaction: &Transaction<'_>) -> anyhow::Result<()> {
        const CHUNKS: &str = "INSERT INTO ops.chunks
                (stream, epoch, topic, partition, start_offset, end_offset, gap_offsets, bytes)
            SELECT $1, $2, $3, $4, start_offset, end_offset, gap_offsets, bytes
            FROM unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
                AS draft (start_offset, end_offset, gap_offsets, bytes)
            ORDER BY start_offset
            ON CONFLICT (epoch, topic, partition, start_offset) DO NOTHING";
        const OBJECTS: &str = "INSERT INTO ops.loaded_objects
                (epoch, topic, partition, key, hour, first_offset, last_offset, bytes, batch_id, loaded_at)
            SELECT $1, $2, $3, o.key, o.hour, o.first_offset, o.last_offset, o.bytes, c.batch_id,
                CASE WHEN c.batch_id IS NULL THEN now() END
            FROM unnest($4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
                AS o (key, hour, first_offset, last_offset, bytes, start_offset)
            LEFT JOIN ops.chunks c
                ON (c.epoch, c.topic, c.partition, c.start_offset) = ($1, $2, $3, o.start_offset)
            ON CONFLICT (key) DO NOTHING";
        self.run.hold(transaction).await?;
        let Self { epoch, topic, stream, .. } = self;
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for (partition, segments, drafts) in &self.lanes {
            let chunks = &drafts.chunks;
            let starts: Vec<i64> = chunks.iter().map(|chunk| chunk.offsets.start).collect();
            let ends: Vec<i64> = chunks.iter().map(|chunk| chunk.offsets.end).collect();
            let gaps: Vec<i64> = chunks.iter().map(|chunk| chunk.gap_offsets).collect();
            let sizes: Vec<i64> = chunks.iter().map(|chunk| bytes(chunk.bytes)).collect();
            transaction
                .execute(CHUNKS, &[&stream.as_str(), epoch, topic, partition, &starts, &ends, &gaps, &sizes])
                .await?;
            let keys: Vec<&str> = segments.iter().map(|segment| segment.key.as_str()).collect();
            let hours: Vec<Timestamp> = segments.iter().map(|segment| timestamp(segment.hour)).collect();
            let firsts: Vec<i64> = segments.iter().map(|segment| segment.first).collect();
            let lasts: Vec<i64> = segments.iter().map(|segment| segment.last).collect();
            let sizes: Vec<i64> = segments.iter().map(|segment| bytes(segment.bytes)).collect();
            let of_object = [epoch as &(dyn tokio_postgres::types::ToSql + Sync), topic, partition];
            let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&keys, &hours, &firsts, &lasts, &sizes, &drafts.takers];
            transaction.execute(OBJECTS, &[&of_object[..], &columns[..]].concat()).await?;
        }
        Ok(())
    }
}
