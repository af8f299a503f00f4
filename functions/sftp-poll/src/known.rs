use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use lake::names;
use lake::registers::{Decision, Stat, Version};
use telecom::FileName;

use crate::miss::Miss;
use crate::ports::Objects;
use crate::registers::read_file;

/// Small objects on their way at once.
const READS_IN_FLIGHT: usize = 16;

/// What is remembered of a file's newest version: a hundred bytes for each file in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    pub(crate) stat: Stat,
    /// Taken of the file.
    pub(crate) bytes: u64,
    /// It may go on by further lines, and what came before is decided.
    pub(crate) may_grow: bool,
    /// A person has to decide about it.
    pub(crate) waits: bool,
    /// It may go on by further lines, once a person has decided.
    pub(crate) may_grow_then: bool,
    /// Nothing is decided about its last piece yet, which has a note.
    pub(crate) is_undecided: bool,
    /// Its rows have been taken back: with a further line it is another version.
    pub(crate) is_withdrawn: bool,
}

/// What may be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Files.
    Files,
    /// Those, and what somebody has decided about a file that waits: that is done by another process.
    Decisions,
}

impl Brief {
    pub(crate) fn of(version: &Version) -> Self {
        let waits = version.decision.conflict().is_some();
        let is_decided = matches!(version.decision, Decision::Counted) || is_later_drop(version);
        Self {
            stat: version.stat,
            bytes: version.bytes,
            may_grow: version.is_appendable && is_decided,
            waits,
            may_grow_then: version.is_appendable && waits,
            is_undecided: version.decision == Decision::Landed,
            is_withdrawn: matches!(version.decision, Decision::Withdrawn { .. }),
        }
    }

    /// Nothing is left to take of the file as it is, nor to decide about it.
    pub(crate) fn has_all_of(&self, stat: Stat) -> bool {
        self.stat == stat && self.bytes == stat.size && !self.waits && !self.is_undecided
    }
}

/// Rows were dropped, and those before them were not, so that the file may go on behind them.
pub(crate) fn is_later_drop(version: &Version) -> bool {
    version.decision == Decision::Dropped && version.piece.first_line > 0
}

/// The files that have registers between these two.
async fn registered(objects: &impl Objects, first: String, last: String) -> Result<Vec<FileName>, Miss> {
    let before = first.strip_suffix(".json").unwrap_or(&first).to_owned();
    let mut listed = objects.list(names::FILES, Some(&before));
    let mut found = Vec::new();
    while let Some(key) = listed.try_next().await?.filter(|key| *key <= last) {
        found.extend(names::file_of_register(&key));
    }
    Ok(found)
}

/// Files of one place stand in chronological order in a listing.
fn place(name: &FileName) -> (&str, &'static str) {
    (name.folders(), name.record_type().as_str())
}

/// The registers of the files in the folder, as far as a poll has to know them. They are read once a process, so that a poll
/// that finds nothing new asks the lake for nothing but two short listings. What another process has done since is met where it
/// matters: every step compares with the lake.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<FileName, Brief>>);

impl Known {
    /// Reads the registers of `files` that are not known yet, and forgets those of other files, but for those that may be there
    /// all the same.
    pub(crate) async fn update(
        &self,
        objects: &impl Objects,
        files: &[FileName],
        news: News,
        may_be_there: impl Fn(&FileName) -> bool,
    ) -> Result<(), Miss> {
        let unknown: HashSet<FileName> = {
            let mut known = self.known();
            let present: HashSet<FileName> = files.iter().copied().collect();
            known.retain(|name, brief| {
                (present.contains(name) || may_be_there(name)) && !(brief.waits && news == News::Decisions)
            });
            known.shrink_to_fit();
            present.into_iter().filter(|name| !known.contains_key(name)).collect()
        };
        // Only the parts of the listing where these files can be: the lake keeps the registers of years.
        let mut places: BTreeMap<_, (String, String)> = BTreeMap::new();
        for name in &unknown {
            // By the objects' names, in whose order `X.csv.gz.json` stands before `X.csv.json`.
            let key = names::file(name);
            let (first, last) = places.entry(place(name)).or_insert_with(|| (key.clone(), key.clone()));
            if key < *first {
                *first = key;
            } else if key > *last {
                *last = key;
            }
        }
        let lists = places.into_values().map(|(first, last)| registered(objects, first, last).boxed());
        let listed = stream::iter(lists).buffer_unordered(READS_IN_FLIGHT).try_collect::<Vec<_>>().await?;
        let registered = listed.into_iter().flatten().filter(|name| unknown.contains(name));
        let reads = stream::iter(registered).map(|name| async move { (name, read_file(objects, name).await) }.boxed());
        let mut reads = reads.buffer_unordered(READS_IN_FLIGHT);
        while let Some((name, read)) = reads.next().await {
            if let Some(version) = read?.value.newest() {
                self.remember(name, Some(Brief::of(version)));
            }
        }
        Ok(())
    }

    pub(crate) fn brief(&self, name: &FileName) -> Option<Brief> {
        self.known().get(name).copied()
    }

    /// Takes over what is known of a file by now; nothing where its register is to be read again.
    pub(crate) fn remember(&self, name: FileName, brief: Option<Brief>) {
        match brief {
            Some(brief) => drop(self.known().insert(name, brief)),
            None => drop(self.known().remove(&name)),
        }
    }

    /// Nothing of the file as it is now is left to take, but an unfinished line.
    pub(crate) fn saw(&self, name: &FileName, stat: Stat) {
        if let Some(brief) = self.known().get_mut(name) {
            brief.stat = stat;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<FileName, Brief>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
