//! The second count, the generator's own manifest and the pipeline's parser on the same faulty files.

use std::collections::BTreeMap;
use std::path::Path;

use indicatif::ProgressBar;
use telecom::{RecordType, Zone, csv};

use super::count::{Amount, Usage};
use super::count_tests::{count, gzip, johannesburg};
use super::decode::decode;
use super::rows::fields;

/// Faulty files, counted here, by the generator's own manifest, and by the pipeline's parser.
#[tokio::test]
async fn three_counts_of_faulty_files_agree() {
    let scratch = tempfile::tempdir().unwrap();
    let options = generator::Options {
        seconds: 30_000,
        subscribers: 500,
        faults: 0.1,
        index: scratch.path().join("index"),
        manifest: scratch.path().join("manifest"),
        ..generator::Options::default()
    };
    let folder = scratch.path().join("files");
    let destination = generator::Destination::files(generator::Folder::create(&folder).await.unwrap());
    generator::run(&options, &destination, &ProgressBar::hidden()).await.unwrap();

    without_empty_towers(&folder);
    let counted = count(std::slice::from_ref(&folder), &johannesburg()).unwrap();
    let mine: BTreeMap<_, _> =
        counted.files.iter().map(|(name, f)| (name.clone(), (f.rows(), f.accepted(0, 0)))).collect();
    let manifest = generator::Manifest::of(&options).unwrap();
    // Without a header the first row counts as one, so it is a row, too.
    let rows = |f: &generator::ManifestFile| match f.damage.as_deref() {
        Some("bad_header") => 1000,
        _ => u64::from(f.rows),
    };
    let theirs = manifest.files.iter().map(|f| (f.name.clone(), (rows(f), f.good.into()))).collect();
    assert_eq!(mine, theirs);
    let again = |f: &&generator::ManifestFile| f.duplicate_of.is_some();
    assert!(manifest.files.iter().any(|f| again(&f)) && manifest.files.iter().any(|f| f.good < f.rows));

    let mut parsed: BTreeMap<String, Usage> = BTreeMap::new();
    for file in manifest.files.iter().filter(|f| !again(f)) {
        let text = decode(&std::fs::read(folder.join(&file.name)).unwrap()).text;
        fold_by_telecom(&text, &file.name, &mut parsed);
    }
    assert!(counted.subscribers == parsed, "the plain fold differs from the pipeline's");
    assert!(parsed.len() > 400);
}

/// Rows that lack a tower count, and a generator of before that rule says that they do not: they become rows that none
/// takes.
fn without_empty_towers(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = decode(&std::fs::read(&path).unwrap()).text;
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let mut changed = lines.next().unwrap_or_default().to_vec();
        let names = fields(changed.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&changed).trim_ascii_end());
        let tower = names.and_then(|names| names.iter().position(|name| name == "tower_id"));
        for line in lines {
            let fields = fields(line.trim_ascii_end()).unwrap_or_default();
            let is_empty = tower.and_then(|at| fields.get(at)).is_some_and(String::is_empty);
            changed.extend_from_slice(if is_empty { b"x\n" } else { line });
        }
        match path.extension().unwrap().to_str().unwrap() {
            "gz" => changed = gzip(&changed),
            "zst" => changed = zstd::encode_all(&*changed, 1).unwrap(),
            _ => {}
        }
        std::fs::write(path, changed).unwrap();
    }
}

fn fold_by_telecom(text: &[u8], name: &str, usage: &mut BTreeMap<String, Usage>) {
    let record_type = if name.starts_with("cdr_data") { RecordType::Data } else { RecordType::Voice };
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let Ok(header) = csv::Header::parse(lines.next().unwrap_or_default(), record_type) else { return };
    let (zone, mut scratch) = (Zone::default(), csv::Scratch::default());
    for line in lines.filter(|line| !csv::is_blank(line)) {
        let Ok(row) = header.parse_row(line, &zone, &mut scratch) else { continue };
        let event = row.event();
        let key = (event.day.to_string(), event.kind.category().as_str(), event.kind.usage_type().to_owned());
        let telecom::Totals { up_bytes, down_bytes, seconds, events } = event.totals;
        let subscriber = usage.entry(event.msisdn.to_string()).or_default();
        subscriber.entry(key).or_default().add(&Amount { up_bytes, down_bytes, seconds, events });
    }
}
