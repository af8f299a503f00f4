//! A session that is made when it is first needed, and statements that are prepared when they are.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use rustls::ClientConfig;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::client::{PoolSize, SelfIdentity};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy, RetryPolicy};
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency, Statement};
use tokio::sync::OnceCell;

use super::address::{Address, Login};
use super::failure::Failure;
use super::tls;

/// Of a process to each node (of ScyllaDB: at least one). Requests share it, thousands at a time.
const CONNECTIONS_PER_NODE: NonZeroUsize = NonZeroUsize::MIN;
/// The largest batch takes the servers milliseconds; a request that takes this long is lost or stuck. Longer than the
/// servers' own patience (2 to 5 s, unless configured otherwise), so that their errors come first.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For servers in the same region.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a session: finding the nodes, connecting to them, reading what the cluster is made of.
const SESSION_TIMEOUT: Duration = Duration::from_secs(15);
/// How soon a connection that has died silently is noticed, as after the function's sandbox was frozen.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How often a request is sent where the servers or connections fail, as to PostgreSQL. A longer outage fails the invocation, which the mapping repeats.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Rows of a page, where many are read: entries of a few KiB at most.
const PAGE_ROWS: i32 = 1_000;

/// Sends requests over a few kept connections. All but [`add_once`](Self::add_once) are idempotent, so one that is not
/// answered is just sent again.
pub(super) struct Connection {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    session: OnceCell<Session>,
    prepared: Mutex<HashMap<&'static str, PreparedStatement>>,
}

impl Connection {
    pub(super) fn new(address: Address) -> anyhow::Result<Self> {
        let tls = address.tls.as_ref().map(tls::config).transpose()?;
        Ok(Self { address, tls, session: OnceCell::new(), prepared: Mutex::default() })
    }

    /// The rows of a statement that has few. `{keyspace}` in a statement is the store's.
    pub(super) async fn query(
        &self,
        cql: &'static str,
        values: &(impl SerializeRow + Sync),
    ) -> anyhow::Result<QueryRowsResult> {
        Ok(retried(|| self.try_execute(cql, values)).await?.into_rows_result()?)
    }

    /// A statement without rows.
    pub(super) async fn execute(&self, cql: &'static str, values: &(impl SerializeRow + Sync)) -> anyhow::Result<()> {
        retried(|| self.try_execute(cql, values)).await.map(drop)
    }

