//! The demo, as a newcomer runs it and as a test of everything together.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{PATIENCE, Program, nothing_left_on};

/// Simulated seconds, one row of each type in each: some files, and a run takes seconds.
const SMALL: &str = "3600";

/// Enough for a report.
pub(crate) const TINY: &str = "60";

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");

/// Where PostgreSQL's own user can reach it when the tests run as root.
pub(crate) fn scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).expect("passable");
    folder
}

pub(crate) fn demo(scratch: &Path, seconds: &str, args: &[&str]) -> (Program, PathBuf) {
    let report = scratch.join("report.json");
    let report_text = report.to_str().expect("a UTF-8 path").to_owned();
    let mut all = vec!["demo", "--report", &report_text, "--seconds", seconds, "--subscribers", "2000"];
    all.extend(args);
    (Program::start(scratch, &all), report)
}

pub(crate) fn read(report: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON")
}

fn figure(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// Both conservation laws, for every file and in the totals.
fn laws_hold(report: &Value) {
    let totals = &report["totals"];
    let files = report["files"].as_array().expect("files");
    assert!(!files.is_empty());
    for file in files {
        assert_eq!(figure(file, "rows"), figure(file, "accepted") + figure(file, "rejected"), "{file}");
        assert!(figure(file, "duplicates") <= figure(file, "accepted"), "{file}");
    }
    for name in ["rows", "accepted", "rejected", "duplicates"] {
        assert_eq!(figure(totals, name), files.iter().map(|file| figure(file, name)).sum::<u64>(), "{name}");
    }
    assert_eq!(figure(totals, "accepted"), figure(totals, "counted") + figure(totals, "duplicates"));
}

/// What became of each file's rows. Of two files with the same content, the one whose rows came first is counted: that
/// may be either.
fn read_files(report: &Value) -> Vec<(&str, u64, u64, u64)> {
    let files = report["files"].as_array().expect("files").iter();
    files
        .map(|file| {
            let name = file["name"].as_str().expect("a name");
            (name, figure(file, "rows"), figure(file, "accepted"), figure(file, "rejected"))
        })
        .collect()
}

#[test]
fn clean_files_are_counted_whole() {
    let scratch = scratch();
    let (mut program, report) = demo(scratch.path(), SMALL, &["--exit", "--verify"]);
    let status = program.ends();
    assert!(status.success(), "{}", program.printed());
    let report = read(&report);
    laws_hold(&report);
    let totals = &report["totals"];
    assert_eq!(figure(totals, "rows"), 2 * 3600);
    assert_eq!((figure(totals, "rejected"), figure(totals, "duplicates")), (0, 0));
    assert_eq!(figure(totals, "counted"), 2 * 3600);
    assert!(program.printed().contains("Verified"), "{}", program.printed());
}

#[test]
fn faults_are_rejected_and_duplicates_found() {
    let scratch = scratch();
    let (mut program, report) = demo(scratch.path(), SMALL, &["--exit", "--verify", "--faults", "0.2", "--seed", "2"]);
    let status = program.ends();
    assert!(status.success(), "{}", program.printed());
    let report = read(&report);
    laws_hold(&report);
    let totals = &report["totals"];
    assert!(figure(totals, "rejected") > 0 && figure(totals, "duplicates") > 0, "{totals}");
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_numbers() {
    let scratch = scratch();
    let folder = scratch.path().join("data");
    let folder_text = folder.to_str().expect("a UTF-8 path");
    let args = ["--exit", "--verify", "--faults", "0.05", "--data-dir", folder_text];
    // From the services' start over generation and counting to the comparison; a faster machine gets further each time.
    for after in [600, 1500, 2300, 3000, 3700, 4500].map(Duration::from_millis) {
        let (mut program, _) = demo(scratch.path(), SMALL, &args);
        if let Some(status) = program.ends_within(after) {
            assert!(status.success(), "{}", program.printed());
            break;
        }
        program.signal("KILL");
        program.ends();
        nothing_left_on(&folder);
    }
    let (mut program, report) = demo(scratch.path(), SMALL, &args);
    let status = program.ends();
    assert!(status.success(), "{}", program.printed());
    let interrupted = read(&report);
    laws_hold(&interrupted);

    let (mut program, report) = demo(scratch.path(), SMALL, &["--exit", "--faults", "0.05"]);
    assert!(program.ends().success(), "{}", program.printed());
    let uninterrupted = read(&report);
    assert_eq!(interrupted["totals"], uninterrupted["totals"]);
    assert_eq!(read_files(&interrupted), read_files(&uninterrupted));
}

#[test]
fn it_serves_until_it_is_told_to_end_and_leaves_nothing_behind() {
    let scratch = scratch();
    let folder = scratch.path().join("data");
    for signal in ["INT", "TERM"] {
        let (mut program, report) = demo(scratch.path(), TINY, &["--data-dir", folder.to_str().expect("a UTF-8 path")]);
        program.until("the report is there", || report.exists().then_some(()));
        let parsed = read(&report);
        let url = parsed["api"]["url"].as_str().expect("a URL");
        let (user, password) = (parsed["api"]["user"].as_str(), parsed["api"]["password"].as_str());
        let credentials = format!("{}:{}", user.expect("a user"), password.expect("a password"));
        assert_eq!(get(url, "/health", None).0, 200);
        assert_eq!(get(url, "/v1/usage/27821234567/summary", Some(&credentials)).0, 200);
        assert_eq!(get(url, "/v1/usage/27821234567/summary", Some("demo:wrong")).0, 401);
        if signal == "INT" {
            a_posted_message_is_on_the_dashboard(scratch.path(), &folder, url, &credentials);
        }
        std::fs::remove_file(&report).expect("removed");
        let asked = Instant::now();
        program.signal(signal);
        let status = program.ends_within(PATIENCE).expect("it ends");
        assert!(status.success(), "{signal}: {}", program.printed());
        println!("{signal}: ended after {:?}", asked.elapsed());
        nothing_left_on(&folder);
    }
}

/// It is a row of the warehouse after the next load, which a person starts from another terminal; on the dashboard, too.
fn a_posted_message_is_on_the_dashboard(scratch: &Path, data: &Path, url: &str, credentials: &str) {
    let channel = "a channel of <b>its own</b>";
    // On a day of its own, far from the generated messages.
    let message = serde_json::json!({
        "message_id": channel, "room_id": channel, "room_created_at": "2031-05-06 10:00:00", "channel": channel,
        "customer_id": channel, "customer_name": null, "phone": null,
        "sender_type": "customer", "message_text": "Hello?", "message_date": "2031-05-06 10:00:00",
    });
    let (status, answer) = ask("POST", url, "/messages", Some(credentials), &message.to_string());
    assert_eq!(status, 202, "{answer}");
    let parameters = data.join("parameters");
    let text = std::fs::read_to_string(&parameters).expect("the demo's parameters");
    let mut load = vec!["load", "--now", "--template", TEMPLATE, "--parameters"];
    load.push(parameters.to_str().expect("a UTF-8 path"));
    let mut load = Program::start(scratch, &load);
    assert!(load.ends().success(), "{}", load.printed());

    let warehouse = text.lines().find_map(|line| line.strip_prefix("DatabaseUrl=")).expect("the warehouse");
    let names = postgres_pool::Names { variable: "DATABASE_URL", service: "the warehouse" };
    let rows = runtime().block_on(async {
        let pool = postgres_pool::Pool::new(warehouse, names).expect("an address");
        let sql = "SELECT room_id, message_text FROM analytics.messages WHERE message_id = $1";
        pool.query(sql, &[&channel]).await.expect("rows")
    });
    let rows: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(channel.to_owned(), "Hello?".to_owned())], "{}", load.printed());
    let (status, page) = get(url, "/dashboard?from=2031-05-06&to=2031-05-06", Some(credentials));
    assert_eq!(status, 200, "{page}");
    let escaped = channel.replace('/', "&#x2f;").replace('<', "&lt;").replace('>', "&gt;");
    assert!(page.contains(&escaped) && !page.contains(channel), "{page}");
}

