//! The CRM of the same operator: a PostgreSQL database that is filled, and then changed, one transaction after another.
//!
//! Account `n` has the number of subscriber `n - 1` of the call records that the same seed makes.

mod plan;
mod snapshot;
mod statement;
mod texts;

use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::ProgressBar;
use postgres_pool::{Names, Pool, Transaction as Open};
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::types::ToSql;

pub use plan::{Ending, Mix, Plan, Transaction};
pub use snapshot::snapshot;
pub use statement::{Statement, Value};

/// What happens at the CRM, and how fast. `Options::default()` is what the command line does when nothing else is said.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides every statement: the same seed and accounts give the same ones.
    pub seed: u64,
    /// Accounts that the tables are filled with; an address belongs to each, and up to eight devices.
    pub accounts: u32,
    /// Changes after that, each a transaction. Counted from the beginning of the run, so more of them go on with it.
    pub changes: u64,
    /// Changes a second; 0 for as many as the database takes.
    pub rate: u32,
    /// Which changes.
    pub mix: Mix,
}

impl Default for Options {
    /// Seed 1 and 50,000 accounts, as many as there are subscribers; 10,000 everyday changes, without a pause.
    fn default() -> Self {
        Self { seed: 1, accounts: 50_000, changes: 10_000, rate: 0, mix: Mix::Everyday }
    }
}

/// What a run has done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Transactions of the whole run, the filling included.
    pub transactions: u64,
    /// Those that earlier attempts had already made.
    pub transactions_before: u64,
    /// What this attempt took.
    pub elapsed: Duration,
}

/// Raised when the same options begin to give other statements: a run may not go on with half of each.
const STATEMENTS_VERSION: u32 = 1;

/// The name of the variable with the database's URL.
pub const DATABASE_URL: &str = "CRM_DATABASE_URL";

/// How often people are told of the progress.
const TOLD_EVERY: u64 = 10_000;

/// Makes schema and tables where they are missing, fills them and changes them. A run with the same seed, accounts and mix
/// goes on where the last one ended, or was killed: each transaction also notes, in the same database, that it was made.
///
/// # Errors
/// Options that make no sense, or a database that can't be reached or refuses. The same call resumes the run.
pub async fn run(database_url: &str, options: &Options, bar: &ProgressBar) -> anyhow::Result<Summary> {
    let begun = Instant::now();
    let Options { seed, accounts, changes, rate, mix } = *options;
    let plan = Plan::new(seed, accounts, mix)?;
    let pool = Pool::new(database_url, Names { variable: DATABASE_URL, service: "the CRM's database" })?;
    pool.batch(include_str!("crm/schema.sql")).await.context("making the CRM's tables failed")?;
    let run = format!("seed {seed}, accounts {accounts}, {mix:?}, version {STATEMENTS_VERSION}");
    let transactions_before = begin(&pool, &run).await?;

    let transactions = plan.fills() + changes;
    bar.set_length(transactions);
    bar.set_position(transactions_before.min(transactions));
    bar.reset_eta();
    let mut pace = (rate > 0).then(|| interval(Duration::from_secs(1) / rate));
    if let Some(pace) = &mut pace {
        // What a slow transaction or a pause has cost is not made up for in a burst.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    for number in transactions_before..transactions {
        let is_change = number >= plan.fills();
        if let Some(pace) = pace.as_mut().filter(|_| is_change) {
            pace.tick().await;
        }
        let step = Step { run: &run, number, transaction: plan.transaction(number) };
        pool.transaction(&step, |open, step| Box::pin(make(open, step)))
            .await
            .with_context(|| format!("transaction {number} of the CRM failed"))?;
        bar.inc(1);
        if number + 1 == plan.fills() {
            bar.suspend(|| tracing::info!("Filled the CRM: accounts [{accounts}]"));
        } else if is_change && (number + 1 - plan.fills()).is_multiple_of(TOLD_EVERY) {
            bar.suspend(|| tracing::info!("Made {} changes...", number + 1 - plan.fills()));
        }
    }
    bar.finish_and_clear();
    let before = transactions_before.saturating_sub(plan.fills()).min(changes);
    tracing::info!("Completed CRM generation. accounts [{accounts}], changes [{changes}], made before [{before}]");
    Ok(Summary { transactions, transactions_before: transactions_before.min(transactions), elapsed: begun.elapsed() })
}

/// A bar for [`run`], on standard error; hidden when that is not a terminal.
#[must_use]
pub fn progress_bar() -> ProgressBar {
    crate::run::bar_of("transactions")
}

/// The number of the run's next transaction.
async fn begin(pool: &Pool, run: &str) -> anyhow::Result<u64> {
    let sql = "INSERT INTO crm_generator.progress (run, next_transaction) VALUES ($1, 0) ON CONFLICT DO NOTHING";
    pool.query(sql, &[&run]).await?;
    let rows = pool.query("SELECT next_transaction FROM crm_generator.progress WHERE run = $1", &[&run]).await?;
    let row = rows.first().context("the run's row in crm_generator.progress went away")?;
    u64::try_from(row.try_get::<_, i64>(0)?).context("crm_generator.progress has a negative number")
}

/// One transaction of a run.
struct Step<'a> {
    run: &'a str,
    number: u64,
    transaction: Transaction,
}

/// Makes it, unless it was made before: by us, when the answer to a `COMMIT` was lost, or by somebody who does the same run.
async fn make(open: &Open<'_>, step: &Step<'_>) -> anyhow::Result<()> {
    let sql = "UPDATE crm_generator.progress SET next_transaction = $2 + 1 WHERE run = $1 AND next_transaction = $2";
    let next = open.prepare_cached(sql).await?;
    if open.execute(&next, &[&step.run, &i64::try_from(step.number)?]).await? == 0 {
        return Ok(());
    }
    let is_rolled_back = step.transaction.ending == Ending::Rollback;
    if is_rolled_back {
        open.batch_execute("SAVEPOINT before").await?;
    }
    for Statement { sql, values } in &step.transaction.statements {
        let statement = open.prepare_cached(sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        open.execute(&statement, &values).await?;
    }
    if is_rolled_back {
        open.batch_execute("ROLLBACK TO SAVEPOINT before").await?;
    }
    Ok(())
}
