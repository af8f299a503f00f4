//! How far each group is: a file of lines, the latest of which holds.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::broker::files::write_atomically;

/// The file is written anew when it has so many more lines than what they say.
const STALE_LINES_MAX: usize = 20_000;

/// A partition, by the id of its topic: one that is made again has another.
pub(in crate::broker) type Place = (Uuid, i32);

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::broker) struct Committed {
    pub(in crate::broker) offset: i64,
    pub(in crate::broker) leader_epoch: i32,
    pub(in crate::broker) metadata: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Line {
    group: String,
    topic: Uuid,
    partition: i32,
    /// Nothing when it was deleted.
    committed: Option<Committed>,
}

#[derive(Debug)]
pub(in crate::broker) struct Offsets {
    path: PathBuf,
    file: File,
    stale_lines: usize,
    by_group: BTreeMap<StrBytes, BTreeMap<Place, Committed>>,
}

impl Offsets {
    /// Reads the file; a last line that was not finished was never acknowledged.
    pub(in crate::broker) fn open(path: PathBuf) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("can't read {}", path.display()))?,
        };
        let mut by_group = BTreeMap::new();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: Line = serde_json::from_str(line).with_context(|| format!("can't read {}", path.display()))?;
            apply(&mut by_group, line);
        }
        let file = rewritten(&path, &by_group)?;
        Ok(Self { path, file, stale_lines: 0, by_group })
    }

    pub(in crate::broker) fn groups(&self) -> impl Iterator<Item = &StrBytes> {
        self.by_group.keys()
    }

    pub(in crate::broker) fn of_group(&self, group: &StrBytes) -> impl Iterator<Item = (&Place, &Committed)> {
        self.by_group.get(group).into_iter().flatten()
    }

    pub(in crate::broker) fn get(&self, group: &StrBytes, place: Place) -> Option<&Committed> {
        self.by_group.get(group)?.get(&place)
    }

    /// Takes commits, all of them or, after an error, none; a commit of nothing deletes.
    pub(in crate::broker) fn put(
        &mut self,
        group: &StrBytes,
        commits: Vec<(Place, Option<Committed>)>,
    ) -> io::Result<()> {
        let line = |((topic, partition), committed)| Line { group: group.to_string(), topic, partition, committed };
        let lines: Vec<Line> = commits.into_iter().map(line).collect();
        let end = self.file.metadata()?.len();
        let written = self.file.write_all(&to_bytes(&lines)?);
        if written.is_err() {
            self.file.set_len(end)?;
        }
        written?;
        self.stale_lines += lines.len();
        lines.into_iter().for_each(|line| apply(&mut self.by_group, line));
        if self.stale_lines > STALE_LINES_MAX {
            self.file = rewritten(&self.path, &self.by_group)?;
            self.stale_lines = 0;
        }
        Ok(())
    }

    /// Deletes what a group has, or what groups have of a topic.
    pub(in crate::broker) fn delete(&mut self, is_meant: impl Fn(&StrBytes, &Place) -> bool) -> io::Result<()> {
        let groups: Vec<StrBytes> = self.by_group.keys().cloned().collect();
        for group in groups {
            let places = self.of_group(&group).map(|(place, _)| *place).filter(|place| is_meant(&group, place));
            let commits: Vec<_> = places.map(|place| (place, None)).collect();
            if !commits.is_empty() {
                self.put(&group, commits)?;
            }
        }
        Ok(())
    }
}

fn apply(by_group: &mut BTreeMap<StrBytes, BTreeMap<Place, Committed>>, line: Line) {
    let Line { group, topic, partition, committed } = line;
    let group = StrBytes::from_string(group);
    match committed {
        Some(committed) => {
            by_group.entry(group).or_default().insert((topic, partition), committed);
        }
        None => {
            let Some(offsets) = by_group.get_mut(&group) else { return };
            offsets.remove(&(topic, partition));
            if offsets.is_empty() {
                by_group.remove(&group);
            }
        }
    }
}

fn to_bytes(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// The file without what no longer holds, opened for more.
fn rewritten(path: &PathBuf, by_group: &BTreeMap<StrBytes, BTreeMap<Place, Committed>>) -> io::Result<File> {
    let mut lines = Vec::new();
    for (group, offsets) in by_group {
        let line = |(&(topic, partition), committed): (&Place, &Committed)| Line {
            group: group.to_string(),
            topic,
            partition,
            committed: Some(committed.clone()),
        };
        lines.extend(offsets.iter().map(line));
    }
    write_atomically(path, &to_bytes(&lines)?)?;
    OpenOptions::new().append(true).open(path)
}