/// The status and the text of a GET.
fn get(url: &str, path: &str, credentials: Option<&str>) -> (u16, String) {
    ask("GET", url, path, credentials, "")
}

fn ask(method: &str, url: &str, path: &str, credentials: Option<&str>, body: &str) -> (u16, String) {
    use base64::Engine;
    use http_body_util::{BodyExt, Full};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    let mut request = hyper::Request::builder().method(method).uri(format!("{url}{path}"));
    request = request.header("content-type", "application/json");
    if let Some(credentials) = credentials {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        request = request.header("authorization", format!("Basic {encoded}"));
    }
    let request = request.body(Full::<bytes::Bytes>::from(body.to_owned())).expect("a request");
    runtime().block_on(async {
        let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

#[test]
fn a_folder_in_use_or_of_another_run_is_refused() {
    let scratch = scratch();
    let folder = scratch.path().join("data");
    let folder_text = folder.to_str().expect("a UTF-8 path");
    let (mut first, report) = demo(scratch.path(), TINY, &["--data-dir", folder_text]);
    first.until("the report is there", || report.exists().then_some(()));
    let (mut second, _) = demo(scratch.path(), TINY, &["--data-dir", folder_text]);
    assert!(!second.ends().success());
    assert!(second.printed().contains("another process works on the data folder"), "{}", second.printed());
    first.signal("INT");
    first.ends();
    let (mut other, _) = demo(scratch.path(), TINY, &["--seed", "2", "--exit", "--data-dir", folder_text]);
    assert!(!other.ends().success());
    assert!(other.printed().contains("seed"), "{}", other.printed());
}
