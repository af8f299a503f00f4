use std::fmt;
use std::path::PathBuf;

use jiff::civil::DateTime;

/// What to generate. `Options::default()` is the dev profile; see [`Options::of`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides every byte: the same options give the same files.
    pub seed: u64,
    /// The time that the records cover, in seconds from `start`.
    pub seconds: u64,
    /// Records of each type in a second: at most a file's, because file names have a resolution of a second, and at
    /// most one for each subscriber, because nobody makes two calls at once.
    pub lines_per_second: u32,
    /// Records in a file; the last file of a run has what is left.
    pub lines_per_file: u32,
    /// How many subscribers there are; in a short run not all of them do something.
    pub subscribers: u32,
    /// The first record's time, as a clock on the operator's wall shows it.
    pub start: DateTime,
    /// Once the run that the index tells of is complete, another begins where it ended; `start` is then the first
    /// one's.
    pub continues: bool,
    /// The probability of a fault in a row, and about that of one in a file: 0 (none) to 1.
    pub faults: f64,
    /// Where progress is kept, so that a killed run goes on where it was.
    pub index: PathBuf,
    /// Where the faults are written down, when there are any.
    pub manifest: PathBuf,
}

/// How much a run generates, when nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One day, one line a second: 86,400 records of each type in 87 files of each.
    #[default]
    Dev,
    /// Two days, five lines a second: 864,000 records of each type in 864 files of each.
    Prod,
}

/// Records in a file, when nothing else is said.
pub const LINES_PER_FILE: u32 = 1_000;

/// The largest file: some are made ahead of their delivery, as text and as topics' records, in tens of megabytes each.
pub(crate) const MAX_LINES_PER_FILE: u32 = 100_000;

impl Options {
    /// A profile's options: seed 1, 50,000 subscribers, from 2024-01-01 00:00:00, no faults, `idx_data.dat` and
    /// `faults.json` in the working directory.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let (seconds, lines_per_second) = match profile {
            Profile::Dev => (86_400, 1),
            Profile::Prod => (2 * 86_400, 5),
        };
        Self {
            seed: 1,
            seconds,
            lines_per_second,
            lines_per_file: LINES_PER_FILE,
            subscribers: 50_000,
            start: DateTime::constant(2024, 1, 1, 0, 0, 0, 0),
            continues: false,
            faults: 0.0,
            index: PathBuf::from("idx_data.dat"),
            manifest: PathBuf::from("faults.json"),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "dev" => Ok(Self::Dev),
            "prod" => Ok(Self::Prod),
            _ => Err(format!("unknown profile {name:?}: it is dev or prod")),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::Prod => "prod",
        })
    }
}
