use std::collections::BTreeMap;
use std::time::Duration;

use content::Digest;
use serde::{Deserialize, Serialize};
use telecom::{FileName, RecordRules, SourceId};

use crate::names::{self, PieceKey, VersionKey};
use crate::registers::{Held, Piece};

/// For how long after its results a piece may be published again or taken back: the counters know its rows for longer.
pub const REPUBLISH_WITHIN: Duration = Duration::from_hours(27 * 24);

/// A message of the topic `landed-files` (its key is the file's name): a piece of a file, or the rest of one, that
/// waits to be read. Fields that are missing are those of a whole file from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The object with the piece's bytes.
    pub key: String,
    /// The file's name, as delivered.
    pub name: FileName,
    /// Under which its rows are published.
    pub source_id: SourceId,
    /// Of the stored bytes.
    pub sha256: Digest,
    /// The object's length.
    pub bytes: u64,
    /// What is to be done with the rows.
    #[serde(default, skip_serializing_if = "Action::is_publish")]
    pub action: Action,
    /// Rows of the file before this object.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_line: u64,
    /// Rows at its beginning that are counted already, in another file, and are not published.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub continued: u64,
    /// The object with the header, where that is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_key: Option<String>,
    /// Where the rows are those of another file that had the same content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<Twin>,
    /// Also where the rows have been published before: for those that did not get through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Goes on with the version's further pieces, up to this row of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_line: Option<u64>,
    /// What is to be taken back, in the order of the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<Held>,
    /// Where to continue, in bytes of the decompressed stream; 0 at first.
    #[serde(default)]
    pub from_byte: u64,
    /// Rows of this object before `from_byte`.
    #[serde(default)]
    pub from_line: u64,
    /// Rows before `from_byte` that went on as records.
    #[serde(default)]
    pub accepted: u64,
    /// Rows before `from_byte` that went to `rejected`.
    #[serde(default)]
    pub rejected: u64,
    /// Those by their reasons' codes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
}

/// What is to be done with a piece's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// They become records.
    #[default]
    Publish,
    /// The records that they became are taken back.
    Withdraw,
    /// They are rejected, by a person's decision.
    Drop,
}

impl Action {
    fn is_publish(&self) -> bool {
        *self == Self::Publish
    }
}

/// The file whose content a piece had: its rows are published under that file's id, so that they are counted as
/// duplicates. That is possible as long as the results of that file are young; afterwards they are continued rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// The id.
    pub source_id: SourceId,
    /// The piece whose results are looked at.
    pub piece: PieceKey,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Announcement {
    /// The announcement of a whole landed file.
    #[must_use]
    pub fn new(name: FileName, sha256: Digest, bytes: u64) -> Self {
        let piece = Piece { sha256, bytes, first_line: 0, continued: 0, twin: None };
        Self::of_piece(&VersionKey::first(name).piece(), sha256.source_id(), &piece)
    }

    /// The announcement of a piece of a version whose rows have this id.
    #[must_use]
    pub fn of_piece(key: &PieceKey, source_id: SourceId, piece: &Piece) -> Self {
        Self {
            key: names::landing(key),
            name: key.name(),
            source_id: piece.twin.map_or(source_id, |twin| twin.source_id),
            sha256: piece.sha256,
            bytes: piece.bytes,
            action: Action::Publish,
            first_line: piece.first_line,
            continued: piece.continued,
            header_key: (!key.is_first()).then(|| names::landing(&key.version().piece())),
            twin: piece.twin,
            again: false,
            to_line: None,
            taken_back: Vec::new(),
            from_byte: 0,
            from_line: 0,
            accepted: 0,
            rejected: 0,
            reasons: BTreeMap::new(),
        }
    }

    /// The piece that it is about; `None` where its key is not a piece's.
    #[must_use]
    pub fn piece(&self) -> Option<PieceKey> {
        PieceKey::of_object(&self.key)
    }

    /// Counts a row that went on as a record.
    pub fn count_accepted(&mut self) {
        self.from_line += 1;
        self.accepted += 1;
    }

    /// Counts a row that is counted already, in another file.
    pub fn count_continued(&mut self) {
        self.from_line += 1;
    }

    /// Counts a row that went to `rejected`, by its reason's code.
    pub fn count_rejected(&mut self, code: &str) {
        self.from_line += 1;
        self.rejected += 1;
        match self.reasons.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.reasons.insert(code.to_owned(), 1)),
        }
    }

    /// What became of the piece, once all its rows have been counted.
    #[must_use]
    pub fn into_result(self, rules: RecordRules) -> FileResult {
        let Self { name, source_id, sha256, bytes, first_line, from_line, accepted, rejected, reasons, .. } = self;
        let continued = from_line - accepted - rejected;
        FileResult {
            name,
            source_id,
            sha256,
            bytes,
            first_line,
            rows: from_line,
            continued,
            accepted,
            rejected,
            filtered: 0,
            reasons,
            rules: Some(rules),
        }
    }
}

