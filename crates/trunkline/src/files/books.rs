//! A file's books: its versions from the lake's registers, its rows from the results of their pieces, and what became of
//! the accepted ones from the usage store.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use lake::names::{self, PieceKey};
use lake::registers::{Decision, FileRegister, Version};
use lake::{FileResult, Lake};
use serde::de::DeserializeOwned;
use telecom::FileName;
use usage_store::Store;

use crate::figures::{ConflictFigures, FileFigures, FileState, VersionFigures};

/// Objects that are read at once.
const READS_IN_FLIGHT: usize = 32;

/// After so long the usage store may have forgotten a file's account, once every row of it was handled.
const ACCOUNT_LIFETIME_S: u64 = 35 * 86_400;

/// What is known of files, as it is read.
pub(crate) struct Books {
    files: BTreeMap<FileName, FileRegister>,
    results: BTreeMap<PieceKey, FileResult>,
    accounts: BTreeMap<FileName, Account>,
    now_s: u64,
}

/// What the usage store says of a file's accepted rows, whatever their ids.
#[derive(Clone, Copy, Default)]
pub(crate) struct Account {
    counted: u64,
    duplicates: u64,
    withdrawn: u64,
}

impl Account {
    /// Those of all files.
    pub(crate) async fn all(store: &Store) -> anyhow::Result<BTreeMap<FileName, Self>> {
        let mut accounts = BTreeMap::<FileName, Self>::new();
        for account in store.file_accounts().await.context("can't read how many rows are counted")? {
            let Some(file) = account.file else { continue };
            let sum = accounts.entry(file).or_default();
            sum.counted += account.counted;
            sum.duplicates += account.duplicates;
            sum.withdrawn += account.withdrawn;
        }
        Ok(accounts)
    }

    /// Rows of which it is known what became of them.
    pub(crate) fn accounted(&self) -> u64 {
        self.counted + self.duplicates + self.withdrawn
    }
}

impl Books {
    /// Reads those of the wanted files; all their names begin with `prefix`.
    ///
    /// # Errors
    /// When the lake or the usage store can't be read.
    pub(crate) async fn read(
        lake: &Lake,
        store: &Store,
        prefix: &str,
        is_wanted: impl Fn(FileName) -> bool,
    ) -> anyhow::Result<Self> {
        // The accounts first: rows are published before a piece has results, and counted afterwards.
        let accounts = Account::all(store).await?;
        let (under_results, under_files) = (format!("{}{prefix}", names::RESULTS), format!("{}{prefix}", names::FILES));
        let results = read_all(lake, &under_results, |key| {
            let piece: PieceKey = key.strip_prefix(names::RESULTS)?.strip_suffix(".json")?.parse().ok()?;
            is_wanted(piece.name()).then_some(piece)
        });
        let results = results.await.context("can't read the files' results in the lake")?;
        let files = read_all(lake, &under_files, |key| names::file_of_register(key).filter(|found| is_wanted(*found)));
        let files = files.await.context("can't read the files' registers in the lake")?;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self { files, results, accounts, now_s })
    }

    /// Every file, by its name.
    pub(crate) fn into_figures(self) -> Vec<FileFigures> {
        self.files.values().map(|register| self.figures(register)).collect()
    }

    fn figures(&self, register: &FileRegister) -> FileFigures {
        let mut figures = FileFigures { name: register.name.to_string(), ..FileFigures::default() };
        for version in &register.versions {
            self.add_version(&mut figures, version);
        }
        let account = self.accounts.get(&register.name).copied().unwrap_or_default();
        (figures.counted, figures.duplicates, figures.withdrawn) =
            (account.counted, account.duplicates, account.withdrawn);
        let Some(newest) = register.newest() else { return figures };
        figures.age_s = self.now_s.saturating_sub(newest.landed_at);
        let open_lines = u64::from(has_open_line(newest));
        (figures.rows, figures.waiting) = (figures.rows + open_lines, figures.waiting + open_lines);
        figures.conflict = register.waiting().and_then(conflict_of);
        figures.is_account_closed = account.accounted() < figures.accepted && figures.age_s > ACCOUNT_LIFETIME_S;
        figures.state = state(register, newest, &figures);
        figures
    }

    fn add_version(&self, figures: &mut FileFigures, version: &Version) {
        let (mut read, mut accepted, mut rejected) = (0, 0, 0);
        for result in self.results_of(version) {
            read += result.rows;
            accepted += result.accepted;
            figures.continued += result.continued;
            rejected += result.rejected;
            figures.filtered += result.filtered;
            for (reason, rows) in &result.reasons {
                *figures.reasons.entry(reason.clone()).or_default() += rows;
            }
        }
        let rows = version.rows.max(read);
        figures.rows += rows;
        figures.accepted += accepted;
        figures.rejected += rejected;
        figures.waiting += rows - read;
        figures.versions.push(VersionFigures {
            key: version.key.to_string(),
            state: match version_state(version) {
                FileState::Counted if rows > read => FileState::Reading,
                FileState::Counted if rows > 0 && rows == rejected => FileState::Rejected,
                state => state,
            },
            rows,
            bytes: version.bytes,
            landed_at: version.landed_at,
        });
    }

    /// Those of its pieces.
    fn results_of<'a>(&'a self, version: &Version) -> impl Iterator<Item = &'a FileResult> {
        let key = version.key;
        let from = self.results.range(key.piece()..);
        from.take_while(move |(piece, _)| piece.version() == key).map(|(_, result)| result)
    }
}

