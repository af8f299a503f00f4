//! Which records of a lane are there again.
//!
//! A decision depends on the lane's records before it alone, not on when or how often a chunk is loaded: what is known before
//! a chunk is what chunks with a smaller start have left.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use postgres_pool::Transaction;
use telecom::SourceId;

use crate::chunk::Chunk;
use crate::rows::{Identity, Row};

/// What a lane has had before the record that is asked about.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    sources: HashMap<SourceId, Source>,
    /// Whether this lane has had the key before.
    keys: HashMap<String, bool>,
    /// Those that this chunk brings.
    new_keys: Vec<(String, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    last_line: u64,
    is_new: bool,
}

impl Filter {
    /// Asks what is known of these rows' sources and keys, where that is not known yet.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn look_up<'a>(
        &mut self,
        transaction: &Transaction<'_>,
        chunk: &Chunk,
        rows: impl Iterator<Item = &'a Row<'a>>,
    ) -> anyhow::Result<()> {
        let (mut sources, mut keys) = (HashSet::new(), HashSet::new());
        for row in rows {
            match row.identity() {
                Identity::Line { source, .. } if !self.sources.contains_key(&source) => {
                    sources.insert(source);
                }
                Identity::Key(key) if !self.keys.contains_key(key) => {
                    keys.insert(key);
                }
                Identity::Line { .. } | Identity::Key(_) | Identity::Position => {}
            }
        }
        if !sources.is_empty() {
            self.look_up_sources(transaction, chunk, sources).await?;
        }
        if !keys.is_empty() {
            self.look_up_keys(transaction, chunk, keys.into_iter().map(str::to_owned).collect()).await?;
        }
        Ok(())
    }

    async fn look_up_sources(
        &mut self,
        transaction: &Transaction<'_>,
        chunk: &Chunk,
        sources: HashSet<SourceId>,
    ) -> anyhow::Result<()> {
        const SQL: &str = "SELECT source_id, max(last_line) FROM ops.source_lines
            WHERE epoch = $1 AND topic = $2 AND partition = $3 AND source_id = ANY ($4) AND start_offset < $5
            GROUP BY source_id";
        let ids: Vec<String> = sources.iter().map(SourceId::to_string).collect();
        self.sources.extend(sources.into_iter().map(|source| (source, Source { last_line: 0, is_new: false })));
        let lane = &chunk.lane;
        let epoch = i64::from(lane.epoch);
        let statement = transaction.prepare_cached(SQL).await?;
        let start = &chunk.offsets.start;
        for row in transaction.query(&statement, &[&epoch, &lane.topic, &lane.partition, &ids, start]).await? {
            let source: SourceId = row.get::<_, &str>(0).parse().context("ops.source_lines has a bad source_id")?;
            let last_line = u64::try_from(row.get::<_, i64>(1)).context("ops.source_lines has a negative last_line")?;
            self.sources.insert(source, Source { last_line, is_new: false });
        }
        Ok(())
    }

    async fn look_up_keys(
        &mut self,
        transaction: &Transaction<'_>,
        chunk: &Chunk,
        keys: Vec<String>,
    ) -> anyhow::Result<()> {
        const SQL: &str = "SELECT key FROM ops.record_keys
            WHERE epoch = $1 AND topic = $2 AND partition = $3 AND key = ANY ($4) AND first_offset < $5";
        let lane = &chunk.lane;
        let epoch = i64::from(lane.epoch);
        let statement = transaction.prepare_cached(SQL).await?;
        let start = &chunk.offsets.start;
        let known = transaction.query(&statement, &[&epoch, &lane.topic, &lane.partition, &keys, start]).await?;
        self.keys.extend(keys.into_iter().map(|key| (key, false)));
        self.keys.extend(known.iter().map(|row| (row.get(0), true)));
        Ok(())
    }

    /// Whether this record is the first of its identity; it is known from then on. Records are asked about in the order of
    /// their offsets, after [`look_up`](Self::look_up).
    pub(crate) fn is_first(&mut self, row: &Row<'_>) -> bool {
        match row.identity() {
            Identity::Line { source, line } => {
                let known = self.sources.entry(source).or_insert(Source { last_line: 0, is_new: false });
                let is_first = line > known.last_line;
                if is_first {
                    *known = Source { last_line: line, is_new: true };
                }
                is_first
            }
            Identity::Key(key) => match self.keys.get_mut(key) {
                Some(is_known) if *is_known => false,
                Some(is_known) => {
                    *is_known = true;
                    self.new_keys.push((key.to_owned(), row.offset()));
                    true
                }
                None => unreachable!("keys are looked up first"),
            },
            Identity::Position => true,
        }
    }

    /// Keeps what this chunk has brought.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn keep(&self, transaction: &Transaction<'_>, chunk: &Chunk) -> anyhow::Result<()> {
        const LINES: &str =
            "INSERT INTO ops.source_lines (epoch, topic, partition, start_offset, source_id, last_line)
            SELECT $1, $2, $3, $4, source_id, last_line FROM unnest($5::text[], $6::bigint[]) AS l (source_id, last_line)
            ON CONFLICT (epoch, topic, partition, source_id, start_offset)
                DO UPDATE SET last_line = excluded.last_line WHERE source_lines.last_line <> excluded.last_line";
        const KEYS: &str = "INSERT INTO ops.record_keys (epoch, topic, partition, key, first_offset)
            SELECT $1, $2, $3, key, first_offset FROM unnest($4::text[], $5::bigint[]) AS k (key, first_offset)
            ON CONFLICT (epoch, topic, partition, key)
                DO UPDATE SET first_offset = excluded.first_offset WHERE record_keys.first_offset > excluded.first_offset";
        let lane = &chunk.lane;
        let epoch = i64::from(lane.epoch);
        let new = self.sources.iter().filter(|(_, source)| source.is_new);
        let (ids, lines): (Vec<String>, Vec<i64>) =
            new.map(|(id, source)| (id.to_string(), source.last_line.cast_signed())).unzip();
        if !ids.is_empty() {
            let start = &chunk.offsets.start;
            transaction.execute(LINES, &[&epoch, &lane.topic, &lane.partition, start, &ids, &lines]).await?;
        }
        if !self.new_keys.is_empty() {
            let (keys, offsets): (Vec<&str>, Vec<i64>) =
                self.new_keys.iter().map(|(key, offset)| (key.as_str(), *offset)).unzip();
            transaction.execute(KEYS, &[&epoch, &lane.topic, &lane.partition, &keys, &offsets]).await?;
        }
        Ok(())
    }
}
