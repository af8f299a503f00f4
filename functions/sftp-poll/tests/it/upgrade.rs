//! A lake that version 0.1 has filled: `tests/lake-0.1` is what it wrote.

use std::fs;
use std::path::Path;

use expect_test::expect;
use lake::names;
use lake::registers::FileRegister;
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle, upgrade};
use telecom::FileName;

use crate::{Fixture, HOUR};

/// Objects, in the folders of their names.
const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lake-0.1");
/// Three calls of 100 seconds, which came three times: as they are, under another name, and compressed.
const CALLS: &str = "cdr_voice_20240301_100300.csv";
const COPY: &str = "cdr_voice_20240301_100301.csv";
const COMPRESSED: &str = "cdr_voice_20240301_100302.csv.gz";
/// Grew by a call after it had landed; version 0.1 kept that beside it, and did not count it.
const GREW: &str = "cdr_voice_20240301_100600.csv";

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.strip_prefix(OLD).unwrap().to_str().unwrap().to_owned()),
        }
    }
    found
}

async fn with_an_old_lake() -> Fixture {
    let fixture = Fixture::start().await;
    for key in files(Path::new(OLD)) {
        let bytes = fs::read(Path::new(OLD).join(&key)).unwrap();
        fixture.lake.put_if_absent(&key, bytes.into(), &[("mtime", "1795901834")]).await.unwrap();
    }
    fixture
}

fn landed(name: &str) -> Vec<u8> {
    fs::read(Path::new(OLD).join("landing").join(name)).unwrap()
}

async fn register(fixture: &Fixture, name: &str) -> FileRegister {
    fixture.lake.get_json(&names::file(&FileName::parse(name).unwrap())).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_old_lake_is_refused_before_it_is_upgraded() {
    let fixture = with_an_old_lake().await;
    let error = handle(&fixture.deps().await, Event::Poll, Deadline::NONE).await.unwrap_err();
    expect!["the lake was filled by version 0.1: run `trunkline init`, which makes registers of its files"]
        .assert_eq(&error.to_string());
}

#[tokio::test]
async fn what_version_0_1_has_counted_is_recognised() {
    let fixture = with_an_old_lake().await;
    let upgraded = upgrade(&fixture.lake).await.unwrap();
    assert_eq!((upgraded.files, upgraded.read), (8, 8));
    let objects = fixture.objects().await;
    assert_eq!(upgrade(&fixture.lake).await.unwrap().files, 0);
    assert_eq!(fixture.objects().await, objects);
    // The old ids stay, and what the same bytes brought under two names is one file's.
    assert_eq!(register(&fixture, CALLS).await.versions[0].source_id.to_string(), "380ac1535836c807");
    assert_eq!(
        register(&fixture, COPY).await.versions[0].piece.twin.unwrap().source_id.to_string(),
        "380ac1535836c807"
    );

    // All that lay on the server still does.
    for name in [CALLS, COPY, COMPRESSED] {
        fixture.deliver(name, &landed(name), 2 * HOUR);
    }
    assert_eq!(fixture.poll().await, Report::default());
    // The calls come again in a file that goes on behind them: only what is new counts.
    let grown = [landed(CALLS), calls_behind().into_bytes()].concat();
    fixture.deliver("cdr_voice_20240301_100303.csv", &grown, HOUR);
    assert_eq!(fixture.poll().await, Report { landed: 1, announced: 1, ..Report::default() });
    let announcement = fixture.announcements().await.pop().unwrap();
    assert_eq!((announcement.first_line, announcement.continued), (0, 3));
    assert_eq!(fixture.counted().await.seconds, 200);
}

#[tokio::test]
async fn a_file_that_landed_with_version_0_1_goes_on() {
    let fixture = with_an_old_lake().await;
    upgrade(&fixture.lake).await.unwrap();
    let grown = [landed(GREW), b"27820000006,7,voice,27820090001,100,2024-03-01 10:01:00\n".to_vec()].concat();
    fixture.deliver(GREW, &grown, HOUR);
    assert_eq!(fixture.poll().await, Report { grown: 1, announced: 1, ..Report::default() });
    let announcement = fixture.announcements().await.pop().unwrap();
    assert_eq!((announcement.first_line, announcement.continued), (1, 0));
    assert_eq!(announcement.source_id, register(&fixture, GREW).await.versions[0].source_id);
    assert_eq!(fixture.counted().await.seconds, 100);
}

fn calls_behind() -> String {
    crate::calls(50_000..50_002)
}
