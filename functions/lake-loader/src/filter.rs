//! Detects duplicate records within a lane, and those that take a row back.
//!
//! A decision depends only on the lane's earlier records, not on when or how often a chunk is loaded: what is known
//! before a chunk is what the chunks with a smaller start have recorded.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use postgres_pool::Transaction;
use telecom::{Action, SourceId};

use crate::chunk::Chunk;
use crate::rows::{Identity, Row};

/// What a lane has had so far.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    sources: HashMap<SourceId, Source>,
    /// Whether this lane has had the key before.
    keys: HashMap<String, bool>,
    /// The keys that this chunk brings, and their offsets.
    new_keys: Vec<(String, i64)>,
}

/// How a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A row: the first record with its identity.
    New,
    /// It changes nothing: the lane had its identity before, or what it takes back is not there any more.
    Duplicate,
    /// It takes a row back.
    Withdraws,
}

/// How far a file's rows have come. Rows come, and are taken back, in the order of their lines.
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
    /// A withdrawn line stays withdrawn: if it is published again, it is a duplicate.
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
    /// Reads what is recorded about these rows' sources and keys, unless it was read before.
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
        const SQL: &str = include_str!("sql/known_sources.sql");
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
        const SQL: &str = include_str!("sql/known_keys.sql");
        let lane = &chunk.lane;
        let epoch = i64::from(lane.epoch);
        let statement = transaction.prepare_cached(SQL).await?;
        let start = &chunk.offsets.start;
        let known = transaction.query(&statement, &[&epoch, &lane.topic, &lane.partition, &keys, start]).await?;
        self.keys.extend(keys.into_iter().map(|key| (key, false)));
        self.keys.extend(known.iter().map(|row| (row.get(0), true)));
        Ok(())
    }

    /// Judges a record, and remembers it. Records are judged in the order of their offsets, after
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

    /// Records what this chunk has brought.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn keep(&self, transaction: &Transaction<'_>, chunk: &Chunk) -> anyhow::Result<()> {
        const LINES: &str = include_str!("sql/keep_sources.sql");
        const KEYS: &str = include_str!("sql/keep_keys.sql");
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
