//! `trunkline skip`: goes past a record that can't be delivered, and keeps it in the topic `rejected` first.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use kafka_sink::{Cluster, Moved, Place, Rejected, Seat, Sink};
use local_runtime::event::kafka::MAX_PAYLOAD_BYTES;
use local_runtime::{Found, Mapping, SourceConfig, StopReason};
use stream::KafkaPosition;
use tokio::time::Instant;

use crate::cli::SkipArgs;
use crate::functions::Project;

/// The reason of a record that was skipped. A running mapping that stands still at a record goes on when it finds it in
/// the topic `rejected` for this reason: so nothing is skipped that is not kept there.
pub(crate) const UNDELIVERABLE: &str = "undeliverable";

/// How long the brokers may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A running mapping looks every few seconds whether a decision has come.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is skipped: offsets of one partition, in most cases one.
struct Undeliverable {
    reason: StopReason,
    next_offset: i64,
    value: Vec<u8>,
}

/// Where the groups of the topic's mappings stand, as seen from the record.
#[derive(Default)]
struct Groups {
    here: Vec<Seat>,
    before: BTreeMap<String, Option<i64>>,
    behind: Vec<String>,
}

pub(crate) async fn run(args: SkipArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    let kafka: kafka_sink::Config = project.all_vars().read()?;
    let mappings = mappings_of(&project, &args.topic)?;
    let place = format!("{}-{}@{}", args.topic, args.partition, args.offset);
    Cluster::reach(&kafka, Some(ANSWER_WITHIN)).await?;
    let undeliverable = look(&kafka, mappings[0], &args).await.with_context(|| format!("can't skip {place}"))?;
    let groups = groups(&kafka, &mappings, &args).await?;
    if groups.here.is_empty() {
        return nobody_here(&groups, &place);
    }
    keep(&kafka, &args, &undeliverable).await?;
    println!("{place} is in the topic {}: {}", kafka.rejected_topic(), undeliverable.reason);
    let mut held = Vec::new();
    for seat in &groups.here {
        if go_past(&kafka, seat, undeliverable.next_offset).await? {
            println!("{} goes on from {}", seat.group, undeliverable.next_offset);
        } else {
            held.push(seat.group.as_str());
        }
    }
    for (group, committed) in &groups.before {
        println!(
            "{group} is not there yet ({}): it goes past by itself within the hour, else skip again",
            shown(*committed)
        );
    }
    if !held.is_empty() {
        bail!(
            "{} did not go on within {} s: if other consumers than `trunkline up` run it (Lambda's mappings), disable \
             them, wait until the group has no members, and skip again",
            held.join(", "),
            PATIENCE.as_secs()
        );
    }
    Ok(())
}

fn mappings_of<'p>(project: &'p Project, topic: &str) -> anyhow::Result<Vec<&'p Mapping>> {
    let all = || project.template.mappings.iter().filter(|mapping| mapping.is_enabled);
    let found: Vec<_> = all().filter(|mapping| mapping.topic == topic).collect();
    if found.is_empty() {
        let mut topics: Vec<_> = all().map(|mapping| mapping.topic.as_str()).collect();
        topics.dedup();
        bail!("no mapping of the template reads topic {topic}; they read {}", topics.join(", "));
    }
    Ok(found)
}

/// What lies there, if it can't be delivered. Anything else is not to be skipped.
async fn look(kafka: &kafka_sink::Config, mapping: &Mapping, args: &SkipArgs) -> anyhow::Result<Undeliverable> {
    let source = SourceConfig {
        mapping: mapping.clone(),
        brokers: kafka.brokers().to_owned(),
        properties: kafka.security().into_iter().collect(),
        max_payload_bytes: MAX_PAYLOAD_BYTES,
    };
    let (partition, offset) = (args.partition, args.offset);
    match tokio::task::spawn_blocking(move || local_runtime::look(&source, partition, offset)).await?? {
        Found::Undeliverable { reason, next_offset, value } => {
            Ok(Undeliverable { reason, next_offset, value: value.unwrap_or_default() })
        }
        Found::Record => bail!(
            "this record can be delivered: no mapping stands still there. GET /health/mappings of `trunkline up` tells \
             where one does; where a function fails, its log says why"
        ),
        Found::Nothing => bail!(
            "there is no record: it was deleted (then its partition goes on by itself within half a minute), holds a \
             transaction's mark, or is still to come"
        ),
    }
}

async fn groups(kafka: &kafka_sink::Config, mappings: &[&Mapping], args: &SkipArgs) -> anyhow::Result<Groups> {
    let mut groups = Groups::default();
    for mapping in mappings {
        let group = mapping.group.clone();
        let seat = Seat { group: group.clone(), topic: args.topic.clone(), partition: args.partition };
        match seat.place(kafka, ANSWER_WITHIN).await?.committed {
            Some(committed) if committed > args.offset => groups.behind.push(group),
            Some(committed) if committed == args.offset => groups.here.push(seat),
            committed => {
                groups.before.insert(group, committed);
            }
        }
    }
    Ok(groups)
}

fn nobody_here(groups: &Groups, place: &str) -> anyhow::Result<()> {
    if groups.before.is_empty() {
        println!("Nothing to do: {} went past {place} already", groups.behind.join(", "));
        return Ok(());
    }
    let before: Vec<_> = groups.before.iter().map(|(group, at)| format!("{group} ({})", shown(*at))).collect();
    bail!("nothing was skipped: no mapping has come to {place} yet. Still before it: {}", before.join(", "))
}

fn shown(committed: Option<i64>) -> String {
    committed.map_or_else(|| "it has not begun".to_owned(), |offset| format!("it is at {offset}"))
}

/// Writes the record to the topic `rejected`, acknowledged before anybody goes past it.
async fn keep(kafka: &kafka_sink::Config, args: &SkipArgs, found: &Undeliverable) -> anyhow::Result<()> {
    let count = found.next_offset - args.offset;
    let detail = if count == 1 {
        format!("skipped by decision of a person: {}", found.reason)
    } else {
        format!("skipped with the {} offsets behind it by decision of a person: {}", count - 1, found.reason)
    };
    let mut rejected = Rejected::new(UNDELIVERABLE, detail, &found.value);
    rejected.kafka =
        Some(KafkaPosition { topic: args.topic.as_str().into(), partition: args.partition, offset: args.offset });
    let sink = Sink::new(kafka)?;
    let mut session = sink.session()?;
    session.reject(&rejected).await?;
    let kept = session.flush(Some(PATIENCE)).await;
    kept.with_context(|| format!("nothing was skipped: the topic {} did not take it", kafka.rejected_topic()))
}

/// Whether the group has gone past the record. One that nobody runs, or not any more, is moved; a running one reads the
/// topic `rejected`.
async fn go_past(kafka: &kafka_sink::Config, seat: &Seat, next_offset: i64) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let Place { committed, members } = seat.place(kafka, ANSWER_WITHIN).await?;
        if committed.is_some_and(|committed| committed >= next_offset)
            || members == 0 && seat.move_to(kafka, next_offset).await? == Moved::Yes
        {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(false)
}
