use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use expect_test::{Expect, expect};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use indicatif::ProgressBar;
use telecom::{RecordType, Zone, csv};

use super::*;

fn johannesburg() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::get("Africa/Johannesburg").unwrap()
}

const DATA: &str = "msisdn,tower_id,up_bytes,down_bytes,data_type,ip_address,website_url,event_datetime\n";
const VOICE: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n";

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn shown_counts(counted: &Counted) -> String {
    let mut text = String::new();
    for (name, file) in &counted.files {
        let again = if file.first_of_its_bytes == *name { "" } else { ", again" };
        text += &format!("{name}: {} rows, {} accepted{again}\n", file.rows, file.accepted);
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
    assert_eq!(counted.files[name].rows, 1, "{text}");
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
            cdr_data_20240101_000001.csv: 1 rows, 1 accepted, again
            cdr_data_20240102_000000.csv: 2 rows, 2 accepted
            cdr_voice_20240101_000000.csv.gz: 1 rows, 1 accepted
            cdr_voice_20240101_000001.csv.zst: 1 rows, 1 accepted
            27821234567 2024-01-01 call voice: 0+0 118s 2
            27821234567 2024-01-01 data video: 11+22 0s 2
            27821234567 2024-01-02 data text: 3+4 0s 1
        "#]],
    );
}

#[test]
fn files_with_something_wrong_as_a_whole() {
    let row = "27821234567,1,voice,1,1,2024-01-01 10:00:00\n";
    let mut cut = zstd::encode_all(format!("{VOICE}{row}{row}").as_bytes(), 1).unwrap();
    cut.truncate(cut.len() - 5);
    check_count(
        &[
            ("cdr_voice_20240101_000000.csv", b""),
            ("cdr_voice_20240101_000001.csv", VOICE.as_bytes()),
            ("cdr_voice_20240101_000002.csv", VOICE.replace("msisdn", "MSISDN").as_bytes()),
            ("cdr_voice_20240101_000003.csv", format!("{row}{row}").as_bytes()),
            ("cdr_voice_20240101_000004.csv", format!("{},msisdn\n{row}", VOICE.trim_end()).as_bytes()),
            ("cdr_voice_20240101_000005.csv", format!("{VOICE}{row}27821234567,1,voi").as_bytes()),
            ("cdr_voice_20240101_000006.csv.zst", &cut),
        ],
        expect![[r#"
            cdr_voice_20240101_000000.csv: 0 rows, 0 accepted
            cdr_voice_20240101_000001.csv: 0 rows, 0 accepted
            cdr_voice_20240101_000002.csv: 0 rows, 0 accepted
            cdr_voice_20240101_000003.csv: 1 rows, 0 accepted
            cdr_voice_20240101_000004.csv: 1 rows, 0 accepted
            cdr_voice_20240101_000005.csv: 2 rows, 1 accepted
            cdr_voice_20240101_000006.csv.zst: 1 rows, 0 accepted
            27821234567 2024-01-01 call voice: 0+0 1s 1
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
        good.replace("video", "Video"),
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
        ("2024-01-01 10:00:00 +02", None),
        ("2024-01-01 10:00:00+24:00", None),
        ("01.01.2024 10:00:00", None),
    ] {
        check_row("voice", format!("27821234567,1,voice,1,1,{time}").as_bytes(), day);
    }
}

#[test]
fn money() {
    fn rand(tariff: &str, day: &str, kind: (&str, &str), seconds: u64, bytes: u64) -> String {
        let amount = Amount { seconds, up_bytes: bytes / 3, down_bytes: bytes - bytes / 3, events: 1 };
        Tariff::read(tariff).unwrap().cost(day, kind.0, kind.1, &amount).rand()
    }
    let (voice, data) = (("call", "voice"), ("data", "text"));
    for (kind, seconds, bytes, expected) in [
        (voice, 0, 0, "0.00"),
        (voice, 60, 0, "1.00"),
        (voice, 125, 0, "2.08"),
        (voice, 3, 0, "0.05"),
        (data, 0, 1_000_000_000, "49.00"),
        // 24.5 and 73.5 cents: half to even.
        (data, 0, 5_000_000, "0.24"),
        (data, 0, 15_000_000, "0.74"),
        (data, 0, 5_000_001, "0.25"),
        (data, 0, 4_999_999, "0.24"),
        (data, 0, 10_000_000_000_000, "490000.00"),
    ] {
        assert_eq!(rand("", "2024-01-01", kind, seconds, bytes), expected, "{seconds} s, {bytes} bytes");
    }
    let changed = r#"{"rows": [
        {"from": "1970-01-01", "voice_zar_per_minute": "0.5", "video_zar_per_minute": "2", "data_zar_per_gb": "1"},
        {"from": "2024-03-01", "voice_zar_per_minute": "0.000001", "video_zar_per_minute": "3", "data_zar_per_gb": "1"}
    ]}"#;
    assert_eq!(rand(changed, "2024-02-29", voice, 60, 0), "0.50");
    assert_eq!(rand(changed, "2024-02-29", ("call", "video"), 60, 0), "2.00");
    assert_eq!(rand(changed, "2024-03-01", ("call", "video"), 60, 0), "3.00");
    assert_eq!(rand(changed, "2024-03-01", voice, 600_000, 0), "0.01");
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
    ] {
        let text = format!("{VOICE}27821234567,1,voice,1,1,{time}\n");
        let folder = folder(&[("cdr_voice_20240101_000000.csv", text.as_bytes())]);
        let counted = count(&[folder.path().to_owned()], &zone).unwrap();
        let days: Vec<_> = counted.subscribers.values().flatten().map(|(key, _)| key.0.as_str()).collect();
        assert_eq!(days, [expected], "{time}");
    }
}

