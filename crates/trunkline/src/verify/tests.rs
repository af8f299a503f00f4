//! The answers, the laws and the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use expect_test::{Expect, expect};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::answers::{difference, expected_data_usage, expected_days};
use super::count::{Amount, Usage};
use super::count_tests::{VOICE, folder};
use super::money::Tariff;
use super::*;
use crate::figures::{FileState, VersionFigures};

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
    let page = include_str!("../../../../docs/api.md");
    let documented = |heading: &str| -> Value {
        let text = &page[page.find(heading).expect(heading)..];
        let text = text.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
        serde_json::from_str(text).unwrap()
    };
    let key = |day: &str, category, usage_type: &str| (format!("2024-01-{day}"), category, usage_type.to_owned());
    let amount = |up_bytes, down_bytes, seconds, events| Amount { up_bytes, down_bytes, seconds, events };
    let usage = Usage::from([
        (key("01", "call", "voice"), amount(0, 0, 185, 3)),
        (key("01", "data", "video"), amount(523_456, 1_234_567, 0, 1)),
        (key("02", "data", "text"), amount(400, 600, 0, 2)),
        // Nothing of these may be there.
        (key("02", "data", "video"), Amount::default()),
        (key("03", "call", "voice"), Amount::default()),
    ]);
    let mut days = expected_days(&Tariff::read("").unwrap(), "27821234567", "2024", &usage);
    days["to"] = json!("2024-01-31");
    assert_eq!(difference(&days, &documented("### `GET /v1/usage/{msisdn}?"), ""), None);
    let mut data_usage = expected_data_usage("+27821234567", "2024", &usage);
    data_usage["end_time"] = json!("20240103000000");
    assert_eq!(difference(&data_usage, &documented("### `GET /data_usage?"), ""), None);
}

