//! A record that can't be delivered, on real Kafka: seen, skipped and kept, under `trunkline up` and without it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use kafka_sink::Rejected;
use serde_json::Value;
use stream::KafkaPosition;
use telecom::{Day, Msisdn};
use test_support::eventually;
use usage_store::Store;

use crate::program::{PATIENCE, Program, without_log};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const TOPIC: &str = "cdr-voice";
const CALL: &str = r#"{"msisdn":"27820000001","tower_id":"7","call_type":"voice","dest_nr":"27820000002",
    "call_duration_sec":"60","start_time":"2024-03-05 10:00:00"}"#;

struct World {
    scratch: tempfile::TempDir,
    kafka: kafka_sink::Config,
    store: Store,
}

impl World {
    async fn start() -> Self {
        let (kafka, bucket, database, sftp) = tokio::join!(
            test_support::kafka(),
            test_support::object_store(),
            test_support::postgres_database(),
            test_support::sftp_server(),
        );
        let hash = http_api::auth::hash_password(&test_support::topic("password")).expect("a hash");
        let users = format!(r#"[{{"user":"nobody","password_hash":"{hash}","msisdns":"*"}}]"#);
        let lines = [
            ("KafkaBrokers", kafka.bootstrap_servers.as_str()),
            ("SftpHost", &sftp.host),
            ("SftpPort", &sftp.port.to_string()),
            ("SftpUser", &sftp.user),
            ("SftpPassword", sftp.password.expose()),
            ("SftpHostKey", &sftp.host_key),
            ("SftpRemotePath", sftp.remote_path),
            ("LakeBucket", &bucket.bucket),
            ("LakeEndpoint", &bucket.endpoint),
            ("LakeWindowSeconds", "1"),
            ("UsageStore", &database),
            ("DatabaseUrl", &database),
            ("ApiUsers", &users),
            ("AWS_REGION", &bucket.region),
            ("AWS_ACCESS_KEY_ID", &bucket.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose()),
        ];
        let scratch = tempfile::tempdir().expect("a folder");
        let lines = lines.map(|(name, value)| format!("{name}={value}\n")).concat();
        std::fs::write(scratch.path().join("parameters"), lines).expect("the parameters");
        std::fs::write(scratch.path().join("call"), CALL).expect("a call");
        std::fs::write(scratch.path().join("large"), vec![b' '; 6_000_000]).expect("a large record");
        let kafka = kafka_sink::Config::plaintext(&kafka.bootstrap_servers);
        let store = Store::connect(&database).expect("an address");
        let world = Self { scratch, kafka, store };
        assert!(world.trunkline(&["init"]).ends().success());
        world
    }

    fn trunkline(&self, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.args(args).arg("--template").arg(format!("{ROOT}/template.yaml"));
        command.arg("--parameters").arg(self.scratch.path().join("parameters"));
        Program::run(self.scratch.path(), &mut command)
    }

    /// `trunkline up`, and its address.
    fn up(&self) -> (Program, String) {
        let mut up = self.trunkline(&["up", "--listen", "127.0.0.1:0"]);
        let address = up.serves().strip_prefix("http://").expect("an HTTP address").to_owned();
        (up, address)
    }

    /// Writes these files' contents to partition 0, a record each. A broker's limit is on what is compressed.
    async fn produce(&self, files: &[&str]) {
        for file in files {
            let path: PathBuf = self.scratch.path().join(file);
            let limits = ["-z", "gzip", "-X", "message.max.bytes=20000000"];
            let to = ["-P", "-b", self.kafka.brokers(), "-t", TOPIC, "-p", "0"];
            test_support::kcat(&[&to[..], &limits, &[path.to_str().expect("a path")]].concat()).await;
        }
    }

    fn skip(&self, offset: i64) -> (bool, String) {
        let offset = offset.to_string();
        let mut skip = self.trunkline(&["skip", "--topic", TOPIC, "--partition", "0", "--offset", &offset]);
        let is_success = skip.ends().success();
        (is_success, without_log(&skip.printed()).trim_end().to_owned())
    }

    /// How many calls are counted.
    async fn calls(&self) -> u64 {
        let (day, msisdn) = (Day::parse("2024-03-05").expect("a day"), Msisdn::parse("27820000001").expect("a number"));
        let usage = self.store.usage_of(msisdn, day, day).await.expect("usage");
        usage.iter().map(|usage| usage.totals.events).sum()
    }

    async fn rejected(&self) -> Vec<Rejected<'static>> {
        let records = test_support::records(self.kafka.client(), self.kafka.rejected_topic()).await;
        records.iter().map(|record| Rejected::from_json(record.value()).expect("a rejected record")).collect()
    }
}

