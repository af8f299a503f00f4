//! Plans chunks for what is new in the lake. Only lanes and offsets decide what is new, not the records' times.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::bail;
use futures::future::try_join_all;
use jiff::Timestamp;
use lake::bronze::Segment;
use postgres_pool::Transaction;

use crate::Deps;
use crate::chunk::{Drafts, Planned, timestamp};
use crate::look::{Look, Looked};
use crate::run::RunId;
use crate::table::LoadedTopic;

/// New objects of a lane that are planned at a time. After a long absence, a run plans several times.
const MAX_NEW_OBJECTS: usize = 20_000;

/// Plans chunks for the objects that `ops.chunks` does not cover. Returns whether something was new.
///
/// # Errors
/// When the lake or the database fail, or the run has been taken over.
pub(crate) async fn plan(deps: &Deps, run: RunId) -> anyhow::Result<bool> {
    let topics = LoadedTopic::named(&deps.topics).map(|(stream, topic)| plan_topic(deps, run, stream, topic));
    Ok(try_join_all(topics).await?.into_iter().any(|is_new| is_new))
}

async fn plan_topic(deps: &Deps, run: RunId, stream: LoadedTopic, topic: &str) -> anyhow::Result<bool> {
    let planned = planned(deps, topic).await?;
    let look = Look { deps, topic, planned: &planned };
    let mut plan = Plan::of(deps, run, stream, topic, &planned, look.at(MAX_NEW_OBJECTS).await?)?;
    if plan.gap_offsets() > 0 {
        // A listing of many pages can miss an object that is put meanwhile. But a lane's objects are put in order: once
        // an object was seen, all before it are there. So a gap is real if a second listing, begun later, still has it.
        let ends = plan.ends();
        let mut found = look.at(usize::MAX).await?;
        found.retain(|partition, segments| {
            let end = ends.get(partition);
            segments.retain(|segment| end.is_some_and(|end| segment.first <= *end));
            !segments.is_empty()
        });
        plan = Plan::of(deps, run, stream, topic, &planned, found)?;
    }
    if plan.gap_offsets() > 0 {
        tracing::warn!(
            kafka.topic = topic,
            gap_offsets = plan.gap_offsets(),
            "the lake lacks offsets: they are Kafka's own records, or were compacted, or deleted before they were kept"
        );
    }
    let is_new = !plan.lanes.is_empty();
    if is_new {
        deps.pool.transaction(&plan, |transaction, plan| Box::pin(plan.keep(transaction))).await?;
    }
    Ok(is_new)
}

/// How far the topic's lanes have been planned, by partition.
async fn planned(deps: &Deps, topic: &str) -> anyhow::Result<BTreeMap<i32, Planned>> {
    const SQL: &str = "select partition, planned_offset, is_by_offset from ops.lanes where epoch = $1 and topic = $2";
    let rows = deps.pool.query(SQL, &[&i64::from(deps.epoch), &topic]).await?;
    let planned = rows.iter().map(|row| (row.get(0), Planned { next: row.get(1), is_by_offset: row.get(2) }));
    Ok(planned.collect())
}

/// New objects of a topic, and the chunks that take them.
struct Plan<'a> {
    run: RunId,
    epoch: i64,
    stream: LoadedTopic,
    topic: &'a str,
    lanes: Vec<(i32, Vec<Segment>, Drafts)>,
}

impl<'a> Plan<'a> {
    fn of(
        deps: &Deps,
        run: RunId,
        stream: LoadedTopic,
        topic: &'a str,
        planned: &BTreeMap<i32, Planned>,
        found: Looked,
    ) -> anyhow::Result<Self> {
        let mut lanes = Vec::new();
        for (partition, mut segments) in found {
            segments.sort_by_key(|segment| (segment.first, Reverse(segment.last)));
            is_of_one_topic(&segments)?;
            let planned = planned.get(&partition).copied().unwrap_or_default();
            let drafts = Drafts::of(&segments, planned, deps.chunk_records);
            lanes.push((partition, segments, drafts));
        }
        Ok(Self { run, epoch: i64::from(deps.epoch), stream, topic, lanes })
    }

    fn gap_offsets(&self) -> i64 {
        self.lanes.iter().map(|(_, _, drafts)| drafts.gap_offsets()).sum()
    }

    /// For each lane, where its last object begins.
    fn ends(&self) -> BTreeMap<i32, i64> {
        self.lanes.iter().filter_map(|(partition, segments, _)| Some((*partition, segments.last()?.first))).collect()
    }

    async fn keep(&self, transaction: &Transaction<'_>) -> anyhow::Result<()> {
        const CHUNKS: &str = include_str!("sql/plan_chunks.sql");
        const OBJECTS: &str = include_str!("sql/plan_objects.sql");
        self.run.hold(transaction).await?;
        let Self { epoch, topic, stream, .. } = self;
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for (partition, segments, drafts) in &self.lanes {
            let chunks = &drafts.chunks;
            let starts: Vec<i64> = chunks.iter().map(|chunk| chunk.offsets.start).collect();
            let ends: Vec<i64> = chunks.iter().map(|chunk| chunk.offsets.end).collect();
            let gaps: Vec<i64> = chunks.iter().map(|chunk| chunk.gap_offsets).collect();
            let sizes: Vec<i64> = chunks.iter().map(|chunk| bytes(chunk.bytes)).collect();
            let by_offset: Vec<bool> = chunks.iter().map(|chunk| chunk.is_by_offset).collect();
            transaction
                .execute(
                    CHUNKS,
                    &[&stream.as_str(), epoch, topic, partition, &starts, &ends, &gaps, &sizes, &by_offset],
                )
                .await?;
            let keys: Vec<&str> = segments.iter().map(|segment| segment.key.as_str()).collect();
            let hours: Vec<Option<Timestamp>> = segments.iter().map(|segment| segment.hour.map(timestamp)).collect();
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

/// If a topic was created again, two objects by hour may begin at the same offset. (Objects by offset are compared
/// before they are put.)
fn is_of_one_topic(segments: &[Segment]) -> anyhow::Result<()> {
    let begin_alike = |[one, other]: &&[Segment; 2]| one.first == other.first && one.hour.and(other.hour).is_some();
    if let Some([one, other]) = segments.array_windows().find(begin_alike) {
        bail!("{} and {} begin alike: the topic was created again; take a new STREAM_EPOCH", one.key, other.key);
    }
    Ok(())
}
