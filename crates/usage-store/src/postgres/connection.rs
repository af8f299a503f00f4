use std::error::Error as _;
use std::io;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};

/// Connections of one process: the lanes of one event are counted side by side, and more would only queue in the
/// server.
const MAX_CONNECTIONS: usize = 4;
/// A statement of a full batch takes a tenth of a second; one that takes this long is stuck, and the batch is better
/// delivered again.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// For a server in the same region.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a free connection.
const POOL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a statement is sent when the connection or the server goes away: enough for a restart of the server or a
/// quick failover. A longer outage fails the invocation, which the mapping then repeats.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Sends statements, each a transaction of its own, over a few kept connections. All are idempotent, so one that is not
/// answered is just sent again.
#[derive(Clone)]
pub(super) struct Connection(Pool);

impl Connection {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        // The parser's message may quote the address, and so the password.
        let config: Option<Config> = url.parse().ok();
        let mut config = config.context("USAGE_STORE is malformed: expected postgres://user:password@host/database")?;
        let options = config.get_options().unwrap_or_default();
        config.options(format!(
            "{options} -c statement_timeout={} -c client_min_messages=warning",
            STATEMENT_TIMEOUT.as_millis()
        ));
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(STATEMENT_TIMEOUT).keepalives_idle(STATEMENT_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("trunkline");
        }
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(MAX_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .build()?;
        Ok(Self(pool))
    }

    /// One statement and its rows.
    pub(super) async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<Row>> {
        let mut attempts = Attempts::default();
        loop {
            match self.try_query(sql, params).await {
                Err(error) if attempts.again(&error).await => {}
                answer => return answer.map_err(failure),
            }
        }
    }

    /// Several statements without parameters, in one transaction.
    pub(super) async fn batch(&self, sql: &str) -> anyhow::Result<()> {
        let mut attempts = Attempts::default();
        loop {
            match self.try_batch(sql).await {
                Err(error) if attempts.again(&error).await => {}
                answer => return answer.map_err(failure),
            }
        }
    }

    async fn try_query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PoolError> {
        let client = self.0.get().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }

    async fn try_batch(&self, sql: &str) -> Result<(), PoolError> {
        Ok(self.0.get().await?.batch_execute(sql).await?)
    }
}

/// Counts the attempts of one statement.
#[derive(Default)]
struct Attempts {
    failed: u32,
}

impl Attempts {
    /// Whether to send the statement again, after a pause.
    async fn again(&mut self, error: &PoolError) -> bool {
        self.failed += 1;
        if self.failed >= ATTEMPTS || !is_passing(error) {
            return false;
        }
        tracing::warn!(error = explain(error), "the usage store did not answer; trying again");
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.failed - 1)).await;
        true
    }
}

fn failure(error: PoolError) -> anyhow::Error {
    anyhow::anyhow!("the usage store failed: {}", explain(&error))
}

/// Whether another connection, a little later, may do better.
fn is_passing(error: &PoolError) -> bool {
    let PoolError::Backend(error) = error else { return false };
    if error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()) {
        return true;
    }
    error.code().is_some_and(|code| {
        [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
        ]
        .contains(code)
    })
}

/// The server's message, without its `DETAIL`, which quotes values.
fn explain(error: &PoolError) -> String {
    match error {
        PoolError::Backend(backend) => match (backend.as_db_error(), backend.source()) {
            (Some(db), _) if *db.code() == SqlState::UNDEFINED_TABLE => {
                format!("{}: run `trunkline init`", db.message())
            }
            (Some(db), _) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
            (None, Some(source)) => format!("{backend}: {source}"),
            (None, None) => backend.to_string(),
        },
        other => other.to_string(),
    }
}
