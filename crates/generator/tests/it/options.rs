use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use generator::{LINES_PER_FILE, Manifest, Options, Profile};
use jiff::civil::date;
use proptest::prelude::*;
use telecom::FileName;

fn check(change: impl FnOnce(&mut Options), expect: Expect) {
    let mut options = Options::default();
    change(&mut options);
    match Manifest::of(&options) {
        Ok(manifest) => expect.assert_eq(&format!("{} files", manifest.files.len())),
        Err(error) => expect.assert_eq(&error.to_string()),
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    check(|_| (), expect!["174 files"]);
    check(|o| o.seconds = 0, expect!["--seconds is 0: there would be nothing to generate"]);
    check(|o| o.lines_per_second = 0, expect!["--lines-per-second is 0: there would be nothing to generate"]);
    check(|o| (o.lines_per_second, o.seconds) = (1_000, 10), expect!["20 files"]);
    check(
        |o| (o.lines_per_second, o.seconds) = (1_001, 1),
        expect![[
            r#"--lines-per-second 1001 would give two files one name: a file has 1000 lines and its name says only the second it begins in, so at most 1000"#
        ]],
    );
    check(|o| o.lines_per_file = 0, expect!["--lines-per-file 0: give 1 to 100000"]);
    check(|o| o.lines_per_file = 100_001, expect!["--lines-per-file 100001: give 1 to 100000"]);
    check(
        |o| (o.lines_per_file, o.lines_per_second) = (10, 11),
        expect![
            "--lines-per-second 11 would give two files one name: a file has 10 lines and its name says only the second it begins in, so at most 10"
        ],
    );
    check(|o| (o.lines_per_file, o.seconds) = (10, 101), expect!["22 files"]);
    check(
        |o| (o.lines_per_second, o.subscribers) = (10, 9),
        expect![
            "--lines-per-second 10 with --subscribers 9: nobody begins two calls in one second, so give at least as many subscribers"
        ],
    );
    check(|o| o.subscribers = 0, expect!["--subscribers 0: give 1 to 200000000, as there are no more mobile numbers"]);
    check(
        |o| o.subscribers = 200_000_001,
        expect!["--subscribers 200000001: give 1 to 200000000, as there are no more mobile numbers"],
    );
    check(|o| o.faults = 1.5, expect!["--faults 1.5: give a probability from 0 to 1"]);
    check(|o| o.faults = f64::NAN, expect!["--faults NaN: give a probability from 0 to 1"]);
    check(
        |o| o.start = date(1969, 12, 31).at(23, 59, 59, 0),
        expect![
            "--start 1969-12-31T23:59:59 and --seconds 86400: the records must lie between 1970-01-01 and 2100-12-31"
        ],
    );
    check(
        |o| o.start = date(2024, 1, 1).at(0, 0, 0, 1),
        expect!["--start 2024-01-01T00:00:00.000000001: give whole seconds"],
    );
    check(
        |o| o.start = date(2100, 12, 31).at(0, 0, 0, 0),
        expect![
            "--start 2100-12-31T00:00:00 and --seconds 86400: the records must lie between 1970-01-01 and 2100-12-31"
        ],
    );
    check(|o| o.start = date(2100, 12, 30).at(23, 59, 59, 0), expect!["174 files"]);
    check(
        |o| o.seconds = u64::MAX,
        expect![
            "--start 2024-01-01T00:00:00 and --seconds 18446744073709551615: the records must lie between 1970-01-01 and 2100-12-31"
        ],
    );
}

#[test]
fn profiles_are_those_of_the_seed() {
    let rows = |profile| {
        let manifest = Manifest::of(&Options::of(profile)).unwrap();
        let (data, voice): (Vec<_>, Vec<_>) = manifest.files.iter().partition(|file| file.record_type == "data");
        let sum = |files: &[&generator::ManifestFile]| files.iter().map(|file| file.rows).sum::<u32>();
        let last = manifest.files.last().unwrap();
        format!(
            "{} data in {} files, {} voice in {} files, the last {} {}",
            sum(&data),
            data.len(),
            sum(&voice),
            voice.len(),
            last.name,
            last.rows
        )
    };
    expect!["86400 data in 87 files, 86400 voice in 87 files, the last cdr_voice_20240101_235320.csv 400"]
        .assert_eq(&rows("dev".parse::<Profile>().unwrap()));
    expect!["864000 data in 864 files, 864000 voice in 864 files, the last cdr_voice_20240102_235640.csv 1000"]
        .assert_eq(&rows("prod".parse::<Profile>().unwrap()));
    expect![[r#"unknown profile "test": it is dev or prod"#]].assert_eq(&"test".parse::<Profile>().unwrap_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_are_valid_unique_and_never_share_a_time(
        seed: u64,
        seconds in 1_u64..5_000,
        (lines_per_file, lines_per_second) in (1_u32..2 * LINES_PER_FILE).prop_flat_map(|file| (Just(file), 1..=file)),
        faults in prop_oneof![Just(0.0), Just(0.3), Just(1.0)],
    ) {
        // Keeps the case small: at most 30 sets.
        let seconds = seconds.min(30 * u64::from(lines_per_file) / u64::from(lines_per_second)).max(1);
        let options = Options { seed, seconds, lines_per_second, lines_per_file, faults, ..Options::default() };
        let mut times = BTreeSet::new();
        for file in Manifest::of(&options).unwrap().files {
            let name = FileName::parse(&file.name).unwrap();
            prop_assert_eq!(name.record_type().as_str(), &file.record_type);
            let stem = file.name.split('.').next().unwrap().to_owned();
            prop_assert!(times.insert(stem), "{} shares its time", file.name);
        }
    }
}
