//! Apache Kafka as one broker, which is what the embedded broker is compared with.

use std::fmt::Write as _;
use std::path::Path;

use embedded::TemporaryFolder;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::kafka::kafka_jvm;
use crate::service::{Service, free_ports, java, on_free_ports, provision, run};
use crate::{TOOL_PATIENCE, on_services_runtime};

/// Any will do.
const CLUSTER_ID: &str = "dHJ1bmtsaW5lLXRlc3RzMg";

/// A running Kafka broker on 127.0.0.1, without encryption or login. Dropping it ends it.
#[derive(Debug)]
pub struct LoneKafka {
    /// `bootstrap.servers`.
    pub bootstrap_servers: String,
    _service: Service,
    // Dropped last: its files are the broker's.
    _folder: TemporaryFolder,
}

impl LoneKafka {
    pub(crate) async fn launch(properties: Vec<(String, String)>) -> anyhow::Result<Self> {
        let jars = provision("kafka").await?;
        on_free_ports(|| Self::launch_once(&jars, &properties)).await
    }

    async fn launch_once(jars: &Path, properties: &[(String, String)]) -> anyhow::Result<Self> {
        let folder = TemporaryFolder::create()?;
        let [port, controller] = free_ports().await?;
        let file = folder.path().join("properties");
        std::fs::write(&file, properties_file(folder.path(), port, controller, properties))?;
        let file = file.display().to_string();
        let format = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", &file];
        let format = kafka_jvm(jars, format.map(str::to_owned));
        run(Command::new(java()).args(format), TOOL_PATIENCE).await?;
        let arguments = [
            "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info".to_owned(),
            "kafka.Kafka".to_owned(),
            file,
        ];
        let service = Service {
            name: "Kafka's lone broker".into(),
            program: java(),
            arguments: kafka_jvm(jars, arguments),
            log: folder.path().join("log"),
            ready: "Kafka Server started",
            port,
            process: Mutex::default(),
        };
        service.start().await?;
        Ok(Self { bootstrap_servers: format!("127.0.0.1:{port}"), _service: service, _folder: folder })
    }
}

fn properties_file(folder: &Path, port: u16, controller: u16, properties: &[(String, String)]) -> String {
    let mut text = format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=8388608
",
        folder.join("data").display()
    );
    for (name, value) in properties {
        writeln!(text, "{name}={value}").expect("a string takes everything");
    }
    text
}

/// Runs one of Kafka's own programs, named by its class, with a text to read, and returns what it printed.
pub async fn kafka_tool(class: &str, arguments: &[&str], input: &str) -> String {
    let arguments: Vec<String> = [class].iter().chain(arguments).map(|&argument| argument.to_owned()).collect();
    let input = input.to_owned();
    on_services_runtime(async move {
        let jars = provision("kafka").await?;
        let file = TemporaryFolder::create()?;
        let path = file.path().join("input");
        std::fs::write(&path, input)?;
        // `run` gives its programs nothing to read.
        let script = "exec \"$@\" <\"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(path).arg(java()).args(kafka_jvm(&jars, arguments));
        run(&mut command, TOOL_PATIENCE).await
    })
    .await
}
