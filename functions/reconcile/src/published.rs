//! What the lake says of files: whether all that was to be published of them has been, and since when.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::UNIX_EPOCH;

use futures::{StreamExt, TryStreamExt, stream};
use lake::Lake;
use lake::names::{self, PieceKey};
use lake::registers::{Decision, Entry, EntryState, FileRegister, HeadRegister};
use telecom::FileName;
use usage_store::QuietSource;

/// Objects that are asked for at a time.
const REQUESTS_IN_FLIGHT: usize = 16;

/// What is asked of the lake: a note that something is published.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    key: String,
    /// A version that another one has followed while it waited is never published: it has no note then.
    may_lack: bool,
}

impl Note {
    fn of_piece(piece: &PieceKey, decision: &Decision) -> Self {
        Self { key: names::results(piece), may_lack: matches!(decision, Decision::Superseded { .. }) }
    }

    fn of_withdrawal(piece: &PieceKey) -> Self {
        Self { key: names::withdrawal(piece), may_lack: false }
    }
}

/// Since when everything of each file is published, in milliseconds since 1970 by the lake's clock; `None` where something
/// waits.
pub(crate) struct Published(HashMap<FileName, Option<i64>>);

impl Published {
    /// Of the files of these sources.
    pub(crate) async fn of(lake: &Lake, sources: &[QuietSource]) -> anyhow::Result<Self> {
        let files: BTreeSet<FileName> = sources.iter().flat_map(|source| source.files.iter().copied()).collect();
        let of_file = async |file: FileName| anyhow::Ok((file, since_ms(lake, file).await?));
        let asked = stream::iter(files).map(of_file).buffer_unordered(REQUESTS_IN_FLIGHT);
        Ok(Self(asked.try_collect().await?))
    }

    /// That of a source: when the last of its files was.
    pub(crate) fn since_ms(&self, source: &QuietSource) -> Option<i64> {
        let of_file = |file: &FileName| self.0.get(file).copied().flatten();
        source.files.iter().try_fold(i64::MIN, |since_ms, file| Some(since_ms.max(of_file(file)?)))
    }
}

/// The file's own pieces, and those of all files that begin as it does.
async fn since_ms(lake: &Lake, file: FileName) -> anyhow::Result<Option<i64>> {
    // What came last of each lies there only if everything before does.
    let mut since_ms = i64::MIN;
    for note in notes(lake, file).await? {
        match lake.head(&note.key).await? {
            Some(found) => {
                let put = found.last_modified.duration_since(UNIX_EPOCH).unwrap_or_default();
                since_ms = since_ms.max(i64::try_from(put.as_millis()).unwrap_or(i64::MAX));
            }
            None if note.may_lack => {}
            None => return Ok(None),
        }
    }
    Ok(Some(since_ms))
}

/// A file that has no register was published by somebody else. Any of those that begin alike may bring rows under the id of
/// another one.
async fn notes(lake: &Lake, file: FileName) -> anyhow::Result<BTreeSet<Note>> {
    let register: Option<FileRegister> = lake.get_json(&names::file(&file)).await?;
    let versions = register.map_or_else(Vec::new, |register| register.versions);
    let mut notes: BTreeSet<_> =
        versions.iter().map(|version| Note::of_piece(&version.last_piece, &version.decision)).collect();
    for head in versions.iter().filter_map(|version| version.head).collect::<HashSet<_>>() {
        let heads: Option<HeadRegister> = lake.get_json(&names::head(&head)).await?;
        for entry in heads.unwrap_or_default().entries {
            let last_held = entry.last_held(&pieces(lake, &entry).await?);
            notes.insert(Note::of_piece(&entry.last_piece, &entry.last.decision));
            if last_held != entry.last_piece {
                notes.insert(Note { key: names::results(&last_held), may_lack: false });
            }
            // Of a withdrawn file that had no rows left, none are taken back.
            if matches!(&entry.state, EntryState::Withdrawn { taken_back, .. } if !taken_back.is_empty()) {
                notes.insert(Note::of_withdrawal(&last_held));
            }
        }
    }
    Ok(notes)
}

/// The pieces of an entry, where it matters which of them count.
async fn pieces(lake: &Lake, entry: &Entry) -> Result<Vec<PieceKey>, lake::Error> {
    if entry.holds_last_piece() {
        return Ok(Vec::new());
    }
    let mut pieces = vec![entry.version.piece()];
    let mut later = lake.list(&names::later_pieces(&entry.version));
    while let Some(object) = later.try_next().await? {
        pieces.extend(PieceKey::of_object(&object.key));
    }
    Ok(pieces)
}