#[test]
fn what_is_wrong_with_a_basis_is_named() {
    fn check(vars: &[(&str, &str)], expected: Expect) {
        expected.assert_eq(&format!("{:#}", Basis::from_vars(&vars.iter().copied().collect()).unwrap_err()));
    }
    check(
        &[("OPERATOR_TIMEZONE", "Mars")],
        expect!["OPERATOR_TIMEZONE: there is no time zone Mars: failed to find time zone `Mars` in time zone database"],
    );
    check(
        &[("TARIFF", "/none.json")],
        expect!["TARIFF: can't read the tariff /none.json: No such file or directory (os error 2)"],
    );
    check(&[("TARIFF", "{}")], expect!["TARIFF: the tariff has no rows"]);
}

/// What `usage-http` documents is what is expected here, figure by figure.
#[test]
fn the_documented_answers_are_the_expected_ones() {
    let readme = include_str!("../../../../functions/usage-http/README.md");
    let documented = |heading: &str| -> Value {
        let text = &readme[readme.find(heading).expect(heading)..];
        let text = text.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
        serde_json::from_str(text).unwrap()
    };
    let key = |day: &str, category, usage_type: &str| (format!("2024-01-{day}"), category, usage_type.to_owned());
    let amount = |up_bytes, down_bytes, seconds, events| Amount { up_bytes, down_bytes, seconds, events };
    let usage = Usage::from([
        (key("01", "call", "voice"), amount(0, 0, 185, 3)),
        (key("01", "data", "video"), amount(523_456, 1_234_567, 0, 1)),
        (key("02", "data", "text"), amount(400, 600, 0, 2)),
    ]);
    let mut days = expected_days(&Tariff::read("").unwrap(), "27821234567", "2024", &usage);
    days["to"] = json!("2024-01-31");
    assert_eq!(difference(&days, &documented("### `GET /v1/usage/{msisdn}?"), ""), None);
    let mut data_usage = expected_data_usage("+27821234567", "2024", &usage);
    data_usage["end_time"] = json!("20240103000000");
    assert_eq!(difference(&data_usage, &documented("### `GET /data_usage?"), ""), None);
}

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

    let counted = count(std::slice::from_ref(&folder), &johannesburg()).unwrap();
    let mine: BTreeMap<_, _> = counted.files.iter().map(|(name, f)| (name.clone(), (f.rows, f.accepted))).collect();
    let manifest = generator::Manifest::of(&options).unwrap();
    let theirs = manifest.files.iter().map(|f| (f.name.clone(), (f.rows.into(), f.good.into()))).collect();
    assert_eq!(mine, theirs);
    let again = |f: &&generator::ManifestFile| f.duplicate_of.is_some();
    assert!(manifest.files.iter().any(|f| again(&f)) && manifest.files.iter().any(|f| f.good < f.rows));

    let mut parsed: BTreeMap<String, Usage> = BTreeMap::new();
    for file in manifest.files.iter().filter(|f| !again(f)) {
        let path = folder.join(&file.name);
        let text = if file.name.ends_with(".csv") {
            std::fs::read(&path).unwrap()
        } else if file.name.ends_with(".zst") {
            zstd::decode_all(std::fs::File::open(&path).unwrap()).unwrap()
        } else {
            let mut text = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap());
            std::io::Read::read_to_end(&mut decoder, &mut text).unwrap();
            text
        };
        fold_by_telecom(&text, &file.name, &mut parsed);
    }
    assert!(counted.subscribers == parsed, "the plain fold differs from the pipeline's");
    assert!(parsed.len() > 400);
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

