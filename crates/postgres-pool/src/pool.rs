use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, RecyclingMethod, Runtime, Transaction};
use futures::future::{BoxFuture, Either};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::address::{Address, parse};
use crate::blockers::{self, Blockers};
use crate::error::{explain, is_lock_timeout, is_passing};
use crate::session::{self, STATEMENT_TIMEOUT};
use crate::{Names, tls};

/// Connections of one process: the lanes of one event are counted side by side, and more would only queue in the
/// server.
const MAX_CONNECTIONS: usize = 4;
/// For a server in the same region.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a free connection.
const POOL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often something is sent when the connection or the server goes away: enough for a restart of the server or a
/// quick failover. A longer outage fails the invocation, which the mapping then repeats.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The pause between two checks of who holds a lock that a transaction waits for. It waits for seconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A few kept connections. Everything that is sent over them must be idempotent, because it is sent again if there is
/// no answer. Only [`query_once`](Self::query_once) sends once.
#[derive(Clone)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    names: Names,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.names.variable).finish()
    }
}

impl Pool {
    /// The database at this address. It connects at first use.
    ///
    /// # Errors
    /// When the address is malformed, or there is no certificate authority to trust. The message names the variable and
    /// never shows the address.
    pub fn new(url: &str, names: Names) -> anyhow::Result<Self> {
        let Address { mut config, trust } = parse(url, names)?;
        let options = config.get_options().unwrap_or_default();
        let options = session::options(options);
        config.options(options);
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(STATEMENT_TIMEOUT).keepalives_idle(STATEMENT_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("trunkline");
        }
        let tls = tls::connector(&trust).with_context(|| names.variable)?;
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(MAX_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .build()?;
        Ok(Self { connections, names })
    }

    /// One statement and its rows.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<Row>> {
        let mut attempts = Attempts::of(self.names);
        loop {
            match self.try_query(sql, params).await {
                Err(error) => attempts.again(error).await?,
                Ok(rows) => return Ok(rows),
            }
        }
    }

    /// One statement, sent once: for work that must not be done twice, and need not be done at all.
    ///
    /// # Errors
    /// When the database can't be reached, refuses or does not answer; what it has done then is not known.
    pub async fn query_once(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<Row>> {
        self.try_query(sql, params).await.map_err(|error| explain(error, self.names))
    }

    /// Several statements without parameters, in one transaction.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn batch(&self, sql: &str) -> anyhow::Result<()> {
        let mut attempts = Attempts::of(self.names);
        loop {
            match self.try_batch(sql).await {
                Err(error) => attempts.again(error).await?,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// One transaction: `work` on `input`, then `COMMIT`. All of it is repeated when the connection breaks, also if
    /// only the answer to the `COMMIT` is lost. So `work` must be idempotent. It is also repeated if it has waited too
    /// long for a lock, by a `lock_timeout` that it has set.
    ///
    /// # Errors
    /// The error of `work`, or the database's. Nothing is changed then, unless that answer was lost four times. For a
    /// lock, the error says who holds it.
    pub async fn transaction<I: Sync + ?Sized, T>(
        &self,
        input: &I,
        work: impl for<'a> Fn(&'a Transaction<'_>, &'a I) -> BoxFuture<'a, anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let mut attempts = Attempts::of(self.names);
        loop {
            let done = match attempts.waits_for_lock {
                true => self.watched_transaction(input, &work, &mut attempts.blockers).await,
                false => self.try_transaction(input, &work, None).await,
            };
            match done {
                Err(error) => attempts.again(error).await?,
                Ok(done) => return Ok(done),
            }
        }
    }

    /// Meanwhile checks who holds the lock that it waits for.
    async fn watched_transaction<I: Sync + ?Sized, T>(
        &self,
        input: &I,
        work: impl for<'a> Fn(&'a Transaction<'_>, &'a I) -> BoxFuture<'a, anyhow::Result<T>>,
        blockers: &mut Blockers,
    ) -> anyhow::Result<T> {
        let pid = AtomicI32::new(0);
        let look = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                // An error of this check is dropped: the transaction reports what is wrong.
                if let Ok(rows) = self.try_query(blockers::SQL, &[&pid.load(Ordering::Relaxed)]).await
                    && !rows.is_empty()
                {
                    *blockers = Blockers::of(&rows);
                }
            }
        };
        let done = pin!(self.try_transaction(input, &work, Some(&pid)));
        match futures::future::select(done, pin!(look)).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => never,
        }
    }

    /// Takes an advisory lock of the database, unless another session has it. The lock has a connection of its own. It
    /// is free again when it is dropped, when the process ends, or when this connection breaks, which the holder may
    /// not notice.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn try_lock(&self, key: i64) -> anyhow::Result<Option<Lock>> {
        let mut attempts = Attempts::of(self.names);
        loop {
            match self.lock_once(key).await {
                Err(error) => attempts.again(error).await?,
                Ok(lock) => return Ok(lock),
            }
        }
    }

    async fn lock_once(&self, key: i64) -> anyhow::Result<Option<Lock>> {
        let connection = Object::take(self.connections.get().await?);
        let row = connection.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?;
        Ok(row.get::<_, bool>(0).then_some(Lock { connection, key }))
    }

    async fn try_query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<Row>> {
        let loan = self.borrow().await?;
        let done = async {
            let statement = loan.prepare_cached(sql).await?;
            anyhow::Ok(loan.query(&statement, params).await?)
        };
        let done = done.await;
        loan.give_back();
        done
    }

    async fn try_batch(&self, sql: &str) -> anyhow::Result<()> {
        let loan = self.borrow().await?;
        let done = loan.batch_execute(sql).await;
        loan.give_back();
        Ok(done?)
    }

    async fn try_transaction<I: Sync + ?Sized, T>(
        &self,
        input: &I,
        work: impl for<'a> Fn(&'a Transaction<'_>, &'a I) -> BoxFuture<'a, anyhow::Result<T>>,
        tell_pid: Option<&AtomicI32>,
    ) -> anyhow::Result<T> {
        let mut loan = self.borrow().await?;
        let done = async {
            let transaction = loan.transaction().await?;
            if let Some(pid) = tell_pid {
                let own: i32 = transaction.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
                pid.store(own, Ordering::Relaxed);
            }
            // Dropped, it rolls back.
            let done = work(&transaction, input).await?;
            transaction.commit().await?;
            anyhow::Ok(done)
        };
        let done = done.await;
        loan.give_back();
        done
    }

    async fn borrow(&self) -> anyhow::Result<Loan> {
        Ok(Loan(Some(self.connections.get().await?)))
    }
}

