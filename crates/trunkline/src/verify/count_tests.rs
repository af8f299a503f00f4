//! The second count, rule by rule.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::count::{Amount, Counted, Delivered, File};

pub(super) fn johannesburg() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::get("Africa/Johannesburg").unwrap()
}

pub(super) const DATA: &str = "msisdn,tower_id,up_bytes,down_bytes,data_type,ip_address,website_url,event_datetime\n";
pub(super) const VOICE: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n";

pub(super) fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The folders and files, counted; nothing is left out.
pub(super) fn count(paths: &[PathBuf], zone: &jiff::tz::TimeZone) -> anyhow::Result<Counted> {
    Delivered::list(paths)?.count(zone, &BTreeSet::new())
}

fn shown_counts(counted: &Counted) -> String {
    let mut text = String::new();
    for (name, file) in &counted.files {
        let (accepted, own) = (file.accepted(0, 0), file.own());
        let own = if own == accepted { String::new() } else { format!(", {own} its own") };
        text += &format!("{name}: {} rows, {accepted} accepted{own}\n", file.rows());
    }
    for (msisdn, usage) in &counted.subscribers {
        for ((day, category, usage_type), a) in usage {
            let Amount { up_bytes, down_bytes, seconds, events } = a;
            text += &format!("{msisdn} {day} {category} {usage_type}: {up_bytes}+{down_bytes} {seconds}s {events}\n");
        }
    }
    text
}

fn check_count(files: &[(&str, &[u8])], expected: Expect) {
    expected.assert_eq(&shown_counts(&count(&[folder(files).path().to_owned()], &johannesburg()).unwrap()));
}