/// An API of the test: fixed answers by path, for one user.
/// An API that is busy when it is asked something for the first time.
async fn serve(answers: BTreeMap<String, String>) -> Api {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = api(format!("http://{}", listener.local_addr().unwrap()));
    let answers = Arc::new(answers);
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
            let answer = service_fn(move |request: Request<Incoming>| {
                let is_known = request.headers()[AUTHORIZATION] == "Basic ZGVtbzpzZWNyZXQ="; // demo:secret
                let path = request.uri().to_string();
                let found = answers.get(&path).cloned();
                let is_busy = asked.lock().unwrap().insert(path);
                let (status, body) = match found {
                    _ if is_busy => (StatusCode::SERVICE_UNAVAILABLE, "later".to_owned()),
                    Some(body) if is_known => (StatusCode::OK, body),
                    Some(_) => (StatusCode::UNAUTHORIZED, "who are you?".to_owned()),
                    None => (StatusCode::NOT_FOUND, "no such answer".to_owned()),
                };
                let mut response = Response::new(Full::<Bytes>::from(body));
                *response.status_mut() = status;
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("0"));
                std::future::ready(Ok::<_, Infallible>(response))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
        }
    });
    api
}

fn api(url: String) -> Api {
    Api { url, user: "demo".to_owned(), password: "secret".to_owned() }
}

const DAYS: &str = "/v1/usage/27821234567?from=2024-01-01&to=2024-12-31";
const DATA_USAGE: &str = "/data_usage?msisdn=27821234567&start_time=20240101000000&end_time=20241231235959";

