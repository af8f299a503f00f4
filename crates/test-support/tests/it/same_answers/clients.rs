//! Clients that others wrote, on both brokers: what they see, and what they print, is the same.

use std::path::Path;
use std::process::Stdio;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};
use test_support::{kafka_tool, kcat, topic};
use tokio::process::Command;

use super::brokers;

fn services(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services").join(file)
}

fn client(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/same_answers/clients").join(file);
    path.display().to_string()
}

/// Runs a program of `tools.sh`, which must succeed, and returns what it printed.
async fn tool(arguments: &[&str]) -> String {
    let mut command = Command::new(services("tools.sh"));
    let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await.expect("tools.sh");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed ({}); it said:\n{said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Compares what a client prints of each broker, line by line.
async fn same(print: impl AsyncFn(&str, &str) -> String) -> Vec<String> {
    let [ours, kafka] = brokers().await;
    let suffix = topic("client");
    let (ours, kafka) = tokio::join!(print(&ours, &suffix), print(&kafka, &suffix));
    let [ours, kafka] = [ours, kafka].map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    for (number, (ours, kafka)) in ours.iter().zip(&kafka).enumerate() {
        assert_eq!(ours, kafka, "line {number}: ours, Kafka's");
    }
    assert_eq!(ours.len(), kafka.len());
    ours
}

fn is_done(lines: &[String]) -> bool {
    lines.last().is_some_and(|line| line == "done") && lines.iter().filter(|line| line.contains("zstd")).count() > 300
}

#[tokio::test]
async fn the_newest_librdkafka() {
    let script = client("librdkafka.py");
    let lines = same(async |servers, suffix| tool(&["kafka-python", &script, servers, suffix]).await).await;
    assert!(is_done(&lines), "{lines:?}");
}

#[tokio::test]
async fn kafka_python() {
    let script = client("kafka_python.py");
    let lines = same(async |servers, suffix| tool(&["kafka-python", &script, servers, suffix]).await).await;
    assert!(is_done(&lines), "{lines:?}");
}

#[tokio::test]
async fn franz_go() {
    let lines = same(async |servers, suffix| tool(&["franz", servers, suffix]).await).await;
    assert!(is_done(&lines), "{lines:?}");
}

/// Debian's kcat has librdkafka 2.0.2.
#[tokio::test]
async fn kcat_and_its_old_librdkafka() {
    let records: String = (0..200).map(|n| format!("key {n}:value {n}\n")).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), records).expect("records");
    let file = file.path().display().to_string();
    let lines = same(async |servers, suffix| {
        let mut all = String::new();
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let topic = format!("{suffix}-{codec}");
            let produce = ["-P", "-b", servers, "-t", &topic, "-K:", "-H", "a=b", "-z", codec, "-l", &file];
            let idempotent = ["-X", "enable.idempotence=true", "-X", "topic.partitioner=murmur2_random"];
            kcat(&[&produce[..], &idempotent].concat()).await;
            all +=
                &kcat(&["-C", "-b", servers, "-t", &topic, "-p", "0", "-e", "-q", "-f", "%t %p %o %h %k %s\n"]).await;
            all += &kcat(&["-C", "-b", servers, "-t", &topic, "-p", "1", "-o", "-5", "-e", "-q", "-f", "%p %o %s\n"])
                .await;
            all += &kcat(&["-Q", "-b", servers, "-t", &format!("{topic}:0:-1"), "-t", &format!("{topic}:0:-2")]).await;
        }
        // Which partition comes first is chance.
        let group = ["-b", servers, "-G", suffix, "-X", "auto.offset.reset=earliest", "-e", "-q", "-f", "%p %o %s\n"];
        let zstd = format!("{suffix}-zstd");
        let read = kcat(&[&group[..], &[zstd.as_str()]].concat()).await;
        let mut read: Vec<&str> = read.lines().collect();
        read.sort_unstable();
        all + &read.join("\n")
    })
    .await;
    // Of each codec one partition and five of the other, with two marks; and all of one again.
    assert!(lines.len() > 5 * 7 + 200 && lines.iter().any(|line| line.ends_with("value 199")), "{lines:?}");
}

