//! The names of the lake's objects: one place for their rules.

use std::fmt;
use std::str::FromStr;

use content::{Head, Sketch};
use serde::{Deserialize, Serialize};
use telecom::FileName;

/// The delivered files, piece by piece, byte for byte as they were delivered.
pub const LANDING: &str = "landing/";
/// The notes about pieces that are not announced yet.
pub const UNANNOUNCED: &str = "unannounced/";
/// The registers of the files.
pub const FILES: &str = "files/";
/// The registers of all files with the same header and first row.
pub const HEADS: &str = "heads/";
/// The digests of a few rows of each counted file.
pub const SKETCHES: &str = "sketches/";
/// The notes about files that wait for a person.
pub const CONFLICTS: &str = "conflicts/";
/// The note about what lies on the SFTP servers and nobody takes.
pub const UNMATCHED: &str = "unmatched.json";
/// The results of pieces.
pub const RESULTS: &str = "results/";
/// The results of withdrawals.
pub const WITHDRAWALS: &str = "withdrawals/";
/// Where `trunkline check` puts an object, and removes it.
pub const CHECKS: &str = "checks/";
/// Where version 0.1 kept the markers of announced files. Nothing writes them any more.
pub const ANNOUNCED: &str = "announced/";
/// The object that says by which rules the others are named.
pub const FORMAT: &str = "format.json";

/// A file as it was at one time. Text form: `NAME` for the first, `NAME@<mtime>-<bytes>` for one that came later under
/// the same name and does not just continue the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VersionKey {
    name: FileName,
    later: Option<(u64, u64)>,
}

/// Bytes of a version that came together. Text form: the version's for the first, `<version>+<from_byte, 20 digits>`
/// for one by which a plain file grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PieceKey {
    version: VersionKey,
    from_byte: u64,
}

/// A text that is not a piece's or a version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece is named NAME, NAME@<mtime>-<bytes>, and either perhaps with +<from_byte, 20 digits>")]
pub struct InvalidKey;

impl VersionKey {
    /// The first delivery under a name.
    #[must_use]
    pub fn first(name: FileName) -> Self {
        Self { name, later: None }
    }

    /// A later delivery, by its last change (seconds since 1970) and its length.
    #[must_use]
    pub fn later(name: FileName, mtime: u64, bytes: u64) -> Self {
        Self { name, later: Some((mtime, bytes)) }
    }

    /// The file's name, as delivered.
    #[must_use]
    pub fn name(&self) -> FileName {
        self.name
    }

    /// Its first piece.
    #[must_use]
    pub fn piece(self) -> PieceKey {
        self.piece_from(0)
    }

    /// The piece that begins at this byte of the file.
    #[must_use]
    pub fn piece_from(self, from_byte: u64) -> PieceKey {
        PieceKey { version: self, from_byte }
    }
}

impl PieceKey {
    /// The version that it is a piece of.
    #[must_use]
    pub fn version(&self) -> VersionKey {
        self.version
    }

    /// The file's name, as delivered.
    #[must_use]
    pub fn name(&self) -> FileName {
        self.version.name
    }

    /// Where it begins in the file.
    #[must_use]
    pub fn from_byte(&self) -> u64 {
        self.from_byte
    }

    /// Whether the file begins with it.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.from_byte == 0
    }

    /// The piece whose bytes, or note, lie under this name.
    #[must_use]
    pub fn of_object(key: &str) -> Option<Self> {
        let key = key.strip_prefix(LANDING).or_else(|| key.strip_prefix(UNANNOUNCED))?;
        key.parse().ok()
    }
}

impl fmt::Display for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.later {
            None => write!(f, "{}", self.name),
            Some((mtime, bytes)) => write!(f, "{}@{mtime}-{bytes}", self.name),
        }
    }
}

impl fmt::Display for PieceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from_byte {
            0 => write!(f, "{}", self.version),
            from_byte => write!(f, "{}+{from_byte:020}", self.version),
        }
    }
}

