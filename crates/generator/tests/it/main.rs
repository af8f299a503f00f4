//! What the generator delivers, seen from outside: through its sinks, read back with the pipeline's own parser.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chat;
mod crm;
mod faults;
mod memory;
mod options;
mod places;
mod records;
mod resume;
mod topics;

use generator::Options;

/// A small run that keeps its own files in a folder of its own.
fn small(folder: &tempfile::TempDir) -> Options {
    Options {
        seconds: 2_345,
        subscribers: 500,
        index: folder.path().join("idx_data.dat"),
        manifest: folder.path().join("faults.json"),
        ..Options::default()
    }
}