/// Status and JSON of an answer.
fn get(address: &str, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

/// The offsets at which functions stand still.
fn stops(address: &str) -> Vec<(String, i64)> {
    let (status, body) = get(address, "/health/mappings");
    let mut stops = Vec::new();
    for mapping in body["mappings"].as_array().expect("mappings") {
        for partition in mapping["partitions"].as_array().expect("partitions") {
            if let Some(offset) = partition["stop"]["offset"].as_i64() {
                stops.push((mapping["function"].as_str().expect("a name").to_owned(), offset));
            }
        }
    }
    assert!(stops.is_empty() || status == 503, "{status} {body}");
    stops
}

fn both_at(offset: i64) -> Vec<(String, i64)> {
    vec![("batch-aggregator".to_owned(), offset), ("lake-writer".to_owned(), offset)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_kept_and_passed_by_all_its_functions() {
    let world = World::start().await;
    let (up, address) = world.up();
    world.produce(&["call", "large", "call"]).await;
    eventually(PATIENCE, async || stops(&address) == both_at(1)).await;
    eventually(PATIENCE, async || world.calls().await == 1).await;
    let (status, body) = get(&address, "/health");
    assert_eq!((status, &body["status"]), (200, &Value::from("degraded")), "{body}");

    // What is not in anybody's way is not skipped.
    let (is_skipped, said) = world.skip(0);
    assert!(!is_skipped && said.contains("can't skip cdr-voice-0@0: this record can be delivered"), "{said}");
    let (is_skipped, said) = world.skip(7);
    assert!(!is_skipped && said.contains("there is no record"), "{said}");
    let elsewhere = ["skip", "--topic", "complaints", "--partition", "0", "--offset", "1"];
    let mut elsewhere = world.trunkline(&elsewhere);
    assert!(
        !elsewhere.ends().success()
            && elsewhere.printed().contains("no mapping of the template reads topic complaints")
    );
    assert_eq!((world.rejected().await.len(), stops(&address)), (0, both_at(1)));

    let (is_skipped, said) = world.skip(1);
    assert!(is_skipped, "{said}");
    for function in ["batch-aggregator", "lake-writer"] {
        assert!(said.contains(&format!("trunkline-{function}-cdr-voice goes on from 2")), "{said}");
    }
    eventually(PATIENCE, async || world.calls().await == 2).await;
    eventually(PATIENCE, async || get(&address, "/health/mappings").0 == 200).await;
    assert_eq!(get(&address, "/health").1["status"], "ok");
    let rejected = world.rejected().await;
    let place = |offset| Some(KafkaPosition { topic: TOPIC.into(), partition: 0, offset });
    assert_eq!((rejected.len(), &rejected[0].reason[..], rejected[0].truncated), (1, "undeliverable", true));
    assert_eq!((&rejected[0].kafka, rejected[0].raw.len()), (&place(1), 64 << 10));
    assert!(rejected[0].detail.contains("it makes an event of 8000"), "{}", rejected[0].detail);
    let (is_skipped, said) = world.skip(1);
    assert!(is_skipped && said.starts_with("Nothing to do: "), "{said}");
    assert_eq!(world.rejected().await.len(), 1);
    let mut load = world.trunkline(&["load", "--now"]);
    assert!(load.ends().success() && !load.printed().contains("not in the lake yet"), "{}", load.printed());

    // While nobody runs the functions: kill -9, which leaves the groups their members for a while.
    drop(up);
    world.produce(&["large", "call", "large"]).await;
    let (is_skipped, said) = world.skip(5);
    assert!(!is_skipped && said.contains("no mapping has come to cdr-voice-0@5 yet"), "{said}");
    let (is_skipped, said) = world.skip(3);
    assert!(is_skipped && said.contains("trunkline-lake-writer-cdr-voice goes on from 4"), "{said}");
    let (_up, address) = world.up();
    eventually(PATIENCE, async || world.calls().await == 3).await;
    eventually(PATIENCE, async || stops(&address) == both_at(5)).await;
    let mut offsets: Vec<_> =
        world.rejected().await.into_iter().filter_map(|rejected| Some(rejected.kafka?.offset)).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [1, 3]);
}
