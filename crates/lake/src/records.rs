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
        }
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
}
