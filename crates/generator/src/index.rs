use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::options::Options;

/// How far a run has come, kept in a file: every set below `next` has been delivered.
pub(crate) struct Index {
    path: PathBuf,
    run: Map<String, Value>,
    pub(crate) next: u64,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Content {
    /// Everything that decides what is delivered, and where: only a run that agrees in all of it may go on.
    run: Map<String, Value>,
    next: u64,
}

/// Raised when the same options begin to give other bytes: a run may not go on with half of each.
const OUTPUT_VERSION: u32 = 1;

impl Index {
    /// Opens the index of a run that was begun before, or begins one.
    ///
    /// # Errors
    /// The file cannot be read, is no index, or belongs to a run with other options: then they are named.
    pub(crate) async fn open(options: &Options, destination: &[String]) -> anyhow::Result<Self> {
        let path = options.index.clone();
        let run = identity(options, destination);
        let content = match tokio::fs::read(&path).await {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { path, run, next: 0 }),
            Err(error) => return Err(error).with_context(|| format!("cannot read the index file {}", path.display())),
        };
        let Ok(content) = serde_json::from_slice::<Content>(&content) else {
            bail!("{} is not an index file of this generator: name another, or delete it", path.display());
        };
        let differences = differences(&content.run, &run);
        ensure!(
            differences.is_empty(),
            "{} belongs to a run with other options ({}): give the same options to finish that run, or delete the file \
             to start afresh",
            path.display(),
            differences.join("; ")
        );
        Ok(Self { path, run, next: content.next })
    }

    /// Notes that every set below `next` has been delivered. A kill leaves either the old state or the new one.
    pub(crate) async fn advance(&mut self, next: u64) -> anyhow::Result<()> {
        self.next = next;
        let mut content = serde_json::to_vec(&Content { run: self.run.clone(), next })?;
        content.push(b'\n');
        replace(&self.path, content).await
    }
}

/// Writes a file so that a kill leaves either the old content or the new one.
pub(crate) async fn replace(path: &Path, content: Vec<u8>) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let write = async {
        tokio::fs::write(&temporary, content).await?;
        tokio::fs::rename(&temporary, path).await
    };
    write.await.with_context(|| format!("cannot write {}", path.display()))
}

fn identity(options: &Options, destination: &[String]) -> Map<String, Value> {
    let Options { seed, seconds, lines_per_second, subscribers, start, faults, index: _, manifest: _ } = options;
    [
        ("destination", Value::from(destination.join(", "))),
        ("faults", Value::from(*faults)),
        ("lines_per_second", Value::from(*lines_per_second)),
        ("output_version", Value::from(OUTPUT_VERSION)),
        ("seconds", Value::from(*seconds)),
        ("seed", Value::from(*seed)),
        ("start", Value::from(start.to_string())),
        ("subscribers", Value::from(*subscribers)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// `seed 1 there, 2 here`, for everything in which two runs differ.
fn differences(there: &Map<String, Value>, here: &Map<String, Value>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    let show = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), Value::to_string);
    names
        .into_iter()
        .filter(|name| there.get(*name) != here.get(*name))
        .map(|name| format!("{name} {} there, {} here", show(there.get(name)), show(here.get(name))))
        .collect()
}
