//! `trunkline load`: what the schedule does every hour, at once.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use lake_loader::{Event, ModelReport, Report, Request, Status, StreamReport};
use local_runtime::{Call, Invoker};

use crate::cli::LoadArgs;
use crate::figures::{grouped, line};
use crate::functions::Project;
use crate::taken::until_taken;

const FUNCTION: &str = "lake-loader";

/// Here nobody ends a load after the template's timeout, and a backfill of months may take its time.
const TIMEOUT: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    if args.now {
        let left = until_taken(&project, &["lake-writer"]).await?;
        if left > 0 {
            println!(
                "{} records are not in the lake yet (is lake-writer running?): loading what is there",
                grouped(left)
            );
        }
    }
    let LoadArgs { now: wait, full_refresh, from, to, .. } = args;
    let functions = project.boot_only(FUNCTION).await?;
    let report = load(&functions, Request { wait, full_refresh, from, to }).await?;
    print!("{}", table(&report));
    println!("{}", ending(&report));
    Ok(())
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
        let StreamReport { chunks, bytes, records, duplicates, rejected, gap_offsets, .. } = stream;
        let [records, chunks, duplicates, rejected, missing] =
            [records, chunks, duplicates, rejected, gap_offsets].map(|count| grouped(*count));
        let note = if stream.records == 0 {
            "rows: nothing new".to_owned()
        } else {
            let bytes = grouped(bytes.div_ceil(1_000));
            format!(
                "rows of {records} records, {bytes} kB (chunks {chunks}; duplicates {duplicates}, rejected {rejected}, missing {missing})"
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
