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
    check(None, |o| o.seed = 8, expect!["FOLDER/idx_data.dat belongs to a run with other options (seed 1 there, 8 here): give the same options to finish that run, or delete the file to start afresh"]).await;
    check(None, |o| (o.seconds, o.lines_per_second, o.faults) = (99, 2, 0.5), expect!["FOLDER/idx_data.dat belongs to a run with other options (faults 0.0 there, 0.5 here; lines_per_second 1 there, 2 here; seconds 2345 there, 99 here): give the same options to finish that run, or delete the file to start afresh"]).await;
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
        {"run":{"destination":"memory","faults":0.0,"lines_per_second":1,"output_version":1,"seconds":2345,"seed":1,"start":"2024-01-01T00:00:00","subscribers":500},"next":3}
    "#]].assert_eq(&std::fs::read_to_string(&options.index).unwrap());
}
