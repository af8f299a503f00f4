//! The function as the service sees it: raw events in, raw answers out, onto a real topic.
#![expect(clippy::unwrap_used, reason = "a test ends where its setup fails")]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use expect_test::{Expect, expect};
use intake_http::{MAX_BODY_BYTES, MAX_ITEMS};
use kafka_sink::admin;
use lambda_boot::{Deadline, Handler, Invocation, Vars};
use serde_json::{Value, json};
use telecom::{Message, Zone};
use tokio::net::TcpSocket;

const PARTITIONS: i32 = 3;

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/intake-http")
}

fn event(name: &str) -> Value {
    let path = events().join(name).with_extension("json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The users of the events.
fn users() -> &'static str {
    let parameters = include_str!("../../../../events/usage-http/users.parameters");
    parameters.lines().find_map(|line| line.strip_prefix("ApiUsers=")).unwrap()
}

/// The function, and a topic of its own.
struct World {
    handler: Handler,
    kafka: kafka_sink::Config,
    topic: String,
}

impl World {
    async fn new() -> Self {
        let brokers = test_support::broker().await;
        let (kafka, topic) = (kafka_sink::Config::plaintext(brokers), test_support::topic("chat-messages"));
        admin::create_topics(&kafka, &[(&topic, PARTITIONS)]).await.unwrap();
        Self { handler: boot(brokers, &topic).await, kafka, topic }
    }

    async fn post(&self, event: &Value) -> Value {
        invoke(&self.handler, event, Deadline::NONE).await
    }

    /// Keys and values of the topic, by partition and offset.
    async fn published(&self) -> Vec<(String, Vec<u8>)> {
        let records = test_support::records(self.kafka.client(), &self.topic).await;
        records.iter().map(|record| (record.key().to_owned(), record.value().to_vec())).collect()
    }
}

async fn boot(brokers: &str, topic: &str) -> Handler {
    test_support::log();
    let vars: Vars =
        [("KAFKA_BROKERS", brokers), ("CHAT_MESSAGES_TOPIC", topic), ("API_USERS", users())].into_iter().collect();
    intake_http::boot(vars).await.unwrap()
}

async fn invoke(handler: &Handler, event: &Value, deadline: Deadline) -> Value {
    let invocation = Invocation { payload: Bytes::from(event.to_string()), deadline, request_id: "test".into() };
    serde_json::from_slice(&handler(invocation).await.unwrap()).unwrap()
}

/// The event with this body.
fn with_body(name: &str, body: String) -> Value {
    let mut event = event(name);
    event["body"] = body.into();
    event["isBase64Encoded"] = false.into();
    event
}

/// What documentation shows as JSON below a heading, on one line.
fn documented(text: &str, heading: &str) -> Vec<Value> {
    let (_, section) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n### ").next().unwrap();
    section
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn every_event_has_its_answer() {
    let world = World::new().await;
    let cases: [(&str, Expect); 12] = [
        (
            "message",
            expect![[r#"
            202 content-type: application/json
            {"accepted":1,"duplicates":0,"rejected":0,"items":[{"index":0,"message_id":"msg-0001-0001","status":"accepted"}]}"#]],
        ),
        (
            "array",
            expect![[r#"
            202 content-type: application/json
            {"accepted":3,"duplicates":0,"rejected":0,"items":[{"index":0,"message_id":"msg-0001-0001","status":"accepted"},{"index":1,"message_id":"msg-0001-0002","status":"accepted"},{"index":2,"message_id":"msg-0001-0003","status":"accepted"}]}"#]],
        ),
        (
            "ndjson",
            expect![[r#"
            202 content-type: application/json
            {"accepted":3,"duplicates":0,"rejected":0,"items":[{"index":0,"message_id":"msg-0001-0001","status":"accepted"},{"index":1,"message_id":"msg-0001-0002","status":"accepted"},{"index":2,"message_id":"msg-0001-0003","status":"accepted"}]}"#]],
        ),
        (
            "some-unusable",
            expect![[r#"
                202 content-type: application/json
                {"accepted":1,"duplicates":1,"rejected":3,"items":[{"index":0,"message_id":"msg-0001-0004","status":"accepted"},{"index":1,"message_id":"msg-0001-0005","status":"rejected","reason":"bad_time","detail":"message_date: it does not begin with a date as YYYY-MM-DD; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset"},{"index":2,"message_id":"msg-0001-0006","status":"rejected","reason":"missing_field","detail":"room_id is missing"},{"index":3,"status":"rejected","reason":"bad_json","detail":"the message is not a JSON object with each field once"},{"index":4,"message_id":"msg-0001-0004","status":"duplicate","detail":"item 0 has this message_id, and is kept"}]}"#]],
        ),
        (
            "none-usable",
            expect![[r#"
                400 content-type: application/problem+json
                {"type":"urn:trunkline:problem:no-usable-message","title":"No message can be used","status":400,"detail":"none of the 2 items can be used: items says why","accepted":0,"duplicates":0,"rejected":2,"items":[{"index":0,"message_id":"msg-0001-0005","status":"rejected","reason":"bad_time","detail":"message_date: it does not begin with a date as YYYY-MM-DD; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset"},{"index":1,"message_id":"msg-0001-0006","status":"rejected","reason":"missing_field","detail":"room_id is missing"}]}"#]],
        ),
        (
            "malformed",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:malformed-body","title":"The body can't be read","status":400,"detail":"the body is neither a JSON object, nor an array of them, nor one a line: see line 1 column 43"}"#]],
        ),
        (
            "no-message",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:malformed-body","title":"The body can't be read","status":400,"detail":"there is no message in the body: send at least one"}"#]],
        ),
        (
            "form",
            expect![[r#"
            415 accept-post: application/json, application/x-ndjson, content-type: application/problem+json
            {"type":"urn:trunkline:problem:unsupported-media-type","title":"The body has an unknown media type","status":415,"detail":"send JSON as application/json, or an object a line as application/x-ndjson"}"#]],
        ),
        (
            "no-credentials",
            expect![[r#"
            401 content-type: application/problem+json, www-authenticate: Basic realm="trunkline", charset="UTF-8"
            {"type":"urn:trunkline:problem:unauthorized","title":"Credentials are missing or wrong","status":401,"detail":"send the name and password of an API user by HTTP basic authentication"}"#]],
        ),
        (
            "may-not-post",
            expect![[r#"
            403 content-type: application/problem+json
            {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"this user may only read: send as a user with \"may_post\""}"#]],
        ),
        (
            "too-many",
            expect![[r#"
            413 content-type: application/problem+json
            {"type":"urn:trunkline:problem:too-large","title":"The request is too large","status":413,"detail":"the body has 5001 messages and at most 5000 are taken: send them in parts"}"#]],
        ),
        (
            "method-not-allowed",
            expect![[r#"
            405 allow: POST, content-type: application/problem+json
            {"type":"urn:trunkline:problem:method-not-allowed","title":"This method is not allowed here","status":405,"detail":"messages can only be sent: use POST"}"#]],
        ),
    ];
    let files = std::fs::read_dir(events()).unwrap();
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "json"));
    assert_eq!(files.count(), cases.len(), "a case for every event");
    for (name, expect) in cases {
        let answer = world.post(&event(name)).await;
        expect.assert_eq(&test_support::shown_answer(&answer));
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        if let Some(kind) = body["type"].as_str() {
            let row = format!("| {} | `{}` |", body["status"], kind.rsplit(':').next().unwrap());
            assert!(include_str!("../../../../docs/api.md").contains(&row), "docs/api.md has no {row}");
            let openapi = include_str!("../../../../docs/openapi.yaml");
            assert!(openapi.contains(&format!("- {kind}\n")), "docs/openapi.yaml has no {kind}");
        }
    }
}

/// The project's `cases/api`.
#[tokio::test]
async fn what_was_once_unclear_is_said() {
    let world = World::new().await;
    let cases: [(&str, Expect); 4] = [
        (
            "nul",
            expect![[r#"
            202 content-type: application/json
            {"accepted":1,"duplicates":0,"rejected":1,"items":[{"index":0,"message_id":"n-1","status":"rejected","reason":"control_character","detail":"message_text contains a control character"},{"index":1,"message_id":"n-2","status":"accepted"}]}"#]],
        ),
        (
            "numbers",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:no-usable-message","title":"No message can be used","status":400,"detail":"none of the 2 items can be used: items says why","accepted":0,"duplicates":0,"rejected":2,"items":[{"index":0,"message_id":"k-1","status":"rejected","reason":"not_text","detail":"room_id is not text: write it in quotes"},{"index":1,"message_id":"k-2","status":"rejected","reason":"not_text","detail":"customer_id is not text: write it in quotes"}]}"#]],
        ),
        (
            "surrogate",
            expect![[r#"
            400 content-type: application/problem+json
            {"type":"urn:trunkline:problem:no-usable-message","title":"No message can be used","status":400,"detail":"none of the 1 items can be used: items says why","accepted":0,"duplicates":0,"rejected":1,"items":[{"index":0,"message_id":"s-1","status":"rejected","reason":"half_character","detail":"message_text contains half a character: an escape from \\ud800 to \\udfff stands alone; write both halves, or the character"}]}"#]],
        ),
        (
            "twice",
            expect![[r#"
            202 content-type: application/json
            {"accepted":2,"duplicates":1,"rejected":0,"items":[{"index":0,"message_id":"d-1","status":"accepted"},{"index":1,"message_id":"d-2","status":"accepted"},{"index":2,"message_id":"d-1","status":"duplicate","detail":"item 0 has this message_id, and is kept"}]}"#]],
        ),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/api");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), cases.len(), "a case for every file");
    for (name, expect) in cases {
        let body = std::fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
        expect.assert_eq(&test_support::shown_answer(&world.post(&with_body("array", body)).await));
    }
}

#[tokio::test]
async fn a_request_that_comes_twice_is_the_same_messages_twice() {
    let world = World::new().await;
    let first = world.post(&event("array")).await;
    let messages = world.published().await;
    assert_eq!(world.post(&event("array")).await, first);
    assert_eq!(world.published().await, [messages.clone(), messages.clone()].concat(), "in the room's order");

    let sent: Vec<Value> = serde_json::from_str(event("array")["body"].as_str().unwrap()).unwrap();
    for ((key, value), sent) in messages.iter().zip(&sent) {
        assert_eq!(key, sent["room_id"].as_str().unwrap(), "a room's messages keep their order");
        let expected = Message::parse(sent.to_string().as_bytes(), &Zone::default()).unwrap();
        assert_eq!(Message::parse(value, &Zone::default()), Ok(expected));
    }
    expect![[r#"{"message_id":"msg-0001-0003","room_id":"room-0001","room_created_at":"2024-01-01 08:00:00","channel":"whatsapp","customer_id":"cust-000017","customer_name":"Thandi Nkosi","phone":"+27821234567","sender_type":"customer","message_text":"Thank you!\nIt was 2 GB.","message_date":"2024-01-01 08:05:30.250000"}"#]].assert_eq(str::from_utf8(&messages[2].1).unwrap());
}

#[tokio::test]
async fn what_is_refused_is_on_no_topic() {
    let world = World::new().await;
    for name in ["none-usable", "malformed", "no-credentials", "may-not-post", "too-many", "form"] {
        world.post(&event(name)).await;
    }
    assert!(world.published().await.is_empty());
    let answer = world.post(&event("some-unusable")).await;
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["accepted"], world.published().await.len());
}

#[tokio::test]
async fn the_limits_are_what_they_say() {
    let world = World::new().await;
    let message: Value = serde_json::from_str(event("message")["body"].as_str().unwrap()).unwrap();
    let lines: String = (0..MAX_ITEMS)
        .map(|number| {
            let mut message = message.clone();
            message["message_id"] = format!("{number:0>50}").into();
            message.to_string() + "\n"
        })
        .collect();
    let answer = world.post(&with_body("ndjson", lines.clone())).await;
    assert_eq!(answer["statusCode"], 202);
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!([&body["accepted"], &body["rejected"]], [MAX_ITEMS, 0]);
    assert_eq!(world.published().await.len(), MAX_ITEMS);

    let mut padded = message.to_string();
    padded.extend(std::iter::repeat_n(' ', MAX_BODY_BYTES - padded.len()));
    assert_eq!(world.post(&with_body("message", padded.clone())).await["statusCode"], 202);
    expect![[r#"
        413 content-type: application/problem+json
        {"type":"urn:trunkline:problem:too-large","title":"The request is too large","status":413,"detail":"the body has 4194305 bytes and at most 4194304 are taken: send it in parts"}"#]].assert_eq(&test_support::shown_answer(&world.post(&with_body("message", padded + " ")).await));
}

#[tokio::test]
async fn kafka_that_is_down_is_a_503_in_time() {
    // An address that nobody listens on, and nobody else can take.
    let address = TcpSocket::new_v4().unwrap();
    address.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let handler = boot(&address.local_addr().unwrap().to_string(), "chat-messages").await;
    let deadline = Deadline::after(Duration::from_secs(1));
    let answer = invoke(&handler, &event("array"), deadline).await;
    expect![[r#"
        503 content-type: application/problem+json, retry-after: 5
        {"type":"urn:trunkline:problem:unavailable","title":"Messages can't be taken just now","status":503,"detail":"messages can't be taken just now: send all of them again in 5 seconds; those that did arrive are known by their message_id"}"#]].assert_eq(&test_support::shown_answer(&answer));
    assert!(deadline.remaining().is_some_and(|left| !left.is_zero()));
    // What needs no Kafka is still answered.
    assert_eq!(invoke(&handler, &event("none-usable"), deadline).await["statusCode"], 400);
}

#[tokio::test]
async fn the_documented_answers_are_the_real_ones() {
    let world = World::new().await;
    let shown = documented(include_str!("../../../../docs/api.md"), "### `POST /messages`");
    let [request, answer, refused] = &shown[..] else { panic!("{} documented bodies", shown.len()) };
    let real = world.post(&with_body("array", request.to_string())).await;
    assert_eq!(real["statusCode"], 202);
    assert_eq!(serde_json::from_str::<Value>(real["body"].as_str().unwrap()).unwrap(), *answer);
    let real = world.post(&with_body("array", json!([request[1]]).to_string())).await;
    assert_eq!(serde_json::from_str::<Value>(real["body"].as_str().unwrap()).unwrap(), *refused);
}

#[tokio::test]
async fn a_request_is_one_line_of_the_log_without_what_was_said_and_by_whom() {
    let world = World::new().await;
    for name in ["some-unusable", "none-usable", "malformed", "no-credentials", "may-not-post"] {
        let mut event = event(name);
        event["requestContext"]["requestId"] = format!("logged-{name}").into();
        world.post(&event).await;
    }
    let lines = test_support::log().text();
    for secret in ["2782123", "Thandi", "bundle", "this morning", "example-password", "Basic ", "argon2"] {
        assert!(!lines.contains(secret), "{secret} is in the log:\n{lines}");
    }
    let lines = lines.lines().filter(|line| line.contains("\"logged-")).map(|line| {
        let mut line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        assert!(line.remove("duration_ms").is_some_and(|it| it.is_u64()));
        serde_json::to_string(&line).unwrap() + "\n"
    });
    expect![[r#"
        {"http.body_bytes":1213,"http.method":"POST","http.request_id":"logged-some-unusable","http.route":"/messages","http.status":202,"level":"INFO","message":"answered","messages.accepted":1,"messages.duplicates":1,"messages.rejected":3,"user":"example"}
        {"http.body_bytes":572,"http.method":"POST","http.request_id":"logged-none-usable","http.route":"/messages","http.status":400,"level":"INFO","message":"answered","messages.accepted":0,"messages.duplicates":0,"messages.rejected":2,"problem":"no-usable-message","user":"example"}
        {"http.body_bytes":43,"http.method":"POST","http.request_id":"logged-malformed","http.route":"/messages","http.status":400,"level":"INFO","message":"answered","problem":"malformed-body","user":"example"}
        {"http.body_bytes":343,"http.method":"POST","http.request_id":"logged-no-credentials","http.route":"/messages","http.status":401,"level":"INFO","message":"answered","problem":"unauthorized"}
        {"http.body_bytes":343,"http.method":"POST","http.request_id":"logged-may-not-post","http.route":"/messages","http.status":403,"level":"INFO","message":"answered","problem":"out-of-scope","user":"shop"}
    "#]].assert_eq(&lines.collect::<String>());
}

#[tokio::test]
async fn other_events_fail_the_invocation() {
    let handler = boot("127.0.0.1:1", "chat-messages").await;
    let invocation =
        Invocation { payload: Bytes::from_static(b"{}"), deadline: Deadline::NONE, request_id: "test".into() };
    let error = handler(invocation).await.unwrap_err();
    expect!["this is not an HTTP API event of payload format 2.0: missing field `version` at line 1 column 2"]
        .assert_eq(&error.to_string());
}