/// The Java client, as Kafka's own programs use it.
#[tokio::test]
async fn java_and_its_console_tools() {
    let lines = same(async |servers, suffix| {
        let mut all = String::new();
        let server = ["--bootstrap-server", servers];
        let mut ran = async |class: &str, arguments: &[&str], input: &str| {
            all += &kafka_tool(class, &[&server[..], arguments].concat(), input).await;
        };
        const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
        const CONFIGS: &str = "kafka.admin.ConfigCommand";
        const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let create = ["--create", "--topic", suffix, "--partitions", "2", "--config", "retention.ms=86400000"];
        ran(TOPICS, &create, "").await;
        ran(TOPICS, &["--alter", "--topic", suffix, "--partitions", "3"], "").await;
        ran(TOPICS, &["--describe", "--topic", suffix], "").await;
        let records: String = (0..300).map(|n| format!("h:{n}\tkey {n}\tvalue {n}\n")).collect();
        let parse = ["--reader-property", "parse.key=true", "--reader-property", "parse.headers=true"];
        let produce = [&["--topic", suffix, "--compression-codec", "zstd"][..], &parse].concat();
        ran("org.apache.kafka.tools.ConsoleProducer", &produce, &records).await;
        let show = ["key", "headers", "partition", "offset"].map(|what| format!("print.{what}=true"));
        let show: Vec<&str> = show.iter().flat_map(|show| ["--formatter-property", show]).collect();
        let from = ["--topic", suffix, "--from-beginning", "--group", suffix, "--max-messages", "300"];
        ran("org.apache.kafka.tools.consumer.ConsoleConsumer", &[&from[..], &show].concat(), "").await;
        // Its keys go wherever chance will have it.
        let one = &format!("{suffix}-one");
        ran(TOPICS, &["--create", "--topic", one, "--partitions", "1"], "").await;
        let produce = ["--topic", one, "--max-messages", "50", "--acks", "-1"];
        ran("org.apache.kafka.tools.VerifiableProducer", &produce, "").await;
        let consume = ["--topic", one, "--group-id", one, "--max-messages", "50", "--reset-policy", "earliest"];
        ran("org.apache.kafka.tools.VerifiableConsumer", &consume, "").await;
        for time in ["earliest", "latest"] {
            ran("org.apache.kafka.tools.GetOffsetShell", &["--topic", suffix, "--time", time], "").await;
        }
        ran(GROUPS, &["--describe", "--group", suffix], "").await;
        ran(GROUPS, &["--reset-offsets", "--group", suffix, "--topic", suffix, "--to-earliest", "--execute"], "").await;
        ran(GROUPS, &["--delete", "--group", suffix], "").await;
        let configs = "max.message.bytes=100000,cleanup.policy=[compact,delete]";
        ran(CONFIGS, &["--alter", "--entity-type", "topics", "--entity-name", suffix, "--add-config", configs], "")
            .await;
        ran(CONFIGS, &["--describe", "--entity-type", "topics", "--entity-name", suffix], "").await;
        ran(TOPICS, &["--delete", "--topic", suffix], "").await;
        plain(&all, servers)
    })
    .await;
    let counted = lines.iter().filter(|line| line.contains("value 299") || line.contains("\"acked\":50")).count();
    assert_eq!(counted, 2, "{lines:?}");
}

/// What the tools print, without times and ids, and in one order: partitions come as chance will have it. Kafka tells more of a
/// partition than there is to tell here.
fn plain(text: &str, servers: &str) -> String {
    let strip = |line: &str| {
        let line = line.split("\tElr:").next().unwrap_or_default().replace(servers, "SERVERS");
        let words = line.split(['\t', ',']).filter(|word| {
            ["TopicId:", "{\"timestamp\"", "min.insync", "Configs: min.insync", "avg_throughput", "\"avg_throughput"]
                .iter()
                .all(|own| !word.trim_start().starts_with(own))
        });
        words.collect::<Vec<_>>().join(" ").replace("Configs: ", "")
    };
    let mut lines: Vec<String> = text.lines().map(strip).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[tokio::test]
async fn transactions_are_refused_by_name() {
    let [ours, _] = brokers().await;
    let refused = tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        let producer: BaseProducer =
            config.set("bootstrap.servers", &ours).set("transactional.id", "t").create().expect("a producer");
        producer.init_transactions(std::time::Duration::from_secs(60)).expect_err("there are none").to_string()
    });
    let refused = refused.await.expect("no panic");
    assert!(refused.contains("ransaction"), "{refused}");
}
