#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, reason = "a test can't go on without its services")]

mod answer;
mod cassandra;
mod chromium;
mod debezium;
mod kafka;
mod log;
mod lone_kafka;
mod machine;
mod proxy;
mod records;
mod sandbox;
mod schedules;
mod service;
mod sftp_peer;
mod sshd;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use crate::cassandra::Login;
use embedded::{Broker, Data, ObjectStore, Postgres, Secret, SftpServer};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use crate::answer::shown_answer;
pub use crate::cassandra::Cassandra;
pub use crate::chromium::Chromium;
pub use crate::debezium::Debezium;
pub use crate::kafka::Kafka;
pub use crate::log::{Log, log};
pub use crate::lone_kafka::{LoneKafka, kafka_tool};
pub use crate::machine::machine;
pub use crate::proxy::{Line, Proxy};
pub use crate::records::{Record, commit, records};
pub use crate::sandbox::Sandbox;
pub use crate::schedules::deviating;
pub use crate::sftp_peer::{SftpMake, SftpPeer};
pub use crate::sshd::{Sshd, SshdOptions};

/// Outlives the runtimes of the tests.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("test-services")
        .enable_all()
        .build()
        .expect("a runtime for the services")
});

async fn on_services_runtime<T: Send + 'static>(start: impl Future<Output = anyhow::Result<T>> + Send + 'static) -> T {
    match RUNTIME.spawn(start).await.expect("a service panicked while it started") {
        Ok(service) => service,
        Err(error) => panic!("a service for the tests did not start: {error:#}"),
    }
}

/// The `bootstrap.servers` of this process's Kafka broker.
pub async fn broker() -> &'static str {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    let broker = BROKER.get_or_init(|| on_services_runtime(Broker::start(Data::Temporary))).await;
    &broker.bootstrap_servers
}

/// A topic name (or consumer group's, or anything's) that no other test has. Nothing is created.
pub fn topic(name: &str) -> String {
    format!("{name}-{}", unique())
}

/// The URL, password included, of a fresh and empty database.
pub async fn postgres_database() -> String {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    let postgres = POSTGRES.get_or_init(|| on_services_runtime(Postgres::start(Data::Temporary))).await;
    fresh_database(postgres).await
}

/// The same in a server whose changes can be followed (`wal_level=logical`). Replication slots are the whole server's: their
/// names must be a test's own.
pub async fn postgres_logical_database() -> String {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    let start = || on_services_runtime(Postgres::start_with(Data::Temporary, LOGICAL));
    fresh_database(POSTGRES.get_or_init(start).await).await
}

/// Such a server for one test, which may change its settings, and a fresh database of it.
pub async fn postgres_logical_of_its_own() -> (Postgres, String) {
    on_services_runtime(async {
        let postgres = Postgres::start_with(Data::Temporary, LOGICAL).await?;
        let url = postgres.database("test").await?;
        Ok((postgres, url))
    })
    .await
}

const LOGICAL: &[&str] = &["wal_level=logical", "max_wal_senders=16", "max_replication_slots=16"];

async fn fresh_database(postgres: &'static Postgres) -> String {
    let name = format!("test_{}", unique());
    on_services_runtime(async move { postgres.database(&name).await }).await
}

/// An S3 endpoint with credentials and a bucket of a test's own.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// `http://127.0.0.1:port`; addresses are path-style.
    pub endpoint: String,
    /// The region to sign for.
    pub region: String,
    /// Half of the credentials.
    pub access_key_id: String,
    /// The other half.
    pub secret_access_key: Secret,
    /// A fresh, empty bucket.
    pub bucket: String,
}

/// A fresh bucket of this process's object store.
pub async fn object_store() -> Bucket {
    static STORE: OnceCell<ObjectStore> = OnceCell::const_new();
    let store = STORE.get_or_init(|| on_services_runtime(ObjectStore::start(Data::Temporary))).await;
    let bucket = format!("test-{}", unique());
    store.create_bucket(&bucket).expect("a fresh bucket");
    Bucket {
        endpoint: store.endpoint.clone(),
        region: store.region.to_owned(),
        access_key_id: store.access_key_id.clone(),
        secret_access_key: store.secret_access_key.clone(),
        bucket,
    }
}

/// A fresh SFTP server with an empty folder `/upload`; it ends when it is dropped.
pub async fn sftp_server() -> SftpServer {
    on_services_runtime(SftpServer::start(Data::Temporary)).await
}

