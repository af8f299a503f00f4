//! What is known of the files: `files/NAME.json` of each name, `heads/<head>.json` of all files that begin alike. Both
//! are only ever changed by compare-and-swap ([`Lake::replace`](crate::Lake::replace)).

use content::{Block, Digest, Head, Mark, Sketch};
use serde::{Deserialize, Serialize};
use telecom::{FileName, SourceId};

use crate::Twin;
use crate::names::{PieceKey, VersionKey};

/// `files/NAME.json`: everything that came under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRegister {
    /// The file's name.
    pub name: FileName,
    /// In the order in which they came: the last one is what lay on the server when it was last looked at.
    pub versions: Vec<Version>,
}

/// A file's length and last change, as the server reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Its length in bytes.
    pub size: u64,
    /// Its last change, in seconds since 1970 by the server's clock.
    pub mtime: u64,
}

/// A file as it was at one time, and what it has grown by since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its key.
    pub key: VersionKey,
    /// What the server said at the last look that left nothing to take, except perhaps an unfinished line.
    pub stat: Stat,
    /// How many of its bytes have landed.
    pub bytes: u64,
    /// The piece that came last.
    pub last_piece: PieceKey,
    /// What was decided of the rows of that piece.
    pub piece: Piece,
    /// What was decided of that piece, and so of the version as it is now.
    pub decision: Decision,
    /// Rows of all its pieces.
    pub rows: u64,
    /// Of its content up to there; `None` of a file that landed long before there were registers.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// To continue hashing from there.
    #[serde(default)]
    pub mark: Option<Mark>,
    /// What it begins with; `None` if none of its rows can be used, or if it has none yet.
    #[serde(default)]
    pub head: Option<Head>,
    /// Whether it may grow by pieces; otherwise a longer one is another version.
    #[serde(default)]
    pub is_appendable: bool,
    /// Its beginning.
    #[serde(default)]
    pub first_block: Option<Block>,
    /// Its end: the blocks of its last pieces, one behind the other.
    #[serde(default)]
    pub last_blocks: Vec<Block>,
    /// Under which its own rows are published.
    pub source_id: SourceId,
    /// Of the rows that it brought itself.
    #[serde(default)]
    pub sketch: Sketch,
    /// Of the rows of the last piece, as long as they wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_sketch: Option<Sketch>,
    /// Whether a person has had to decide about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_waiting: bool,
    /// The object under `sketches/` that holds a part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sketch_key: Option<String>,
    /// When its last piece was registered, in seconds since 1970.
    pub landed_at: u64,
}

/// A piece, as it is announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Of its stored bytes.
    pub sha256: Digest,
    /// Their number.
    pub bytes: u64,
    /// Rows of the version before it.
    #[serde(default)]
    pub first_line: u64,
    /// Rows at its beginning that are counted already, in another file.
    #[serde(default)]
    pub continued: u64,
    /// Where those behind them are the rows of another file that had the same content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<Twin>,
}

/// What was decided of a version, or of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Decision {
    /// Nothing yet: its bytes lie in the lake.
    Landed,
    /// Its rows are published, those that are not counted already.
    Counted,
    /// Its rows are not published until somebody decides.
    Waiting(Conflict),
    /// Somebody has decided that it takes the place of the version that it waits for, which is being withdrawn.
    Replacing(Conflict),
    /// Somebody has decided that its rows do not count.
    Dropped,
    /// Its rows have been taken back.
    Withdrawn {
        /// What counts instead.
        by: VersionKey,
    },
    /// A later version has come that has all its rows, or nothing of it was counted.
    Superseded {
        /// That version.
        by: VersionKey,
    },
}

impl Decision {
    /// What it waits for, where it does.
    #[must_use]
    pub fn conflict(&self) -> Option<&Conflict> {
        match self {
            Self::Waiting(conflict) | Self::Replacing(conflict) => Some(conflict),
            _ => None,
        }
    }
}

