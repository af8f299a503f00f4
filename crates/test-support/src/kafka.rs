//! Apache Kafka: three brokers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use embedded::{Secret, TemporaryFolder};
use futures::future::try_join_all;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::on_services_runtime;
use crate::service::{Service, free_ports, java, jvm, on_free_ports, provision, run};

/// With three, one can be lost: topics have three replicas, two of which must be in sync.
const BROKERS: usize = 3;

/// A broker's heap. It works in 64 MB; buffers of large batches need more for moments.
const HEAP: &str = "256m";

/// Any will do: a broker takes no part in another cluster.
const CLUSTER_ID: &str = "dHJ1bmtsaW5lLXRlc3RzMQ";

const USER: &str = "trunkline";

/// Formatting takes a JVM's start.
const FORMAT_PATIENCE: Duration = Duration::from_secs(60);

const OPENSSL_PATIENCE: Duration = Duration::from_secs(30);

/// A running Kafka cluster of three brokers on 127.0.0.1. Topics must be created; they get three replicas.
///
/// Brokers are named by their ids, 1 to 3, as the cluster's metadata names them. Dropping it ends it.
#[derive(Debug)]
pub struct Kafka {
    /// `bootstrap.servers` without encryption or login.
    pub bootstrap_servers: String,
    /// `bootstrap.servers` for `security.protocol=SASL_SSL`, `sasl.mechanism=SCRAM-SHA-512`.
    pub sasl_bootstrap_servers: String,
    /// The user there.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// The certificate of the authority that signed the brokers' certificate, which is for 127.0.0.1 and localhost.
    pub ca_pem: PathBuf,
    brokers: [Arc<Service>; BROKERS],
    // Dropped last: its files are the brokers'.
    _folder: TemporaryFolder,
}

/// The ports of one broker.
struct Ports {
    plain: u16,
    sasl: u16,
    controller: u16,
}

impl Kafka {
    pub(crate) async fn launch() -> anyhow::Result<Self> {
        let jars = provision("kafka").await?;
        on_free_ports(|| Self::launch_once(&jars)).await
    }

    async fn launch_once(jars: &Path) -> anyhow::Result<Self> {
        let folder = TemporaryFolder::create()?;
        let password = Secret::random();
        let ca_pem = make_certificates(folder.path()).await?;
        let taken = free_ports::<{ 3 * BROKERS }>().await?;
        let ports: Vec<Ports> = taken.chunks(3).map(|p| Ports { plain: p[0], sasl: p[1], controller: p[2] }).collect();
        for id in 1..=BROKERS {
            std::fs::write(properties_path(folder.path(), id), properties(folder.path(), id, &ports)?)?;
        }
        format(jars, folder.path(), &password).await?;

        let brokers = std::array::from_fn(|index| Arc::new(broker(jars, folder.path(), index + 1, &ports[index])));
        try_join_all(brokers.iter().map(|broker| broker.start())).await?;
        let servers = |port: fn(&Ports) -> u16| {
            ports.iter().map(|ports| format!("127.0.0.1:{}", port(ports))).collect::<Vec<_>>().join(",")
        };
        Ok(Self {
            bootstrap_servers: servers(|ports| ports.plain),
            sasl_bootstrap_servers: servers(|ports| ports.sasl),
            user: USER.to_owned(),
            password,
            ca_pem,
            brokers,
            _folder: folder,
        })
    }

    /// Starts a broker that was ended, on its data, and waits until the cluster has taken it in again.
    pub async fn start_broker(&self, id: usize) {
        let broker = self.broker(id);
        on_services_runtime(async move { broker.start().await }).await;
    }

    /// Ends a broker in order: it hands its partitions over first.
    pub async fn stop_broker(&self, id: usize) {
        let broker = self.broker(id);
        on_services_runtime(async move { broker.stop().await }).await;
    }

    /// Ends a broker as kill -9 does.
    pub async fn kill_broker(&self, id: usize) {
        let broker = self.broker(id);
        on_services_runtime(async move { broker.kill().await }).await;
    }

    fn broker(&self, id: usize) -> Arc<Service> {
        let index = id.checked_sub(1).expect("brokers have the ids 1 to 3");
        Arc::clone(&self.brokers[index])
    }
}

fn properties_path(folder: &Path, id: usize) -> PathBuf {
    folder.join(format!("{id}.properties"))
}

fn data_path(folder: &Path, id: usize) -> PathBuf {
    folder.join(format!("data-{id}"))
}

