//! Names of the operator's files.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::day::epoch_days;
use crate::kind::RecordType;
use crate::serde_text::serde_as_text;

/// The name of a file of call detail records: `cdr_data_20240101_120000.csv`, perhaps with `.gz` or `.zst`.
///
/// Ordered by the time in the name, then by the name: the order in which files are read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileName {
    bytes: [u8; MAX_BYTES],
    len: u8,
    record_type: RecordType,
    compression: Option<Compression>,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

/// The name is not that of a file of call detail records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst"
)]
pub struct InvalidFileName;

/// The longest name there is.
const MAX_BYTES: usize = "cdr_voice_20240101_120000.csv.zst".len();
/// `YYYYMMDD_HHMMSS`
const TIME_BYTES: usize = 15;

impl FileName {
    /// Reads a bare name, without a folder.
    pub fn parse(name: &str) -> Result<Self, InvalidFileName> {
        let (rest, compression) = if let Some(rest) = name.strip_suffix(".gz") {
            (rest, Some(Compression::Gzip))
        } else if let Some(rest) = name.strip_suffix(".zst") {
            (rest, Some(Compression::Zstd))
        } else {
            (name, None)
        };
        let (record_type, rest) = if let Some(rest) = rest.strip_prefix("cdr_data_") {
            (RecordType::Data, rest)
        } else if let Some(rest) = rest.strip_prefix("cdr_voice_") {
            (RecordType::Voice, rest)
        } else {
            return Err(InvalidFileName);
        };
        let time = rest.strip_suffix(".csv").ok_or(InvalidFileName)?;
        if !is_time(time.as_bytes()) {
            return Err(InvalidFileName);
        }
        let mut bytes = [0; MAX_BYTES];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self { bytes, len: name.len() as u8, record_type, compression })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // It was copied from a `str`.
        str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// What its rows are.
    pub const fn record_type(&self) -> RecordType {
        self.record_type
    }

    /// How its bytes are compressed, if they are.
    pub const fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// `YYYYMMDD_HHMMSS`
    fn time(&self) -> &[u8] {
        let start = "cdr__".len() + self.record_type.as_str().len();
        &self.bytes[start..start + TIME_BYTES]
    }
}

/// A real date and time of day, as `YYYYMMDD_HHMMSS`.
fn is_time(time: &[u8]) -> bool {
    let Some((date, time)) = time.split_at_checked(8) else { return false };
    let (Some(date), [b'_', time @ ..]) = (crate::day::digits(date), time) else { return false };
    let (Some(time), 6) = (crate::day::digits(time), time.len()) else { return false };
    epoch_days((date / 10_000) as i32, date / 100 % 100, date % 100).is_some()
        && time / 10_000 < 24
        && time / 100 % 100 < 60
        && time % 100 < 60
}

impl Ord for FileName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time().cmp(other.time()).then_with(|| self.as_str().cmp(other.as_str()))
    }
}

impl PartialOrd for FileName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for FileName {
    type Err = InvalidFileName;

    fn from_str(text: &str) -> Result<Self, InvalidFileName> {
        Self::parse(text)
    }
}

serde_as_text!(FileName);
