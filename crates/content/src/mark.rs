//! What is kept of a file, to continue with it when it has grown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::digest::{Digest, HashState, Hasher};

/// The end of the known part of a file: always the end of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Rows up to here.
    pub rows: u64,
    /// The content's hasher.
    pub state: HashState,
    /// Whether the last line was taken without its line end, which may follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_line_open: bool,
    /// The hasher of the head, which needs a row yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HashState>,
}

/// The common beginning of files that share rows: the digest of the header and the first row. Text form: 16 hexadecimal
/// digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Head(u64);

/// A text that is not 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 16 hexadecimal digits")]
pub struct InvalidHex;

fn parse_hex(text: &str) -> Result<u64, InvalidHex> {
    // `from_str_radix` alone would take a sign.
    if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InvalidHex);
    }
    u64::from_str_radix(text, 16).map_err(|_| InvalidHex)
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Head {
    type Err = InvalidHex;

    fn from_str(text: &str) -> Result<Self, InvalidHex> {
        parse_hex(text).map(Self)
    }
}

impl TryFrom<String> for Head {
    type Error = InvalidHex;

    fn try_from(text: String) -> Result<Self, InvalidHex> {
        text.parse()
    }
}

impl From<Head> for String {
    fn from(head: Head) -> Self {
        head.to_string()
    }
}

/// A head in the making.
#[derive(Debug)]
pub(crate) enum HeadHasher {
    Empty,
    Header(Hasher),
    Done(Option<Head>),
}

impl HeadHasher {
    /// Of a later piece: the head is known already, or its first row is still to come.
    pub(crate) fn continuing(mark: &Mark) -> Option<Self> {
        Some(match &mark.header {
            None => Self::Done(None),
            Some(state) => Self::Header(state.hasher()?),
        })
    }

    pub(crate) fn header(&mut self, line: &[u8]) {
        let mut hasher = Hasher::default();
        hasher.update(line);
        hasher.update(b"\n");
        *self = Self::Header(hasher);
    }

    pub(crate) fn row(&mut self, row: &[u8]) {
        match std::mem::replace(self, Self::Done(None)) {
            Self::Header(mut hasher) => {
                hasher.update(row);
                hasher.update(b"\n");
                let Digest([a, b, c, d, e, f, g, h, ..]) = hasher.finish();
                *self = Self::Done(Some(Head(u64::from_be_bytes([a, b, c, d, e, f, g, h]))));
            }
            // A file that has no header has no head: none of its rows can be used.
            Self::Empty => {}
            done @ Self::Done(_) => *self = done,
        }
    }

    /// The head, and what must be kept while it still needs a row.
    pub(crate) fn finish(self) -> (Option<Head>, Option<HashState>) {
        match self {
            Self::Empty => (None, None),
            Self::Header(hasher) => (None, Some(hasher.state())),
            Self::Done(head) => (head, None),
        }
    }
}

/// Some stored bytes, to be recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Block {
    /// How many.
    pub bytes: u32,
    digest: u64,
}

impl Block {
    /// The block of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX), digest: XxHash3_64::oneshot(bytes) }
    }
}

/// `<bytes>:<16 hexadecimal digits>`
impl From<Block> for String {
    fn from(Block { bytes, digest }: Block) -> Self {
        format!("{bytes}:{digest:016x}")
    }
}

impl TryFrom<String> for Block {
    type Error = InvalidHex;

    fn try_from(text: String) -> Result<Self, InvalidHex> {
        let (bytes, digest) = text.split_once(':').ok_or(InvalidHex)?;
        Ok(Self { bytes: bytes.parse().map_err(|_| InvalidHex)?, digest: parse_hex(digest)? })
    }
}
