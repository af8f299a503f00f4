//! Kafka Connect with Debezium's connector for PostgreSQL.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use embedded::TemporaryFolder;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::kafka::kafka_jvm;
use crate::on_services_runtime;
use crate::service::{Service, free_ports, java, on_free_ports, provision};

/// A connector looks at its database before it runs.
const RUNNING_PATIENCE: Duration = Duration::from_secs(90);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running Kafka Connect of one process with one connector. Dropping it ends it.
#[derive(Debug)]
pub struct Debezium {
    /// The port of its REST API on 127.0.0.1.
    pub port: u16,
    worker: Arc<Worker>,
    // Dropped last: it holds how far the connector has got.
    _folder: TemporaryFolder,
}

#[derive(Debug)]
struct Worker {
    service: Service,
    connector: String,
}

impl Debezium {
    pub(crate) async fn launch(
        bootstrap_servers: String,
        connector: String,
        variables: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let jars = provision("kafka").await?;
        on_free_ports(|| Self::launch_once(&jars, &bootstrap_servers, &connector, &variables)).await
    }

    async fn launch_once(
        jars: &Path,
        bootstrap_servers: &str,
        connector: &str,
        variables: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let folder = TemporaryFolder::create()?;
        let home = folder.path();
        let [port] = free_ports().await?;
        std::fs::write(home.join("worker.properties"), worker_properties(home, bootstrap_servers, port))?;
        std::fs::write(home.join("connector.json"), connector)?;
        let worker = Worker { service: service(jars, home, port, variables), connector: name_of(connector)? };
        worker.start().await?;
        Ok(Self { port, worker: Arc::new(worker), _folder: folder })
    }

    /// Ends it in order: it notes how far it has got.
    pub async fn stop(&self) {
        let worker = Arc::clone(&self.worker);
        on_services_runtime(async move { worker.service.stop().await }).await;
    }

    /// Ends it as kill -9 does: it will repeat what it has not noted.
    pub async fn kill(&self) {
        let worker = Arc::clone(&self.worker);
        on_services_runtime(async move { worker.service.kill().await }).await;
    }

    /// Starts it again where it has got to, and waits until the connector runs. Others that were added are forgotten.
    pub async fn start(&self) {
        let worker = Arc::clone(&self.worker);
        on_services_runtime(async move { worker.start().await }).await;
    }

    /// Adds another connector beside the one that it was started with, and waits until it runs.
    pub async fn add(&self, connector: &str) {
        let (worker, connector) = (Arc::clone(&self.worker), connector.to_owned());
        on_services_runtime(async move { worker.add(connector).await }).await;
    }

    /// That no connector has failed.
    ///
    /// # Panics
    /// When one has, with what it said.
    pub async fn assert_works(&self) {
        let worker = Arc::clone(&self.worker);
        on_services_runtime(async move { worker.works().await }).await;
    }
}

fn name_of(connector: &str) -> anyhow::Result<String> {
    let connector: Value = serde_json::from_str(connector).context("the connector's configuration is no JSON")?;
    Ok(connector["name"].as_str().context("the connector has no name")?.to_owned())
}

impl Worker {
    async fn start(&self) -> anyhow::Result<()> {
        self.service.start().await?;
        self.runs(&self.connector).await
    }

    async fn add(&self, connector: String) -> anyhow::Result<()> {
        let name = name_of(&connector)?;
        let (status, answer) = self.ask(Method::POST, "/connectors", connector.into()).await?;
        if status != StatusCode::CREATED {
            bail!("Kafka Connect refuses the connector: {}", String::from_utf8_lossy(&answer));
        }
        self.runs(&name).await
    }

    /// Waits until a connector runs.
    async fn runs(&self, connector: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            self.service.check().await?;
            let status = self.status(connector).await?;
            check_states(&status)?;
            // The connector and its task.
            if states(&status).filter(|state| state["state"] == "RUNNING").count() == 2 {
                return Ok(());
            }
            if began.elapsed() > RUNNING_PATIENCE {
                bail!("the connector does not run after {RUNNING_PATIENCE:?}: {status}");
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn works(&self) -> anyhow::Result<()> {
        self.service.check().await?;
        let (_, body) = self.ask(Method::GET, "/connectors?expand=status", Bytes::new()).await?;
        let connectors: Value = serde_json::from_slice(&body)?;
        connectors.as_object().into_iter().flatten().try_for_each(|(_, connector)| check_states(&connector["status"]))
    }

    /// What the REST API says of a connector; null when it doesn't know it yet.
    async fn status(&self, connector: &str) -> anyhow::Result<Value> {
        match self.ask(Method::GET, &format!("/connectors/{connector}/status"), Bytes::new()).await? {
            (StatusCode::OK, body) => Ok(serde_json::from_slice(&body)?),
            _ => Ok(Value::Null),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(("127.0.0.1", self.service.port)).await?;
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let ask = async {
            let response = client.send_request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::select! {
            answer = ask => answer,
            ended = connection => {
                ended?;
                bail!("Kafka Connect closed the connection")
            }
        }
    }
}

/// Of a connector and its tasks.
fn states(status: &Value) -> impl Iterator<Item = &Value> {
    status["tasks"].as_array().into_iter().flatten().chain([&status["connector"]])
}

fn check_states(status: &Value) -> anyhow::Result<()> {
    let failed = states(status).find(|state| state["state"] == "FAILED");
    failed.map_or(Ok(()), |failed| bail!("a connector has failed: {}", failed["trace"].as_str().unwrap_or_default()))
}

fn service(jars: &Path, home: &Path, port: u16, variables: &[(String, String)]) -> Service {
    let arguments = [
        // What a start waits for is said at `info`.
        "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.Connect=info".to_owned(),
        "org.apache.kafka.connect.cli.ConnectStandalone".to_owned(),
        home.join("worker.properties").display().to_string(),
        home.join("connector.json").display().to_string(),
    ];
    let variables = variables.iter().map(|(name, value)| format!("{name}={value}").into());
    Service {
        name: "Kafka Connect".to_owned(),
        program: "env".into(),
        arguments: variables.chain([java().into()]).chain(kafka_jvm(jars, arguments)).collect(),
        log: home.join("log"),
        ready: "Kafka Connect started",
        port,
        process: Mutex::default(),
    }
}

fn worker_properties(home: &Path, bootstrap_servers: &str, port: u16) -> String {
    format!(
        "\
bootstrap.servers={bootstrap_servers}
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename={}/offsets
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{port}
# The connector is on the class path: there is no plugin.path.
plugin.discovery=service_load
# The connector's ${{env:…}}.
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
",
        home.display()
    )
}
