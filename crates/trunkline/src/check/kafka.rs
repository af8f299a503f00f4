//! The brokers, the topics and what the mappings' groups may do.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use kafka_sink::{Cluster, Config, Retention};

use super::Sheet;
use crate::functions::Project;
use crate::topics::{PARTITIONS, Topics};

/// What is not counted, or not in the lake, by then is lost: a weekend in which nobody looks has passed.
const LEAST_AGE: Duration = Duration::from_secs(3 * 86_400);

/// Each group takes a client of its own, with its threads and connections, for a moment.
const GROUPS_AT_ONCE: usize = 8;

pub(super) async fn check(sheet: &mut Sheet, project: &Project, within: Duration) -> anyhow::Result<()> {
    let vars = project.all_vars();
    let kafka: Config = vars.read()?;
    let cluster = Cluster::reach(&kafka, Some(within)).await?;
    sheet.ok(format!("a cluster of {} answers at {}", counted(cluster.brokers, "broker"), kafka.brokers()));
    let topics = Topics::of(&vars)?;
    check_topics(sheet, &kafka, &cluster, &topics, within).await?;
    check_groups(sheet, &kafka, &cluster, project, within).await;
    Ok(())
}

async fn check_topics(
    sheet: &mut Sheet,
    kafka: &Config,
    cluster: &Cluster,
    topics: &Topics,
    within: Duration,
) -> anyhow::Result<()> {
    let there: Vec<_> = topics.names().filter(|name| cluster.topics.contains_key(*name)).collect();
    let retention = kafka_sink::retention(kafka, &there, within).await?;
    for name in topics.names() {
        let is_own = topics.own.iter().any(|own| own == name);
        let Some(partitions) = cluster.topics.get(name).copied() else {
            sheet.fault(format!(
                "topic {name} is missing, or this user may not describe it: run `trunkline init`, and allow it Describe"
            ));
            continue;
        };
        if is_own && usize::try_from(PARTITIONS) != Ok(partitions) {
            sheet.fault(format!(
                "topic {name} has {partitions} partitions instead of {PARTITIONS}: delete it while it is empty, and run \
                 `trunkline init`; else begin a new stream epoch (docs/operations.md)"
            ));
            continue;
        }
        let partitions = counted(partitions, "partition");
        match retention.get(name).and_then(Option::as_ref) {
            None => sheet.ok(format!(
                "topic {name}: {partitions}; how long it keeps records is not told to this user (allow DescribeConfigs)"
            )),
            Some(kept) => match too_short(name, kept) {
                Some(fault) => sheet.fault(fault),
                None => sheet.ok(format!("topic {name}: {partitions}, {}", shown(kept))),
            },
        }
    }
    Ok(())
}

/// What in a topic's retention loses records, and how to change it.
fn too_short(name: &str, kept: &Retention) -> Option<String> {
    let (what, config) = match kept {
        Retention { is_compacted: true, .. } => {
            ("is compacted, which deletes records".to_owned(), "cleanup.policy=delete")
        }
        Retention { age: Some(age), .. } if *age < LEAST_AGE => {
            (format!("keeps records for {} only", lasting(*age)), "retention.ms=604800000")
        }
        _ => return None,
    };
    Some(format!(
        "topic {name} {what}: what is deleted before it was counted, or kept in the lake, is lost: kafka-configs.sh \
         --alter --entity-type topics --entity-name {name} --add-config {config}"
    ))
}

fn shown(kept: &Retention) -> String {
    let age = kept
        .age
        .map_or_else(|| "keeps records for ever".to_owned(), |age| format!("keeps records for {}", lasting(age)));
    match kept.partition_bytes {
        Some(bytes) => format!("{age}, at most {} MB of a partition", bytes / 1_000_000),
        None => age,
    }
}

/// In the largest unit that leaves nothing over.
fn lasting(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(86_400) => counted(seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3_600) => counted(seconds / 3_600, "hour"),
        _ => counted(seconds, "second"),
    }
}

fn counted<N: TryInto<u64>>(number: N, what: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// Whether the mappings' groups may read their topics, and commit.
async fn check_groups(sheet: &mut Sheet, kafka: &Config, cluster: &Cluster, project: &Project, within: Duration) {
    let mappings = project.template.mappings.iter().filter(|mapping| mapping.is_enabled);
    let mappings = mappings.filter(|mapping| cluster.topics.contains_key(&mapping.topic));
    let asked = mappings.map(|mapping| kafka_sink::may_read(kafka, &mapping.group, &mapping.topic, within));
    let answers: Vec<_> = stream::iter(asked).buffered(GROUPS_AT_ONCE).collect().await;
    let allowed = answers.iter().filter(|answer| answer.is_ok()).count();
    if allowed > 0 {
        sheet.ok(format!("{} may read and commit", counted(allowed, "consumer group")));
    }
    for error in answers.into_iter().filter_map(Result::err) {
        sheet.fault(format!("{error:#}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_that_loses_records_is_a_fault() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let kept = |age, is_compacted| Retention { age, partition_bytes: None, is_compacted };
        assert_eq!(too_short("t", &kept(days(7), false)), None);
        assert_eq!(too_short("t", &kept(None, false)), None);
        let hour = too_short("t", &kept(Some(Duration::from_secs(3_600)), false)).expect("a fault");
        assert!(hour.contains("topic t keeps records for 1 hour only") && hour.contains("retention.ms="), "{hour}");
        let compacted = too_short("t", &kept(None, true)).expect("a fault");
        assert!(compacted.contains("compacted") && compacted.contains("cleanup.policy=delete"), "{compacted}");
        assert_eq!(shown(&kept(days(7), false)), "keeps records for 7 days");
        let limited = Retention { partition_bytes: Some(5_000_000), ..kept(None, false) };
        assert_eq!(shown(&limited), "keeps records for ever, at most 5 MB of a partition");
    }
}
