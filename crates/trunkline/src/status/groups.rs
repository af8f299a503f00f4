//! How far the functions have read their topics.

use std::time::Duration;

use kafka_sink::{Cluster, Config, GroupLag};
use serde::Serialize;

use crate::figures::grouped;
use crate::functions::Project;

/// The mappings' consumer groups.
#[derive(Serialize)]
pub(super) struct Groups(Vec<Group>);

#[derive(Serialize)]
struct Group {
    group: String,
    topic: String,
    /// Records that it has not committed.
    lag: u64,
    /// How many consume at this moment.
    members: usize,
}

impl Groups {
    pub(super) async fn read(project: &Project, within: Duration) -> anyhow::Result<Self> {
        let kafka: Config = project.all_vars().read()?;
        Cluster::reach(&kafka, Some(within)).await?;
        let mappings = project.template.mappings.iter().filter(|mapping| mapping.is_enabled);
        let groups = mappings.map(|mapping| (mapping.group.clone(), mapping.topic.clone()));
        let lags = kafka_sink::lag_of(&kafka, groups, within).await?;
        let group = |GroupLag { group, topic, members, records }| Group { group, topic, lag: records, members };
        Ok(Self(lags.into_iter().map(group).collect()))
    }

    /// What needs a person.
    pub(super) fn needs(&self) -> Vec<String> {
        let left = self.0.iter().filter(|group| group.members == 0 && group.lag > 0);
        let left = left.map(|Group { group, lag, .. }| {
            format!("nobody reads as {group}, and {} records wait: is `trunkline up` running?", grouped(*lag))
        });
        left.collect()
    }

    /// For people, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |group: &str, lag: &str, members: &str| format!("{group:<56}{lag:>12}{members:>9}");
        let groups = self.0.iter().map(|group| line(&group.group, &grouped(group.lag), &group.members.to_string()));
        [line("consumer group", "lag", "readers")].into_iter().chain(groups).collect()
    }
}