#[test]
fn files_may_be_named_one_by_one_and_only_once() {
    let scratch = folder(&[("cdr_data_20240101_000000.csv", DATA.as_bytes()), ("notes.txt", b"")]);
    let [file, notes] = ["cdr_data_20240101_000000.csv", "notes.txt"].map(|name| scratch.path().join(name));
    assert_eq!(count(std::slice::from_ref(&file), &johannesburg()).unwrap().files.len(), 1);
    let said = |paths: &[PathBuf]| {
        count(paths, &johannesburg()).unwrap_err().to_string().replace(&scratch.path().display().to_string(), "FOLDER")
    };
    expect!["FOLDER/notes.txt is no file of call records, by its name"].assert_eq(&said(&[notes]));
    expect![[r#"
        FOLDER/cdr_data_20240101_000000.csv and FOLDER/cdr_data_20240101_000000.csv have the same name: only one can have been delivered"#]]
    .assert_eq(&said(&[file, scratch.path().to_owned()]));
    expect!["can't read FOLDER/none"].assert_eq(&said(&[scratch.path().join("none")]));
}

/// One row in a file of its own: the day that it counts for, or nothing.
fn check_row(record_type: &str, row: &[u8], expected: Option<&str>) {
    let (name, header) = match record_type {
        "data" => ("cdr_data_20240101_000000.csv", DATA),
        _ => ("cdr_voice_20240101_000000.csv", VOICE),
    };
    let folder = folder(&[(name, &[header.as_bytes(), row].concat())]);
    let counted = count(&[folder.path().to_owned()], &johannesburg()).unwrap();
    let days = counted.subscribers.values().flat_map(|usage| usage.keys().map(|key| key.0.as_str()));
    let text = String::from_utf8_lossy(&row[..row.len().min(200)]).into_owned();
    assert_eq!(days.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>(), "{text}");
    assert_eq!(counted.files[name].rows(), 1, "{text}");
}

#[test]
fn usage_adds_up_over_files_and_shapes_and_copies_count_once() {
    let data = format!("{DATA}+27821234567,1,10,20,video,1.1.1.1,a.b,2024-01-01 10:00:00\n");
    let reordered = "\u{feff}event_datetime,website_url,ip_address,data_type,extra,down_bytes,up_bytes,\
                     tower_id,msisdn\r\n\
                     2024-01-01T23:59:59.5,\"a,\"\"b\"\"\",1.1.1.1,\"video\",?,2,1,7, 0027821234567 \r\n\r\n\
                     2024-01-02 00:00:00,a,1.1.1.1,text,?,4,3,7,27821234567";
    let voice = format!("{VOICE}27821234567,1,voice,+27831111111,59,2024-01-01 10:00:00\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(voice.as_bytes()).unwrap();
    check_count(
        &[
            ("cdr_data_20240101_000000.csv", data.as_bytes()),
            ("cdr_data_20240101_000001.csv", data.as_bytes()),
            ("cdr_data_20240102_000000.csv", reordered.as_bytes()),
            ("cdr_voice_20240101_000000.csv.gz", &gzip.finish().unwrap()),
            ("cdr_voice_20240101_000001.csv.zst", &zstd::encode_all(voice.as_bytes(), 1).unwrap()),
            (".cdr_data_20240101_000002.csv.tmp", b"x"),
            ("cdr_data_20240132_000000.csv", b"x"),
            ("cdr_data_20240101_000060.csv", b"x"),
            ("notes.txt", b"x"),
        ],
        expect![[r#"
            cdr_data_20240101_000000.csv: 1 rows, 1 accepted
            cdr_data_20240101_000001.csv: 1 rows, 1 accepted, 0 its own
            cdr_data_20240102_000000.csv: 2 rows, 2 accepted
            cdr_voice_20240101_000000.csv.gz: 1 rows, 1 accepted
            cdr_voice_20240101_000001.csv.zst: 1 rows, 1 accepted, 0 its own
            27821234567 2024-01-01 call voice: 0+0 59s 1
            27821234567 2024-01-01 data video: 11+22 0s 2
            27821234567 2024-01-02 data text: 3+4 0s 1
        "#]],
    );
}

#[test]
fn every_rule_of_a_row() {
    let long = "x".repeat(8193);
    let good = "27821234567,1,1,1,video,1.1.1.1,a,2024-01-01 10:00:00";
    check_row("data", good.as_bytes(), Some("2024-01-01"));
    for bad in [
        good.replace("27821234567", "0821234567"),
        good.replace("27821234567", "1234"),
        good.replace("27821234567", "1234567890123456"),
        good.replace("27821234567", "++27821234567"),
        good.replace(",1,1,1,", ",-1,1,1,"),
        good.replace(",1,1,1,", ",4294967296,1,1,"),
        good.replace(",1,1,1,", ",1,-1,1,"),
        good.replace(",1,1,1,", ",1,+1,1,"),
        good.replace(",1,1,1,", ",1,,1,"),
        good.replace(",1,1,1,", ",1,1,1.5,"),
        good.replace(",1,1,1,", ",1,1,10000000000001,"),
        good.replace(",1,1,1,", ",1,1,99999999999999999999999,"),
        good.replace("video", "Videos"),
        good.replace("video", "voice"),
        good.replace(",a,", ",\"a,"),
        good.replace(",a,", ",a\"a\","),
        good.replace(",a,", ",\"a\"a,"),
        good.replace(",a,", ",a\u{1},"),
        good.replace(",a,", ",a,a,"),
        good.replace(",a,", ","),
        good.replace(",a,", &format!(",{long},")),
        good.replace(",a,", &format!(",{},", long.repeat(8))),
    ] {
        check_row("data", bad.as_bytes(), None);
    }
    for same in [
        // Blanks and tabs around what is counted, types in capitals, no tower.
        good.replace("27821234567", "\t27821234567 "),
        good.replace(",1,1,1,", ", 1,1\t, 001 ,"),
        good.replace(",1,1,1,", ",,1,1,"),
        good.replace(",1,1,1,", ", \t,1,1,"),
        good.replace("video", " Video"),
        good.replace("video", "VIDEO"),
        good.replace("2024-01-01 10:00:00", " 2024-01-01 10:00:00\t"),
    ] {
        check_row("data", same.as_bytes(), Some("2024-01-01"));
    }
    check_row("data", &[good.as_bytes(), b",\xff"].concat(), None);
    check_row("data", &good.as_bytes().replacen_first(b",a,", b",\xff,"), None);
    for (call, day) in
        [("voice,x,86400", Some("2024-01-01")), ("video,,0", Some("2024-01-01")), ("voice,x,86401", None)]
    {
        check_row("voice", format!("27821234567,1,{call},2024-01-01 10:00:00").as_bytes(), day);
    }
}

trait ReplaceFirst {
    fn replacen_first(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl ReplaceFirst for [u8] {
    fn replacen_first(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|window| window == from).unwrap();
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

#[test]
fn days_of_times() {
    for (time, day) in [
        ("2024-01-01 00:00:00", Some("2024-01-01")),
        ("2024-02-29t23:59:60.999999999", Some("2024-02-29")),
        ("2023-02-29 00:00:00", None),
        ("2100-02-29 00:00:00", None),
        ("1970-01-01 00:00:00", Some("1970-01-01")),
        ("1969-12-31 23:59:59", None),
        ("2100-12-31 23:59:59", Some("2100-12-31")),
        ("2101-01-01 00:00:00", None),
        ("2024-01-01 21:59:59Z", Some("2024-01-01")),
        ("2024-01-01 22:00:00z", Some("2024-01-02")),
        ("2024-02-29T22:00:00.1+00", Some("2024-03-01")),
        ("2024-01-01 00:30:00+0300", Some("2023-12-31")),
        ("2024-12-31 23:59:00-23:59", Some("2025-01-02")),
        ("1969-12-31 22:00:00Z", Some("1970-01-01")),
        ("2100-12-31 22:00:00Z", None),
        ("2024-01-01", None),
        ("2024-01-01 24:00:00", None),
        ("2024-01-01 10:60:00", None),
        ("2024-01-01 10:00:61", None),
        ("2024-01-01 10:00", None),
        ("2024-1-01 10:00:00", None),
        ("2024-01-01 10:00:00.", None),
        ("2024-01-01 10:00:00.1234567890", None),
        ("2024-01-01 10:00:00 +02", Some("2024-01-01")),
        ("2024-01-01 23:30:00 +0200", Some("2024-01-01")),
        ("2024-01-01 22:00:00 UTC", Some("2024-01-02")),
        ("2024-01-01 22:00:00UTC", Some("2024-01-02")),
        ("2024-01-01 21:59:60Z", Some("2024-01-01")),
        ("2024-01-01 10:00:00  +02", None),
        ("2024-01-01 10:00:00 GMT", None),
        ("2024-01-01 10:00:00 SAST", None),
        ("2024-01-01 10:00:00,5", None),
        ("1704103200", None),
        ("20240101100000", None),
        ("2024-01-01 10:00:00+24:00", None),
        ("01.01.2024 10:00:00", None),
    ] {
        check_row("voice", format!("27821234567,1,voice,1,1,{time}").as_bytes(), day);
    }
}

/// A count goes by the zone that it is given, in winter and in summer.
#[test]
fn days_are_those_of_the_zone() {
    let zone = jiff::tz::TimeZone::get("Europe/Budapest").unwrap();
    for (time, expected) in [
        ("2024-01-01 00:30:00", "2024-01-01"),
        ("2023-12-31T22:59:59Z", "2023-12-31"),
        ("2023-12-31T23:00:00Z", "2024-01-01"),
        ("2024-06-30T21:59:59Z", "2024-06-30"),
        ("2024-06-30T22:00:00Z", "2024-07-01"),
        ("2024-07-01T00:30:00+02:00", "2024-07-01"),
        // The clocks pass over this hour.
        ("2024-03-31 02:30:00", "2024-03-31"),
    ] {
        let text = format!("{VOICE}27821234567,1,voice,1,1,{time}\n");
        let folder = folder(&[("cdr_voice_20240101_000000.csv", text.as_bytes())]);
        let counted = count(&[folder.path().to_owned()], &zone).unwrap();
        let days: Vec<_> = counted.subscribers.values().flatten().map(|(key, _)| key.0.as_str()).collect();
        assert_eq!(days, [expected], "{time}");
    }
}

/// Liberia's clocks were 44 minutes and 30 seconds behind, until 1972.
#[test]
fn offsets_may_have_seconds() {
    let zone = jiff::tz::TimeZone::get("Africa/Monrovia").unwrap();
    for (time, expected) in [("1971-01-02 00:44:29Z", "1971-01-01"), ("1971-01-02 00:44:30Z", "1971-01-02")] {
        let text = format!("{VOICE}27821234567,1,voice,1,1,{time}\n");
        let counted =
            count(&[folder(&[("cdr_voice_20240101_000000.csv", text.as_bytes())]).path().to_owned()], &zone).unwrap();
        let days: Vec<_> = counted.subscribers.values().flatten().map(|(key, _)| key.0.as_str()).collect();
        assert_eq!(days, [expected], "{time}");
    }
}

/// What is right of one file that is stored or written in its own way: rows, usable rows, seconds.
fn check_file(stored: &[u8], expected: (u64, u64, u64)) {
    let name = "cdr_voice_20240101_000000.csv";
    let counted = count(&[folder(&[(name, stored)]).path().to_owned()], &johannesburg()).unwrap();
    let seconds = counted.subscribers.values().flat_map(BTreeMap::values).map(|amount| amount.seconds).sum();
    let file = &counted.files[name];
    assert_eq!((file.rows(), file.accepted(0, 0), seconds), expected, "{:?}", String::from_utf8_lossy(stored));
}

pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).unwrap();
    gzip.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).unwrap()
}

/// Two calls, of 1 and 2 seconds.
const CALLS: &str = "27821234567,1,voice,1,1,2024-01-01 10:00:00\n27821234567,1,voice,1,2,2024-01-01 10:00:00\n";

#[test]
fn however_a_file_is_stored() {
    let text = format!("{VOICE}{CALLS}");
    let (head, tail) = text.as_bytes().split_at(100);
    let skipped = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'a', b'b', b'c'];
    let zeros = [0; 700];
    for stored in [
        text.clone().into_bytes(),
        gzip(text.as_bytes()),
        [gzip(head), gzip(b""), gzip(tail)].concat(),
        [gzip(text.as_bytes()), zeros.to_vec()].concat(),
        zstd(text.as_bytes()),
        [zstd(head), zstd(b""), zstd(tail), zstd(b"")].concat(),
        [&skipped[..], &zstd(head), &skipped, &zstd(tail), &skipped].concat(),
    ] {
        check_file(&stored, (2, 2, 3));
    }
    check_file(&skipped, (0, 0, 0));
    check_file(&gzip(b""), (0, 0, 0));
    // A member's own header is a row that can't be used.
    check_file(&[gzip(text.as_bytes()), gzip(text.as_bytes())].concat(), (5, 4, 6));
}

/// All rows that can be decoded are counted as rows, and none is used.
#[test]
fn damaged_files() {
    let text = format!("{VOICE}{}", CALLS.repeat(500));
    let (gzip, zstd) = (gzip(text.as_bytes()), zstd(text.as_bytes()));
    // Without its checksum, and without a byte of it.
    for stored in [&gzip[..gzip.len() - 8], &gzip[..gzip.len() - 1]] {
        check_file(stored, (1000, 0, 0));
    }
    let mut wrong_checksum = gzip.clone();
    wrong_checksum[gzip.len() - 5] ^= 1;
    check_file(&wrong_checksum, (1000, 0, 0));
    // Something else behind the end.
    check_file(&[&gzip[..], &[0, 0, 7]].concat(), (1000, 0, 0));
    check_file(&[&zstd[..], &[0, 0, 0, 0]].concat(), (1000, 0, 0));
    check_file(&[&gzip[..], &gzip[..5]].concat(), (1000, 0, 0));
    // Half of the first block of zstd is nothing.
    check_file(&zstd[..zstd.len() / 2], (0, 0, 0));
    // A window that would need 32 MiB.
    check_file(&[0x28, 0xb5, 0x2f, 0xfd, 0, 15 << 3, 1, 0, 0], (0, 0, 0));
    // What is left of a line is a row.
    let mut cut = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    cut.write_all(format!("{VOICE}{CALLS}2782").as_bytes()).unwrap();
    cut.flush().unwrap();
    check_file(cut.get_ref(), (3, 0, 0));
}

#[test]
fn headers_and_what_stands_before_them() {
    let upper = VOICE.to_uppercase();
    let blanks = VOICE.replace(',', " , ");
    let quoted = format!("\"{}\"\n", VOICE.trim_end().replace(',', "\",\""));
    let named = |more: &str| format!("{}{more}\n", VOICE.trim_end());
    let rows = |more: &str| CALLS.replace('\n', &format!("{more}\n"));
    for text in [
        format!("{VOICE}{CALLS}"),
        format!("{VOICE}{CALLS}").trim_end().to_owned(),
        format!("{VOICE}{CALLS}").replace('\n', "\r\n"),
        format!("{VOICE}\n\r\n{CALLS}\n\r\n"),
        format!("\u{feff}{VOICE}{CALLS}"),
        format!("\u{feff}\r\n\n{VOICE}{CALLS}"),
        format!("sep=,\r\n{VOICE}{CALLS}"),
        format!("\u{feff}\"SEP=,\"\n\n{VOICE}{CALLS}"),
        format!("{upper}{CALLS}"),
        format!("{blanks}{CALLS}"),
        format!("{quoted}{CALLS}"),
        // Columns that are not known, and some without a name.
        named(", Note") + &rows(",x"),
        named(",,") + &rows(",,"),
    ] {
        check_file(text.as_bytes(), (2, 2, 3));
    }
    for bad in [
        VOICE.replace("msisdn", "number"),
        VOICE.replace(',', ";"),
        VOICE.replace(',', "\t"),
        DATA.to_owned(),
        named(",msisdn"),
        named(",MSISDN"),
        named(",note,Note"),
        named(",\"note"),
        named(",\u{1}"),
        named(&(0..59).map(|n| format!(",x{n}")).collect::<String>()),
        named(&format!(",{}", "x".repeat(65_536))),
    ] {
        check_file(format!("{bad}{CALLS}").as_bytes(), (2, 0, 0));
    }
    check_file(&[VOICE.trim_end().as_bytes(), b",\xff\n", CALLS.as_bytes()].concat(), (2, 0, 0));
    // A first line that names no column is a row; so is one behind the line for spreadsheets.
    check_file(CALLS.as_bytes(), (2, 0, 0));
    check_file(format!("calls of January\n{VOICE}{CALLS}").as_bytes(), (4, 0, 0));
    check_file(format!("sep=,\n{CALLS}").as_bytes(), (2, 0, 0));
    // Behind the header it is one, too.
    check_file(format!("{VOICE}sep=,\n{CALLS}").as_bytes(), (3, 2, 3));
    for nothing in ["", "\n\r\n", "\u{feff}", "sep=,\n", VOICE, VOICE.trim_end()] {
        check_file(nothing.as_bytes(), (0, 0, 0));
    }
    // Sixty-four columns are not too many.
    let many = named(&(0..58).map(|n| format!(",x{n}")).collect::<String>()) + &rows(&",".repeat(58));
    check_file(many.as_bytes(), (2, 2, 3));
}

/// Their rows are counted, and can't be used.
#[test]
fn lines_that_end_otherwise() {
    let text = format!("{VOICE}{CALLS}");
    check_file(text.replace('\n', "\r").as_bytes(), (2, 0, 0));
    check_file(text.trim_end().replace('\n', "\r").as_bytes(), (2, 0, 0));
    check_file(CALLS.replace('\n', "\r").as_bytes(), (2, 0, 0));
    let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
    };
    for text in [text.clone(), text.replace('\n', "\r\n"), text.trim_end().to_owned(), CALLS.to_owned()] {
        check_file(&utf_16(&text, u16::to_le_bytes), (2, 0, 0));
        check_file(&utf_16(&text, u16::to_be_bytes), (2, 0, 0));
    }
    // Half a character, too.
    let mut cut = utf_16(&text, u16::to_le_bytes);
    cut.push(b'2');
    check_file(&cut, (2, 0, 0));
    // A spreadsheet's line is none in UTF-16 either.
    check_file(&utf_16(&format!("sep=,\r\n{text}"), u16::to_le_bytes), (2, 0, 0));
    // A CR in a later line is a character that no row may have.
    check_file(format!("{VOICE}{CALLS}a\rb\n").as_bytes(), (3, 2, 3));
    // As is half a line.
    check_file(format!("{VOICE}{CALLS}27821234567,1,voi").as_bytes(), (3, 2, 3));
}

/// Files of calls of these seconds, and what their own rows are.
fn check_contents(files: &[(&str, &[u8])], expected: &[u64], seconds: u64) {
    let names: Vec<String> = (0..files.len()).map(|n| format!("cdr_voice_20240101_00000{n}.csv")).collect();
    let texts = files.iter().map(|(header, calls)| {
        let row = |seconds: &u8| format!("27821234567,1,voice,1,{seconds},2024-01-01 10:00:00\n");
        format!("{header}{}", calls.iter().map(row).collect::<String>())
    });
    let texts: Vec<String> = texts.collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let counted = count(&[folder(&files).path().to_owned()], &johannesburg()).unwrap();
    assert_eq!(counted.files.values().map(File::own).collect::<Vec<_>>(), expected);
    let sum: u64 = counted.subscribers.values().flat_map(BTreeMap::values).map(|amount| amount.seconds).sum();
    assert_eq!(sum, seconds);
}

#[test]
fn a_content_counts_once() {
    let check = |files: &[&[u8]], expected: &[u64], seconds| {
        let files: Vec<(&str, &[u8])> = files.iter().map(|calls| (VOICE, *calls)).collect();
        check_contents(&files, expected, seconds);
    };
    check(&[&[1, 2], &[1, 2], &[1, 2]], &[2, 0, 0], 3);
    // The beginning of another, whichever came first.
    check(&[&[1, 2], &[1, 2, 4, 8]], &[2, 2], 15);
    check(&[&[1, 2, 4, 8], &[1, 2]], &[2, 2], 15);
    check(&[&[1], &[1, 2], &[1, 2, 4], &[1, 2]], &[1, 1, 1, 0], 7);
    // Two that go on otherwise: what they share counts once if it was delivered alone.
    check(&[&[1, 2], &[1, 2, 4], &[1, 2, 8, 16]], &[2, 1, 2], 31);
    check(&[&[1, 2, 4], &[1, 2, 8]], &[3, 3], 18);
    // The same rows in another order, or with another header before them, are another content.
    check(&[&[1, 2], &[2, 1]], &[2, 2], 6);
    check_contents(&[(VOICE, &[1, 2]), (&VOICE.to_uppercase(), &[1, 2])], &[2, 2], 6);
    // Without a row nothing is shared.
    check(&[&[], &[1, 2], &[]], &[0, 2, 0], 3);
    // A byte order mark and line ends are not the content.
    check_contents(&[(VOICE, &[1, 2]), (&format!("\u{feff}{VOICE}"), &[1, 2, 4])], &[2, 1], 7);
}

/// Rows that can't be used are rows: what goes on behind them counts.
#[test]
fn what_is_shared_may_be_unusable() {
    let (short, long) = (format!("{VOICE}x\n{CALLS}"), format!("{VOICE}x\n{CALLS}y\n{CALLS}"));
    let name = |n| format!("cdr_voice_20240101_00000{n}.csv");
    let names = [name(0), name(1), name(2)];
    // A damaged copy is nobody's beginning.
    let damaged = gzip(short.as_bytes());
    let files: [(&str, &[u8]); 3] = [
        (&names[0], &damaged[..damaged.len() - 1]),
        (&names[1], short.as_bytes()),
        (&names[2], &zstd(long.as_bytes())),
    ];
    check_count(
        &files,
        expect![[r#"
            cdr_voice_20240101_000000.csv: 3 rows, 0 accepted
            cdr_voice_20240101_000001.csv: 3 rows, 2 accepted
            cdr_voice_20240101_000002.csv: 6 rows, 4 accepted, 2 its own
            27821234567 2024-01-01 call voice: 0+0 6s 4
        "#]],
    );
}

/// What is left out brings nothing, and is nobody's beginning; its days are asked for all the same.
#[test]
fn some_files_are_left_out() {
    let names = ["cdr_voice_20240101_000000.csv", "cdr_voice_20240101_000001.csv", "cdr_voice_20240101_000002.csv"];
    let long = format!("{VOICE}{CALLS}27821234567,1,voice,1,4,2024-01-02 10:00:00\n");
    let other = format!("{VOICE}27827654321,1,voice,1,8,2024-01-02 10:00:00\n");
    let short = format!("{VOICE}{CALLS}");
    let folder = folder(&[(names[0], short.as_bytes()), (names[1], long.as_bytes()), (names[2], other.as_bytes())]);
    let left_out = [names[0], names[2]].map(str::to_owned).into();
    let delivered = Delivered::list(&[folder.path().to_owned()]).unwrap();
    expect![[r#"
        cdr_voice_20240101_000000.csv: 2 rows, 2 accepted, 0 its own
        cdr_voice_20240101_000001.csv: 3 rows, 3 accepted
        cdr_voice_20240101_000002.csv: 1 rows, 1 accepted, 0 its own
        27821234567 2024-01-01 call voice: 0+0 3s 2
        27821234567 2024-01-02 call voice: 0+0 4s 1
        27827654321 2024-01-02 call voice: 0+0 0s 0
    "#]]
    .assert_eq(&shown_counts(&delivered.count(&johannesburg(), &left_out).unwrap()));
}

/// A file of a folder in a folder has the names of both, as in the lake.
#[test]
fn folders_in_folders_are_part_of_the_names() {
    let name = "cdr_voice_20240101_000000.csv";
    let folder = folder(&[(name, VOICE.as_bytes())]);
    for switch in ["north/msc-1", "north/msc-2"] {
        std::fs::create_dir_all(folder.path().join(switch)).unwrap();
        std::fs::write(folder.path().join(switch).join(name), format!("{VOICE}{CALLS}")).unwrap();
    }
    let delivered = Delivered::list(&[folder.path().to_owned()]).unwrap();
    assert!(
        [name, &format!("north/msc-1/{name}"), &format!("north/msc-2/{name}")].iter().all(|name| delivered.has(name))
    );
    let counted = delivered.count(&johannesburg(), &BTreeSet::new()).unwrap();
    assert_eq!(counted.files.values().map(File::own).sum::<u64>(), 2);
}
