//! `trunkline load`: what the schedule does every hour, at once.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use lake_loader::table::LoadedTopic;
use lake_loader::{Event, ModelReport, Report, Request, Status, StreamReport};
use local_runtime::{Call, Invoker};
use stream::Topics;

use crate::cli::LoadArgs;
use crate::figures::{grouped, line};
use crate::functions::Project;
use crate::taken::until_taken;

const FUNCTION: &str = "lake-loader";

/// How long the brokers may take to show where a topic ends.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Here nobody ends a load after the template's timeout, and a backfill of months may take its time.
const TIMEOUT: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    let mut ends = Vec::new();
    if args.now {
        let left = until_taken(&project, &["lake-writer"]).await?;
        if left > 0 {
            println!("{} records are not in the lake yet: loading what is there", grouped(left));
        }
        ends = topic_ends(&project).await?;
    }
    let LoadArgs { now: wait, full_refresh, from, to, .. } = args;
    let functions = project.boot_only(FUNCTION).await?;
    let report = load(&functions, Request { wait, full_refresh, from, to }).await?;
    print!("{}", table(&report));
    println!("{}", ending(&report));
    let missing = missing(&report, &ends);
    missing.iter().for_each(|lane| println!("NOT LOADED: {lane}"));
    ensure!(
        missing.is_empty(),
        "the topics have records that are not in the warehouse: is lake-writer running (`trunkline up`), and what does its \
         log say?"
    );
    Ok(())
}

/// Where what can be read of a topic's partition ends.
#[derive(Debug)]
struct End {
    topic: String,
    partition: i32,
    /// The offset behind the last record.
    offset: i64,
}

/// Those of all loaded topics, at this moment. Marks of transactions, and what was aborted, are no records.
async fn topic_ends(project: &Project) -> anyhow::Result<Vec<End>> {
    let vars = project.all_vars();
    let kafka: kafka_sink::Config = vars.read()?;
    let mut ends = Vec::new();
    let topics: Topics = vars.read()?;
    for (_, topic) in LoadedTopic::named(&topics) {
        let extents = kafka_sink::extents(&kafka, topic, ENDS_WITHIN).await?;
        let filled = extents.into_iter().filter(|extent| extent.begin < extent.end);
        ends.extend(filled.map(|extent| End {
            topic: topic.to_owned(),
            partition: extent.partition,
            offset: extent.end,
        }));
    }
    Ok(ends)
}

/// The partitions of which the topic has more than the warehouse, a line each.
fn missing(report: &Report, ends: &[End]) -> Vec<String> {
    let missing = ends.iter().filter_map(|End { topic, partition, offset }| {
        let lane = report.lanes.iter().find(|lane| lane.topic == *topic && lane.partition == *partition);
        let next = lane.map_or(0, |lane| lane.next_offset);
        (next < *offset).then(|| {
            format!("topic {topic}, partition {partition}: loaded up to offset {next}, and its records end at {offset}")
        })
    });
    missing.collect()
}

/// Invokes the loader.
pub(crate) async fn load(functions: &dyn Invoker, request: Request) -> anyhow::Result<Report> {
    let call = Call::new(FUNCTION, Bytes::from(Event::Load(request).to_json()), TIMEOUT);
    let answer = functions.invoke(call).await.context("the load failed")?;
    serde_json::from_slice(&answer).context("the loader's answer is not a report")
}

/// What came into each table.
pub(crate) fn table(report: &Report) -> String {
    let streams = report.streams.iter().map(|stream| {
        let StreamReport { chunks, bytes, records, duplicates, rejected, withdrawn, gap_offsets, .. } = stream;
        let [records, chunks, duplicates, rejected, missing] =
            [records, chunks, duplicates, rejected, gap_offsets].map(|count| grouped(*count));
        let withdrawn = match withdrawn {
            0 => String::new(),
            withdrawn => format!(", withdrawn {}", grouped(*withdrawn)),
        };
        let note = if stream.records == 0 {
            "rows: nothing new".to_owned()
        } else {
            let bytes = grouped(bytes.div_ceil(1_000));
            format!(
                "rows of {records} records, {bytes} kB (chunks {chunks}; duplicates {duplicates}, rejected {rejected}{withdrawn}, missing {missing})"
            )
        };
        line(&stream.table, &grouped(stream.stored), &note)
    });
    let models = report.models.iter().filter(|model| model.rows > 0).map(|model| {
        let ModelReport { name, rows, tests, duration_ms, .. } = model;
        line(name, &grouped(*rows), &format!("rows written in {} ms (tests passed {tests})", grouped(*duration_ms)))
    });
    streams.chain(models).collect()
}

fn ending(report: &Report) -> String {
    let tests: u64 = report.models.iter().map(|model| model.tests).sum();
    let seconds = Duration::from_millis(report.duration_ms).as_secs_f64();
    match (report.status, &report.left) {
        (Status::Busy, _) => "Another run is at work: nothing was done. --now waits for it.".to_owned(),
        (_, Some(left)) => format!("Not everything was done in time, left are {left}: run it again. {seconds:.1} s"),
        (_, None) => format!("{} models, {tests} tests, {seconds:.1} s", report.models.len()),
    }
}

#[cfg(test)]
mod tests {
    use lake_loader::LaneReport;

    use super::*;

    #[test]
    fn what_a_topic_has_and_the_warehouse_has_not_is_named() {
        let lane = |topic: &str, partition, next_offset| LaneReport { topic: topic.to_owned(), partition, next_offset };
        let report = Report {
            status: Status::Succeeded,
            left: None,
            streams: Vec::new(),
            models: Vec::new(),
            lanes: vec![lane("cdr-data", 0, 5), lane("cdr-data", 1, 9), lane("rejected", 0, 3)],
            duration_ms: 1,
        };
        let end = |topic: &str, partition, offset| End { topic: topic.to_owned(), partition, offset };
        assert!(missing(&report, &[end("cdr-data", 0, 5), end("cdr-data", 1, 8)]).is_empty());
        let found = missing(&report, &[end("cdr-data", 0, 6), end("cdr-data", 1, 9), end("chat-messages", 2, 1)]);
        assert_eq!(
            found,
            [
                "topic cdr-data, partition 0: loaded up to offset 5, and its records end at 6",
                "topic chat-messages, partition 2: loaded up to offset 0, and its records end at 1",
            ]
        );
    }
}
