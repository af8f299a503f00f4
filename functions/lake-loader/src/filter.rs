//! What a record of a lane is to the warehouse, by what the lane has had before it.
//!
//! A decision depends on the lane's records before it alone, not on when or how often a chunk is loaded: what is known before
//! a chunk is what chunks with a smaller start have left.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use postgres_pool::Transaction;
use telecom::{Action, SourceId};

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

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first of its identity: a row.
    New,
    /// It is there again, or takes back what is not there or was taken back before: it changes nothing.
    Duplicate,
    /// It takes a row back.
    Withdraws,
}

/// How far a file's rows have come. They come and go in the order of their lines.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    /// The last line that came.
    last_line: u64,
    /// The last line that was taken back.
    withdrawn_line: u64,
    /// Whether this chunk has changed it.
    is_changed: bool,
}

impl Source {
    /// A withdrawn line stays withdrawn: published again it is a duplicate.
    fn judge(&mut self, line: u64, action: Action) -> Verdict {
        let changed = match action {
            Action::Count if line > self.last_line => Self { last_line: line, ..*self },
            Action::Withdraw if line > self.withdrawn_line && line <= self.last_line => {
                Self { withdrawn_line: line, ..*self }
            }
            Action::Count | Action::Withdraw => return Verdict::Duplicate,
        };
        *self = Self { is_changed: true, ..changed };
        match action {
            Action::Count => Verdict::New,
            Action::Withdraw => Verdict::Withdraws,
        }
    }
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
        const SQL: &str = "SELECT source_id, max(last_line), max(withdrawn_line) FROM ops.source_lines
            WHERE epoch = $1 AND topic = $2 AND partition = $3 AND source_id = ANY ($4) AND start_offset < $5
            GROUP BY source_id";
        let ids: Vec<String> = sources.iter().map(SourceId::to_string).collect();
        self.sources.extend(sources.into_iter().map(|source| (source, Source::default())));
        let lane = &chunk.lane;
        let epoch = i64::from(lane.epoch);
        let statement = transaction.prepare_cached(SQL).await?;
        let start = &chunk.offsets.start;
        for row in transaction.query(&statement, &[&epoch, &lane.topic, &lane.partition, &ids, start]).await? {
            let source: SourceId = row.get::<_, &str>(0).parse().context("ops.source_lines has a bad source_id")?;
            let line = |index| u64::try_from(row.get::<_, i64>(index)).context("ops.source_lines has a negative line");
            let (last_line, withdrawn_line) = (line(1)?, line(2)?);
            self.sources.insert(source, Source { last_line, withdrawn_line, is_changed: false });
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

    /// What this record is; it is known from then on. Records are asked about in the order of their offsets, after
    /// [`look_up`](Self::look_up).
    pub(crate) fn judge(&mut self, row: &Row<'_>) -> Verdict {
        match row.identity() {
            Identity::Line { source, line } => self.sources.entry(source).or_default().judge(line, row.action()),
            Identity::Key(key) => match self.keys.get_mut(key) {
                Some(is_known) if *is_known => Verdict::Duplicate,
                Some(is_known) => {
                    *is_known = true;
                    self.new_keys.push((key.to_owned(), row.offset()));
                    Verdict::New
                }
                None => unreachable!("keys are looked up first"),
            },
            Identity::Position => Verdict::New,
        }
    }

    /// Keeps what this chunk has brought.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn keep(&self, transaction: &Transaction<'_>, chunk: &Chunk) -> anyhow::Result<()> {
        const LINES: &str =
            "INSERT INTO ops.source_lines (epoch, topic, partition, start_offset, source_id, last_line, withdrawn_line)
            SELECT $1, $2, $3, $4, source_id, last_line, withdrawn_line
            FROM unnest($5::text[], $6::bigint[], $7::bigint[]) AS l (source_id, last_line, withdrawn_line)
            ON CONFLICT (epoch, topic, partition, source_id, start_offset)
                DO UPDATE SET last_line = excluded.last_line, withdrawn_line = excluded.withdrawn_line
                WHERE (source_lines.last_line, source_lines.withdrawn_line)
                    <> (excluded.last_line, excluded.withdrawn_line)";
        const KEYS: &str = "INSERT INTO ops.record_keys (epoch, topic, partition, key, first_offset)
            SELECT $1, $2, $3, key, first_offset FROM unnest($4::text[], $5::bigint[]) AS k (key, first_offset)
            ON CONFLICT (epoch, topic, partition, key)
                DO UPDATE SET first_offset = excluded.first_offset WHERE record_keys.first_offset > excluded.first_offset";
        let lane = &chunk.lane;
        let epoch = i64::from(lane.epoch);
        let changed: Vec<_> = self.sources.iter().filter(|(_, source)| source.is_changed).collect();
        if !changed.is_empty() {
            let ids: Vec<String> = changed.iter().map(|(id, _)| id.to_string()).collect();
            let last: Vec<i64> = changed.iter().map(|(_, source)| source.last_line.cast_signed()).collect();
            let withdrawn: Vec<i64> = changed.iter().map(|(_, source)| source.withdrawn_line.cast_signed()).collect();
            let start = &chunk.offsets.start;
            transaction.execute(LINES, &[&epoch, &lane.topic, &lane.partition, start, &ids, &last, &withdrawn]).await?;
        }
        if !self.new_keys.is_empty() {
            let (keys, offsets): (Vec<&str>, Vec<i64>) =
                self.new_keys.iter().map(|(key, offset)| (key.as_str(), *offset)).unzip();
            transaction.execute(KEYS, &[&epoch, &lane.topic, &lane.partition, &keys, &offsets]).await?;
        }
        Ok(())
    }
}
