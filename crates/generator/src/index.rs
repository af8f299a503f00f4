use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::options::Options;
use crate::plan::Plan;

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
const OUTPUT_VERSION: u32 = 2;

impl Index {
    /// Opens the index of a run that was begun before, or begins one. Where runs continue each other, the options come
    /// back with the time of the one that is to be made.
    ///
    /// # Errors
    /// The file cannot be read, is no index, or belongs to a run with other options: then they are named.
    pub(crate) async fn open(options: &Options, destination: &str) -> anyhow::Result<(Self, Options)> {
        let path = options.index.clone();
        let begin = |options: Options, next| {
            let index = Self { path: path.clone(), run: identity(&options, destination), next };
            Ok((index, options))
        };
        let content = match tokio::fs::read(&path).await {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return begin(options.clone(), 0),
            Err(error) => return Err(error).with_context(|| format!("cannot read the index file {}", path.display())),
        };
        let Some((content, begun)) = Content::parse(&content, options) else {
            bail!("{} is not an index file of this generator: name another, or delete it", path.display());
        };
        ensure_same(&path, &content.run, &identity(&begun, destination))?;
        if options.continues && content.next >= Plan::new(&begun)?.sets() {
            return begin(Options { start: Plan::new(&begun)?.end(), ..options.clone() }, 0);
        }
        begin(begun, content.next)
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

impl Content {
    /// An index file's content, and the options of its run if that is what these options ask for: a run that continues
    /// another takes the time from it.
    fn parse(content: &[u8], options: &Options) -> Option<(Self, Options)> {
        let content: Self = serde_json::from_slice(content).ok()?;
        let mut begun = options.clone();
        if options.continues {
            begun.start = content.run.get("start")?.as_str()?.parse().ok()?;
            begun.seconds = content.run.get("seconds")?.as_u64()?;
        }
        Some((content, begun))
    }
}

/// Refuses another run's index. Another destination has a message of its own: a run that finds everything delivered
/// elsewhere would deliver nothing.
fn ensure_same(path: &Path, there: &Map<String, Value>, here: &Map<String, Value>) -> anyhow::Result<()> {
    let path = path.display();
    let differences = differences(there, here);
    if let [(name, there, here)] = &differences[..]
        && name == "destination"
    {
        bail!(
            "{path} tells how far a run to {there} has come, and this one goes to {here}: name another file with \
             --index, one for each destination"
        );
    }
    let list: Vec<_> =
        differences.iter().map(|(name, there, here)| format!("{name} {there} there, {here} here")).collect();
    ensure!(
        list.is_empty(),
        "{path} belongs to a run with other options ({}): give the same options to finish that run, name another file \
         with --index, or delete this one to start afresh",
        list.join("; ")
    );
    Ok(())
}

fn identity(options: &Options, destination: &str) -> Map<String, Value> {
    let Options { seed, seconds, lines_per_second, lines_per_file, subscribers, start, faults, .. } = options;
    [
        ("destination", Value::from(destination)),
        ("faults", Value::from(*faults)),
        ("lines_per_file", Value::from(*lines_per_file)),
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

/// Everything in which two runs differ: its name, and its values there and here.
fn differences(there: &Map<String, Value>, here: &Map<String, Value>) -> Vec<(String, String, String)> {
    let names: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    let show = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), Value::to_string);
    names
        .into_iter()
        .filter(|name| there.get(*name) != here.get(*name))
        .map(|name| (name.clone(), show(there.get(name)), show(here.get(name))))
        .collect()
}