/// An advisory lock, held until it is released; dropped, until the server has noticed.
pub struct Lock {
    connection: ClientWrapper,
    key: i64,
}

impl Lock {
    /// Releases it: when this returns, others can take it. If the database no longer answers, it has released the lock
    /// itself.
    pub async fn release(self) {
        if let Err(error) = self.connection.execute("SELECT pg_advisory_unlock($1)", &[&self.key]).await {
            tracing::debug!(error = %error, "the lock's connection is gone, and the lock with it");
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// A borrowed connection. If the caller gives up before the answer, the connection is closed and not returned to the
/// pool: the next statement over it would queue behind the abandoned one.
struct Loan(Option<Object>);

impl Loan {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

impl Deref for Loan {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.0.as_ref().unwrap_or_else(|| unreachable!("whoever gives it back has it no more"))
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut Object {
        self.0.as_mut().unwrap_or_else(|| unreachable!("whoever gives it back has it no more"))
    }
}

/// Counts the attempts at one thing.
struct Attempts {
    names: Names,
    failed: u32,
    /// Whether the last one has waited too long for a lock.
    waits_for_lock: bool,
    /// Who held it.
    blockers: Blockers,
}

impl Attempts {
    fn of(names: Names) -> Self {
        Self { names, failed: 0, waits_for_lock: false, blockers: Blockers::default() }
    }

    /// Pauses before another attempt.
    ///
    /// # Errors
    /// The failure, explained, if another attempt would not help or there were enough.
    async fn again(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.failed += 1;
        let is_passing = is_passing(&error);
        self.waits_for_lock = is_lock_timeout(&error);
        let mut error = explain(error, self.names);
        if self.waits_for_lock && self.blockers.are_known() {
            error = anyhow::anyhow!("{error}: {}", self.blockers);
        }
        if self.failed >= ATTEMPTS || !is_passing {
            return Err(error);
        }
        tracing::warn!(error = %error, "trying again");
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.failed - 1)).await;
        Ok(())
    }
}
