use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use expect_test::expect;
use generator::{BadLine, Manifest, Options};
use telecom::csv::{BadHeader, Header, HeaderFault, Scratch};
use telecom::{Compression, FileName, Zone};

use crate::memory::{Memory, attempt, complete};
use crate::small;

/// What the pipeline's parser makes of a file.
#[derive(Debug, PartialEq)]
struct Found {
    rows: u32,
    bad: Vec<BadLine>,
    bad_header: bool,
}

fn read(name: &str, content: &[u8]) -> Found {
    let name = FileName::parse(name).unwrap();
    let mut text = Vec::new();
    match name.compression() {
        None => text.extend_from_slice(content),
        Some(Compression::Gzip) => drop(flate2::read::GzDecoder::new(content).read_to_end(&mut text).unwrap()),
        Some(Compression::Zstd) => text = zstd::decode_all(content).unwrap(),
    }
    let mut lines = text.split(|&byte| byte == b'\n');
    let header = Header::parse(lines.next().unwrap(), name.record_type());
    let (zone, mut scratch) = (Zone::default(), Scratch::default());
    // What is no header at all is a row.
    let is_row = |bad: &BadHeader| bad.fault != HeaderFault::Missing && !bad.is_header();
    let rows = header.as_ref().err().is_some_and(is_row).into();
    let mut found = Found { rows, bad: Vec::new(), bad_header: header.is_err() };
    for line in lines.filter(|line| !telecom::csv::is_blank(line)) {
        found.rows += 1;
        if let Ok(header) = &header
            && let Err(reason) = header.parse_row(line, &zone, &mut scratch)
        {
            found.bad.push(BadLine { line: found.rows, reason: reason.code().to_owned() });
        }
    }
    found
}

async fn delivered(options: &Options) -> (Manifest, BTreeMap<String, bytes::Bytes>) {
    let files = complete(options).await;
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(&options.manifest).unwrap()).unwrap();
    assert_eq!(manifest, Manifest::of(options).unwrap());
    (manifest, files)
}

async fn manifest_is_true(seed: u64, faults: f64, seconds: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, files) = delivered(&Options { seed, faults, seconds, ..small(&folder) }).await;
    assert_eq!(
        manifest.files.iter().map(|file| file.name.as_str()).collect::<BTreeSet<_>>(),
        files.keys().map(String::as_str).collect()
    );
    let mut seen = BTreeMap::<String, u32>::new();
    let mut see = |what: &str| *seen.entry(what.to_owned()).or_default() += 1;
    for file in &manifest.files {
        let found = read(&file.name, &files[&file.name]);
        let bad_header = file.rows > 0 && file.good == 0 && file.bad.is_empty();
        assert_eq!((found.rows, &found.bad), (file.rows, &file.bad), "{}", file.name);
        assert_eq!(found.bad_header, matches!(file.damage.as_deref(), Some("bad_header" | "empty")), "{}", file.name);
        let good = if bad_header { 0 } else { file.rows - u32::try_from(file.bad.len()).unwrap() };
        assert_eq!(good, file.good, "{}", file.name);
        if let Some(original) = &file.duplicate_of {
            assert_eq!(files[original], files[&file.name]);
            see("duplicate");
        }
        file.shape.iter().chain(&file.damage).for_each(|what| see(what));
        file.bad.iter().for_each(|bad| see(&bad.reason));
    }
    let seen: String = seen.iter().map(|(what, count)| format!("{what} {count}\n")).collect();
    format!("{} files\n{seen}", files.len())
}

/// Every way in which a row of a file can be unusable, and every oddity of a file, is among the faults.
#[tokio::test]
async fn the_manifest_says_what_the_parser_finds() {
    expect![[r#"
        178 files
        bad_header 6
        bad_msisdn 8802
        bad_number 8259
        bad_quote 4236
        bad_time 8708
        byte_order_mark 12
        column_order 21
        control_character 4246
        crlf 17
        cut 10
        day_out_of_range 4327
        duplicate 58
        empty 2
        field_too_long 2075
        gzip 9
        header_only 2
        invalid_utf8 4356
        negative 8422
        quoted 24
        row_too_long 848
        too_large 8791
        unknown_type 8710
        unterminated_quote 4240
        wrong_field_count 8466
        zstd 4
    "#]]
    .assert_eq(&manifest_is_true(1, 0.5, 60_000).await);
}

#[tokio::test]
async fn the_manifest_is_true_at_any_rate() {
    for (faults, seconds) in [(0.001, 20_000), (0.05, 50_000), (1.0, 3_000)] {
        manifest_is_true(7, faults, seconds).await;
    }
}

/// Rows that no fault has hit are those of the run without faults.
#[tokio::test]
async fn faults_leave_the_other_rows_alone() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = Options { faults: 0.1, ..small(&folder) };
    let (manifest, files) = delivered(&options).await;
    let clean = complete(&small(&other)).await;
    let mut compared = 0;
    for file in manifest.files.iter().filter(|file| file.shape.is_empty() && file.damage.is_none()) {
        let original = &clean[file.duplicate_of.as_ref().unwrap_or(&file.name)];
        let bad: BTreeSet<u32> = file.bad.iter().map(|bad| bad.line).collect();
        let lines = |content: &[u8]| content.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        for (line, (clean, spoilt)) in (0..).zip(lines(original).into_iter().zip(lines(&files[&file.name]))) {
            assert_eq!(clean != spoilt, bad.contains(&line), "{} {line}", file.name);
            compared += 1;
        }
    }
    assert!(compared > 1_000);
}

#[tokio::test]
async fn no_manifest_without_faults() {
    let folder = tempfile::tempdir().unwrap();
    let options = small(&folder);
    attempt(&options, &Memory::default()).await.unwrap();
    assert!(!options.manifest.exists());
}
