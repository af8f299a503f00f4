use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use telecom::{FileName, SourceId};

use crate::{Digest, names};

/// A message of the topic `landed-files` (its key is the file's name): a file, or the rest of one, that waits to be
/// read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The object with the file's bytes.
    pub key: String,
    /// The file's name, as delivered.
    pub name: FileName,
    /// The file's identity: the beginning of `sha256`.
    pub source_id: SourceId,
    /// Of the stored bytes.
    pub sha256: Digest,
    /// The object's length.
    pub bytes: u64,
    /// Where to go on, in bytes of the decompressed stream; 0 at first.
    #[serde(default)]
    pub from_byte: u64,
    /// Data rows before `from_byte`.
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

impl Announcement {
    /// The announcement of a whole landed file.
    #[must_use]
    pub fn new(name: FileName, sha256: Digest, bytes: u64) -> Self {
        Self {
            key: names::landing(name.as_str()),
            name,
            source_id: sha256.source_id(),
            sha256,
            bytes,
            from_byte: 0,
            from_line: 0,
            accepted: 0,
            rejected: 0,
            reasons: BTreeMap::new(),
        }
    }

    /// Counts a row that went on as a record.
    pub fn count_accepted(&mut self) {
        self.from_line += 1;
        self.accepted += 1;
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

    /// What became of the file, once all its rows have been counted.
    #[must_use]
    pub fn into_result(self) -> FileResult {
        let Self { name, source_id, sha256, bytes, from_line, accepted, rejected, reasons, .. } = self;
        FileResult { name, source_id, sha256, bytes, rows: from_line, accepted, rejected, reasons }
    }
}

/// What became of a file's rows, kept as `results/<name>.json`: `rows = accepted + rejected`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileResult {
    /// The file's name, as delivered.
    pub name: FileName,
    /// The file's identity.
    pub source_id: SourceId,
    /// Of the stored bytes.
    pub sha256: Digest,
    /// The stored file's length.
    pub bytes: u64,
    /// Data rows in the file.
    pub rows: u64,
    /// Rows that went on as records.
    pub accepted: u64,
    /// Rows that went to `rejected`.
    pub rejected: u64,
    /// Those by their reasons' codes.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
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
        let result = rest.into_result();
        expect![[r#"
            {
              "name": "cdr_data_20240101_120000.csv",
              "source_id": "2cf24dba5fb0a30e",
              "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
              "bytes": 5,
              "rows": 6,
              "accepted": 3,
              "rejected": 3,
              "reasons": {
                "bad_msisdn": 1,
                "bad_number": 2
              }
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&result).unwrap());
        assert_eq!(serde_json::from_str::<FileResult>(&serde_json::to_string(&result).unwrap()).unwrap(), result);
    }
}
