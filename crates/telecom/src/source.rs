//! Where a record came from.

use std::fmt;
use std::str::FromStr;

use crate::file_name::FileName;
use crate::serde_text::serde_as_text;

/// Names the content of a landed file: the first 8 bytes of a SHA-256. Text form: 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub [u8; 8]);

/// The text is not a source id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a source id has 16 hexadecimal digits")]
pub struct InvalidSourceId;

/// The row of a landed file that a record came from. `(id, line)` is the record's identity; the name is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// The file's content.
    pub id: SourceId,
    /// The row: 1 for the first data row after the header. Blank lines are no rows and have no number.
    pub line: u64,
    /// The file's name, when the record gives one that has the files' form.
    pub file: Option<FileName>,
}

/// What a record does with the row that it names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// The row is counted, once.
    #[default]
    Count,
    /// The row is taken back, once, if it was counted: its file was replaced.
    Withdraw,
}

impl SourceId {
    /// The id of a file whose content has this SHA-256.
    pub const fn from_sha256(sha256: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *sha256;
        Self([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SourceId {
    type Err = InvalidSourceId;

    fn from_str(text: &str) -> Result<Self, InvalidSourceId> {
        // `from_str_radix` alone would take a sign.
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidSourceId);
        }
        u64::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| InvalidSourceId)
    }
}

serde_as_text!(SourceId);
