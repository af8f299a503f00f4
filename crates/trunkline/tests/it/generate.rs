//! `trunkline generate cdr` and the other small commands.

use crate::program::Program;

#[test]
fn a_folder_gets_the_seeds_files_and_a_second_run_adds_none() {
    let scratch = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let mut program =
            Program::start(scratch.path(), &["generate", "cdr", "--seconds", "2500", "--to-folder", "files"]);
        assert!(program.ends().success(), "{}", program.printed());
        assert!(program.printed().contains(" - INFO - Completed data generation. cdr_data [2500], cdr_voice [2500]"));
        let mut names: Vec<_> = std::fs::read_dir(scratch.path().join("files"))
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .filter(|name| name.ends_with(".csv"))
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "cdr_data_20240101_000000.csv",
                "cdr_data_20240101_001640.csv",
                "cdr_data_20240101_003320.csv",
                "cdr_voice_20240101_000000.csv",
                "cdr_voice_20240101_001640.csv",
                "cdr_voice_20240101_003320.csv",
            ]
        );
    }
}

#[tokio::test]
async fn a_crm_is_filled_and_changed_and_a_second_run_goes_on() {
    let scratch = tempfile::tempdir().expect("a folder");
    let url = test_support::postgres_database().await;
    for (changes, before) in [("20", 0), ("20", 20), ("30", 20)] {
        let args = ["generate", "crm", "--accounts", "100", "--changes", changes, "--database-url", &url];
        let mut program = Program::start(scratch.path(), &args);
        assert!(program.ends().success(), "{}", program.printed());
        let line = format!("Completed CRM generation. accounts [100], changes [{changes}], made before [{before}]");
        assert!(program.printed().contains(&line), "{}", program.printed());
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_flag_to_change() {
    let scratch = tempfile::tempdir().expect("a folder");
    for (args, word) in [
        (["--lines-per-second", "1001"], "--lines-per-second"),
        (["--faults", "2"], "--faults"),
        (["--subscribers", "0"], "--subscribers"),
    ] {
        let mut all = vec!["generate", "cdr", "--to-folder", "files"];
        all.extend(args);
        let mut program = Program::start(scratch.path(), &all);
        assert!(!program.ends().success(), "{args:?}");
        assert!(program.printed().contains(word), "{args:?}: {}", program.printed());
    }
}

#[test]
fn a_missing_variable_is_named_in_one_line() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(scratch.path(), &["generate", "cdr", "--to-sftp"]);
    assert!(!program.ends().success());
    assert_eq!(program.printed(), "trunkline: SFTP_HOST is missing: set this environment variable\n");
}