/// What was decided of a version, in one word.
fn version_state(version: &Version) -> FileState {
    match version.decision {
        Decision::Landed | Decision::Counted => FileState::Counted,
        Decision::Waiting(_) => FileState::Conflict,
        Decision::Replacing(_) => FileState::Replacing,
        Decision::Dropped => FileState::Dropped,
        Decision::Withdrawn { .. } => FileState::Withdrawn,
        Decision::Superseded { .. } => FileState::Superseded,
    }
}

/// Whether its last line has no line end yet: it has not landed.
fn has_open_line(version: &Version) -> bool {
    version.is_appendable && version.stat.size > version.bytes
}

/// A file's state is what a person would want to know first.
fn state(register: &FileRegister, newest: &Version, figures: &FileFigures) -> FileState {
    if let Some(waiting) = register.waiting() {
        return version_state(waiting);
    }
    let has_open_line = has_open_line(newest);
    match version_state(newest) {
        FileState::Counted if newest.decision == Decision::Landed || figures.waiting > u64::from(has_open_line) => {
            FileState::Reading
        }
        FileState::Counted if figures.accounted() < figures.accepted && !figures.is_account_closed => {
            FileState::Counting
        }
        FileState::Counted if has_open_line => FileState::Waiting,
        FileState::Counted if figures.accepted + figures.continued == 0 && figures.rejected > 0 => FileState::Rejected,
        state => state,
    }
}

fn conflict_of(version: &Version) -> Option<ConflictFigures> {
    let conflict = version.decision.conflict()?;
    Some(ConflictFigures {
        version: version.key.to_string(),
        with: conflict.with.to_string(),
        reason: conflict.reason,
        shared_rows: conflict.shared_rows,
    })
}

/// The JSON objects under a prefix that are wanted, by what their names say.
async fn read_all<K: Ord, T: DeserializeOwned>(
    lake: &Lake,
    prefix: &str,
    wanted: impl Fn(&str) -> Option<K>,
) -> anyhow::Result<BTreeMap<K, T>> {
    let listed =
        lake.list(prefix).try_filter_map(async |object| Ok(wanted(&object.key).map(|name| (name, object.key))));
    let named: Vec<(K, String)> = listed.try_collect().await?;
    let read = stream::iter(named)
        .map(|(name, key)| async move { anyhow::Ok((name, lake.get_json::<T>(&key).await?)) })
        .buffer_unordered(READS_IN_FLIGHT);
    read.try_filter_map(async |(name, value)| Ok(value.map(|value| (name, value)))).try_collect().await
}