/// Two calls of 60 and 65 seconds, in a file that came twice.
fn calls() -> (tempfile::TempDir, BTreeMap<String, String>, Vec<FileFigures>) {
    let text = format!(
        "{VOICE}27821234567,1,voice,1,60,2024-01-01 10:00:00\n27821234567,1,voice,1,65,2024-01-01 11:00:00\nbad\n"
    );
    let names = ["cdr_voice_20240101_000000.csv", "cdr_voice_20240101_000001.csv"];
    let folder = folder(&names.map(|name| (name, text.as_bytes())));
    let figures = r#""up_bytes":0,"down_bytes":0,"seconds":125,"events":2"#;
    let cost = r#""cost":{"currency":"ZAR","amount":"2.08"}"#;
    let days = format!(
        r#"{{"msisdn":"27821234567","from":"2024-01-01","to":"2024-12-31","days":[{{"day":"2024-01-01",{figures},{cost},
        "usage":[{{"category":"call","usage_type":"voice",{figures}}}]}}],"totals":{{{figures},{cost}}}}}"#
    );
    let data_usage = r#"{"msisdn":"27821234567","start_time":"20240101000000","end_time":"20241231235959","usage":[
        {"category":"call","usage_type":"voice","total":125,"measure":"seconds","start_time":"2024-01-01 00:00:00"}]}"#;
    let answers = BTreeMap::from([(DAYS.to_owned(), days), (DATA_USAGE.to_owned(), data_usage.to_owned())]);
    let counts = |name: &str, counted, duplicates| FileFigures {
        name: name.to_owned(),
        rows: 3,
        accepted: 2,
        rejected: 1,
        counted,
        duplicates,
        ..FileFigures::default()
    };
    // Which of the two is counted is the pipeline's business.
    (folder, answers, vec![counts(names[0], 0, 2), counts(names[1], 2, 0)])
}

/// The verdict after a change of the answers or of what the pipeline says of the files.
async fn verdict(change: impl FnOnce(&mut BTreeMap<String, String>, &mut Vec<FileFigures>)) -> Verdict {
    let (folder, mut answers, mut files) = calls();
    change(&mut answers, &mut files);
    verify(folder.path(), &Vars::default(), &serve(answers).await, &files).await.unwrap()
}

#[tokio::test]
async fn right_numbers_are_verified() {
    let verdict = verdict(|_, _| {}).await;
    assert!(verdict.is_clean());
    expect!["Verified: the answers for all 1 subscribers equal a second count of the 2 files"]
        .assert_eq(&verdict.to_string());
}

/// A change of one answer is found, and told as this line.
async fn check_answer(path: &str, from: &str, to: &str, expected: Expect) {
    let verdict = verdict(|answers, _| {
        let answer = answers.get_mut(path).unwrap();
        assert!(answer.contains(from));
        *answer = answer.replacen(from, to, 1);
    });
    let shown = shown_differences(&verdict.await);
    expected.assert_eq(&shown.replace(DAYS, "DAYS").replace(DATA_USAGE, "DATA_USAGE"));
}

