//! How far the warehouse is.

use std::time::Duration;

use anyhow::Context;
use lambda_boot::Vars;
use postgres_pool::Pool;
use serde::{Deserialize, Serialize};

use crate::check::WAREHOUSE;
use crate::figures::age;

/// Loads begin every hour, and may take a quarter of one: at this age, two have not succeeded.
const LOAD_AGE_MAX: Duration = Duration::from_secs(2 * 3_600 + 900);

/// The loader's last run, and what it has loaded.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Warehouse {
    run: Option<Run>,
    /// Since a run succeeded.
    succeeded_s: Option<u64>,
    topics: Vec<Loaded>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Run {
    status: String,
    message: Option<String>,
    started_s: u64,
    /// `None` while it runs.
    finished_s: Option<u64>,
}

/// How far a topic has been loaded.
#[derive(Debug, Deserialize, Serialize)]
struct Loaded {
    topic: String,
    /// Kafka's time of its newest record, which its producer chose; `None` where no record has one.
    newest_record_at: Option<String>,
    loaded_s: u64,
}

impl Warehouse {
    pub(super) async fn read(vars: &Vars) -> anyhow::Result<Self> {
        let lake_loader::DatabaseConfig { url } = vars.read()?;
        let rows = Pool::new(&url, WAREHOUSE)?.query(include_str!("warehouse.sql"), &[]).await?;
        let row = rows.first().context("the warehouse does not tell how far it is")?;
        serde_json::from_value(row.try_get(0)?).context("the warehouse tells in another way how far it is")
    }

    /// What needs a person.
    pub(super) fn needs(&self) -> Vec<String> {
        let mut needs = Vec::new();
        if let Some(Run { status, message, .. }) = &self.run
            && status == "failed"
        {
            let message = message.as_deref().unwrap_or("its log says why");
            needs.push(format!("the last load failed: {message}"));
        }
        if let Some(seconds) = self.succeeded_s
            && seconds > LOAD_AGE_MAX.as_secs()
        {
            needs.push(format!("no load has succeeded for {}: is `trunkline up` running?", age(seconds)));
        }
        needs
    }

    /// For people, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        let run = match &self.run {
            None => "no load yet: `trunkline load --now`".to_owned(),
            Some(Run { finished_s: None, started_s, .. }) => format!("a load is running, since {}", age(*started_s)),
            Some(Run { status, finished_s: Some(seconds), .. }) => {
                format!("the last load {status} {} ago", age(*seconds))
            }
        };
        let loaded = self.topics.iter().map(|Loaded { topic, newest_record_at, loaded_s }| {
            let newest = newest_record_at.as_deref().unwrap_or("no time");
            format!("{topic:<40}  newest record {newest}, loaded {} ago", age(*loaded_s))
        });
        [run].into_iter().chain(loaded).collect()
    }
}
