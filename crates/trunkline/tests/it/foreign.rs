//! Templates of other projects, and the functions' Invoke API.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::FutureExt as _;
use local_runtime::{InProcess, InProcessFunction, Invocation, Options, Parameters, Runtime, Template};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::program::{PATIENCE, Program};
use crate::world::ROOT;

/// Functions of somebody else, behind an Invoke API, that remember the records' values.
struct Functions {
    runtime: Runtime,
    values: Arc<Mutex<Vec<String>>>,
}

impl Functions {
    async fn start(names: &[&str]) -> Self {
        let values: Arc<Mutex<Vec<String>>> = Arc::default();
        let remember = {
            let values = Arc::clone(&values);
            move |invocation: Invocation| {
                let event: Value = serde_json::from_slice(&invocation.payload).expect("JSON");
                let batches = event["records"].as_object().expect("records").values();
                let records = batches.flat_map(|records| records.as_array().expect("records").clone());
                let texts = records.map(|record| STANDARD.decode(record["value"].as_str().expect("text")));
                let texts = texts.map(|text| String::from_utf8(text.expect("base64")).expect("UTF-8"));
                values.lock().expect("a lock").extend(texts);
                async { Ok(Bytes::from_static(b"null")) }.boxed()
            }
        };
        let remember: InProcessFunction = Arc::new(remember);
        let functions = names.iter().map(|name| ((*name).to_owned(), Arc::clone(&remember)));
        let resource = |name: &&str| format!("  {name}: {{Type: AWS::Lambda::Function, Properties: {{Runtime: x}}}}\n");
        let template = format!("Resources:\n{}", names.iter().map(resource).collect::<String>());
        let template = Template::parse(&template, &Parameters::new()).expect("a template");
        let options = Options { invoke_api: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..Options::default() };
        let runtime = Runtime::start(&template, Arc::new(InProcess::new(functions)), options).await.expect("started");
        Self { runtime, values }
    }

    fn url(&self) -> String {
        format!("http://{}", self.runtime.invoke_api_addr().expect("an address"))
    }

    /// All values so far are these, each once.
    fn got(&self, wanted: &[&str]) -> Option<()> {
        let values = self.values.lock().expect("a lock");
        let all: BTreeSet<_> = values.iter().map(String::as_str).collect();
        (all == wanted.iter().copied().collect() && values.len() == wanted.len()).then_some(())
    }
}

async fn topic_with(brokers: &str, value: &str) -> String {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers);
    let topic = test_support::topic("foreign");
    let admin: AdminClient<_> = client.create().expect("a client");
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    admin.create_topics([&new], &AdminOptions::new()).await.expect("created").remove(0).expect("created");
    let producer: FutureProducer = client.create().expect("a producer");
    let record = FutureRecord::<str, str>::to(&topic).payload(value);
    producer.send(record, PATIENCE).await.map_err(|(error, _)| error).expect("sent");
    topic
}

fn up(scratch: &Path, more: &[&str]) -> Program {
    let listen = ["up", "--template", "other.yaml", "--listen", "127.0.0.1:0"];
    Program::start(scratch, &[&listen[..], more].concat())
}

fn write(scratch: &Path, text: &str) {
    // As editors do: never half of it.
    std::fs::write(scratch.join("other.new"), text).expect("written");
    std::fs::rename(scratch.join("other.new"), scratch.join("other.yaml")).expect("renamed");
}

