//! Chunks: which records are loaded together.

use std::ops::Range;

use anyhow::Context;
use jiff::Timestamp;
use lake::bronze::{Hour, Segment};
use postgres_pool::Pool;
use stream::Lane;
use tokio_postgres::{GenericClient, Row};

use crate::table::LoadedTopic;

/// The most bytes of objects in a chunk. In the lake, call records have a tenth of their size in memory.
const MAX_CHUNK_BYTES: u64 = 64 << 20;

/// Why a chunk is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It has not been loaded yet.
    Load,
    /// It was loaded, but some of what it wrote may be missing: silver objects are written again, missing rows are
    /// added.
    Restore,
}

/// How far a lane has been planned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planned {
    /// The offset behind the last one.
    pub(crate) next: i64,
    /// Whether one of its objects lies by offset. If so, all later ones do, too.
    pub(crate) is_by_offset: bool,
}

/// The records of a lane that are loaded in one transaction. They are decided and committed to `ops.chunks` before
/// anything is read.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The `batch_id` of its rows.
    pub(crate) batch_id: i64,
    pub(crate) stream: LoadedTopic,
    pub(crate) lane: Lane,
    pub(crate) offsets: Range<i64>,
    pub(crate) bytes: i64,
}

/// A chunk that is not in `ops.chunks` yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) offsets: Range<i64>,
    pub(crate) gap_offsets: i64,
    pub(crate) bytes: u64,
    /// Whether one of its objects, or of an earlier chunk's, lies by offset.
    pub(crate) is_by_offset: bool,
    records: u64,
}

/// The chunks that take a lane's new objects.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    pub(crate) chunks: Vec<Draft>,
    /// For each object, the start of the chunk that takes it; `None` if other objects have all its records.
    pub(crate) takers: Vec<Option<i64>>,
}

impl Drafts {
    /// Cuts a lane's segments, in the order of their first offsets and from the planned offset on, into chunks. A chunk
    /// ends where an object ends.
    pub(crate) fn of(segments: &[Segment], planned: Planned, chunk_records: u64) -> Self {
        let mut drafts = Self::default();
        let Planned { next: mut from, mut is_by_offset } = planned;
        for segment in segments {
            if segment.last < from {
                drafts.takers.push(None);
                continue;
            }
            let end = segment.last + 1;
            let gap_offsets = (segment.first - from).max(0);
            let records = (end - from - gap_offsets).unsigned_abs();
            is_by_offset |= segment.hour.is_none();
            let has_room = |chunk: &&mut Draft| {
                chunk.records + records <= chunk_records && chunk.bytes + segment.bytes <= MAX_CHUNK_BYTES
            };
            let start = match drafts.chunks.last_mut().filter(has_room) {
                Some(chunk) => {
                    chunk.offsets.end = end;
                    chunk.gap_offsets += gap_offsets;
                    chunk.bytes += segment.bytes;
                    chunk.records += records;
                    chunk.is_by_offset = is_by_offset;
                    chunk.offsets.start
                }
                None => {
                    let bytes = segment.bytes;
                    drafts.chunks.push(Draft { offsets: from..end, gap_offsets, bytes, is_by_offset, records });
                    from
                }
            };
            drafts.takers.push(Some(start));
            from = end;
        }
        drafts
    }

    /// Offsets that no object has.
    pub(crate) fn gap_offsets(&self) -> i64 {
        self.chunks.iter().map(|chunk| chunk.gap_offsets).sum()
    }
}

/// The chunks that are planned and not loaded, in the order in which they were planned.
///
/// # Errors
/// When the database can't be reached or refuses.
pub(crate) async fn open(pool: &Pool) -> anyhow::Result<Vec<Chunk>> {
    const SQL: &str = include_str!("sql/open_chunks.sql");
    pool.query(SQL, &[]).await?.iter().map(chunk).collect()
}