/// The differences, a line each, below a head line that counts them.
fn shown_differences(verdict: &Verdict) -> String {
    let text = verdict.to_string();
    let (head, lines) = text.split_once('\n').unwrap();
    let differences = lines.lines().count();
    let differ = format!("NOT EQUAL: differences: {differences}; compared: 1 subscribers, 2 files");
    let expected =
        if verdict.pending == differences { format!("NOT COUNTED (yet): {differences}; 2 files") } else { differ };
    assert_eq!(head, expected);
    assert!(!verdict.is_clean());
    lines.lines().map(str::trim_start).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_wrong_number_is_found() {
    let check = check_answer;
    check(DAYS, "125", "126", expect!["GET DAYS: .days[0].seconds is 126 instead of 125"]).await;
    check(DAYS, "2.08", "2.09", expect![[r#"GET DAYS: .days[0].cost.amount is "2.09" instead of "2.08""#]]).await;
    let events = r#""events":2"#;
    check(DAYS, events, r#""events":"2""#, expect![[r#"GET DAYS: .days[0].events is "2" instead of 2"#]]).await;
    check(DATA_USAGE, "125", "124", expect!["GET DATA_USAGE: .usage[0].total is 124 instead of 125"]).await;
    let more = r#",{"a":1}]}"#;
    check(DATA_USAGE, "]}", more, expect!["GET DATA_USAGE: .usage has 2 entries instead of 1"]).await;
    let no_json = expect!["GET DATA_USAGE: no JSON: EOF while parsing an object at line 2 column 116"];
    check(DATA_USAGE, "]}", "]", no_json).await;
}

#[tokio::test]
async fn a_missing_answer_is_found() {
    let verdict = verdict(|answers, _| drop(answers.remove(DAYS))).await;
    let shown = shown_differences(&verdict).replace(DAYS, "DAYS");
    expect!["GET DAYS: 404 Not Found: no such answer"].assert_eq(&shown);
}

/// A change of what the pipeline says of the files is found, and told as these lines.
async fn check_law(change: impl FnOnce(&mut Vec<FileFigures>), expected: Expect) {
    expected.assert_eq(&shown_differences(&verdict(|_, files| change(files)).await));
}

#[tokio::test]
async fn every_broken_law_is_found() {
    check_law(
        |files| files[0].rows = 4,
        expect![[r#"
            cdr_voice_20240101_000000.csv: rows 4 instead of 3
            cdr_voice_20240101_000000.csv: accepted + rejected 3 instead of 4"#]],
    )
    .await;
    check_law(
        |files| files[0].rejected = 0,
        expect!["cdr_voice_20240101_000000.csv: accepted + rejected 2 instead of 3"],
    )
    .await;
    check_law(|files| files[1].counted = 1, expect!["cdr_voice_20240101_000001.csv: 1 of 2 accepted rows are counted"])
        .await;
    // Each file obeys the law, but the rows are counted twice, or not at all.
    check_law(
        |files| (files[0].counted, files[0].duplicates) = (2, 0),
        expect!["cdr_voice_20240101_000000.csv and its copies (2 files): 4 counted + 0 duplicates instead of 2 + 2"],
    )
    .await;
    check_law(
        |files| (files[1].counted, files[1].duplicates) = (0, 2),
        expect!["cdr_voice_20240101_000000.csv and its copies (2 files): 0 counted + 4 duplicates instead of 2 + 2"],
    )
    .await;
    check_law(|files| drop(files.pop()), expect!["cdr_voice_20240101_000001.csv: delivered, and not read yet"]).await;
    check_law(
        |files| files[1].name = "cdr_voice_20240101_000002.csv".to_owned(),
        expect![[r#"
            cdr_voice_20240101_000002.csv: reported, but not delivered
            cdr_voice_20240101_000001.csv: delivered, and not read yet"#]],
    )
    .await;
}

#[tokio::test]
async fn nothing_is_not_verified() {
    let (_, answers, _) = calls();
    let verdict = verify(folder(&[]).path(), &Vars::default(), &serve(answers).await, &[]).await.unwrap();
    assert!(!verdict.is_clean());
    expect!["NOT VERIFIED: the 0 files have no subscriber to compare"].assert_eq(&verdict.to_string());
}

#[tokio::test]
async fn a_wrong_password_is_a_difference_and_silence_an_error() {
    let (folder, answers, files) = calls();
    let right = serve(answers).await;
    let wrong = Api { password: "wrong".to_owned(), ..right };
    let verdict = verify(folder.path(), &Vars::default(), &wrong, &files).await.unwrap();
    assert_eq!(verdict.differences, 2);
    assert!(verdict.to_string().contains("401 Unauthorized: who are you?"), "{verdict}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = verify(folder.path(), &Vars::default(), &api(format!("http://{closed}")), &files).await.unwrap_err();
    assert!(error.to_string().starts_with("the API did not answer GET /"), "{error:#}");
}

#[test]
fn only_the_first_differences_are_shown() {
    let mut verdict = Verdict { subscribers: 1, files: 1, ..Verdict::default() };
    (0..100).for_each(|n| verdict.note(format!("difference {n}")));
    let text = verdict.to_string();
    assert_eq!(text.lines().count(), 1 + SHOWN_DIFFERENCES + 1);
    assert!(text.starts_with("NOT EQUAL: differences: 100;") && text.ends_with("… and 80 more"), "{text}");
}
