//! Every function under `cargo lambda watch`, on real services: as somebody who works on them has it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use embedded::{Data, Services};
use local_runtime::Template;
use serde_json::{Value, json};

use crate::program::{PATIENCE, Program, nothing_left_with};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The file that the events of `file-to-topic` announce.
const FILE: &str = "cdr_data_20240101_120000.csv";

/// These events come first, in this order: others take up what they leave.
const FIRST: [(&str, &str); 3] = [
    ("sftp-poll", "schedule"),
    ("batch-aggregator", "two-partitions"),
    ("batch-aggregator", "redelivery-and-duplicate-file"),
];

/// A function is compiled at its first event, which takes seconds where `cargo test` has compiled its dependencies.
const COMPILING: Duration = Duration::from_secs(600);

/// What an event's function has to answer.
#[derive(Debug, PartialEq, Eq)]
enum Promise {
    /// Just this.
    Answer(Value),
    /// An HTTP answer of this status; the whole answers are in the function's own tests.
    Status(u16),
    /// A load that brought the warehouse up to date.
    Loaded,
    /// An error that says this.
    Refused(&'static str),
}

/// What is promised of an event that is invoked for the first time, or once more.
fn promise(function: &str, case: &str, is_again: bool) -> Promise {
    let report = |landed: u8, announced: u8| {
        Promise::Answer(json!({
            "landed": landed, "recovered": 0, "announced": announced, "grown": 0, "changed": 0,
            "conflicts": 0, "waiting_lines": 0, "settling": 0, "deferred": 0, "unmatched": 0, "cleared": 0,
        }))
    };
    match (function, case) {
        ("sftp-poll", "schedule") => report(u8::from(!is_again), u8::from(!is_again)),
        ("sftp-poll", "reprocess") => report(0, 1),
        ("sftp-poll", "accept" | "drop" | "replace") => {
            Promise::Refused("nothing of cdr_data_20240101_120000.csv waits")
        }
        // Whatever can't be used is rejected, and never fails a batch.
        ("file-to-topic" | "batch-aggregator" | "cdc-handler" | "lake-writer", _) => {
            Promise::Answer(json!({"batchItemFailures": []}))
        }
        (
            "usage-http",
            "data-usage-malformed-time"
            | "data-usage-brackets"
            | "tower-activity-malformed-time"
            | "tower-activity-no-tower"
            | "tower-activity-range-too-long"
            | "usage-range-too-long",
        ) => Promise::Status(400),
        ("usage-http", "no-credentials" | "wrong-password" | "unknown-user") => Promise::Status(401),
        ("usage-http", "out-of-scope" | "tower-activity-out-of-scope") => Promise::Status(403),
        ("usage-http", "unknown-path") => Promise::Status(404),
        ("usage-http", "method-not-allowed") => Promise::Status(405),
        ("usage-http", _) => Promise::Status(200),
        ("dashboard-http", "malformed-day") => Promise::Status(400),
        ("dashboard-http", "no-credentials") => Promise::Status(401),
        ("dashboard-http", "out-of-scope") => Promise::Status(403),
        ("dashboard-http", "unknown-table") => Promise::Status(404),
        ("dashboard-http", "method-not-allowed") => Promise::Status(405),
        ("dashboard-http", _) => Promise::Status(200),
        ("lake-loader", _) => Promise::Loaded,
        ("reconcile", _) => Promise::Answer(json!({
            "lanes": 6, "quiet": 0, "waiting": 0, "expired": 0, "entries": 0, "deferred": 0,
        })),
        ("intake-http", "malformed" | "no-message" | "none-usable") => Promise::Status(400),
        ("intake-http", "no-credentials") => Promise::Status(401),
        ("intake-http", "may-not-post") => Promise::Status(403),
        ("intake-http", "method-not-allowed") => Promise::Status(405),
        ("intake-http", "too-many") => Promise::Status(413),
        ("intake-http", "form") => Promise::Status(415),
        ("intake-http", _) => Promise::Status(202),
        _ => panic!("say here what {function} answers to {case}"),
    }
}

/// The functions under `cargo lambda watch`, with services of their own.
struct Watch {
    program: Program,
    port: u16,
    scratch: tempfile::TempDir,
    services: Services,
}

impl Watch {
    async fn start() -> Self {
        let services = Services::start(Data::Temporary).await.expect("services");
        let scratch = tempfile::tempdir().expect("a folder");
        write(scratch.path(), "parameters", &parameters(&services).await);
        trunkline(scratch.path(), &["init", "--parameters", "parameters"]);
        let environment = trunkline(scratch.path(), &["env", "--parameters", "parameters"]);
        write(scratch.path(), "env", &environment);
        // Free a moment ago; whoever takes it in between makes the test fail.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut watch = cargo_lambda();
        watch.args(["watch", "--ignore-changes", "--manifest-path"]);
        watch.arg(Path::new(ROOT).join("Cargo.toml"));
        watch.args(["--env-file", "env", "--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()]);
        let mut program = Program::run(scratch.path(), &mut watch);
        program.until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { program, port, scratch, services }
    }

    /// The answer of `cargo lambda invoke FUNCTION --data-file EVENT`, or what it says of a failure.
    fn invoke(&self, function: &str, event: &Path) -> Result<Value, String> {
        let mut invoke = cargo_lambda();
        invoke.args(["invoke", function, "--invoke-address", "127.0.0.1", "--invoke-port", &self.port.to_string()]);
        let mut program = Program::run(self.scratch.path(), invoke.arg("--data-file").arg(event));
        let status = program.ends_within(COMPILING);
        let printed = program.printed();
        match status {
            Some(status) if status.success() => {
                serde_json::from_str(&printed).map_err(|error| format!("{error}: {printed}"))
            }
            _ => Err(printed),
        }
    }

    /// What `curl ARGS… PATH` shows.
    fn curl(&self, args: &[&str], path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let output = Command::new("curl").args(["--silent", "--show-error"]).args(args).arg(url).output();
        let output = output.expect("curl runs");
        assert!(output.status.success(), "curl {args:?} {path}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A subscriber's totals, asked for through the table of routes.
    fn totals(&self, msisdn: &str) -> Value {
        let answer =
            self.curl(&["--fail", "--user", "example:example-password"], &format!("/v1/usage/{msisdn}/summary"));
        serde_json::from_str::<Value>(&answer).expect("JSON")["totals"].take()
    }

    /// Ends everything, and sees that no function is left behind.
    async fn end(mut self) {
        self.program.signal("INT");
        assert!(self.program.ends_within(PATIENCE).is_some(), "{}", self.program.printed());
        nothing_left_with(&format!("http://127.0.0.1:{}/.rt/", self.port));
        self.services.stop().await.expect("stopped");
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn cargo_lambda() -> Command {
    let mut command = Command::new(format!("{ROOT}/crates/test-support/services/tools.sh"));
    command.arg("cargo-lambda");
    command
}

/// Runs `trunkline` to its end; returns what it printed.
fn trunkline(scratch: &Path, args: &[&str]) -> String {
    let template = format!("{ROOT}/template.yaml");
    let mut program = Program::start(scratch, &[args, &["--template", &template]].concat());
    assert!(program.ends().success(), "{args:?}: {}", program.printed());
    program.printed()
}

/// The template's parameters for these services, and the users of the events.
async fn parameters(services: &Services) -> String {
    let Services { broker, object_store, postgres, sftp, .. } = services;
    let database = postgres.database("trunkline").await.expect("a database");
    let parameters = [
        ("KafkaBrokers", broker.bootstrap_servers.as_str()),
        ("SftpHost", &sftp.host),
        ("SftpPort", &sftp.port.to_string()),
        ("SftpUser", &sftp.user),
        ("SftpPassword", sftp.password.expose()),
        ("SftpHostKey", &sftp.host_key),
        ("SftpSettleSeconds", "0"),
        ("SftpLookSeconds", "0"),
        ("LakeBucket", "trunkline"),
        ("LakeEndpoint", &object_store.endpoint),
        ("UsageStore", &database),
        ("DatabaseUrl", &database),
        ("AWS_REGION", object_store.region),
        ("AWS_ACCESS_KEY_ID", &object_store.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", object_store.secret_access_key.expose()),
    ];
    let lines: String = parameters.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    lines + include_str!("../../../../events/usage-http/users.parameters")
}

/// The template, with something for each parameter that has no default.
fn template() -> Template {
    let text = std::fs::read_to_string(Path::new(ROOT).join("template.yaml")).expect("the template");
    let parameters =
        ["KafkaBrokers", "SftpHost", "SftpUser", "SftpHostKey", "LakeBucket", "UsageStore", "DatabaseUrl", "ApiUsers"];
    Template::parse(&text, &parameters.map(|name| (name.to_owned(), "x:1".to_owned())).into()).expect("the template")
}

/// Every event of the repository, function by function in the template's order.
fn events() -> Vec<(String, String, PathBuf)> {
    let mut events = Vec::new();
    for function in template().functions {
        let folder = Path::new(ROOT).join("events").join(&function.name);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let files = files.map(|file| file.expect("a file").path());
        let files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
        assert!(!files.is_empty(), "{} has no event", function.name);
        let mut files: Vec<_> = files
            .into_iter()
            .map(|path| (path.file_stem().and_then(|stem| stem.to_str()).expect("a UTF-8 name").to_owned(), path))
            .collect();
        let place = |case: &str| FIRST.iter().position(|first| *first == (&*function.name, case));
        files.sort_by_key(|(case, _)| (place(case).unwrap_or(FIRST.len()), case.clone()));
        events.extend(files.into_iter().map(|(case, path)| (function.name.clone(), case, path)));
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_answered_as_promised() {
    let watch = Watch::start().await;
    deliver(&watch);
    for is_again in [false, true] {
        for (function, case, path) in events() {
            let answer = watch.invoke(&function, &path);
            let promised = promise(&function, &case, is_again);
            let kept = match (&promised, &answer) {
                (Promise::Answer(promised), Ok(answer)) => answer == promised,
                (Promise::Status(status), Ok(answer)) => answer["statusCode"] == *status,
                (Promise::Loaded, Ok(answer)) => answer["status"] == "succeeded",
                (Promise::Refused(why), Err(said)) => said.contains(why),
                _ => false,
            };
            assert!(kept, "{function} {case}: {promised:?} was promised: {answer:?}\n{}", watch.program.printed());
        }
        // The records of `two-partitions`, and the one of `redelivery-and-duplicate-file` that came from no file.
        expect_test::expect![[r#"{"cost":{"amount":"0.09","currency":"ZAR"},"down_bytes":1236575,"events":4,"seconds":0,"up_bytes":524462}"#]]
            .assert_eq(&watch.totals("27821234501").to_string());
    }
    router_answers(&watch);
    watch.end().await;
}

/// Each route, and what is none.
fn router_answers(watch: &Watch) {
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let check = |args: &[&str], path: &str, expected: &str| {
        assert_eq!(watch.curl(&[&status, args].concat(), path), expected, "{args:?} {path}");
    };
    let example = ["--user", "example:example-password"];
    check(&[], "/health", "200");
    check(&["--head"], "/health", "200");
    check(&["--request", "POST"], "/health", "405");
    check(&example, "/data_usage?msisdn=27821234501&start_time=20240101000000&end_time=20240102000000", "200");
    check(&example, "/v1/usage/27821234501?from=2024-01-01&to=2024-01-02", "200");
    check(&["--user", "example:guess"], "/v1/usage/27821234501?from=2024-01-01&to=2024-01-02", "401");
    check(&["--user", "shop:shop-password"], "/v1/usage/27831234501/summary", "403");
    check(&[], "/v1/usage/27821234501/summary", "401");
    check(&example, "/v1/towers/1523/activity?from=2024-01-01&to=2024-01-02", "200");
    check(&example, "/dashboard", "200");
    check(&[&example[..], &["--head"]].concat(), "/dashboard", "200");
    check(&["--request", "POST"], "/dashboard", "405");
    check(&example, "/dashboard/nothing.csv", "404");
    check(&[&example[..], &["--data", "[]"]].concat(), "/messages", "415");
    check(&[], "/messages", "405");
    check(&[], "/v1/nothing", "404");
    check(&[], "/", "404");
}

fn deliver(watch: &Watch) {
    let file = Path::new(ROOT).join("functions/file-to-topic/tests/it").join(FILE);
    std::fs::copy(file, watch.services.sftp.upload().join(FILE)).expect("delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_drives_them_from_a_file_to_its_totals() {
    let watch = Watch::start().await;
    deliver(&watch);
    let template = format!("{ROOT}/template.yaml");
    let invoke = format!("http://127.0.0.1:{}", watch.port);
    let args = ["up", "--parameters", "parameters", "--template", &template, "--listen", "127.0.0.1:0"];
    let up = Program::start(watch.scratch.path(), &[&args[..], &["--invoke", &invoke]].concat());
    let mut totals = Value::Null;
    test_support::eventually(3 * COMPILING, async || {
        totals = watch.totals("27821234567");
        totals["events"] == 2
    })
    .await;
    expect_test::expect![[
        r#"{"cost":{"amount":"0.09","currency":"ZAR"},"down_bytes":1234575,"events":2,"seconds":0,"up_bytes":523463}"#
    ]]
    .assert_eq(&totals.to_string());
    up.signal("INT");
    watch.end().await;
}

/// The table of routes in `Cargo.toml`.
fn router() -> BTreeMap<String, Value> {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path"]);
    let output = metadata.arg(Path::new(ROOT).join("Cargo.toml")).output().expect("cargo runs");
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo's JSON");
    serde_json::from_value(metadata["metadata"]["lambda"]["watch"]["router"].take()).expect("a table of routes")
}

#[test]
fn the_router_table_is_the_templates() {
    let template = template();
    let default = template.routes.iter().find(|route| route.path.is_none()).map(|route| route.function.as_str());
    let mut routes: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
    for route in &template.routes {
        let method = route.method.as_ref().map_or("ANY".to_owned(), ToString::to_string);
        // A greedy variable is written `{path+}` there and `{*path}` here.
        let path = |path: &str| match path.split_once("+}") {
            Some((before, _)) => before.rsplit_once('{').map(|(path, name)| format!("{path}{{*{name}}}")),
            None => Some(path.to_owned()),
        };
        let paths = match &route.path {
            Some(pattern) => vec![path(&pattern.to_string()).expect("a greedy variable")],
            None => vec!["/".to_owned(), "/{*path}".to_owned()],
        };
        for path in paths {
            routes.entry(path).or_default().insert(method.clone(), &route.function);
        }
    }
    // Other methods of a path go to the $default route's function, so one function for all of them needs no methods.
    let expected: BTreeMap<String, Value> = routes
        .into_iter()
        .map(|(path, methods)| {
            let default = default.filter(|_| !methods.contains_key("ANY"));
            let functions: BTreeSet<&str> = methods.values().copied().chain(default).collect();
            let functions: Vec<_> = functions.into_iter().collect();
            let listed = || methods.iter().map(|(method, function)| json!({"method": method, "function": function}));
            (path, if let [function] = functions[..] { json!(function) } else { listed().collect() })
        })
        .collect();
    assert_eq!(router(), expected);
}
