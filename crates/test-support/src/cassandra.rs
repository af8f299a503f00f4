//! Apache Cassandra: one node, which speaks ScyllaDB's CQL.

use std::path::Path;
use std::sync::Arc;

use embedded::TemporaryFolder;
use tokio::sync::Mutex;

use crate::on_services_runtime;
use crate::service::{Service, free_ports, java, jvm, on_free_ports, provision};

/// The least it runs well in.
const HEAP: &str = "400m";

/// Who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Anybody,
    /// Cassandra's own first user.
    Password,
}

/// A running Cassandra node on 127.0.0.1. Keyspaces must be created, with replication 1. Dropping it ends it.
///
/// A batch of more than 50 KiB is refused, as a server's default has it. An acknowledged write survives a kill.
#[derive(Debug)]
pub struct Cassandra {
    /// `127.0.0.1:port`, for CQL.
    pub address: String,
    node: Arc<Service>,
    // Dropped last: its files are the node's.
    _folder: TemporaryFolder,
}

impl Cassandra {
    /// The superuser of a server that wants a password.
    pub const USER: &str = "cassandra";
    /// The superuser's password.
    pub const PASSWORD: &str = "cassandra";

    pub(crate) async fn launch(login: Login) -> anyhow::Result<Self> {
        let jars = provision("cassandra").await?;
        on_free_ports(|| Self::launch_once(&jars, login)).await
    }

    async fn launch_once(jars: &Path, login: Login) -> anyhow::Result<Self> {
        let folder = TemporaryFolder::create()?;
        let [cql, storage] = free_ports().await?;
        std::fs::write(folder.path().join("cassandra.yaml"), settings(folder.path(), cql, storage, login))?;
        std::fs::write(folder.path().join("logback.xml"), LOGBACK)?;
        let node = Arc::new(node(jars, folder.path(), cql, login));
        node.start().await?;
        Ok(Self { address: format!("127.0.0.1:{cql}"), node, _folder: folder })
    }

    /// Ends it as kill -9 does.
    pub async fn kill(&self) {
        let node = Arc::clone(&self.node);
        on_services_runtime(async move { node.kill().await }).await;
    }

    /// Starts it again on its data, after [`Cassandra::kill`].
    pub async fn start(&self) {
        let node = Arc::clone(&self.node);
        on_services_runtime(async move { node.start().await }).await;
    }

    /// From now on it answers nothing, and its connections stay (SIGSTOP).
    pub async fn pause(&self) {
        let node = Arc::clone(&self.node);
        on_services_runtime(async move { node.signal("STOP").await }).await;
    }

    /// It goes on where it was paused (SIGCONT).
    pub async fn resume(&self) {
        let node = Arc::clone(&self.node);
        on_services_runtime(async move { node.signal("CONT").await }).await;
    }
}

fn node(jars: &Path, folder: &Path, port: u16, login: Login) -> Service {
    let (home, jars) = (folder.display(), jars.display());
    let mut arguments = vec![
        "-Xss256k".into(),
        format!("-XX:ErrorFile={home}/hs_err.log"),
        format!("-Dcassandra.config=file://{home}/cassandra.yaml"),
        format!("-Dcassandra.storagedir={home}"),
        format!("-Dlogback.configurationFile=file:{home}/logback.xml"),
        "-Dcassandra-foreground=yes".into(),
        // One node has nobody to wait for.
        "-Dcassandra.skip_wait_for_gossip_to_settle=0".into(),
        "-Dcassandra.ring_delay_ms=1".into(),
        "-Dcassandra.superuser_setup_delay_ms=0".into(),
        // What it would measure at each start, for seconds.
        "-Dcassandra.memtable.row_overhead_size=180".into(),
    ];
    let exports = EXPORTS.iter().flat_map(|package| ["--add-exports".into(), format!("{package}=ALL-UNNAMED")]);
    let opens = OPENS.iter().flat_map(|package| ["--add-opens".into(), format!("{package}=ALL-UNNAMED")]);
    arguments.extend(exports.chain(opens));
    arguments.extend(["-cp".into(), format!("{jars}/*"), "org.apache.cassandra.service.CassandraDaemon".into()]);
    Service {
        name: "Cassandra".to_owned(),
        program: java(),
        arguments: jvm(HEAP, arguments),
        log: folder.join("log"),
        ready: match login {
            Login::Anybody => "Starting listening for CQL clients on",
            Login::Password => "Created default superuser role",
        },
        port,
        process: Mutex::default(),
    }
}

/// What Cassandra's own start script opens of Java 17.
const EXPORTS: &[&str] = &[
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
];
const OPENS: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

fn settings(folder: &Path, cql: u16, storage: u16, login: Login) -> String {
    let home = folder.display();
    let authenticator = match login {
        Login::Anybody => "AllowAllAuthenticator",
        Login::Password => "PasswordAuthenticator",
    };
    format!(
        "\
cluster_name: trunkline tests
num_tokens: 1
allocate_tokens_for_local_replication_factor: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage}
native_transport_port: {cql}
start_native_transport: true
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: \"127.0.0.1:{storage}\"
data_file_directories: [{home}/data]
commitlog_directory: {home}/commitlog
hints_directory: {home}/hints
saved_caches_directory: {home}/saved_caches
cdc_raw_directory: {home}/cdc_raw
# A write is acknowledged when it is in the file.
commitlog_sync: batch
commitlog_segment_size: 8MiB
commitlog_total_space: 128MiB
commitlog_disk_access_mode: legacy
disk_failure_policy: die
commit_failure_policy: die
batch_size_warn_threshold: 40KiB
batch_size_fail_threshold: 50KiB
read_request_timeout: 10s
write_request_timeout: 10s
counter_write_request_timeout: 5s
cas_contention_timeout: 5s
request_timeout: 20s
authenticator: {authenticator}
authorizer: AllowAllAuthorizer
# Small.
memtable_heap_space: 128MiB
memtable_offheap_space: 64MiB
memtable_allocation_type: heap_buffers
counter_cache_size: 16MiB
key_cache_size: 16MiB
file_cache_size: 32MiB
networking_cache_size: 16MiB
concurrent_reads: 16
concurrent_writes: 16
concurrent_counter_writes: 16
concurrent_compactors: 1
hinted_handoff_enabled: false
auto_snapshot: false
incremental_backups: false
"
    )
}

const LOGBACK: &str = r#"<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{HH:mm:ss.SSS} %logger{0} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"#;