/// The same over a folder that the test has.
pub async fn sftp_server_on(root: PathBuf) -> SftpServer {
    on_services_runtime(SftpServer::start(Data::Kept(root))).await
}

/// This process's Kafka cluster of three real brokers.
pub async fn kafka() -> &'static Kafka {
    static KAFKA: OnceCell<Kafka> = OnceCell::const_new();
    KAFKA.get_or_init(kafka_of_its_own).await
}

/// A Kafka cluster for one test, which may break it.
pub async fn kafka_of_its_own() -> Kafka {
    on_services_runtime(Kafka::launch()).await
}

/// A Kafka of one broker with properties of its own.
pub async fn lone_kafka(properties: &[(&str, &str)]) -> LoneKafka {
    let properties = properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    on_services_runtime(LoneKafka::launch(properties)).await
}

/// This process's Cassandra node, which takes anybody.
pub async fn cassandra() -> &'static Cassandra {
    static CASSANDRA: OnceCell<Cassandra> = OnceCell::const_new();
    CASSANDRA.get_or_init(cassandra_of_its_own).await
}

/// A Cassandra node for one test, which may break it.
pub async fn cassandra_of_its_own() -> Cassandra {
    on_services_runtime(Cassandra::launch(Login::Anybody)).await
}

/// A Cassandra node for one test, which takes [`Cassandra::USER`] with [`Cassandra::PASSWORD`].
pub async fn cassandra_with_password() -> Cassandra {
    on_services_runtime(Cassandra::launch(Login::Password)).await
}

/// Kafka Connect with a connector of Debezium's for PostgreSQL, which runs when this returns.
///
/// `connector` is what its REST API takes: `{"name": …, "config": {…}}`; `${env:NAME}` in it are the `variables`. Brokers make
/// no topics by themselves: it needs `topic.creation.default.…`, or topics that are there.
pub async fn debezium(bootstrap_servers: &str, connector: &str, variables: &[(&str, &str)]) -> Debezium {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    on_services_runtime(Debezium::launch(bootstrap_servers.to_owned(), connector.to_owned(), variables)).await
}

/// An OpenSSH server of a test's own, with an empty folder.
pub async fn sshd() -> Sshd {
    sshd_with(SshdOptions::default()).await
}

/// The same, as a test wants it.
pub async fn sshd_with(options: SshdOptions) -> Sshd {
    on_services_runtime(Sshd::launch(options)).await
}

/// An SFTP server of another make, with these settings of its kind.
pub async fn sftp_peer(make: SftpMake, settings: &[&str]) -> SftpPeer {
    sftp_peer::start(make, settings).await
}

/// A line to the server at `target` (`host:port`), which can be long, narrow or broken.
pub async fn proxy(target: impl Into<String>, line: Line) -> Proxy {
    on_services_runtime(Proxy::start(target.into(), line)).await
}

/// Runs `kcat`, and returns what it printed. Its default partitioner is not Java's: `-X topic.partitioner=murmur2_random`.
pub async fn kcat(arguments: &[&str]) -> String {
    let mut kcat = tokio::process::Command::new("kcat");
    kcat.args(arguments);
    on_services_runtime(async move { service::run(&mut kcat, TOOL_PATIENCE).await }).await
}

/// Opens a page in headless Chromium, with these options besides, and waits until it has loaded.
pub async fn chromium(arguments: &[&str], url: &str) -> Chromium {
    Chromium::run(arguments, url).await.unwrap_or_else(|error| panic!("a page could not be opened: {error:#}"))
}

/// `kcat -C -e` reads a topic to its end, and a JVM takes seconds to start.
const TOOL_PATIENCE: Duration = Duration::from_secs(120);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds, and panics when it does not within `patience`.
#[track_caller]
pub fn eventually(patience: Duration, condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    eventually_or(patience, condition, String::new)
}

/// The same, and says what is so instead.
#[track_caller]
pub fn eventually_or(
    patience: Duration,
    condition: impl AsyncFnMut() -> bool,
    instead: impl Fn() -> String,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let mut condition = condition;
    async move {
        let began = Instant::now();
        while !condition().await {
            let is_in_time = began.elapsed() < patience;
            assert!(is_in_time, "{caller}: the condition did not hold within {patience:?} {}", instead());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Runs a future until it has had to wait `waits` times, and drops it there: a crash at any of its waits.
pub async fn cut_off<T>(future: impl Future<Output = T>, mut waits: usize) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if waits == 0 => Poll::Ready(None),
        Poll::Pending => {
            waits -= 1;
            Poll::Pending
        }
    })
    .await
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..12].to_owned()
}
