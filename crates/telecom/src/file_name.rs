//! Names of the operator's files.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::day::epoch_days;
use crate::kind::RecordType;
use crate::serde_text::serde_as_text;

/// The name of a file of call detail records: `cdr_data_20240101_120000.csv`, perhaps with `.gz` or `.zst`, and perhaps
/// with the server and the folders that it comes from: `north/msc-1/cdr_data_20240101_120000.csv`.
///
/// Ordered by the time in the name, then by the name: the order in which files are read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileName {
    bytes: [u8; MAX_BYTES],
    len: u8,
    /// Where the name begins, behind the folders.
    start: u8,
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

/// The longest name without folders.
const MAX_BARE_BYTES: usize = "cdr_voice_20240101_120000.csv.zst".len();
/// The longest that the folders in front of it may be, with their slashes: a server, and some levels. Names are copied
/// often, and a store that keeps objects as files has no room for longer ones.
const MAX_FOLDERS_BYTES: usize = 40;
const MAX_BYTES: usize = MAX_FOLDERS_BYTES + MAX_BARE_BYTES;
/// `YYYYMMDD_HHMMSS`
const TIME_BYTES: usize = 15;

impl FileName {
    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self, InvalidFileName> {
        let start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (folders, bare) = name.split_at(start);
        if folders.len() > MAX_FOLDERS_BYTES || !folders.split_terminator('/').all(is_folder) {
            return Err(InvalidFileName);
        }
        let (rest, compression) = if let Some(rest) = bare.strip_suffix(".gz") {
            (rest, Some(Compression::Gzip))
        } else if let Some(rest) = bare.strip_suffix(".zst") {
            (rest, Some(Compression::Zstd))
        } else {
            (bare, None)
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
        Ok(Self { bytes, len: name.len() as u8, start: start as u8, record_type, compression })
    }

    /// The folders in front of the name, each with its slash.
    pub fn folders(&self) -> &str {
        &self.as_str()[..usize::from(self.start)]
    }

    /// The name, with its folders.
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
        let start = usize::from(self.start) + "cdr__".len() + self.record_type.as_str().len();
        &self.bytes[start..start + TIME_BYTES]
    }
}

/// Characters that objects of the lake, Kafka keys and shells all accept unchanged. A name that begins with a dot is
/// hidden.
fn is_folder(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain)
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
