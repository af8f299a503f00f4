//! The whole path on the services that operators have: three Kafka brokers with SASL and TLS, OpenSSH's server, Cassandra,
//! PostgreSQL and an S3 server; files by OpenSSH's client, records read by kcat.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use generator::Manifest;
use serde_json::Value;
use test_support::{Bucket, Cassandra, Kafka, Line, Proxy, Sshd, eventually};

use crate::program::{PATIENCE, Program, without_log};

/// Simulated seconds, with a row of each type in each: 40,000 rows.
const SECONDS: &str = "20000";

/// A file is taken when it has not changed for this long.
const SETTLE: Duration = Duration::from_secs(1);

/// Somewhere in the files.
const CUT_AFTER_BYTES: u64 = 100_000;

/// Where they are, and the parameters beside them, in the scratch folder.
const FILES: &str = "cdr";
const PARAMETERS: &str = "trunkline.parameters";

const USER: &str = "verifier";

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// An operator's services, and the files that go there.
struct World {
    scratch: tempfile::TempDir,
    kafka: Kafka,
    cassandra: Cassandra,
    sshd: Sshd,
    /// Between `sftp-poll` and `sshd`.
    line: Proxy,
    /// The warehouse.
    database: String,
    manifest: Manifest,
    password: String,
}

impl World {
    async fn start() -> Self {
        let (kafka, cassandra, sshd, bucket, database) = tokio::join!(
            test_support::kafka_of_its_own(),
            test_support::cassandra_of_its_own(),
            test_support::sshd(),
            test_support::object_store(),
            test_support::postgres_database(),
        );
        let line = test_support::proxy(format!("{}:{}", sshd.host, sshd.port), Line::default()).await;
        let scratch = tempfile::tempdir().expect("a folder");
        let generate = ["generate", "cdr", "--to-folder", FILES, "--seconds", SECONDS];
        let faults = ["--subscribers", "300", "--faults", "0.05"];
        succeeds(&mut Program::start(scratch.path(), &[&generate[..], &faults].concat()));
        let manifest = std::fs::read(scratch.path().join(FILES).join("faults.json")).expect("what was generated");
        let manifest = serde_json::from_slice(&manifest).expect("JSON");
        let password = test_support::topic("password");
        let world = Self { scratch, kafka, cassandra, sshd, line, database, manifest, password };
        std::fs::write(world.scratch.path().join(PARAMETERS), world.parameters(&bucket)).expect("the parameters");
        world
    }

