//! What the demo finds out, its report tells and `verify` judges.

use std::collections::BTreeMap;
use std::fmt;

use lake::registers::ConflictReason;
use serde::{Deserialize, Serialize};

/// Where the API answers, and to whom.
#[derive(Clone, Serialize)]
pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// One delivered file, its figures summed over its versions. `rows = continued + accepted + rejected + filtered +
/// waiting` by the functions that read it; `accepted = counted + duplicates + withdrawn` by the store, once everything
/// is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FileFigures {
    pub(crate) name: String,
    pub(crate) state: FileState,
    pub(crate) rows: u64,
    /// Rows at its beginning that another file brought: they are not counted again.
    pub(crate) continued: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    /// The rejected rows by their reasons.
    pub(crate) reasons: BTreeMap<String, u64>,
    pub(crate) filtered: u64,
    /// Rows for which a person has to decide, or a last line whose end has not come.
    pub(crate) waiting: u64,
    pub(crate) counted: u64,
    pub(crate) duplicates: u64,
    pub(crate) withdrawn: u64,
    /// What came under its name, one after the other.
    pub(crate) versions: Vec<VersionFigures>,
    /// Since its newest rows landed.
    pub(crate) age_s: u64,
    /// Why a version of it waits for a person, where one does.
    pub(crate) conflict: Option<ConflictFigures>,
    /// Whether the store has forgotten what became of the accepted rows, as it does some weeks after all were handled.
    pub(crate) is_account_closed: bool,
}

/// A version that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ConflictFigures {
    /// The version that waits.
    pub(crate) version: String,
    /// The one that it may repeat or replace.
    pub(crate) with: String,
    pub(crate) reason: ConflictReason,
    /// About how many rows they share.
    pub(crate) shared_rows: u64,
}

impl ConflictFigures {
    /// For people.
    pub(crate) fn why(&self) -> String {
        let (with, shared) = (&self.with, grouped(self.shared_rows));
        match self.reason {
            ConflictReason::Changed => format!("{with} came under the same name, with other rows, and is counted"),
            ConflictReason::Shares => {
                format!("about {shared} of its rows are counted in {with}, and it does not continue it")
            }
            ConflictReason::Withdrawn => format!("{with} has taken the place of this content"),
        }
    }
}

/// What came under a file's name at one time, and what it grew by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionFigures {
    /// Where it lies in the lake.
    pub(crate) key: String,
    pub(crate) state: FileState,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) landed_at: u64,
}

/// How far a file or a version of it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileState {
    /// A person has to decide whether it counts.
    Conflict,
    /// A person has decided that it takes another one's place, whose rows are being taken back.
    Replacing,
    /// A person has decided that it does not count.
    Dropped,
    /// Its rows were taken back.
    Withdrawn,
    /// Another version of it counts, as none of its own rows could be used.
    Superseded,
    /// None of its rows can be used.
    Rejected,
    /// Its rows are being read.
    Reading,
    /// Its rows are being counted.
    Counting,
    /// All is counted but a last line whose end has not come.
    Waiting,
    /// All is counted.
    #[default]
    Counted,
}

impl FileState {
    /// Whether somebody has to look at it.
    pub(crate) fn needs_a_person(self) -> bool {
        matches!(self, Self::Conflict | Self::Rejected)
    }

    /// Whether its rows are no part of anybody's usage.
    pub(crate) fn is_left_out(self) -> bool {
        use FileState::{
            Conflict, Counted, Counting, Dropped, Reading, Rejected, Replacing, Superseded, Waiting, Withdrawn,
        };
        match self {
            Conflict | Replacing | Dropped | Withdrawn | Superseded => true,
            Rejected | Reading | Counting | Waiting | Counted => false,
        }
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Conflict => "conflict",
            Self::Replacing => "replacing",
            Self::Dropped => "dropped",
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
            Self::Reading => "reading",
            Self::Counting => "counting",
            Self::Waiting => "waiting",
            Self::Counted => "counted",
        })
    }
}

impl FileFigures {
    /// Accepted rows of which the store says what became of them.
    pub(crate) fn accounted(&self) -> u64 {
        self.counted + self.duplicates + self.withdrawn
    }

    /// The version that came last, which is what lies on the server.
    pub(crate) fn newest(&self) -> Option<&VersionFigures> {
        self.versions.last()
    }

    /// How far the newest version is.
    pub(crate) fn newest_state(&self) -> FileState {
        self.newest().map_or(self.state, |version| version.state)
    }

    /// Rows of the newest version.
    pub(crate) fn newest_rows(&self) -> u64 {
        self.newest().map_or(self.rows, |version| version.rows)
    }

    /// Versions before the newest one whose rows are part of the usage.
    pub(crate) fn earlier_that_count(&self) -> usize {
        let count = |version: &&VersionFigures| !version.state.is_left_out() && version.state != FileState::Rejected;
        let newest = self.newest().into_iter().filter(count).count();
        self.versions.iter().filter(count).count() - newest
    }
}

/// A line of a table for people: what, how much, and what there is to say of it.
pub(crate) fn line(name: &str, figure: &str, note: &str) -> String {
    let text = format!("  {name:<24}{figure:>12}   {note}");
    format!("{}\n", text.trim_end())
}

/// A time, in the largest unit of which there is more than one.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// 172800 as 172,800.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_newest_version_lies_on_the_server() {
        let version = |key: &str, state, rows, landed_at| VersionFigures {
            key: key.to_owned(),
            state,
            rows,
            bytes: 0,
            landed_at,
        };
        let mut file = FileFigures { rows: 7, state: FileState::Rejected, ..FileFigures::default() };
        assert_eq!((file.newest_state(), file.newest_rows()), (FileState::Rejected, 7));
        assert_eq!(file.earlier_that_count(), 0);
        // Of those of one second the last one.
        file.versions = vec![
            version("a", FileState::Counted, 1, 10),
            version("a@20-1", FileState::Conflict, 3, 20),
            version("a@20-2", FileState::Counting, 4, 20),
        ];
        assert_eq!((file.newest_state(), file.newest_rows()), (FileState::Counting, 4));
        assert_eq!(file.earlier_that_count(), 1);
        assert_eq!(serde_json::to_value(file.newest_state()).expect("JSON"), "counting");
    }
}
