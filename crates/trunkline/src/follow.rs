//! Following the files through the pipeline until every row is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use lake::{FileResult, Lake, names};
use telecom::FileName;
use usage_store::Store;

use crate::figures::FileFigures;
use crate::files::books::{Account, Books};

/// How often the lake and the store are asked how far they are: often enough for the seconds in the table to be right.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Result objects that are read at once.
const READS_IN_FLIGHT: usize = 16;

/// The files to follow, and what is known of them.
pub(crate) struct Follow<'a> {
    lake: &'a Lake,
    store: &'a Store,
    expected: BTreeSet<FileName>,
    results: BTreeMap<FileName, FileResult>,
}

/// How far everything is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) files: u64,
    pub(crate) files_read: u64,
    pub(crate) accepted: u64,
    pub(crate) accounted: u64,
}

impl Progress {
    pub(crate) fn is_ingested(self) -> bool {
        self.files_read == self.files
    }

    pub(crate) fn is_counted(self) -> bool {
        self.is_ingested() && self.accounted == self.accepted
    }
}

impl<'a> Follow<'a> {
    /// Follows the files of these names that are call records.
    pub(crate) fn new(lake: &'a Lake, store: &'a Store, names: impl IntoIterator<Item = String>) -> Self {
        let expected = names.into_iter().filter_map(|name| FileName::parse(&name).ok()).collect();
        Self { lake, store, expected, results: BTreeMap::new() }
    }

    /// One look.
    pub(crate) async fn look(&mut self) -> anyhow::Result<Progress> {
        self.read_new_results().await?;
        let accepted = self.results.values().map(|result| result.accepted).sum();
        let accounted = self.accounts().await?.values().map(|account| account.accounted()).sum();
        Ok(Progress { files: self.expected.len() as u64, files_read: self.results.len() as u64, accepted, accounted })
    }

    /// The rows of the files that have been read.
    pub(crate) fn rows_read(&self) -> u64 {
        self.results.values().map(|result| result.rows).sum()
    }

    /// Looks until everything is counted; tells `seen` of every look. Returns when the last file was read and when the
    /// last row was counted.
    pub(crate) async fn until_counted(&mut self, mut seen: impl FnMut(Progress)) -> anyhow::Result<(Instant, Instant)> {
        let mut ingested = None;
        loop {
            let progress = self.look().await?;
            seen(progress);
            if progress.is_ingested() {
                ingested.get_or_insert_with(Instant::now);
            }
            if let (Some(ingested), true) = (ingested, progress.is_counted()) {
                return Ok((ingested, Instant::now()));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The books of every file.
    pub(crate) async fn figures(&self) -> anyhow::Result<Vec<FileFigures>> {
        let books = Books::read(self.lake, self.store, "", |name| self.expected.contains(&name)).await?;
        Ok(books.into_figures())
    }

    async fn read_new_results(&mut self) -> anyhow::Result<()> {
        let mut listed = self.lake.list(names::RESULTS);
        let mut fresh = Vec::new();
        while let Some(object) = listed.try_next().await.context("can't list the lake's results")? {
            let piece = object.key.strip_prefix(names::RESULTS).unwrap_or(&object.key).trim_end_matches(".json");
            // The followed files come once and as a whole.
            let Ok(name) = FileName::parse(piece) else { continue };
            if self.expected.contains(&name) && !self.results.contains_key(&name) {
                fresh.push(object.key);
            }
        }
        let lake = self.lake;
        let mut read = stream::iter(fresh)
            .map(|key| async move { lake.get_json::<FileResult>(&key).await })
            .buffer_unordered(READS_IN_FLIGHT);
        while let Some(result) = read.try_next().await.context("can't read a file's result")? {
            if let Some(result) = result {
                self.results.insert(result.name, result);
            }
        }
        Ok(())
    }

    /// Of the files that have been read. Of the others rows may be counted, too, but they are not yet accepted.
    async fn accounts(&self) -> anyhow::Result<BTreeMap<FileName, Account>> {
        let mut accounts = Account::all(self.store).await?;
        accounts.retain(|file, _| self.results.contains_key(file));
        Ok(accounts)
    }
}