/// What became of a piece's rows, kept as `results/<piece>.json`: `rows = continued + accepted + rejected + filtered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileResult {
    /// The file's name, as delivered.
    pub name: FileName,
    /// Under which its rows were published.
    pub source_id: SourceId,
    /// Of the stored bytes.
    pub sha256: Digest,
    /// The object's length.
    pub bytes: u64,
    /// Rows of the file before this piece.
    #[serde(default)]
    pub first_line: u64,
    /// Rows of the piece.
    pub rows: u64,
    /// Rows at its beginning that are counted already, in another file.
    #[serde(default)]
    pub continued: u64,
    /// Rows that went on as records.
    pub accepted: u64,
    /// Rows that went to `rejected`.
    pub rejected: u64,
    /// Rows that were left out on purpose: none yet.
    #[serde(default)]
    pub filtered: u64,
    /// The rejected ones by their reasons' codes.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
    /// How the rows were read; `None` of what version 0.1 read.
    #[serde(default)]
    pub rules: Option<RecordRules>,
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_message_is_as_documented() {
        let name = FileName::parse("cdr_data_20240101_120000.csv").unwrap();
        let announcement = Announcement::new(name, Digest::of(b"hello"), 5);
        let json = serde_json::to_string_pretty(&announcement).unwrap();
        expect![[r#"
            {
              "key": "landing/cdr_data_20240101_120000.csv",
              "name": "cdr_data_20240101_120000.csv",
              "source_id": "2cf24dba5fb0a30e",
              "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
              "bytes": 5,
              "from_byte": 0,
              "from_line": 0,
              "accepted": 0,
              "rejected": 0
            }"#]]
        .assert_eq(&json);
        assert_eq!(serde_json::from_str::<Announcement>(&json).unwrap(), announcement);
    }

    #[test]
    fn a_first_announcement_may_leave_out_where_to_begin() {
        let json = r#"{
            "key": "landing/cdr_data_20240101_120000.csv", "name": "cdr_data_20240101_120000.csv",
            "source_id": "2cf24dba5fb0a30e", "bytes": 5,
            "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        }"#;
        let announcement: Announcement = serde_json::from_str(json).unwrap();
        assert_eq!(announcement, Announcement::new(announcement.name, Digest::of(b"hello"), 5));
    }

    #[test]
    fn what_is_counted_goes_along_with_the_rest_and_into_the_result() {
        let name = FileName::parse("cdr_data_20240101_120000.csv").unwrap();
        let mut rest = Announcement::new(name, Digest::of(b"hello"), 5);
        for code in ["bad_number", "bad_msisdn", "bad_number"] {
            rest.count_accepted();
            rest.count_rejected(code);
        }
        let rest: Announcement = serde_json::from_str(&serde_json::to_string(&rest).unwrap()).unwrap();
        let result = rest.into_result(RecordRules::default());
        expect![[r#"
            {
              "name": "cdr_data_20240101_120000.csv",
              "source_id": "2cf24dba5fb0a30e",
              "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
              "bytes": 5,
              "first_line": 0,
              "rows": 6,
              "continued": 0,
              "accepted": 3,
              "rejected": 3,
              "filtered": 0,
              "reasons": {
                "bad_msisdn": 1,
                "bad_number": 2
              },
              "rules": {
                "number": 2,
                "zone": "Africa/Johannesburg"
              }
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&result).unwrap());
        assert_eq!(serde_json::from_str::<FileResult>(&serde_json::to_string(&result).unwrap()).unwrap(), result);
    }
}
