//! The names of the lake's objects: one place for their rules.

use crate::Digest;

/// Where copied files lie, byte for byte as they were delivered.
pub const LANDING: &str = "landing/";
/// Where the markers of announced files lie.
pub const ANNOUNCED: &str = "announced/";
/// Where the notes about files on their way to the topic lie.
pub const UNANNOUNCED: &str = "unannounced/";
/// Where the notes about files that changed after landing lie.
pub const CHANGED: &str = "changed/";
/// Where the results of files lie.
pub const RESULTS: &str = "results/";

/// A delivered file's copy.
#[must_use]
pub fn landing(name: &str) -> String {
    format!("{LANDING}{name}")
}

/// The copy of a later version of a file that has landed before: kept, not counted.
#[must_use]
pub fn landing_version(name: &str, sha256: &Digest) -> String {
    format!("{LANDING}{name}.{sha256}")
}

/// The marker that says: this file is on the topic `landed-files`.
#[must_use]
pub fn announced(name: &str) -> String {
    format!("{ANNOUNCED}{name}.json")
}

/// The note that says: this file is landing, or has landed, and is not announced yet. It finds a file again that an
/// invocation left in between, also when the file has been taken from the server since.
#[must_use]
pub fn unannounced(name: &str) -> String {
    format!("{UNANNOUNCED}{name}")
}

/// The note about one later version of a file, known by its size and the time of its last change (seconds since 1970).
#[must_use]
pub fn changed(name: &str, bytes: u64, mtime: u64) -> String {
    format!("{CHANGED}{name}/{bytes}-{mtime}.json")
}

/// What became of a file's rows.
#[must_use]
pub fn results(name: &str) -> String {
    format!("{RESULTS}{name}.json")
}