/// Why a version waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The version that it may repeat or replace.
    pub with: VersionKey,
    /// How the two stand to one another.
    pub reason: ConflictReason,
    /// About how many rows they share.
    pub shared_rows: u64,
}

/// How a version that waits stands to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictReason {
    /// It came under the same name, with other rows.
    Changed,
    /// It shares most of its rows, and does not continue it.
    Shares,
    /// It is content that the other one has taken the place of.
    Withdrawn,
}

/// `conflicts/NAME.json`: a version of NAME waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictNote {
    /// The file that waits.
    pub name: FileName,
    /// Its version.
    pub version: VersionKey,
    /// The piece whose rows wait.
    pub piece: PieceKey,
    /// The other file.
    pub with: FileName,
    /// Its version.
    pub with_version: VersionKey,
    /// How the two stand to one another.
    pub reason: ConflictReason,
    /// How many rows wait.
    pub rows: u64,
    /// About how many rows they share.
    pub shared_rows: u64,
    /// Since when, in seconds since 1970.
    pub landed_at: u64,
}

/// `unmatched.json`: what lies on the SFTP servers and nobody takes, as long as there is something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedNote {
    /// How many files.
    pub files: u64,
    /// The first of their names, in order.
    pub names: Vec<String>,
    /// Since when there are these, in seconds since 1970.
    pub noted_at: u64,
}

/// `heads/<head>.json`: all files whose header and first row are the same. Its compare-and-swap is the moment at which
/// it is decided what counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRegister {
    /// In the order of their first decision.
    pub entries: Vec<Entry>,
}

/// A version among those that begin alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The version.
    pub version: VersionKey,
    /// Rows up to the end of the last piece that is not waiting.
    pub rows: u64,
    /// Of the content up to there.
    pub digest: Digest,
    /// Under which its own rows are published.
    pub source_id: SourceId,
    /// The rows and the content when it was first decided.
    pub first: Extent,
    /// Rows at its beginning that another file had brought when it was first decided: they are not counted again.
    pub shared: u64,
    /// Under which ids its rows are counted, from its beginning.
    pub held: Vec<Held>,
    /// What it stands for.
    #[serde(flatten)]
    pub state: EntryState,
    /// The piece that was decided last.
    pub last_piece: PieceKey,
    /// What was decided of it.
    pub last: PieceDecision,
    /// The ends of the last pieces: another file may begin with all lines up to one of them.
    #[serde(default)]
    pub ends: Vec<PieceEnd>,
}

/// What a version stands for among those that begin alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EntryState {
    /// Its rows count; whoever begins with them continues it.
    Counted,
    /// None of its rows counts yet.
    Waiting,
    /// None of its rows counts.
    Dropped,
    /// Its rows have counted, and are being taken back or have been.
    Withdrawn {
        /// What counts instead.
        by: VersionKey,
        /// What was to be taken back, in the order of its rows.
        taken_back: Vec<Held>,
    },
}

/// What was decided of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceDecision {
    /// Counted, waiting or dropped.
    pub decision: Decision,
    /// Rows of the version before it.
    pub first_line: u64,
    /// Rows at its beginning that are counted already.
    pub continued: u64,
    /// Where those behind them are the rows of another file that had the same content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<Twin>,
    /// Earlier versions of the file that stand for nothing any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<VersionKey>,
}

/// A point at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Rows up to there.
    pub rows: u64,
    /// Of the content up to there.
    pub digest: Digest,
}

/// The end of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceEnd {
    /// Where it is.
    #[serde(flatten)]
    pub extent: Extent,
    /// Where the next piece begins in the file; `None` where it was another version's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_byte: Option<u64>,
}

/// Rows of a version, by the id under which they are counted; the first of them is behind the last of those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The id.
    pub source_id: SourceId,
    /// The version that has this id.
    pub version: VersionKey,
    /// The last row.
    pub to_line: u64,
    /// Whether they count: those that were taken back or dropped do not.
    pub counts: bool,
}