/// An API of the test: fixed answers by path, for one user. It is busy when it is asked something for the first time.
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
            cdr_voice_20240101_000000.csv: continued + accepted + rejected + filtered + waiting 3 instead of 4"#]],
    )
    .await;
    check_law(
        |files| files[0].rejected = 0,
        expect!["cdr_voice_20240101_000000.csv: continued + accepted + rejected + filtered + waiting 2 instead of 3"],
    )
    .await;
    check_law(
        |files| (files[0].accepted, files[0].rejected, files[0].duplicates) = (1, 2, 1),
        expect!["cdr_voice_20240101_000000.csv: accepted 1 instead of 2"],
    )
    .await;
    check_law(|files| files[1].counted = 1, expect!["cdr_voice_20240101_000001.csv: 1 of 2 accepted rows are counted"])
        .await;
    check_law(
        |files| files[1].duplicates = 1,
        expect!["cdr_voice_20240101_000001.csv: counted + duplicates + withdrawn 3 instead of 2"],
    )
    .await;
    // Each file obeys the law, but the rows are counted twice, or not at all.
    check_law(
        |files| (files[0].counted, files[0].duplicates) = (2, 0),
        expect!["cdr_voice_20240101_000000.csv and 1 more that begin like it: 4 rows counted instead of 2"],
    )
    .await;
    check_law(
        |files| (files[1].counted, files[1].duplicates) = (0, 2),
        expect!["cdr_voice_20240101_000000.csv and 1 more that begin like it: 0 rows counted instead of 2"],
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

/// Of the second file nothing counts: what its state says is told, and the answers are those without it.
#[tokio::test]
async fn states_of_files_are_told() {
    let with = |state, waiting, rejected| {
        move |_: &mut BTreeMap<String, String>, files: &mut Vec<FileFigures>| {
            let [first, second] = &mut files[..] else { panic!("two files") };
            (first.counted, first.duplicates) = (2, 0);
            *second =
                FileFigures { name: second.name.clone(), state, rows: 3, waiting, rejected, ..FileFigures::default() };
        }
    };
    let waits = verdict(with(FileState::Conflict, 3, 0)).await;
    assert_eq!(waits.subscribers, 1);
    expect![[r#"
        NOT COUNTED (yet): 1; 2 files
          cdr_voice_20240101_000001.csv waits for a decision: trunkline files cdr_voice_20240101_000001.csv"#]]
    .assert_eq(&waits.to_string());
    assert!(waits.may_compare_answers() && waits.failure().starts_with("files wait for a decision"));

    let dropped = verdict(with(FileState::Dropped, 0, 3)).await;
    expect!["Verified: the answers for all 1 subscribers equal a second count of the 2 files (1 of them dropped or replaced, and left out)"]
        .assert_eq(&dropped.to_string());
    assert!(dropped.is_clean());

    for (state, expected) in [
        (FileState::Replacing, "cdr_voice_20240101_000001.csv: the rows in whose place it comes are being taken back"),
        (FileState::Reading, "cdr_voice_20240101_000001.csv: its rows are being read"),
    ] {
        let pending = verdict(with(state, 0, 0)).await;
        assert_eq!(shown_differences(&pending), expected);
        assert!(!pending.may_compare_answers() && pending.failure().starts_with("not everything is counted yet"));
    }
}

/// Both files were counted, then the first was taken back: it is no longer part of the second's beginning.
#[tokio::test]
async fn what_was_taken_back_is_no_beginning() {
    let verdict = verdict(|_, files| {
        (files[0].counted, files[0].duplicates, files[0].withdrawn) = (0, 0, 2);
        files[0].state = FileState::Withdrawn;
    });
    let verdict = verdict.await;
    assert!(verdict.is_clean(), "{verdict}");
    assert!(verdict.to_string().ends_with("(1 of them dropped or replaced, and left out)"), "{verdict}");
}

fn version(state: FileState, rows: u64, landed_at: u64) -> VersionFigures {
    VersionFigures { key: String::new(), state, rows, bytes: 0, landed_at }
}

/// Of several versions under one name the newest is compared.
#[tokio::test]
async fn versions_of_files() {
    // Of the first one nothing could be used.
    let superseded = verdict(|_, files| {
        (files[1].rows, files[1].rejected) = (8, 6);
        files[1].versions = vec![version(FileState::Superseded, 5, 1), version(FileState::Counted, 3, 2)];
    });
    assert!(superseded.await.is_clean());
    check_law(
        |files| {
            (files[1].rows, files[1].rejected) = (8, 6);
            files[1].versions = vec![version(FileState::Superseded, 4, 1), version(FileState::Counted, 4, 2)];
        },
        expect!["cdr_voice_20240101_000001.csv: rows 4 instead of 3"],
    )
    .await;
    // An earlier one waits.
    check_law(
        |files| {
            (files[1].rows, files[1].waiting) = (8, 5);
            files[1].versions = vec![version(FileState::Conflict, 5, 1), version(FileState::Counted, 3, 2)];
        },
        expect!["cdr_voice_20240101_000001.csv: 5 rows wait: trunkline files cdr_voice_20240101_000001.csv"],
    )
    .await;
    // Both count: a person has said so. The first is not here any more.
    let earlier = verdict(|_, files| {
        (files[1].rows, files[1].accepted, files[1].rejected, files[1].counted) = (7, 6, 1, 6);
        files[1].versions = vec![version(FileState::Counted, 4, 1), version(FileState::Counted, 3, 2)];
    });
    let earlier = earlier.await;
    assert_eq!(
        shown_differences(&earlier),
        "cdr_voice_20240101_000001.csv: 1 earlier versions count as well, which are not among these files"
    );
    assert!(!earlier.may_compare_answers());
    // The newest waits, the one before counts: the answers have what is not here.
    let waits = verdict(|_, files| {
        (files[1].rows, files[1].waiting, files[1].state) = (6, 3, FileState::Conflict);
        files[1].versions = vec![version(FileState::Counted, 3, 1), version(FileState::Conflict, 3, 2)];
    });
    let waits = waits.await;
    assert_eq!((waits.undecided, waits.may_compare_answers()), (1, false));
}

/// A last line without its end, as the pipeline has it at first, and then.
#[test]
fn a_last_line_may_wait() {
    let row = "27821234567,1,voice,1,1,2024-01-01 10:00:00";
    let name = "cdr_voice_20240101_000000.csv";
    let folder = folder(&[(name, format!("{VOICE}{row}\n{row}").as_bytes())]);
    let zone = jiff::tz::TimeZone::UTC;
    let counted = Delivered::list(&[folder.path().to_owned()]).unwrap().count(&zone, &BTreeSet::new()).unwrap();
    let shown = |rows, accepted, waiting, versions| {
        let state = if waiting > 0 { FileState::Waiting } else { FileState::Counted };
        let mut file = FileFigures { name: name.to_owned(), state, rows, accepted, waiting, ..FileFigures::default() };
        (file.counted, file.versions) = (accepted, versions);
        let mut verdict = Verdict::of(&counted);
        compare_files(&counted, &[file], &mut verdict);
        assert_eq!(verdict.differences - verdict.pending, 0, "{verdict}");
        verdict.shown.concat()
    };
    assert_eq!(shown(2, 2, 0, Vec::new()), "");
    let waits = "cdr_voice_20240101_000000.csv: its last line waits for its end";
    assert_eq!(shown(2, 1, 1, Vec::new()), waits);
    assert_eq!(shown(2, 1, 1, vec![version(FileState::Waiting, 1, 1)]), waits);
}

/// Rows that another file brought are not accepted again.
#[test]
fn files_that_go_on_from_others() {
    let row = |seconds| format!("27821234567,1,voice,1,{seconds},2024-01-01 10:00:00\n");
    let names = ["cdr_voice_20240101_000000.csv", "cdr_voice_20240101_000001.csv"];
    let short = format!("{VOICE}{}x\n", row("1"));
    let long = format!("{short}{}y\n{}", row("2"), row("3"));
    let folder = folder(&[(names[0], short.as_bytes()), (names[1], long.as_bytes())]);
    let zone = jiff::tz::TimeZone::UTC;
    let counted = Delivered::list(&[folder.path().to_owned()]).unwrap().count(&zone, &BTreeSet::new()).unwrap();
    let shown = |[short, long]: [(u64, u64, u64); 2]| {
        let file = |at: usize, rows, (continued, accepted, rejected)| FileFigures {
            name: names[at].to_owned(),
            rows,
            continued,
            accepted,
            rejected,
            counted: accepted,
            ..FileFigures::default()
        };
        let mut verdict = Verdict::of(&counted);
        compare_files(&counted, &[file(0, 2, short), file(1, 5, long)], &mut verdict);
        verdict.shown.join("\n")
    };
    // In either order.
    assert_eq!(shown([(0, 1, 1), (2, 2, 1)]), "");
    assert_eq!(shown([(2, 0, 0), (0, 3, 2)]), "");
    let twice = "cdr_voice_20240101_000000.csv and 1 more that begin like it: 4 rows counted instead of 3";
    assert_eq!(shown([(0, 1, 1), (0, 3, 2)]), twice);
    let lost = "cdr_voice_20240101_000000.csv and 1 more that begin like it: 2 rows counted instead of 3";
    assert_eq!(shown([(2, 0, 0), (2, 2, 1)]), lost);
    assert_eq!(shown([(0, 1, 1), (3, 2, 0)]), format!("{}: accepted 2 instead of 1", names[1]));
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