/// A self-managed event, one of MSK, and CloudFormation's own mapping; nothing of this has a variable KAFKA_BROKERS.
fn three_mappings(brokers: &str, [event, msk, resource]: [&str; 3]) -> String {
    format!(
        "Transform: AWS::Serverless-2016-10-31
Resources:
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      Handler: x
      Runtime: python3.13
      Events:
        Records:
          Type: SelfManagedKafka
          Properties: {{KafkaBootstrapServers: ['{brokers}'], Topics: [{event}], ConsumerGroupId: g-{event}, StartingPosition: TRIM_HORIZON}}
        Managed:
          Type: MSK
          Properties: {{Stream: 'arn:aws:kafka:us-east-1:123456789012:cluster/c/1', Topics: [{msk}], ConsumerGroupId: g-{msk}, StartingPosition: TRIM_HORIZON}}
  Plain: {{Type: AWS::Lambda::Function, Properties: {{Handler: x, Runtime: python3.13, Role: r, Code: {{ZipFile: ''}}}}}}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref Plain
      SelfManagedEventSource: {{Endpoints: {{KafkaBootstrapServers: ['{brokers}']}}}}
      SelfManagedKafkaEventSourceConfig: {{ConsumerGroupId: g-{resource}}}
      Topics: [{resource}]
      StartingPosition: TRIM_HORIZON
  Gateway: {{Type: AWS::Serverless::Api, Properties: {{StageName: prod}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kafka_mapping_of_another_project_is_run_and_run_anew_when_it_changes() {
    let (brokers, scratch) = (test_support::broker().await, tempfile::tempdir().expect("a folder"));
    let functions = Functions::start(&["Fn", "Plain"]).await;
    let topics = [topic_with(brokers, "a").await, topic_with(brokers, "b").await, topic_with(brokers, "c").await];
    let template = three_mappings(brokers, [&topics[0], &topics[1], &topics[2]]);
    write(scratch.path(), &template);
    let managed = format!("Managed={brokers}");
    let mut up = up(scratch.path(), &["--invoke", &functions.url(), "--brokers", &managed, "--watch"]);
    up.until("the three records are delivered", || functions.got(&["a", "b", "c"]));
    assert!(up.printed().contains("line 24: Gateway"), "{}", up.printed());

    write(scratch.path(), &template.replace("Topics: [", "Topic: ["));
    up.until_printed("it says what is wrong", |printed| {
        (printed.contains("what ran before goes on: other.yaml: line 11") && printed.contains("Topics is missing"))
            .then_some(())
    });
    // The first mapping is of another topic now. The others go on where they were.
    let other = topic_with(brokers, "d").await;
    write(scratch.path(), &template.replace(&topics[0], &other));
    up.until("the new mapping's record is delivered", || functions.got(&["a", "b", "c", "d"]));
    up.signal("INT");
    assert!(up.ends().success(), "{}", up.printed());
    functions.runtime.shutdown().await;
}

/// The one event of a function, on line 7.
fn one_event(event: &str) -> String {
    format!(
        "Resources:\n  Fn:\n    Type: AWS::Serverless::Function\n    Properties:\n      Handler: x\n      Events:\n        Records: {event}\n"
    )
}

const MSK: &str = "{Type: MSK, Properties: {Stream: 'arn:aws:kafka:us-east-1:123456789012:cluster/c/1', Topics: [t], StartingPosition: LATEST}}";

#[test]
fn what_keeps_a_template_from_running_is_said_with_file_line_and_remedy() {
    let scratch = tempfile::tempdir().expect("a folder");
    write(scratch.path(), &one_event(MSK));
    let fails = |more: &[&str], words: &[&str]| {
        let mut up = up(scratch.path(), more);
        let (status, printed) = (up.ends(), up.printed());
        assert!(!status.success() && words.iter().all(|word| printed.contains(word)), "{words:?}: {printed}");
    };
    let remedy = ["other.yaml", "--brokers", "line 7: Fn.Events.Records", "cluster/c/1", "Records=host:port"];
    fails(&["--invoke", "http://127.0.0.1:1"], &remedy);
    fails(&["--invoke", "http://127.0.0.1:1", "--brokers", "Other=h:1"], &["given for Other", "Fn.Events.Records"]);
    fails(&["--brokers", "h:1"], &["none of the functions of other.yaml", "fn", "--invoke URL"]);
    fails(&["--brokers", "h:1", "--invoke-api", "0.0.0.0:0"], &["other.yaml", "for this machine only"]);
}

#[test]
fn what_is_not_run_is_said_and_keeps_nothing_from_running() {
    let scratch = tempfile::tempdir().expect("a folder");
    let kafka = |more: &str| {
        let properties =
            format!("{{KafkaBootstrapServers: ['b:1'], Topics: [t], ConsumerGroupId: trunkline-fn-t, {more}}}");
        one_event(&format!("{{Type: SelfManagedKafka, Properties: {properties}}}"))
    };
    for (template, words) in [
        (kafka("ConsumptionMode: Queue"), ["Queue mode is not run here", "does not start"]),
        (
            kafka("StartingPosition: LATEST, SchemaRegistryConfig: {SchemaRegistryURI: 'https://schemas.example.org'}"),
            ["SchemaRegistryConfig is not run here", "neither decoded nor validated"],
        ),
        (
            kafka("StartingPosition: LATEST, SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: x}]"),
            ["SourceAccessConfigurations (BASIC_AUTH)", "own Kafka settings"],
        ),
    ] {
        write(scratch.path(), &template);
        let printed = Program::start(scratch.path(), &["env", "--template", "other.yaml"]).succeeds();
        assert!(words.iter().all(|word| printed.contains(word)) && printed.contains("line 7"), "{printed}");
    }
}

/// A function of this program, without services.
const USAGE_HTTP: &str = "Parameters:
  ApiUsers: {Type: String}
Resources:
  UsageHttp:
    Type: AWS::Serverless::Function
    Properties:
      Environment:
        Variables:
          KAFKA_BROKERS: 127.0.0.1:1
          USAGE_STORE: postgres://u:p@127.0.0.1:1/d
          DATABASE_URL: postgres://u:p@127.0.0.1:1/d
          OPERATOR_TIMEZONE: Africa/Johannesburg
          API_USERS: !Ref ApiUsers
";

#[test]
fn cargo_lambda_invokes_a_function_of_this_process() {
    let scratch = tempfile::tempdir().expect("a folder");
    write(scratch.path(), USAGE_HTTP);
    let users = format!("{ROOT}/events/usage-http/users.parameters");
    let mut up = up(scratch.path(), &["--invoke-api", "127.0.0.1:0", "--parameters", &users]);
    let port = up.until_printed("the Invoke API is served", |printed| {
        let (_, address) = printed.split_once("Invoke API is at http://127.0.0.1:")?;
        Some(address.split_once(',')?.0.to_owned())
    });
    let invoke = |function: &str| {
        let mut command = Command::new(format!("{ROOT}/crates/test-support/services/tools.sh"));
        let event = format!("{ROOT}/events/usage-http/no-credentials.json");
        command.args(["cargo-lambda", "invoke", "--invoke-address", "127.0.0.1", "--invoke-port", &port]);
        Program::run(scratch.path(), command.args([function, "--data-file", &event]))
    };
    let printed = invoke("usage-http").succeeds();
    let answer = printed.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let answer = answer.unwrap_or_else(|| panic!("no answer in {printed}"));
    assert_eq!(answer["statusCode"], json!(401), "{printed}");
    let mut unknown = invoke("nobody");
    assert!(!unknown.ends().success());
    assert!(unknown.printed().contains("Function not found"), "{}", unknown.printed());
    up.signal("INT");
    assert!(up.ends().success(), "{}", up.printed());
}