/// A number as it is written: in digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl FromStr for VersionKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let (name, later) = match text.split_once('@') {
            None => (text, None),
            Some((name, later)) => {
                let (mtime, bytes) = later.split_once('-').ok_or(InvalidKey)?;
                (name, Some((number(mtime).ok_or(InvalidKey)?, number(bytes).ok_or(InvalidKey)?)))
            }
        };
        Ok(Self { name: FileName::parse(name).map_err(|_| InvalidKey)?, later })
    }
}

impl FromStr for PieceKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let (version, from_byte) = match text.split_once('+') {
            None => (text, 0),
            Some((version, digits)) if digits.len() == 20 => (version, number(digits).ok_or(InvalidKey)?),
            Some(_) => return Err(InvalidKey),
        };
        Ok(version.parse::<VersionKey>()?.piece_from(from_byte))
    }
}

impl From<VersionKey> for String {
    fn from(key: VersionKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for VersionKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<PieceKey> for String {
    fn from(key: PieceKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for PieceKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

/// A piece's bytes.
#[must_use]
pub fn landing(piece: &PieceKey) -> String {
    format!("{LANDING}{piece}")
}

/// The pieces by which a version grew begin so, in the order of their bytes.
#[must_use]
pub fn later_pieces(version: &VersionKey) -> String {
    format!("{LANDING}{version}+")
}

/// The note that says: this piece is landing, or has landed, and is not announced yet. It finds a piece again that an
/// invocation left in between, also when the file has been taken from the server since.
#[must_use]
pub fn unannounced(piece: &PieceKey) -> String {
    format!("{UNANNOUNCED}{piece}")
}

/// What became of a piece's rows.
#[must_use]
pub fn results(piece: &PieceKey) -> String {
    format!("{RESULTS}{piece}.json")
}

/// That a piece's rows have been taken back.
#[must_use]
pub fn withdrawal(piece: &PieceKey) -> String {
    format!("{WITHDRAWALS}{piece}.json")
}

/// The register of a file.
#[must_use]
pub fn file(name: &FileName) -> String {
    format!("{FILES}{name}.json")
}

/// The file whose register lies under this name.
#[must_use]
pub fn file_of_register(key: &str) -> Option<FileName> {
    FileName::parse(key.strip_prefix(FILES)?.strip_suffix(".json")?).ok()
}

/// The register of all files that begin alike.
#[must_use]
pub fn head(head: &Head) -> String {
    format!("{HEADS}{head}.json")
}

/// The note that says: a version of this file waits for a person.
#[must_use]
pub fn conflict(name: &FileName) -> String {
    format!("{CONFLICTS}{name}.json")
}

/// The marker of version 0.1 that says: this file is on the topic `landed-files`.
#[must_use]
pub fn announced(name: &FileName) -> String {
    format!("{ANNOUNCED}{name}.json")
}

/// How many of a sketch's digests the name of an object holds at most. Each has an even chance or better to find a file
/// that shares half of its rows.
pub const NAMED_DIGESTS: usize = 16;
/// A file's folders may be so long beside all of them. Longer ones take the room of some.
const FOLDERS_BESIDE: usize = 16;
/// How long a digest is in the name, rounded down.
const DIGEST_BYTES: usize = 5;

/// What the name of an object under [`SKETCHES`] says: a file, and the most significant halves of the smallest digests
/// of the rows that it brought. So a listing is an index; the digests as a whole are in the file's register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSketch {
    /// The file.
    pub name: FileName,
    /// Ascending.
    pub digests: Vec<u32>,
}

impl NamedSketch {
    /// That of a file.
    #[must_use]
    pub fn of(name: FileName, sketch: &Sketch) -> Self {
        let fewer = name.folders().len().saturating_sub(FOLDERS_BESIDE).div_ceil(DIGEST_BYTES);
        let digests = sketch.digests().iter().take(NAMED_DIGESTS - fewer).map(|digest| (digest >> 32) as u32);
        Self { name, digests: digests.collect() }
    }

    /// The object's name; `day` is written `2026-07-28`.
    #[must_use]
    pub fn key(&self, day: &str) -> String {
        use base64::Engine as _;
        let bytes: Vec<u8> = self.digests.iter().flat_map(|digest| digest.to_be_bytes()).collect();
        let digests = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        format!("{SKETCHES}{day}/{digests}/{}", self.name)
    }

    /// The day and the sketch of an object of this name.
    #[must_use]
    pub fn parse(key: &str) -> Option<(&str, Self)> {
        use base64::Engine as _;
        let (day, rest) = key.strip_prefix(SKETCHES)?.split_once('/')?;
        let (digests, name) = rest.split_once('/')?;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(digests).ok()?;
        let (digests, []) = bytes.as_chunks() else { return None };
        let digests = digests.iter().map(|digest| u32::from_be_bytes(*digest)).collect();
        Some((day, Self { name: FileName::parse(name).ok()?, digests }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_it_is_written_as() {
        let name = FileName::parse("cdr_data_20240101_120000.csv.gz").unwrap();
        let (first, later) = (VersionKey::first(name), VersionKey::later(name, 1_700_000_000, 77));
        for (piece, text) in [
            (first.piece(), "cdr_data_20240101_120000.csv.gz"),
            (first.piece_from(5), "cdr_data_20240101_120000.csv.gz+00000000000000000005"),
            (later.piece(), "cdr_data_20240101_120000.csv.gz@1700000000-77"),
            (later.piece_from(77), "cdr_data_20240101_120000.csv.gz@1700000000-77+00000000000000000077"),
        ] {
            assert_eq!(piece.to_string(), text);
            assert_eq!(text.parse(), Ok(piece));
            assert_eq!(PieceKey::of_object(&landing(&piece)), Some(piece));
            assert_eq!(PieceKey::of_object(&unannounced(&piece)), Some(piece));
            assert_eq!(serde_json::from_str::<PieceKey>(&serde_json::to_string(&piece).unwrap()).unwrap(), piece);
        }
        assert_eq!(file_of_register(&file(&name)), Some(name));
        let of_a_folder = FileName::parse("north/a/cdr_data_20240101_120000.csv").unwrap();
        let piece = VersionKey::later(of_a_folder, 5, 7).piece_from(9);
        assert_eq!(piece.to_string(), "north/a/cdr_data_20240101_120000.csv@5-7+00000000000000000009");
        assert_eq!(PieceKey::of_object(&landing(&piece)), Some(piece));
        assert_eq!(file_of_register(&file(&of_a_folder)), Some(of_a_folder));
        for text in ["", "x.csv", "cdr_data_20240101_120000.csv@1", "cdr_data_20240101_120000.csv+5"] {
            assert!(text.parse::<PieceKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sketch_is_read_off_its_name() {
        let name = "cdr_voice_20240101_120000.csv.zst";
        for (rows, folder_bytes) in (0..=40).flat_map(|bytes| [0, 1, 3, 100].map(|rows| (rows, bytes))) {
            let folders = if folder_bytes < 2 { String::new() } else { format!("{}/", "a".repeat(folder_bytes - 1)) };
            let mut sketch = Sketch::default();
            (0..rows).for_each(|row| sketch.add(format!("row {row}").as_bytes()));
            let named = NamedSketch::of(FileName::parse(&format!("{folders}{name}")).unwrap(), &sketch);
            let key = named.key("2026-07-28");
            // A store that keeps objects as files has no room for longer names.
            assert!(key.len() <= 157, "{key}");
            assert_eq!(NamedSketch::parse(&key), Some(("2026-07-28", named)));
        }
        assert_eq!(NamedSketch::parse("sketches/2026-07-28/AAA/cdr_voice_20240101_120000.csv"), None);
    }
}
