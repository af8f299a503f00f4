//! The second count on the repository's cases of files, against what each says is right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde_json::Value;

use super::count::{Counted, Delivered, Usage};
use super::*;
use crate::figures::{FileState, VersionFigures};

/// Every case: what lies on the server in the end, by its usage and by the laws.
#[test]
fn cases_of_files_are_counted_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/files");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 30, "{} cases", cases.len());
    for case in cases {
        let said: Value = serde_json::from_slice(&std::fs::read(case.join("case.json")).unwrap()).unwrap();
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        check(&name, &case, &said, &said);
        if let Some(then) = said.get("then") {
            check(&format!("{name}, then"), &case, &said, then);
        }
    }
}

fn check(name: &str, case: &Path, basis: &Value, said: &Value) {
    let server = server(case);
    let zone = TimeZone::get(basis["zone"].as_str().unwrap_or("Africa/Johannesburg")).unwrap();
    let delivered = || Delivered::list(&[server.folder.path().to_owned()]).unwrap();
    let alone = delivered().count(&zone, &BTreeSet::new()).unwrap();
    let figures: Vec<FileFigures> =
        said["files"].as_object().unwrap().iter().map(|(name, file)| server.figures(name, file, &alone)).collect();
    let left_out: BTreeSet<String> =
        figures.iter().filter(|file| file.newest_state().is_left_out()).map(|file| file.name.clone()).collect();
    let counted = delivered().count(&zone, &left_out).unwrap();

    let mut verdict = Verdict::of(&counted);
    compare_files(&counted, &figures, &mut verdict);
    assert_eq!(verdict.differences, verdict.undecided, "{name}: {verdict}");
    let undecided = figures.iter().filter(|file| file.newest_state() == FileState::Conflict).count();
    assert_eq!(verdict.undecided, undecided, "{name}: {verdict}");
    // Where the version that counts is not on the server any more, the files do not tell the usage.
    assert_eq!(verdict.is_incomplete, figures.iter().any(|file| file.earlier_that_count() > 0), "{name}");
    if !verdict.is_incomplete {
        check_usage(name, &counted.subscribers, &said["usage"]);
    }
}

fn check_usage(name: &str, subscribers: &BTreeMap<String, Usage>, right: &Value) {
    let right = right.as_object().unwrap();
    for msisdn in subscribers.keys() {
        assert!(right.contains_key(msisdn), "{name}: {msisdn}");
    }
    for (msisdn, right) in right {
        let none = Usage::default();
        let usage = subscribers.get(msisdn).unwrap_or(&none);
        let sum = |figure: fn(&count::Amount) -> u64| usage.values().map(figure).sum::<u64>();
        for (what, right) in right.as_object().unwrap() {
            let found = match what.as_str() {
                "seconds" => sum(|amount| amount.seconds),
                "bytes" => sum(|amount| amount.up_bytes + amount.down_bytes),
                "events" => sum(|amount| amount.events),
                "days" => {
                    let mut days: BTreeMap<&str, u64> = BTreeMap::new();
                    usage.iter().for_each(|((day, ..), amount)| *days.entry(day).or_default() += amount.seconds);
                    assert_eq!(serde_json::to_value(days).unwrap(), *right, "{name}");
                    continue;
                }
                other => panic!("{name}: {other}"),
            };
            assert_eq!(found, right.as_u64().unwrap(), "{name}: {what} of {msisdn}");
        }
    }
}

/// What lies on the server when all of a case has been delivered.
struct Server {
    folder: tempfile::TempDir,
    /// Names that came twice.
    again: BTreeSet<String>,
}

fn server(case: &Path) -> Server {
    let mut server = Server { folder: tempfile::tempdir().unwrap(), again: BTreeSet::new() };
    let steps = ["1-first", "2-then"].map(|step| case.join(step));
    let folders = if steps[0].exists() { steps.to_vec() } else { vec![case.to_owned()] };
    for file in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "case.json" {
            continue;
        }
        let target = server.folder.path().join(name);
        if target.exists() {
            server.again.insert(name.to_owned());
        }
        std::fs::copy(&path, target).unwrap();
    }
    server
}

impl Server {
    /// A case's figures of a file. Where more rows came than it has now, an earlier version had the others.
    fn figures(&self, name: &str, said: &Value, counted: &Counted) -> FileFigures {
        let figure = |what: &str| said[what].as_u64().unwrap_or_else(|| panic!("{name}: {what}"));
        let reasons: BTreeMap<String, u64> = serde_json::from_value(said["rejected"].clone()).unwrap();
        let state: FileState = serde_json::from_value(said["state"].clone()).unwrap();
        let file = FileFigures {
            name: name.to_owned(),
            state,
            rows: figure("rows"),
            continued: figure("continued"),
            accepted: figure("accepted"),
            rejected: reasons.values().sum(),
            reasons,
            filtered: 0,
            waiting: figure("waiting"),
            counted: figure("counted"),
            duplicates: figure("duplicates"),
            withdrawn: figure("withdrawn"),
            versions: Vec::new(),
            ..FileFigures::default()
        };
        let newest = counted.files[name].rows();
        if !self.again.contains(name) || file.rows == newest {
            return file;
        }
        let earlier = match () {
            () if file.withdrawn > 0 => FileState::Withdrawn,
            () if file.accepted > file.counted || state == FileState::Conflict => FileState::Counted,
            () => FileState::Superseded,
        };
        let version = |state, rows, landed_at| VersionFigures { key: String::new(), state, rows, bytes: 0, landed_at };
        let versions = vec![version(earlier, file.rows - newest, 1), version(state, newest, 2)];
        FileFigures { versions, ..file }
    }
}
