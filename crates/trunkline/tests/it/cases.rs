//! The project's `cases/files`, each on the real parts: what lies there is delivered, and what is right is written beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use telecom::{Day, Msisdn};
use test_support::eventually;

use crate::program::PATIENCE;
use crate::world::{Books, ROOT, World, name_of};

/// Where days are counted, when a case doesn't say otherwise.
const ZONE: &str = "Africa/Johannesburg";

/// `case.json`: what is right once everything has been counted, and perhaps what somebody decides then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    zone: Option<String>,
    #[serde(flatten)]
    right: Right,
    then: Option<Decision>,
}

#[derive(Deserialize)]
struct Right {
    usage: BTreeMap<String, Usage>,
    files: BTreeMap<String, Books>,
}

#[derive(Deserialize)]
struct Decision {
    /// A verb of `trunkline files`, and a file.
    decide: (String, String),
    #[serde(flatten)]
    right: Right,
}

/// A subscriber's sums; those that matter.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Usage {
    seconds: Option<u64>,
    bytes: Option<u64>,
    events: Option<u64>,
    /// Seconds by their days, all of them.
    days: Option<BTreeMap<String, u64>>,
}

/// The cases of one zone.
struct Cases {
    folders: BTreeMap<String, (PathBuf, Case)>,
}

impl Cases {
    fn of(zone: &str) -> Self {
        let folder = Path::new(ROOT).join("cases/files");
        let mut folders = BTreeMap::new();
        for case in entries(&folder) {
            let json =
                std::fs::read(case.join("case.json")).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
            let read: Case =
                serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
            if read.zone.as_deref().unwrap_or(ZONE) == zone {
                folders.insert(name_of(&case), (case, read));
            }
        }
        assert!(!folders.is_empty(), "no case is of {zone}");
        Self { folders }
    }

    /// What is delivered in this step: most cases have one.
    fn step(&self, step: usize) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for (folder, _) in self.folders.values() {
            let steps: Vec<PathBuf> = entries(folder).into_iter().filter(|entry| entry.is_dir()).collect();
            match steps.get(step) {
                Some(folder) => files.extend(entries(folder)),
                None if steps.is_empty() && step == 0 => {
                    files.extend(entries(folder).into_iter().filter(|file| name_of(file) != "case.json"));
                }
                None => {}
            }
        }
        files
    }

    fn wrong(&self, found: &Found, of: impl Fn(&Case) -> Option<&Right>) -> String {
        let mut wrong = String::new();
        for (name, (_, case)) in &self.folders {
            let Some(right) = of(case) else { continue };
            for (file, expected) in &right.files {
                match found.files.get(file) {
                    Some(found) if found == expected => {}
                    found => wrong += &format!("{name}: {file}:\n  right {expected:?}\n  found {found:?}\n"),
                }
            }
            for (msisdn, expected) in &right.usage {
                let found = found.usage(msisdn, expected);
                if found != *expected {
                    wrong += &format!("{name}: {msisdn}:\n  right {expected:?}\n  found {found:?}\n");
                }
            }
        }
        wrong
    }
}

/// What is there.
struct Found {
    files: BTreeMap<String, Books>,
    usage: BTreeMap<String, Vec<usage_store::DailyUsage>>,
}

impl Found {
    /// In the form of what is expected.
    fn usage(&self, msisdn: &str, expected: &Usage) -> Usage {
        let rows = &self.usage[msisdn];
        let sum = |of: fn(&usage_store::DailyUsage) -> u64| rows.iter().map(of).sum::<u64>();
        let mut days = BTreeMap::new();
        for row in rows {
            *days.entry(row.day.to_string()).or_default() += row.totals.seconds;
        }
        Usage {
            seconds: expected.seconds.map(|_| sum(|row| row.totals.seconds)),
            bytes: expected.bytes.map(|_| sum(|row| row.totals.up_bytes + row.totals.down_bytes)),
            events: expected.events.map(|_| sum(|row| row.totals.events)),
            days: expected.days.as_ref().map(|_| days),
        }
    }
}

impl Found {
    async fn of(world: &World, cases: &Cases) -> Self {
        let files = world.files();
        let mut usage = BTreeMap::new();
        let (from, to) = (Day::parse("2020-01-01").expect("a day"), Day::parse("2029-12-31").expect("a day"));
        for (_, case) in cases.folders.values() {
            for msisdn in case.right.usage.keys().chain(case.then.iter().flat_map(|then| then.right.usage.keys())) {
                let number = Msisdn::parse(msisdn).expect("a number");
                let found = world.store.usage_of(number, from, to).await.expect("usage");
                usage.insert(msisdn.clone(), found);
            }
        }
        Found { files, usage }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = read.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

/// Delivers the cases of a zone step by step, decides where they say so, and compares.
async fn run(zone: &str) {
    let cases = Cases::of(zone);
    let world = World::start(&[("OperatorTimezone", zone)]).await;
    let (_up, url) = world.up();
    // Old enough to be whole, but for a last line without a line end.
    let changed = SystemTime::now() - Duration::from_mins(10);
    for step in 0..2_u64 {
        let files = cases.step(usize::try_from(step).expect("a step"));
        world.deliver(&files, changed + Duration::from_mins(step));
        world.settled(&files).await;
    }
    let wrong = cases.wrong(&Found::of(&world, &cases).await, |case| Some(&case.right));
    assert!(wrong.is_empty(), "{wrong}");

    for (_, case) in cases.folders.values() {
        if let Some(Decision { decide: (verb, name), .. }) = &case.then {
            assert!(!world.trunkline(&["files", "--check"]).ends().success(), "{name} needs a person");
            world.succeeds(&["files", verb, name]);
        }
    }
    eventually(PATIENCE, async || {
        let wrong = cases.wrong(&Found::of(&world, &cases).await, |case| case.then.as_ref().map(|then| &then.right));
        // Shown where the test fails.
        eprintln!("{wrong}");
        wrong.is_empty()
    })
    .await;
    world.verified(&url);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_counted_right_in_johannesburg() {
    run(ZONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_counted_right_in_budapest() {
    run("Europe/Budapest").await;
}
