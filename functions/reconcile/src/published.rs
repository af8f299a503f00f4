//! What the lake says of files: whether all that was to be published of them has been, and since when.

use std::collections::{BTreeSet, HashMap};
use std::time::UNIX_EPOCH;

use futures::{StreamExt, TryStreamExt, stream};
use lake::{Lake, names};
use serde::Deserialize;
use serde::de::IgnoredAny;
use telecom::FileName;
use usage_store::QuietSource;

/// Objects that are asked for at a time.
const REQUESTS_IN_FLIGHT: usize = 16;

/// Where the registers of the files lie, one a name.
const FILES: &str = "files/";
/// Where the registers of the files that begin alike lie.
const HEADS: &str = "heads/";
/// Where it is noted that the rows of a piece have been taken back.
const WITHDRAWALS: &str = "withdrawals/";

/// `files/NAME.json`, as far as it is needed here. A file that has none was published by somebody else.
#[derive(Default, Deserialize)]
struct Register {
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    last_piece: String,
    #[serde(default)]
    head: Option<String>,
    #[serde(default)]
    decision: Decision,
}

/// `heads/HEAD.json`: all files that begin alike. Any of them may bring rows under the id of another one.
#[derive(Default, Deserialize)]
struct Heads {
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    last_piece: String,
    #[serde(default)]
    state: String,
    /// Rows of a withdrawn file that are taken back; of one that had none left, nothing is.
    #[serde(default)]
    taken_back: Vec<IgnoredAny>,
    #[serde(default)]
    last: LastPiece,
}

#[derive(Default, Deserialize)]
struct LastPiece {
    #[serde(default)]
    decision: Decision,
}

#[derive(Default, Deserialize)]
struct Decision {
    #[serde(default)]
    state: String,
}

/// What is asked of the lake: a note that something is published.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    key: String,
    /// A version that another one has followed while it waited is never published: it has no note then.
    may_lack: bool,
}

impl Note {
    fn of_piece(piece: &str, decision: &Decision) -> Self {
        Self { key: format!("{}{piece}.json", names::RESULTS), may_lack: decision.state == "superseded" }
    }

    fn of_withdrawal(piece: &str) -> Self {
        Self { key: format!("{WITHDRAWALS}{piece}.json"), may_lack: false }
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

async fn notes(lake: &Lake, file: FileName) -> anyhow::Result<BTreeSet<Note>> {
    let register: Option<Register> = lake.get_json(&format!("{FILES}{file}.json")).await?;
    let versions = register.unwrap_or_default().versions;
    let mut notes: BTreeSet<_> =
        versions.iter().map(|version| Note::of_piece(&version.last_piece, &version.decision)).collect();
    for head in versions.iter().filter_map(|version| version.head.as_ref()).collect::<BTreeSet<_>>() {
        let heads: Option<Heads> = lake.get_json(&format!("{HEADS}{head}.json")).await?;
        for entry in heads.unwrap_or_default().entries {
            notes.insert(Note::of_piece(&entry.last_piece, &entry.last.decision));
            if entry.state == "withdrawn" && !entry.taken_back.is_empty() {
                notes.insert(Note::of_withdrawal(&entry.last_piece));
            }
        }
    }
    Ok(notes)
}
