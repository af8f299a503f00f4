use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use expect_test::{Expect, expect};
use generator::Options;
use proptest::prelude::*;

use crate::memory::{Failure, Memory, attempt, complete};
use crate::small;

/// Killed at every single step, in both ways, and resumed: the same files as in one go.
#[tokio::test]
async fn a_run_killed_anywhere_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { faults: 0.6, ..small(&folder) };
    let whole = complete(&options).await;
    assert!(whole.len() > 6, "some files are delivered twice");
    for failure in [Failure::Before, Failure::After] {
        for step in 0..whole.len() {
            let folder = tempfile::tempdir().unwrap();
            let options = Options { faults: 0.6, ..small(&folder) };
            let sink = Memory::default();
            sink.fail_after(step, failure);
            let error = attempt(&options, &sink).await.unwrap_err();
            assert_eq!(error.to_string(), "the sink is broken");
            let summary = attempt(&options, &sink).await.unwrap();
            assert_eq!(sink.files(), whole, "step {step}, {failure:?}");
            assert_eq!((summary.sets, summary.data_rows), (3, 2_345));
        }
    }
}

#[tokio::test]
async fn a_finished_run_delivers_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let options = small(&folder);
    let sink = Memory::default();
    let first = attempt(&options, &sink).await.unwrap();
    let second = attempt(&options, &sink).await.unwrap();
    assert_eq!((first.files, first.sets_before), (6, 0));
    assert_eq!((second.files, second.sets_before), (0, 3));
    expect![[r#"
        [
            "cdr_data_20240101_000000.csv",
            "cdr_voice_20240101_000000.csv",
            "cdr_data_20240101_001640.csv",
            "cdr_voice_20240101_001640.csv",
            "cdr_data_20240101_003320.csv",
            "cdr_voice_20240101_003320.csv",
        ]
    "#]]
    .assert_debug_eq(&sink.log());
}

/// The time of a set's first row, as its file's name has it.
fn times(files: &BTreeMap<String, Bytes>) -> Vec<&str> {
    files.keys().filter_map(|name| name.strip_prefix("cdr_voice_")?.strip_suffix(".csv")).collect()
}

/// Each run goes on where the last one ended, also where that was killed, and has rows of its own.
#[tokio::test]
async fn days_continue_each_other() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = Options { continues: true, ..small(&folder) };
    let sink = Memory::default();
    attempt(&options, &sink).await.unwrap();
    sink.fail_after(2, Failure::After);
    attempt(&options, &sink).await.unwrap_err();
    // What was begun is finished first, whatever the next one's length is.
    let options = Options { seconds: 500, ..options };
    for rows in [2_345, 500] {
        assert_eq!(attempt(&options, &sink).await.unwrap().data_rows, rows);
    }
    let files = sink.files();
    expect![[r#"
        [
            "20240101_000000",
            "20240101_001640",
            "20240101_003320",
            "20240101_003905",
            "20240101_005545",
            "20240101_011225",
            "20240101_011810",
        ]
    "#]]
    .assert_debug_eq(&times(&files));
    let rows =
        |name: &str| files[name].split(|&byte| byte == b'\n').map(|row| row[..row.len().saturating_sub(19)].to_vec());
    let (first, second) = (rows("cdr_data_20240101_000000.csv"), rows("cdr_data_20240101_003905.csv"));
    let first: BTreeSet<_> = first.skip(1).filter(|row| !row.is_empty()).collect();
    assert!(second.skip(1).all(|row| !first.contains(&row)), "the second run has the first one's rows");

    // It is what a run that starts there makes.
    let start = options.start + jiff::Span::new().seconds(2_345);
    let there = complete(&Options { start, ..small(&other) }).await;
    assert!(there.iter().all(|(name, content)| files.get(name) == Some(content)));
}

#[tokio::test]
async fn what_is_continued_must_be_the_same_and_without_faults() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { continues: true, ..small(&folder) };
    complete(&options).await;
    let refused = async |options: Options| {
        let error = attempt(&options, &Memory::default()).await.unwrap_err();
        error.to_string().replace(&folder.path().display().to_string(), "FOLDER")
    };
    expect!["FOLDER/idx_data.dat belongs to a run with other options (lines_per_second 1 there, 2 here): give the same options to finish that run, name another file with --index, or delete this one to start afresh"].assert_eq(&refused(Options { lines_per_second: 2, ..options.clone() }).await);
    expect!["--continue does not go with --faults: files that are delivered late have names of the time after the run, which are the next run's"].assert_eq(&refused(Options { faults: 0.5, ..options }).await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Killed again and again; a file is delivered again only while its set was not finished.
    #[test]
    fn a_run_killed_often_ends_with_the_same_files(
        seed: u64,
        seconds in 1_u64..3_000,
        lines_per_second in 1_u32..5,
        faults in prop_oneof![Just(0.0), Just(0.5), Just(1.0)],
        kills in prop::collection::vec((0_usize..8, any::<bool>()), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let options = |folder| Options { seed, seconds, lines_per_second, faults, ..small(folder) };
            let sink = Memory::default();
            let mut killed = 0;
            for &(step, after) in &kills {
                sink.fail_after(step, if after { Failure::After } else { Failure::Before });
                killed += usize::from(attempt(&options(&folder), &sink).await.is_err());
            }
            attempt(&options(&folder), &sink).await.unwrap();
            let whole = complete(&options(&other)).await;
            // A set has at most four files.
            assert!(sink.log().len() <= whole.len() + 4 * killed);
            assert_eq!(sink.files(), whole);
        });
    }
}

async fn check(content: Option<&str>, change: impl FnOnce(&mut Options), expect: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = small(&folder);
    let sink = Memory::default();
    match content {
        Some(content) => std::fs::write(&options.index, content).unwrap(),
        None => {
            sink.fail_after(3, Failure::After);
            attempt(&options, &sink).await.unwrap_err();
        }
    }
    change(&mut options);
    let error = attempt(&options, &sink).await.unwrap_err();
    expect.assert_eq(&error.to_string().replace(&folder.path().display().to_string(), "FOLDER"));
}

#[tokio::test]
async fn an_index_of_another_run_is_refused() {
    check(None, |o| o.seed = 8, expect!["FOLDER/idx_data.dat belongs to a run with other options (seed 1 there, 8 here): give the same options to finish that run, name another file with --index, or delete this one to start afresh"]).await;
    check(None, |o| (o.seconds, o.lines_per_second, o.faults) = (99, 2, 0.5), expect!["FOLDER/idx_data.dat belongs to a run with other options (faults 0.0 there, 0.5 here; lines_per_second 1 there, 2 here; seconds 2345 there, 99 here): give the same options to finish that run, name another file with --index, or delete this one to start afresh"]).await;
    check(
        Some("41"),
        |_| (),
        expect!["FOLDER/idx_data.dat is not an index file of this generator: name another, or delete it"],
    )
    .await;
    check(
        Some(""),
        |_| (),
        expect!["FOLDER/idx_data.dat is not an index file of this generator: name another, or delete it"],
    )
    .await;
    check(Some("{}"), |o| o.index = o.index.parent().unwrap().to_owned(), expect!["cannot read the index file FOLDER"])
        .await;
}

#[tokio::test]
async fn the_index_says_what_it_belongs_to() {
    let folder = tempfile::tempdir().unwrap();
    let options = small(&folder);
    complete(&options).await;
    expect![[r#"
        {"run":{"destination":"memory","faults":0.0,"lines_per_file":1000,"lines_per_second":1,"output_version":2,"seconds":2345,"seed":1,"start":"2024-01-01T00:00:00","subscribers":500},"next":3}
    "#]].assert_eq(&std::fs::read_to_string(&options.index).unwrap());
}
