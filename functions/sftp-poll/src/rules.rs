//! The rules by which files are landed and decided, each by name, so that the simulator can break one at a time and show
//! that it is needed. The argument for them is in the crate's README.

use content::Digest;
use telecom::SourceId;

/// The rules.
pub(crate) trait Rules: Send + Sync {
    /// A note lies in the lake before the bytes do: whoever comes later finds a piece again that was left in between.
    const NOTES_FIRST: bool = true;

    /// Only whole lines are taken.
    const HOLDS_BACK: bool = true;

    /// A file is believed to have only grown where its beginning and its end are what they were.
    const CHECKS_BLOCKS: bool = true;

    /// A piece comes only when the one before is published: a lane never sees a line before those in front of it.
    const WAITS_FOR_RESULTS: bool = true;

    /// The register of all files that begin alike is written only where it still is what the decision was made by.
    const SWAPS_HEADS: bool = true;

    /// What was decided and not written into a file's register is written there before anything else is decided.
    const CATCHES_UP: bool = true;

    /// A file's id is that of its content with its first row: headers alone are all the same.
    const IDS_NEED_A_ROW: bool = true;

    /// A file of the same content as another brings no row that the other one did not bring.
    const TWINS_CONTINUE: bool = true;

    /// Only where all of another file's rows up to the end of a piece stand at the beginning, they are shared.
    const SHARES_BY_CONTENT: bool = true;

    /// Content that was replaced does not come back by itself.
    const REMEMBERS_WITHDRAWN: bool = true;

    /// What is replaced is published as a whole before it is taken back.
    const WITHDRAWS_WHAT_IS_PUBLISHED: bool = true;

    /// A file is taken back with the rows that it continues.
    const WITHDRAWS_WHAT_IS_CONTINUED: bool = true;

    /// That a version is to be replaced is written down before anything of it is done.
    const INTENDS_FIRST: bool = true;

    /// A note without bytes stays, however old it is: somebody may be about to land them.
    const KEEPS_NOTES: bool = true;

    /// The id of a file's own rows: one that no other file has.
    fn source_id(digest: &Digest, is_taken: impl Fn(SourceId) -> bool) -> SourceId {
        let mut generation = 0;
        loop {
            let id = digest.source_id_of(generation);
            if !is_taken(id) {
                return id;
            }
            generation += 1;
        }
    }
}

/// The rules as designed.
pub(crate) struct Design;

impl Rules for Design {}