    /// What an operator writes down once.
    fn parameters(&self, bucket: &Bucket) -> String {
        let Self { kafka, cassandra, sshd, line, database, .. } = self;
        let hash = http_api::auth::hash_password(&self.password).expect("a hash");
        let lines = [
            ("KafkaBrokers", kafka.sasl_bootstrap_servers.clone()),
            ("KafkaSaslMechanism", "SCRAM-SHA-512".to_owned()),
            ("KafkaSaslUsername", kafka.user.clone()),
            ("KafkaSaslPassword", kafka.password.expose().to_owned()),
            ("KafkaTlsCa", kafka.ca_pem.display().to_string()),
            ("SftpHost", line.host.clone()),
            ("SftpPort", line.port.to_string()),
            ("SftpUser", sshd.user.clone()),
            ("SftpPassword", sshd.password.expose().to_owned()),
            ("SftpHostKey", sshd.host_keys[0].clone()),
            // Polls are called by hand.
            ("SftpLookSeconds", "0".to_owned()),
            ("SftpRemotePath", sshd.remote_path.clone()),
            ("SftpSettleSeconds", SETTLE.as_secs().to_string()),
            ("SftpLastLineSeconds", SETTLE.as_secs().to_string()),
            ("LakeBucket", bucket.bucket.clone()),
            ("LakeEndpoint", bucket.endpoint.clone()),
            ("LakeWindowSeconds", "1".to_owned()),
            ("UsageStore", format!("scylla://{}/trunkline", cassandra.address)),
            ("DatabaseUrl", database.clone()),
            ("ApiUsers", format!(r#"[{{"user":"{USER}","password_hash":"{hash}","msisdns":"*"}}]"#)),
            ("AWS_REGION", bucket.region.clone()),
            ("AWS_ACCESS_KEY_ID", bucket.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose().to_owned()),
        ];
        lines.map(|(name, value)| format!("{name}={value}\n")).concat()
    }

    /// Runs `trunkline` on these services.
    fn trunkline(&self, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.args(args).arg("--template").arg(format!("{ROOT}/template.yaml"));
        command.arg("--parameters").arg(self.scratch.path().join(PARAMETERS));
        Program::run(self.scratch.path(), command.env("TRUNKLINE_API_PASSWORD", &self.password))
    }

    /// `trunkline up`, serving, and where. Dropping it is kill -9.
    fn up(&self) -> (Program, String) {
        let mut up = self.trunkline(&["up", "--listen", "127.0.0.1:0"]);
        let url = up.serves();
        (up, url)
    }

    /// What the schedule does once a minute.
    fn poll(&self) -> Program {
        self.trunkline(&["invoke", "sftp-poll", &format!("{ROOT}/events/sftp-poll/schedule.json")])
    }

    /// Files in the order of their delivery.
    fn files(&self) -> Vec<&str> {
        self.manifest.files.iter().map(|file| file.name.as_str()).collect()
    }

    /// Delivers files with OpenSSH's client; returns when `sftp-poll` may take them.
    async fn put(&self, files: &[&str]) {
        let folder = self.scratch.path().join(FILES);
        let puts: Vec<String> = files.iter().map(|name| format!("put {}/{name}\n", folder.display())).collect();
        self.sshd.sftp(&puts.concat()).await;
        let is_settled = |name: &&str| {
            let changed = std::fs::metadata(self.sshd.upload().join(name)).and_then(|file| file.modified());
            changed.expect("a delivered file").elapsed().is_ok_and(|age| age > 2 * SETTLE)
        };
        eventually(PATIENCE, async || files.iter().all(is_settled)).await;
    }

    /// Every service is as the functions need it.
    fn is_well(&self) {
        let printed = succeeds(&mut self.trunkline(&["check"]));
        assert!(printed.lines().all(|line| line.starts_with("ok ")), "{printed}");
        for found in ["13 consumer groups may read and commit", "(If-None-Match, If-Match)", "the cluster answers"] {
            assert!(printed.contains(found), "{found} in {printed}");
        }
        let status = succeeds(&mut self.trunkline(&["status", "--check"]));
        assert!(status.ends_with("Needs a person\n  nothing\n"), "{status}");
    }

    /// Files have landed, and nobody runs the functions.
    fn nobody_reads(&self) {
        let mut status = self.trunkline(&["status", "--check"]);
        assert_eq!(status.ends().code(), Some(1), "{}", status.printed());
        let needs = "nobody reads as trunkline-file-to-topic-landed-files";
        assert!(status.printed().contains(needs), "{}", status.printed());
    }

    /// One look finds what is wrong with each service, and says which parameter to mend.
    fn faults_are_named(&self) {
        let wrong_database = self.database.replacen("://", "://nobody:", 1);
        let wrong = [
            ("KafkaSaslPassword=wrong".to_owned(), "KAFKA_SASL_PASSWORD"),
            ("SftpPassword=wrong".to_owned(), "SFTP_PASSWORD"),
            ("LakeBucket=nowhere".to_owned(), "LAKE_BUCKET"),
            (format!("UsageStore=scylla://{}/nowhere", self.cassandra.address), "trunkline init"),
            (format!("DatabaseUrl={wrong_database}"), "DATABASE_URL"),
        ];
        let mut args = vec!["check", "--json", "--parameter-overrides"];
        args.extend(wrong.iter().map(|(parameter, _)| parameter.as_str()));
        let mut check = self.trunkline(&args);
        assert_eq!(check.ends().code(), Some(1), "{}", check.printed());
        let printed = check.printed();
        let json = printed.rsplit_once("trunkline: ").map_or(printed.as_str(), |(json, _)| json);
        let report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {printed}"));
        assert_eq!(report["ok"], false);
        let services = report["services"].as_array().expect("services").iter();
        let findings = services.flat_map(|service| service["findings"].as_array().expect("findings"));
        let faults: Vec<_> = findings.filter(|finding| finding["ok"] == false).collect();
        for (parameter, remedy) in &wrong {
            let is_named = faults.iter().any(|fault| fault["message"].as_str().is_some_and(|it| it.contains(remedy)));
            assert!(is_named, "{remedy} for {parameter} in {printed}");
        }
        // Nothing waits for ever, and `up` says at its start what is wrong with a database.
        let nobody = ["init", "--timeout", "1", "--parameter-overrides", "KafkaBrokers=127.0.0.1:1"];
        let mut init = self.trunkline(&nobody);
        assert!(
            !init.ends().success() && init.printed().contains("within 1 s: check KAFKA_BROKERS"),
            "{}",
            init.printed()
        );
        let wrong = format!("DatabaseUrl={wrong_database}");
        let mut up = self.trunkline(&["up", "--listen", "127.0.0.1:0", "--parameter-overrides", &wrong]);
        up.until_printed("it misses the warehouse", |printed| printed.find("the warehouse failed"));
    }

    /// Waits until the API's answers for every subscriber are those that a second count of these files gives, and each of their
    /// rows is accounted for.
    fn verified(&self, url: &str, files: &[&str]) {
        let paths: Vec<String> = files.iter().map(|name| format!("{FILES}/{name}")).collect();
        let args: Vec<&str> = ["verify", "--files", "--user", USER, "--url", url]
            .into_iter()
            .chain(paths.iter().map(String::as_str))
            .collect();
        let began = Instant::now();
        loop {
            let mut verify = self.trunkline(&args);
            if verify.ends().success() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{}", verify.printed());
        }
    }

    /// Every record of a topic: key and value. Without encryption: librdkafka before 2.6.1, which many a kcat has, can't log in by
    /// SCRAM at brokers of today.
    async fn records(&self, topic: &str) -> Vec<(String, Value)> {
        let brokers = &self.kafka.bootstrap_servers;
        let args = ["-C", "-q", "-e", "-o", "beginning", "-b", brokers, "-t", topic, "-f", "%k %s\n"];
        let printed = test_support::kcat(&args).await;
        let record = |line: &str| {
            let (key, value) = line.split_once(' ').expect("a key and a value");
            (key.to_owned(), serde_json::from_str(value).expect("JSON"))
        };
        printed.lines().map(record).collect()
    }

    /// The records that kcat reads are these files' rows: on the right topic, under the subscriber's key, each accepted row
    /// (at least) once, and each rejected one in `rejected`.
    async fn rows_are_records(&self, files: &[&str], is_each_once: bool) {
        let manifest = self.manifest.files.iter().filter(|file| files.contains(&file.name.as_str()));
        let expected: BTreeMap<&str, u32> =
            manifest.clone().filter(|file| file.good > 0).map(|file| (file.name.as_str(), file.good)).collect();
        let mut rows: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut records = 0;
        for (topic, prefix) in [("cdr-data", "cdr_data_"), ("cdr-voice", "cdr_voice_")] {
            for (key, value) in self.records(topic).await {
                let text = |field: &str| value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"));
                let file = text("_source_file");
                assert!(file.starts_with(prefix), "{value} on {topic}");
                assert_eq!(key, text("msisdn").trim().trim_start_matches("00").trim_start_matches('+'), "{value}");
                rows.entry(file.to_owned()).or_default().insert(value["_source_line"].as_u64().expect("a line"));
                records += 1;
            }
        }
        let found: BTreeMap<&str, u32> =
            rows.iter().map(|(name, lines)| (name.as_str(), u32::try_from(lines.len()).expect("rows"))).collect();
        assert_eq!(found, expected);
        assert!(!is_each_once || records == expected.values().sum::<u32>(), "{records} records");

        // A file that was delivered twice has one identity and two names.
        let rejected = self.records("rejected").await.into_iter();
        let rejected: BTreeMap<(String, String), Value> =
            rejected.map(|(key, value)| ((key, value["file"]["name"].to_string()), value)).collect();
        let rejected: u64 = rejected.values().map(|value| value["rows"].as_u64().expect("rows")).sum();
        assert_eq!(rejected, manifest.map(|file| u64::from(file.rows - file.good)).sum::<u64>());
    }

    /// After a load, each distinct row that was accepted is in the warehouse once, and its usage in the models.
    async fn is_loaded(&self) {
        succeeds(&mut self.trunkline(&["load", "--now"]));
        let names = postgres_pool::Names { variable: "DATABASE_URL", service: "the warehouse" };
        let pool = postgres_pool::Pool::new(&self.database, names).expect("an address");
        let sql = "SELECT (SELECT count(*) FROM cdr_data.data) + (SELECT count(*) FROM cdr_data.voice),
                          (SELECT sum(events)::bigint FROM prepared_layers.daily_usage),
                          (SELECT count(*) FROM ops.layer_audit WHERE NOT is_balanced)";
        let rows = pool.query(sql, &[]).await.expect("rows");
        let distinct = self.manifest.files.iter().filter(|file| file.duplicate_of.is_none());
        let accepted: i64 = distinct.map(|file| i64::from(file.good)).sum();
        assert_eq!([0, 1, 2].map(|column| rows[0].get::<_, i64>(column)), [accepted, accepted, 0]);
    }

    /// How many records there are for the aggregator.
    async fn rows_published(&self) -> u64 {
        let mut args = vec!["-Q".to_owned(), "-b".to_owned(), self.kafka.bootstrap_servers.clone()];
        for topic in ["cdr-data", "cdr-voice"] {
            args.extend((0..3).flat_map(|partition| ["-t".to_owned(), format!("{topic}:{partition}:-1")]));
        }
        let printed = test_support::kcat(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let end = |line: &str| line.rsplit_once(' ').and_then(|(_, end)| end.parse::<u64>().ok());
        printed.lines().map(|line| end(line).unwrap_or_else(|| panic!("no offset in {line}"))).sum()
    }
}

/// What a program that succeeds prints for people, without its log.
fn succeeds(program: &mut Program) -> String {
    without_log(&program.succeeds())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_become_the_apis_answers_whatever_breaks_on_the_way() {
    let world = World::start().await;
    let first = succeeds(&mut world.trunkline(&["init"]));
    assert_eq!(succeeds(&mut world.trunkline(&["init"])), first);
    world.is_well();
    world.faults_are_named();
    let files = world.files();
    let (before, during) = files.split_at(files.len() / 2);

    // Nothing breaks.
    world.put(before).await;
    succeeds(&mut world.poll());
    world.nobody_reads();
    let (up, url) = world.up();
    world.verified(&url, before);
    world.rows_are_records(before, true).await;
    drop(up);

    // Everything breaks, each in the middle of the work: first the line to the SFTP server.
    world.put(during).await;
    world.line.cut_after(CUT_AFTER_BYTES);
    let mut cut = world.poll();
    assert!(!cut.ends().success(), "the line was to be cut: {}", cut.printed());
    let rows = world.rows_published().await;
    let (up, _) = world.up();
    eventually(PATIENCE, async || world.rows_published().await > rows).await;
    world.kafka.kill_broker(1).await;
    world.cassandra.kill().await;
    drop(up);
    let (mut up, url) = world.up();
    up.until_printed("its aggregator misses Cassandra", |printed| printed.find("its batch is repeated"));
    world.cassandra.start().await;
    world.verified(&url, &files);
    world.kafka.start_broker(1).await;
    world.rows_are_records(&files, false).await;
    world.is_loaded().await;
}
