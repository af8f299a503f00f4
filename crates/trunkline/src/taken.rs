//! Waiting until functions have taken what their topics hold.

use std::time::Duration;

use anyhow::Context;
use kafka_sink::Cluster;
use local_runtime::Template;
use tokio::time::Instant;

use crate::functions::Project;

/// How long the brokers may take to say how far everybody is.
const LAG_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a mapping may take beyond its window before it is no longer waited for: it reads, writes and commits in seconds.
const PATIENCE_BEYOND_WINDOW: Duration = Duration::from_secs(30);

/// Waits until these functions' mappings have nothing before them. Returns how many records are left when that took too long:
/// because nobody runs them, or because more and more comes.
pub(crate) async fn until_taken(project: &Project, functions: &[&str]) -> anyhow::Result<u64> {
    let kafka: kafka_sink::Config = project.all_vars().read()?;
    Cluster::reach(&kafka, Some(LAG_WITHIN)).await?;
    let (groups, window) = groups_and_window(&project.template, functions);
    let deadline = Instant::now() + window + PATIENCE_BEYOND_WINDOW;
    loop {
        let lags = kafka_sink::lag_of(&kafka, groups.clone(), LAG_WITHIN).await;
        let lags = lags.with_context(|| format!("can't see how far {} is behind its topics", functions.join(", ")))?;
        let left = lags.iter().map(|lag| lag.records).sum();
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The functions' consumer groups with their topics, and the longest of their windows.
fn groups_and_window(template: &Template, functions: &[&str]) -> (Vec<(String, String)>, Duration) {
    let mappings = || template.mappings.iter().filter(|mapping| functions.contains(&mapping.function.as_str()));
    let groups = mappings().map(|mapping| (mapping.group.clone(), mapping.topic.clone())).collect();
    (groups, mappings().map(|mapping| mapping.window).max().unwrap_or_default())
}