fn broker(jars: &Path, folder: &Path, id: usize, ports: &Ports) -> Service {
    let arguments = [
        // What a start waits for is said at `info`.
        "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info".into(),
        "kafka.Kafka".into(),
        properties_path(folder, id).display().to_string(),
    ];
    Service {
        name: format!("Kafka's broker {id}"),
        program: java(),
        arguments: kafka_jvm(jars, arguments),
        log: folder.join(format!("{id}.log")),
        ready: "Kafka Server started",
        port: ports.plain,
        process: Mutex::default(),
    }
}

/// A JVM with Kafka's jars, which logs warnings.
pub(crate) fn kafka_jvm(jars: &Path, arguments: impl IntoIterator<Item = String>) -> Vec<std::ffi::OsString> {
    let kafka = [
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into(),
        "-Dorg.slf4j.simpleLogger.showDateTime=true".into(),
        "-cp".into(),
        format!("{}/*", jars.display()),
    ];
    jvm(HEAP, kafka.into_iter().chain(arguments))
}

fn properties(folder: &Path, id: usize, ports: &[Ports]) -> anyhow::Result<String> {
    let Ports { plain, sasl, controller } = &ports[id - 1];
    let voters: Vec<String> =
        (1..).zip(ports).map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controller)).collect();
    let (voters, folder_name) = (voters.join(","), folder.display());
    let data = data_path(folder, id);
    Ok(format!(
        "\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={folder_name}/server.pem
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={}
auto.create.topics.enable=false
num.partitions=3
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
share.coordinator.state.topic.num.partitions=3
# Groups and leaders settle in seconds.
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
controller.quorum.election.backoff.max.ms=500
# Small.
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=8388608
log.segment.bytes=67108864
",
        data.to_str().context("the temporary folder's name is no UTF-8")?
    ))
}

/// Makes the brokers' data folders and the user.
///
/// A format is a JVM's start, so only the first is made; the others are copies with numbers of their own.
async fn format(jars: &Path, folder: &Path, password: &Secret) -> anyhow::Result<()> {
    let arguments = [
        "kafka.tools.StorageTool".into(),
        "format".into(),
        "--cluster-id".into(),
        CLUSTER_ID.into(),
        "--config".into(),
        properties_path(folder, 1).display().to_string(),
        "--add-scram".into(),
        format!("SCRAM-SHA-512=[name={USER},password={}]", password.expose()),
    ];
    run(Command::new(java()).args(kafka_jvm(jars, arguments)), FORMAT_PATIENCE).await?;

    let first = data_path(folder, 1);
    for id in 2..=BROKERS {
        let copy = data_path(folder, id);
        std::fs::create_dir(&copy)?;
        for entry in std::fs::read_dir(&first)? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        let meta = std::fs::read_to_string(first.join("meta.properties"))?;
        let renumbered: Vec<String> = meta
            .lines()
            .map(|line| match line.split_once('=') {
                Some(("node.id", _)) => format!("node.id={id}"),
                Some(("directory.id", first)) => format!("directory.id={}", another_directory_id(first, id)),
                _ => line.to_owned(),
            })
            .collect();
        std::fs::write(copy.join("meta.properties"), renumbered.join("\n"))?;
    }
    Ok(())
}

/// 16 bytes in base64 again: with one more digit changed for each broker.
fn another_directory_id(first: &str, id: usize) -> String {
    let replacement = ["A", "B", "C"].into_iter().filter(|digit| !first.starts_with(digit)).nth(id - 2).unwrap_or("D");
    format!("{replacement}{}", &first[1..])
}

/// Makes an authority and, with it, the brokers' key and certificate. Returns the authority's certificate.
async fn make_certificates(folder: &Path) -> anyhow::Result<PathBuf> {
    openssl_req(folder, "-keyout ca.key -out ca.pem -subj /CN=trunkline-tests").await?;
    openssl_req(
        folder,
        "-CA ca.pem -CAkey ca.key -keyout server.key -out server.crt -subj /CN=localhost \
         -addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext basicConstraints=critical,CA:FALSE",
    )
    .await?;
    let [key, certificate] = ["server.key", "server.crt"].map(|name| std::fs::read_to_string(folder.join(name)));
    std::fs::write(folder.join("server.pem"), key? + certificate?.as_str())?;
    Ok(folder.join("ca.pem"))
}

/// Makes a key and a certificate for it, of an authority or, by default, signed by itself.
async fn openssl_req(folder: &Path, arguments: &str) -> anyhow::Result<()> {
    const KEY: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2";
    let words = KEY.split(' ').chain(arguments.split(' '));
    run(Command::new("openssl").current_dir(folder).args(words), OPENSSL_PATIENCE).await?;
    Ok(())
}