/// The loaded chunks with records of these hours, by Kafka's timestamps.
///
/// # Errors
/// When the database can't be reached or refuses.
pub(crate) async fn of_hours(pool: &Pool, from: Hour, to: Option<Hour>) -> anyhow::Result<Vec<Chunk>> {
    const SQL: &str = include_str!("sql/chunks_of_hours.sql");
    pool.query(SQL, &[&timestamp(from), &to.map(timestamp)]).await?.iter().map(chunk).collect()
}

fn chunk(row: &Row) -> anyhow::Result<Chunk> {
    let name: &str = row.get("stream");
    let stream = LoadedTopic::ALL.into_iter().find(|stream| stream.as_str() == name);
    let epoch: i64 = row.get("epoch");
    Ok(Chunk {
        batch_id: row.get("batch_id"),
        stream: stream.with_context(|| format!("ops.chunks has an unknown stream {name}"))?,
        lane: Lane { epoch: u32::try_from(epoch)?, topic: row.get("topic"), partition: row.get("partition") },
        offsets: row.get("start_offset")..row.get("end_offset"),
        bytes: row.get("bytes"),
    })
}

impl Chunk {
    /// The objects that hold its records, in the order of their first offsets.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn segments(&self, client: &impl GenericClient) -> anyhow::Result<Vec<Segment>> {
        const SQL: &str = include_str!("sql/objects_of_chunk.sql");
        let segment = |row: &Row| Segment {
            partition: self.lane.partition,
            hour: row.get::<_, Option<Timestamp>>("hour").map(|hour| Hour::of(hour.as_millisecond())),
            first: row.get("first_offset"),
            last: row.get("last_offset"),
            key: row.get("key"),
            bytes: row.get::<_, i64>("bytes").unsigned_abs(),
        };
        Ok(client.query(SQL, &[&self.batch_id]).await?.iter().map(segment).collect())
    }
}

/// When an hour begins.
pub(crate) fn timestamp(hour: Hour) -> Timestamp {
    // An hour lies between 1970 and 9999, so it always has a timestamp.
    Timestamp::from_millisecond(hour.start_ms()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(next: i64, segments: &[(i64, i64, u64)], expected: Expect) {
        let segment = |&(first, last, bytes): &(i64, i64, u64)| Segment {
            partition: 0,
            first,
            last,
            hour: None,
            key: String::new(),
            bytes,
        };
        let segments: Vec<_> = segments.iter().map(segment).collect();
        let drafts = Drafts::of(&segments, Planned { next, is_by_offset: false }, 10);
        let mut text = format!("{:?}\n", drafts.takers);
        for Draft { offsets, gap_offsets, .. } in &drafts.chunks {
            text += &format!("{offsets:?} gap {gap_offsets}\n");
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn a_chunk_ends_where_an_object_does() {
        check(
            0,
            &[],
            expect![[r#"
            []
        "#]],
        );
        check(
            0,
            &[(0, 4, 1), (5, 9, 1), (10, 10, 1)],
            expect![[r#"
            [Some(0), Some(0), Some(10)]
            0..10 gap 0
            10..11 gap 0
        "#]],
        );
        check(
            0,
            &[(0, 24, 1), (25, 25, 1)],
            expect![[r#"
            [Some(0), Some(25)]
            0..25 gap 0
            25..26 gap 0
        "#]],
        );
        check(
            0,
            &[(0, 1, MAX_CHUNK_BYTES), (2, 2, 1)],
            expect![[r#"
            [Some(0), Some(2)]
            0..2 gap 0
            2..3 gap 0
        "#]],
        );
        // Objects that overlap, and one that is not needed.
        check(
            3,
            &[(0, 4, 1), (2, 3, 1), (4, 7, 1), (5, 6, 1)],
            expect![[r#"
            [Some(3), None, Some(3), None]
            3..8 gap 0
        "#]],
        );
        check(
            10,
            &[(0, 4, 1)],
            expect![[r#"
            [None]
        "#]],
        );
        check(
            0,
            &[(5, 6, 1), (9, 9, 1)],
            expect![[r#"
            [Some(0), Some(0)]
            0..10 gap 7
        "#]],
        );
    }
}
