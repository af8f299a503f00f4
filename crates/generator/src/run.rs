use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use telecom::RecordType;
use tokio::task::JoinHandle;

use crate::files::{File, files};
use crate::index::{self, Index};
use crate::manifest::Manifest;
use crate::messages::{self, Messages, messages};
use crate::options::Options;
use crate::plan::Plan;
use crate::sink::Destination;

/// What a run has done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Data records of the whole run, those made before it was resumed included.
    pub data_rows: u64,
    /// Voice records, likewise.
    pub voice_rows: u64,
    /// File sets (one file of each type), likewise.
    pub sets: u64,
    /// Sets that earlier attempts had already delivered.
    pub sets_before: u64,
    /// Files that this attempt made and delivered, second deliveries included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What this attempt took.
    pub elapsed: Duration,
}

/// Sets that are made ahead of their delivery, at most: enough to keep every core busy, and a few megabytes.
const MAX_AHEAD: usize = 8;

/// Generates what the options ask for, from where the index file says, one file set after another.
///
/// # Errors
/// Options that make no sense, an index file of another run, or a destination that fails. The same call resumes the run.
pub async fn run(options: &Options, destination: &Destination, bar: &ProgressBar) -> anyhow::Result<Summary> {
    let begun = Instant::now();
    Plan::new(options)?;
    check(options, destination)?;
    let (mut index, options) = Index::open(options, &destination.places()).await?;
    let plan = Arc::new(Plan::new(&options)?);
    if options.faults > 0.0 {
        let plan = Arc::clone(&plan);
        let manifest =
            tokio::task::spawn_blocking(move || serde_json::to_vec_pretty(&Manifest::of_plan(&plan))).await?;
        index::replace(&options.manifest, manifest?).await?;
    }

    let mut summary = Summary {
        data_rows: plan.rows(),
        voice_rows: plan.rows(),
        sets: plan.sets(),
        sets_before: index.next.min(plan.sets()),
        files: 0,
        bytes: 0,
        elapsed: Duration::ZERO,
    };
    bar.set_length(2 * plan.rows());
    bar.set_position(2 * plan.rows_before(summary.sets_before));
    bar.reset_eta();
    // Before the first file: an index that cannot be written must not be found out after it.
    index.advance(summary.sets_before).await?;
    say_what_is_left(&options, &plan, &summary);
    let mut ahead = Ahead::new(plan, destination, summary.sets_before);
    while let Some((set, work)) = ahead.next().await? {
        summary.files += work.files.len() as u64;
        summary.bytes += work.files.iter().map(|file| file.content.len() as u64).sum::<u64>();
        deliver(destination, &work).await?;
        index.advance(set + 1).await?;
        bar.inc(work.rows);
        bar.suspend(|| tracing::info!("Generated {} cdr files...", RecordType::ALL.len()));
    }
    bar.finish_and_clear();
    tracing::info!(
        "Completed data generation. cdr_data [{}], cdr_voice [{}], files [{}]",
        summary.data_rows,
        summary.voice_rows,
        summary.sets
    );
    summary.elapsed = begun.elapsed();
    Ok(summary)
}

/// What the options and the destination ask for together has to make sense.
fn check(options: &Options, destination: &Destination) -> anyhow::Result<()> {
    let has_files = !destination.files.is_empty();
    ensure!(has_files || destination.topics.is_some(), "there is nowhere to write to: name a sink");
    ensure!(
        options.faults == 0.0 || has_files,
        "--faults needs a folder or SFTP: the topics get the records without faults"
    );
    ensure!(
        options.faults == 0.0 || !options.continues,
        "--continue does not go with --faults: files that are delivered late have names of the time after the run, \
         which are the next run's"
    );
    Ok(())
}

/// What comes now; and where that is nothing, why.
fn say_what_is_left(options: &Options, plan: &Plan, summary: &Summary) {
    let index = options.index.display();
    if summary.sets_before == summary.sets {
        tracing::info!(
            "Nothing is left to deliver: {index} says that everything was. --continue goes on behind it; without the \
             file, everything is delivered once more."
        );
    } else {
        tracing::info!("Generating records from {} to {}, progress in {index}", options.start, plan.end());
    }
}

/// A set to everywhere; a file is whole wherever it is.
async fn deliver(destination: &Destination, work: &Work) -> anyhow::Result<()> {
    for sink in &destination.files {
        for File { name, content } in &work.files {
            sink.put(name, content.clone()).await?;
        }
    }
    if let Some(topics) = &destination.topics {
        messages::send(&topics.sink, &work.messages).await.context("cannot send to the topics")?;
    }
    Ok(())
}

/// A bar for [`run`], on standard error; hidden when that is not a terminal.
#[must_use]
pub fn progress_bar() -> ProgressBar {
    bar_of("rows")
}

/// A bar that counts something.
pub(crate) fn bar_of(things: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = format!("{{msg:>10}} [{{bar:40}}] {{human_pos}}/{{human_len}} {things}, {{per_sec}}, {{eta}} left");
    match ProgressStyle::with_template(&style) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")).with_message("generating"),
        Err(_) => bar,
    }
}

/// A set, ready to be delivered.
struct Work {
    files: Vec<File>,
    messages: Vec<Messages>,
    /// Of both types.
    rows: u64,
}

/// Sets in order, made in parallel.
struct Ahead {
    plan: Arc<Plan>,
    with_files: bool,
    with_messages: bool,
    /// The set that is delivered next; the queue begins with it.
    next: u64,
    queue: VecDeque<JoinHandle<anyhow::Result<Work>>>,
    depth: usize,
}

impl Ahead {
    fn new(plan: Arc<Plan>, destination: &Destination, next: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            plan,
            with_files: !destination.files.is_empty(),
            with_messages: destination.topics.is_some(),
            next,
            queue: VecDeque::new(),
            depth: (cores + 1).min(MAX_AHEAD),
        }
    }

    async fn next(&mut self) -> anyhow::Result<Option<(u64, Work)>> {
        while self.queue.len() < self.depth && self.next + (self.queue.len() as u64) < self.plan.sets() {
            let set = self.next + self.queue.len() as u64;
            let (plan, with_files, with_messages) = (Arc::clone(&self.plan), self.with_files, self.with_messages);
            self.queue.push_back(tokio::task::spawn_blocking(move || {
                Ok(Work {
                    files: if with_files { files(&plan, set)? } else { Vec::new() },
                    messages: if with_messages { messages(&plan, set) } else { Vec::new() },
                    rows: 2 * u64::from(plan.rows_in(set)),
                })
            }));
        }
        let Some(work) = self.queue.pop_front() else { return Ok(None) };
        let set = self.next;
        self.next += 1;
        Ok(Some((set, work.await.context("the generator failed")??)))
    }
}