impl FileRegister {
    /// The register of a file that came for the first time.
    #[must_use]
    pub fn new(name: FileName) -> Self {
        Self { name, versions: Vec::new() }
    }

    /// What lay on the server when it was last looked at.
    #[must_use]
    pub fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// A version.
    #[must_use]
    pub fn version(&self, key: &VersionKey) -> Option<&Version> {
        self.versions.iter().find(|version| version.key == *key)
    }

    /// A version, to be changed.
    pub fn version_mut(&mut self, key: &VersionKey) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.key == *key)
    }

    /// The version that waits for a person, if one does.
    #[must_use]
    pub fn waiting(&self) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.decision.conflict().is_some())
    }
}

impl Entry {
    /// Whether the rows of its last piece are among those that it holds.
    #[must_use]
    pub fn holds_last_piece(&self) -> bool {
        matches!(self.last.decision, Decision::Counted | Decision::Dropped)
    }

    /// The last piece whose rows are among those that it holds, of all its pieces in the order of their bytes.
    #[must_use]
    pub fn last_held(&self, pieces: &[PieceKey]) -> PieceKey {
        if self.holds_last_piece() {
            return self.last_piece;
        }
        let end = self.ends.last().and_then(|end| end.next_byte);
        let counted = pieces.iter().rfind(|piece| end.is_some_and(|end| piece.from_byte() < end));
        counted.copied().unwrap_or(self.last_piece)
    }
}

impl HeadRegister {
    /// A version's entry.
    #[must_use]
    pub fn entry(&self, key: &VersionKey) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.version == *key)
    }

    /// A version's entry, to be changed.
    pub fn entry_mut(&mut self, key: &VersionKey) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.version == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_written_as_documented() {
        let name = FileName::parse("cdr_data_20240101_120000.csv").unwrap();
        let key = VersionKey::first(name);
        let digest = Digest::of(b"hello");
        let held = Held { source_id: digest.source_id(), version: key, to_line: 7, counts: true };
        let entry = Entry {
            version: key,
            rows: 7,
            digest,
            source_id: digest.source_id(),
            first: Extent { rows: 7, digest },
            shared: 0,
            held: vec![held],
            state: EntryState::Withdrawn { by: VersionKey::later(name, 1, 2), taken_back: vec![held] },
            last_piece: key.piece(),
            last: PieceDecision {
                decision: Decision::Counted,
                first_line: 0,
                continued: 0,
                twin: None,
                supersedes: Vec::new(),
            },
            ends: vec![PieceEnd { extent: Extent { rows: 7, digest }, next_byte: Some(99) }],
        };
        let register = HeadRegister { entries: vec![entry] };
        let json = serde_json::to_string_pretty(&register).unwrap();
        expect_test::expect![[r#"
            {
              "entries": [
                {
                  "version": "cdr_data_20240101_120000.csv",
                  "rows": 7,
                  "digest": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
                  "source_id": "2cf24dba5fb0a30e",
                  "first": {
                    "rows": 7,
                    "digest": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
                  },
                  "shared": 0,
                  "held": [
                    {
                      "source_id": "2cf24dba5fb0a30e",
                      "version": "cdr_data_20240101_120000.csv",
                      "to_line": 7,
                      "counts": true
                    }
                  ],
                  "state": "withdrawn",
                  "by": "cdr_data_20240101_120000.csv@1-2",
                  "taken_back": [
                    {
                      "source_id": "2cf24dba5fb0a30e",
                      "version": "cdr_data_20240101_120000.csv",
                      "to_line": 7,
                      "counts": true
                    }
                  ],
                  "last_piece": "cdr_data_20240101_120000.csv",
                  "last": {
                    "decision": {
                      "state": "counted"
                    },
                    "first_line": 0,
                    "continued": 0
                  },
                  "ends": [
                    {
                      "rows": 7,
                      "digest": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
                      "next_byte": 99
                    }
                  ]
                }
              ]
            }"#]]
        .assert_eq(&json);
        assert_eq!(serde_json::from_str::<HeadRegister>(&json).unwrap(), register);
    }
}