    /// The rows of a statement that may have many, page by page.
    pub(super) async fn scan(
        &self,
        cql: &'static str,
        values: &(impl SerializeRow + Sync),
        mut read: impl FnMut(QueryRowsResult) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<()> {
        let mut next = PagingState::start();
        loop {
            let (page, state) = retried(|| self.try_page(cql, values, next.clone())).await?;
            read(page.into_rows_result()?)?;
            match state {
                PagingStateResponse::HasMorePages { state } => next = state,
                PagingStateResponse::NoMorePages => return Ok(()),
            }
        }
    }

    /// The same statement with many values, which all lie in one partition: the database makes one write of them.
    pub(super) async fn write(&self, cql: &'static str, values: &[impl SerializeRow + Sync]) -> anyhow::Result<()> {
        retried(|| self.try_batch(BatchType::Unlogged, cql, values)).await
    }

    /// The same, with counters: sent once, as nobody knows whether an addition that was not answered has been made.
    pub(super) async fn add_once(&self, cql: &'static str, values: &[impl SerializeRow + Sync]) -> anyhow::Result<()> {
        Box::pin(self.try_batch(BatchType::Counter, cql, values)).await.map_err(failed)
    }

    /// A statement without values that is not prepared: one that changes the schema.
    pub(super) async fn define(&self, cql: &str) -> anyhow::Result<()> {
        let cql = self.in_keyspace(cql);
        retried(|| self.try_define(cql.clone())).await
    }

    /// The store's keyspace.
    pub(super) fn keyspace(&self) -> &str {
        &self.address.keyspace
    }

    /// Whether it has been made.
    pub(super) async fn has_keyspace(&self) -> anyhow::Result<bool> {
        let cql = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        Ok(self.query(cql, &(&self.address.keyspace,)).await?.rows_num() > 0)
    }

    /// The datacenter and number of the nodes that are asked: by name, or of a cluster that has only one.
    pub(super) async fn datacenter(&self) -> anyhow::Result<(String, usize)> {
        let session = retried(|| self.session()).await?;
        let state = session.get_cluster_state();
        let mut datacenters: Vec<_> = state.get_nodes_info().iter().map(|node| node.datacenter.as_deref()).collect();
        datacenters.sort_unstable();
        let nodes = |name: &str| datacenters.iter().filter(|other| **other == Some(name)).count();
        if let Some(name) = &self.address.datacenter {
            return Ok((name.clone(), nodes(name)));
        }
        let mut names: Vec<_> = datacenters.iter().copied().flatten().collect();
        names.dedup();
        match names[..] {
            [name] => Ok((name.to_owned(), nodes(name))),
            _ => Err(anyhow!(
                "the usage store's cluster has the datacenters {}: say in USAGE_STORE which one is to hold it (?datacenter=…)",
                names.join(", ")
            )),
        }
    }

    async fn session(&self) -> Result<&Session, Failure> {
        self.session.get_or_try_init(|| connect(&self.address, self.tls.as_ref())).await
    }

    async fn prepared(&self, cql: &'static str) -> Result<PreparedStatement, Failure> {
        if let Some(prepared) = self.prepared.lock().expect("no thread panics while it holds the lock").get(cql) {
            return Ok(prepared.clone());
        }
        let statement = Statement::new(self.in_keyspace(cql)).with_page_size(PAGE_ROWS);
        let mut prepared = self.session().await?.prepare(statement).await.map_err(Failure::Prepare)?;
        prepared.set_is_idempotent(true);
        self.prepared.lock().expect("no thread panics while it holds the lock").insert(cql, prepared.clone());
        Ok(prepared)
    }

    async fn try_execute(
        &self,
        cql: &'static str,
        values: &(impl SerializeRow + Sync),
    ) -> Result<QueryResult, Failure> {
        let prepared = self.prepared(cql).await?;
        self.session().await?.execute_unpaged(&prepared, values).await.map_err(Failure::Execute)
    }

    async fn try_page(
        &self,
        cql: &'static str,
        values: &(impl SerializeRow + Sync),
        page: PagingState,
    ) -> Result<(QueryResult, PagingStateResponse), Failure> {
        let prepared = self.prepared(cql).await?;
        self.session().await?.execute_single_page(&prepared, values, page).await.map_err(Failure::Execute)
    }

    async fn try_batch(
        &self,
        kind: BatchType,
        cql: &'static str,
        values: &[impl SerializeRow + Sync],
    ) -> Result<(), Failure> {
        let prepared = self.prepared(cql).await?;
        let mut batch = Batch::new_with_statements(kind, vec![prepared.into(); values.len()]);
        if kind == BatchType::Counter {
            batch.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        } else {
            batch.set_is_idempotent(true);
        }
        self.session().await?.batch(&batch, values).await.map_err(Failure::Execute)?;
        Ok(())
    }

    async fn try_define(&self, cql: String) -> Result<(), Failure> {
        self.session().await?.query_unpaged(cql, ()).await.map_err(Failure::Execute)?;
        Ok(())
    }

    fn in_keyspace(&self, cql: &str) -> String {
        cql.replace("{keyspace}", &self.address.keyspace)
    }
}

/// Sends a request until it is answered, or has failed too often.
async fn retried<T, F: Future<Output = Result<T, Failure>>>(mut send: impl FnMut() -> F) -> anyhow::Result<T> {
    let mut attempt = 1;
    loop {
        // The driver's futures are large, and would be so in every caller's.
        match Box::pin(send()).await {
            Ok(answer) => return Ok(answer),
            Err(failure) if attempt < ATTEMPTS && failure.is_passing() => {
                tracing::warn!(error = %failure, "the usage store did not answer; trying again");
                tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(attempt - 1)).await;
                attempt += 1;
            }
            Err(failure) => return Err(failed(failure)),
        }
    }
}

fn failed(failure: Failure) -> anyhow::Error {
    anyhow!("the usage store failed: {failure}")
}

async fn connect(address: &Address, tls: Option<&Arc<ClientConfig>>) -> Result<Session, Failure> {
    let (consistency, serial) = match address.datacenter {
        Some(_) => (Consistency::LocalQuorum, SerialConsistency::LocalSerial),
        // Quorums of different datacenters need not meet, so as long as none is named, the whole cluster's is asked.
        None => (Consistency::Quorum, SerialConsistency::Serial),
    };
    let mut nodes = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &address.datacenter {
        nodes = nodes.prefer_datacenter(datacenter.clone()).permit_dc_failover(false);
    }
    let profile = ExecutionProfile::builder()
        .consistency(consistency)
        .serial_consistency(Some(serial))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .retry_policy(Arc::new(DefaultRetryPolicy::new()) as Arc<dyn RetryPolicy>)
        .load_balancing_policy(nodes.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&address.hosts)
        .default_execution_profile_handle(profile.into_handle())
        .pool_size(PoolSize::PerHost(CONNECTIONS_PER_NODE))
        .connection_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        // What routing needs, and no more.
        .keyspaces_to_fetch([&address.keyspace])
        .fetch_full_schema_metadata(false)
        .custom_identity(SelfIdentity::new().with_application_name("trunkline"));
    if let Some(Login { user, password }) = &address.login {
        builder = builder.user(user, password);
    }
    if let Some(tls) = tls {
        builder = builder.tls_context(Some(Arc::clone(tls)));
    }
    let session = tokio::time::timeout(SESSION_TIMEOUT, builder.build())
        .await
        .map_err(|_| Failure::ConnectTimeout)?
        .map_err(Failure::Connect)?;
    if let Some(name) = &address.datacenter {
        let state = session.get_cluster_state();
        if !state.get_nodes_info().iter().any(|node| node.datacenter.as_ref() == Some(name)) {
            return Err(Failure::NoSuchDatacenter(name.clone()));
        }
    }
    Ok(session)
}
