//! The function as the service sees it: raw events in, raw answers out, on a real database.
#![expect(clippy::unwrap_used, reason = "a test ends where its setup fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use bytes::Bytes;
use expect_test::{Expect, expect};
use lambda_boot::{Deadline, Handler, Invocation, Vars};
use serde_json::{Value, json};
use stream::Lane;
use telecom::{Action, Day, Msisdn, Totals, UsageEvent, UsageKind};
use usage_http::Route;
use usage_store::{LaneBatch, LaneMemory, LaneRecord, RecordRules, SourcedUsage, Store, TowerHour};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn event(name: &str) -> Bytes {
    let path = root().join("events/usage-http").join(name).with_extension("json");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

const UNAVAILABLE: &str = r#"503 content-type: application/problem+json, retry-after: 5
{"type":"urn:trunkline:problem:unavailable","title":"Usage can't be read just now","status":503,"detail":"usage can't be read just now: try again in 5 seconds"}"#;

/// The users of the events, as cheaply hashed as argon2id allows.
fn users() -> String {
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let hash = |password: &str| cheap.hash_password(password.as_bytes()).unwrap().to_string();
    json!([
        {"user": "example", "password_hash": hash("example-password"), "msisdns": "*"},
        {"user": "shop", "password_hash": hash("shop-password"), "msisdns": ["2782*"]},
    ])
    .to_string()
}

async fn boot(usage_store: &str) -> Handler {
    test_support::log();
    let vars: Vars = [("USAGE_STORE", usage_store), ("API_USERS", &users())].into_iter().collect();
    usage_http::boot(vars).await.unwrap()
}

/// A database with the usage that the documentation's examples show.
async fn example() -> String {
    let url = test_support::postgres_database().await;
    let store = Store::connect(&url).unwrap();
    store.init().await.unwrap();
    let video = |up_bytes, down_bytes| (UsageKind::DataVideo, Totals { up_bytes, down_bytes, seconds: 0, events: 1 });
    let text = |up_bytes, down_bytes| (UsageKind::DataText, Totals { up_bytes, down_bytes, seconds: 0, events: 1 });
    let voice = |seconds| (UsageKind::CallVoice, Totals { seconds, events: 1, ..Totals::default() });
    let data =
        [("2024-01-01", video(523_456, 1_234_567)), ("2024-01-02", text(100, 200)), ("2024-01-02", text(300, 400))];
    let calls = [60, 60, 65].map(|seconds| ("2024-01-01", voice(seconds)));
    for (topic, records) in [("cdr-data", data), ("cdr-voice", calls)] {
        store.add_lanes(1, topic, 3).await.unwrap();
        let msisdn = Msisdn::parse("27821234567").unwrap();
        let record = |(offset, (day, (kind, totals))): (i64, (&str, (UsageKind, Totals)))| {
            let event = UsageEvent { msisdn, day: Day::parse(day).unwrap(), kind, totals };
            let usage = SourcedUsage { event, source: None, action: Action::Count, tower: None };
            LaneRecord { offset, timestamp_ms: 1_704_067_200_000, usage: Some(usage) }
        };
        let lane = Lane { epoch: 1, topic: topic.to_owned(), partition: 0 };
        let records = (0..).zip(records).map(record).collect();
        let batch = LaneBatch::new(lane, RecordRules::default(), records).unwrap();
        store.count(&mut LaneMemory::default(), &batch).await.unwrap();
    }
    let hour = |day: &str, hour, [up_bytes, down_bytes, seconds, events]: [u64; 4]| {
        let day = Day::parse(day).unwrap();
        (TowerHour { tower_id: 1523, day, hour }, Totals { up_bytes, down_bytes, seconds, events })
    };
    let activity = [
        hour("2024-01-01", 7, [1, 1, 0, 1]),
        hour("2024-01-01", 10, [523_456, 1_234_567, 185, 4]),
        hour("2024-01-01", 23, [400, 600, 0, 2]),
        hour("2024-01-02", 0, [1, 1, 0, 1]),
    ];
    store.add_tower_activity(&activity).await.unwrap();
    url
}

async fn invoke(handler: &Handler, payload: Bytes) -> Value {
    invoke_until(handler, payload, Deadline::NONE).await
}

async fn invoke_until(handler: &Handler, payload: Bytes, deadline: Deadline) -> Value {
    let invocation = Invocation { payload, deadline, request_id: "test".into() };
    serde_json::from_slice(&handler(invocation).await.unwrap()).unwrap()
}

#[tokio::test]
async fn every_event_has_its_answer() {
    let handler = boot(&example().await).await;
    let cases: [(&str, Expect); 25] = [
        (
            "data-usage",
            expect![[r#"
            200 content-type: application/json
            {"msisdn":"27821234567","start_time":"20240101000000","end_time":"20240103000000","usage":[{"category":"call","usage_type":"voice","total":185,"measure":"seconds","start_time":"2024-01-01 00:00:00"},{"category":"data","usage_type":"video","total":1758023,"measure":"bytes","start_time":"2024-01-01 00:00:00"},{"category":"data","usage_type":"text","total":1000,"measure":"bytes","start_time":"2024-01-02 00:00:00"}]}"#]],
        ),
        (
            "data-usage-plus",
            expect![[r#"
            200 content-type: application/json
            {"msisdn":"+27821234567","start_time":"20240101000000","end_time":"20240103000000","usage":[{"category":"call","usage_type":"voice","total":185,"measure":"seconds","start_time":"2024-01-01 00:00:00"},{"category":"data","usage_type":"video","total":1758023,"measure":"bytes","start_time":"2024-01-01 00:00:00"},{"category":"data","usage_type":"text","total":1000,"measure":"bytes","start_time":"2024-01-02 00:00:00"}]}"#]],
        ),
        (
            "data-usage-unknown-msisdn",
            expect![[r#"
            200 content-type: application/json
            {"msisdn":"27829999999","start_time":"20240101000000","end_time":"20240103000000","usage":[]}"#]],
        ),
        (
            "data-usage-malformed-time",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"start_time: \"2024-01-01\" is not a time: write YYYYMMDDhhmmss, such as 20240131235959","parameter":"start_time"}"#]],
        ),
        (
            "data-usage-brackets",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"msisdn: \"<27821234567>\" is not a subscriber's number: write 5 to 15 digits in international form, such as 27821234567","parameter":"msisdn"}"#]],
        ),
        (
            "usage",
            expect![[r#"
            200 content-type: application/json
            {"msisdn":"27821234567","from":"2024-01-01","to":"2024-01-31","days":[{"day":"2024-01-01","up_bytes":523456,"down_bytes":1234567,"seconds":185,"events":4,"cost":{"currency":"ZAR","amount":"3.17"},"usage":[{"category":"call","usage_type":"voice","up_bytes":0,"down_bytes":0,"seconds":185,"events":3},{"category":"data","usage_type":"video","up_bytes":523456,"down_bytes":1234567,"seconds":0,"events":1}]},{"day":"2024-01-02","up_bytes":400,"down_bytes":600,"seconds":0,"events":2,"cost":{"currency":"ZAR","amount":"0.00"},"usage":[{"category":"data","usage_type":"text","up_bytes":400,"down_bytes":600,"seconds":0,"events":2}]}],"totals":{"up_bytes":523856,"down_bytes":1235167,"seconds":185,"events":6,"cost":{"currency":"ZAR","amount":"3.17"}}}"#]],
        ),
        (
            "usage-unknown-msisdn",
            expect![[r#"
            200 content-type: application/json
            {"msisdn":"27829999999","from":"2024-01-01","to":"2024-01-31","days":[],"totals":{"up_bytes":0,"down_bytes":0,"seconds":0,"events":0,"cost":{"currency":"ZAR","amount":"0.00"}}}"#]],
        ),
        (
            "usage-range-too-long",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"to: 367 days are asked for and at most 366 are answered: ask in parts","parameter":"to"}"#]],
        ),
        (
            "usage-summary",
            expect![[r#"
            200 content-type: application/json
            {"msisdn":"27821234567","first_day":"2024-01-01","last_day":"2024-01-02","days":2,"totals":{"up_bytes":523856,"down_bytes":1235167,"seconds":185,"events":6,"cost":{"currency":"ZAR","amount":"3.17"}},"usage":[{"category":"call","usage_type":"voice","up_bytes":0,"down_bytes":0,"seconds":185,"events":3},{"category":"data","usage_type":"text","up_bytes":400,"down_bytes":600,"seconds":0,"events":2},{"category":"data","usage_type":"video","up_bytes":523456,"down_bytes":1234567,"seconds":0,"events":1}]}"#]],
        ),
        (
            "usage-summary-in-scope",
            expect![[r#"
            200 content-type: application/json
            {"msisdn":"27821234567","first_day":"2024-01-01","last_day":"2024-01-02","days":2,"totals":{"up_bytes":523856,"down_bytes":1235167,"seconds":185,"events":6,"cost":{"currency":"ZAR","amount":"3.17"}},"usage":[{"category":"call","usage_type":"voice","up_bytes":0,"down_bytes":0,"seconds":185,"events":3},{"category":"data","usage_type":"text","up_bytes":400,"down_bytes":600,"seconds":0,"events":2},{"category":"data","usage_type":"video","up_bytes":523456,"down_bytes":1234567,"seconds":0,"events":1}]}"#]],
        ),
        (
            "out-of-scope",
            expect![[r#"
            403 content-type: application/problem+json
            {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"this MSISDN is outside your scope: ask for another, or have your scope widened"}"#]],
        ),
        (
            "no-credentials",
            expect![[r#"
            401 content-type: application/problem+json, www-authenticate: Basic realm="trunkline", charset="UTF-8"
            {"type":"urn:trunkline:problem:unauthorized","title":"Credentials are missing or wrong","status":401,"detail":"send the name and password of an API user by HTTP basic authentication"}"#]],
        ),
        (
            "wrong-password",
            expect![[r#"
            401 content-type: application/problem+json, www-authenticate: Basic realm="trunkline", charset="UTF-8"
            {"type":"urn:trunkline:problem:unauthorized","title":"Credentials are missing or wrong","status":401,"detail":"send the name and password of an API user by HTTP basic authentication"}"#]],
        ),
        (
            "unknown-user",
            expect![[r#"
            401 content-type: application/problem+json, www-authenticate: Basic realm="trunkline", charset="UTF-8"
            {"type":"urn:trunkline:problem:unauthorized","title":"Credentials are missing or wrong","status":401,"detail":"send the name and password of an API user by HTTP basic authentication"}"#]],
        ),
        (
            "tower-activity",
            expect![[r#"
            200 content-type: application/json
            {"tower_id":1523,"from":"2024-01-01T08:00","to":"2024-01-01T23:00","accuracy":"approximate","hours":[{"hour":"2024-01-01T10:00","up_bytes":523456,"down_bytes":1234567,"seconds":185,"events":4},{"hour":"2024-01-01T23:00","up_bytes":400,"down_bytes":600,"seconds":0,"events":2}]}"#]],
        ),
        (
            "tower-activity-head",
            expect![[r#"
            200 content-type: application/json
        "#]],
        ),
        (
            "tower-activity-unknown-tower",
            expect![[r#"
            200 content-type: application/json
            {"tower_id":4294967295,"from":"2024-01-01T00:00","to":"2024-01-31T23:00","accuracy":"approximate","hours":[]}"#]],
        ),
        (
            "tower-activity-malformed-time",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"from: \"20240101080000\" is not an hour of a day from 1970-01-01 to 2100-12-31: write YYYY-MM-DDThh, such as 2024-01-31T23, or a day alone","parameter":"from"}"#]],
        ),
        (
            "tower-activity-range-too-long",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"to: 768 hours are asked for and at most 744 (31 days) are answered: ask in parts","parameter":"to"}"#]],
        ),
        (
            "tower-activity-no-tower",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"id: \"tower-1523\" is not a tower: write a whole number up to 4294967295, such as 1523","parameter":"id"}"#]],
        ),
        (
            "tower-activity-out-of-scope",
            expect![[r#"
            403 content-type: application/problem+json
            {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"a tower's traffic is everybody's: ask as a user whose scope is everybody (\"*\")"}"#]],
        ),
        (
            "health",
            expect![[r#"
            200 content-type: application/json
            {"status":"ok"}"#]],
        ),
        (
            "health-head",
            expect![[r#"
            200 content-type: application/json
        "#]],
        ),
        (
            "unknown-path",
            expect![[r#"
            404 content-type: application/problem+json
            {"type":"urn:trunkline:problem:not-found","title":"No such path","status":404,"detail":"there is nothing here: see docs/api.md for the paths"}"#]],
        ),
        (
            "method-not-allowed",
            expect![[r#"
            405 allow: GET, HEAD, content-type: application/problem+json
            {"type":"urn:trunkline:problem:method-not-allowed","title":"This method is not allowed here","status":405,"detail":"this path can only be read: use GET or HEAD"}"#]],
        ),
    ];
    let files = std::fs::read_dir(root().join("events/usage-http")).unwrap();
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "json"));
    let files: BTreeSet<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(files, cases.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, expect) in cases {
        let first = invoke(&handler, event(name)).await;
        expect.assert_eq(&test_support::shown_answer(&first));
        // Answering changes nothing, and a remembered password makes no difference.
        assert_eq!(invoke(&handler, event(name)).await, first, "{name}, the second time");
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_a_503() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let handler = boot(&format!("postgres://trunkline:secret@127.0.0.1:{port}/trunkline")).await;
    for name in ["health", "usage", "data-usage", "tower-activity"] {
        let answer = test_support::shown_answer(&invoke(&handler, event(name)).await);
        assert_eq!(answer, UNAVAILABLE, "{name}");
    }
    // Who may not ask is not told that it is down.
    assert_eq!(invoke(&handler, event("no-credentials")).await["statusCode"], 401);
    for name in ["out-of-scope", "tower-activity-out-of-scope"] {
        assert_eq!(invoke(&handler, event(name)).await["statusCode"], 403);
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_a_503_before_the_deadline() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let handler = boot(&format!("postgres://trunkline:secret@127.0.0.1:{port}/trunkline")).await;
    let deadline = Deadline::after(Duration::from_secs(1));
    let answer = invoke_until(&handler, event("health"), deadline).await;
    assert_eq!(test_support::shown_answer(&answer), UNAVAILABLE);
    assert!(deadline.remaining().is_some_and(|left| !left.is_zero()));
}

#[tokio::test]
async fn a_store_without_its_tables_is_a_503() {
    let handler = boot(&test_support::postgres_database().await).await;
    assert_eq!(invoke(&handler, event("health")).await["statusCode"], 503);
}

#[tokio::test]
async fn a_request_is_one_line_of_the_log_without_numbers_and_secrets() {
    let up = boot(&example().await).await;
    let down = boot("postgres://trunkline:secret@127.0.0.1:1/trunkline").await;
    for (handler, name) in [
        (&up, "usage-summary-in-scope"),
        (&up, "out-of-scope"),
        (&up, "data-usage-brackets"),
        (&up, "wrong-password"),
        (&up, "tower-activity-out-of-scope"),
        (&up, "unknown-path"),
        (&down, "usage"),
    ] {
        let mut event: Value = serde_json::from_slice(&event(name)).unwrap();
        event["requestContext"]["requestId"] = format!("logged-{name}").into();
        invoke(handler, event.to_string().into()).await;
    }
    let lines = test_support::log().text();
    for secret in ["2782123", "2783123", "example-password", "shop-password", "Basic ", "secret@", "guess", "argon2"] {
        assert!(!lines.contains(secret), "{secret} is in the log:\n{lines}");
    }
    let lines = lines.lines().filter(|line| line.contains("\"logged-")).map(|line| {
        let mut line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        assert!(line.remove("duration_ms").is_some_and(|it| it.is_u64()));
        assert_eq!(line.remove("error").is_some(), line["http.status"] == 503);
        serde_json::to_string(&line).unwrap() + "\n"
    });
    expect![[r#"
        {"http.method":"GET","http.request_id":"logged-usage-summary-in-scope","http.route":"/v1/usage/{msisdn}/summary","http.status":200,"level":"INFO","message":"answered","msisdn":"********567","user":"shop"}
        {"http.method":"GET","http.request_id":"logged-out-of-scope","http.route":"/v1/usage/{msisdn}/summary","http.status":403,"level":"INFO","message":"answered","msisdn":"********567","problem":"out-of-scope","user":"shop"}
        {"http.method":"GET","http.request_id":"logged-data-usage-brackets","http.route":"/data_usage","http.status":400,"level":"INFO","message":"answered","problem":"invalid-parameter","user":"example"}
        {"http.method":"GET","http.request_id":"logged-wrong-password","http.route":"/v1/usage/{msisdn}/summary","http.status":401,"level":"INFO","message":"answered","problem":"unauthorized"}
        {"http.method":"GET","http.request_id":"logged-tower-activity-out-of-scope","http.route":"/v1/towers/{id}/activity","http.status":403,"level":"INFO","message":"answered","problem":"out-of-scope","tower_id":1523,"user":"shop"}
        {"http.method":"GET","http.request_id":"logged-unknown-path","http.route":"","http.status":404,"level":"INFO","message":"answered","problem":"not-found"}
        {"http.method":"GET","http.request_id":"logged-usage","http.route":"/v1/usage/{msisdn}","http.status":503,"level":"ERROR","message":"no answer","msisdn":"********567","user":"example"}
    "#]].assert_eq(&lines.collect::<String>());
}

#[tokio::test]
async fn other_events_fail_the_invocation() {
    let handler = boot("postgres://trunkline:secret@127.0.0.1:1/trunkline").await;
    let invocation =
        Invocation { payload: Bytes::from_static(b"{}"), deadline: Deadline::NONE, request_id: "test".into() };
    let error = handler(invocation).await.unwrap_err();
    expect!["this is not an HTTP API event of payload format 2.0: missing field `version` at line 1 column 2"]
        .assert_eq(&error.to_string());
}

/// The paths under a key of a YAML file, as they are written here: one a line.
fn paths(file: &str, path_of: fn(&str) -> Option<&str>) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    text.lines().filter_map(path_of).map(str::to_owned).collect()
}

#[test]
fn the_paths_are_those_of_openapi_and_the_template() {
    let ours = Route::PATHS.map(str::to_owned).into();
    // What is posted, and the dashboard, are other functions'.
    let openapi = std::fs::read_to_string(root().join("docs/openapi.yaml")).unwrap();
    let read = openapi.split("\n  /").skip(1).filter(|path| path.contains("\n    get:\n"));
    let read = read.filter(|path| !path.starts_with("dashboard"));
    let read = read.map(|path| format!("/{}", path.split(':').next().unwrap())).collect::<BTreeSet<_>>();
    assert_eq!(read, ours);
    let template = paths("template.yaml", |line| {
        let (_, path) = line.split_once(" Path: ")?;
        let quoted = path.strip_prefix('"').and_then(|path| path.split('"').next());
        quoted.or_else(|| path.split([',', '}']).next())
    });
    assert!(ours.iter().all(|path| template.contains(path)), "{template:?}");
}
