//! The conservation laws of files: no row is lost, and none counts twice.

use std::collections::BTreeMap;

use super::Verdict;
use super::count::{Counted, File};
use super::decode::Ending;
use crate::figures::{FileFigures, FileState};

/// Compares what the pipeline says of each file with what the files themselves tell.
pub(super) fn compare_files(counted: &Counted, said: &[FileFigures], verdict: &mut Verdict) {
    verdict.are_files_compared = true;
    let said: BTreeMap<&str, &FileFigures> = said.iter().map(|file| (file.name.as_str(), file)).collect();
    for name in said.keys().filter(|name| !counted.files.contains_key(**name)) {
        verdict.note(format!("{name}: reported, but not delivered"));
    }
    let mut families: BTreeMap<&str, Family> = BTreeMap::new();
    for (name, file) in &counted.files {
        let family = families.entry(&file.family).or_default();
        family.files += 1;
        family.own += file.own();
        let Some(said) = said.get(name.as_str()) else {
            verdict.note_on_its_way(format!("{name}: delivered, and not read yet"));
            family.can_not_be_told = true;
            continue;
        };
        family.counted += said.counted;
        family.can_not_be_told |= said.withdrawn > 0 || said.earlier_that_count() > 0;
        family.can_not_be_told |= !compare_file(name, file, said, verdict);
    }
    for (name, Family { files, own, counted, .. }) in families.iter().filter(|(_, it)| !it.can_not_be_told) {
        if own != counted {
            let others = match files - 1 {
                0 => String::new(),
                others => format!(" and {others} more that begin like it"),
            };
            verdict.note(format!("{name}{others}: {counted} rows counted instead of {own}"));
        }
    }
}

/// Files with the same header and first row. Which of them counts the rows that they share is the pipeline's business.
#[derive(Default)]
struct Family {
    files: usize,
    own: u64,
    counted: u64,
    /// Something is on its way, or counts that is not here.
    can_not_be_told: bool,
}

/// One file's laws. Returns whether it has reached its place, counted or not.
fn compare_file(name: &str, file: &File, said: &FileFigures, verdict: &mut Verdict) -> bool {
    let state = said.newest_state();
    let earlier = said.earlier_that_count();
    verdict.is_incomplete |= earlier > 0;
    match state {
        FileState::Conflict => {
            verdict.note_undecided(format!("{name} waits for a decision: trunkline files {name}"));
        }
        FileState::Replacing => {
            verdict.note_on_its_way(format!("{name}: the rows in whose place it comes are being taken back"));
            return false;
        }
        FileState::Reading => {
            verdict.note_on_its_way(format!("{name}: its rows are being read"));
            return false;
        }
        FileState::Dropped | FileState::Withdrawn | FileState::Superseded => verdict.left_out += 1,
        FileState::Rejected | FileState::Counting | FileState::Waiting | FileState::Counted => {}
    }
    if earlier > 0 && state != FileState::Conflict {
        verdict.note(format!("{name}: {earlier} earlier versions count as well, which are not among these files"));
    }
    // The last line of a file that may still be written to.
    let open_rows = if file.is_open && state != FileState::Conflict { said.waiting.min(1) } else { 0 };
    compare_rows(name, file, said, open_rows, verdict);
    let in_all = said.continued + said.accepted + said.rejected + said.filtered + said.waiting;
    differ(name, "continued + accepted + rejected + filtered + waiting", said.rows, in_all, verdict);
    if state != FileState::Conflict && said.waiting > open_rows {
        verdict.note_on_its_way(format!("{name}: {} rows wait: trunkline files {name}", said.waiting));
        return false;
    }
    if said.versions.len() <= 1 {
        let accepted = match state {
            FileState::Conflict | FileState::Dropped => 0,
            _ => file.accepted(said.continued, open_rows),
        };
        differ(name, "accepted", accepted, said.accepted, verdict);
    }
    let accounted = said.counted + said.duplicates + said.withdrawn;
    if accounted < said.accepted {
        verdict.note_on_its_way(format!("{name}: {accounted} of {} accepted rows are counted", said.accepted));
        return false;
    }
    differ(name, "counted + duplicates + withdrawn", said.accepted, accounted, verdict);
    if open_rows > 0 {
        verdict.note_on_its_way(format!("{name}: its last line waits for its end"));
    }
    open_rows == 0
}

/// The rows of what lies on the server.
fn compare_rows(name: &str, file: &File, said: &FileFigures, open_rows: u64, verdict: &mut Verdict) {
    let (expected, found) = (file.rows(), said.newest_rows());
    let is_so = match file.ending {
        Ending::Whole => found == expected || found + open_rows == expected,
        Ending::Cut => found == expected,
        // How much of it can be had is the decoder's business.
        Ending::Corrupt => found <= expected,
    };
    if !is_so {
        differ(name, "rows", expected, found, verdict);
    }
}

fn differ(name: &str, what: &str, expected: u64, found: u64, verdict: &mut Verdict) {
    if expected != found {
        verdict.note(format!("{name}: {what} {found} instead of {expected}"));
    }
}
