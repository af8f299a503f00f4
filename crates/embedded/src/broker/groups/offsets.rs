//! How far each group is: a file of lines, the latest of which holds.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::broker::files::{read_if_there, write_atomically};

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

/// The latest of a group and place holds.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    group: String,
    topic: Uuid,
    partition: i32,
    /// Nothing when it was deleted.
    committed: Option<Committed>,
}

type Positions = BTreeMap<(StrBytes, Place), Committed>;

#[derive(Debug)]
pub(in crate::broker) struct Offsets {
    path: PathBuf,
    file: File,
    stale_lines: usize,
    positions: Positions,
}

impl Offsets {
    /// Reads the file; a last line that was not finished was never acknowledged.
    pub(in crate::broker) fn open(path: PathBuf) -> anyhow::Result<Self> {
        let text = read_if_there(&path).with_context(|| format!("can't read {}", path.display()))?.unwrap_or_default();
        let mut positions = Positions::new();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: Line = serde_json::from_str(line).with_context(|| format!("can't read {}", path.display()))?;
            let key = (StrBytes::from_string(line.group), (line.topic, line.partition));
            apply(&mut positions, key, line.committed);
        }
        let file = rewritten(&path, &positions)?;
        Ok(Self { path, file, stale_lines: 0, positions })
    }

    pub(in crate::broker) fn groups(&self) -> impl Iterator<Item = &StrBytes> {
        self.positions.keys().map(|(group, _)| group)
    }

    pub(in crate::broker) fn places(&self, group: &StrBytes) -> impl Iterator<Item = Place> {
        let first = (group.clone(), (Uuid::nil(), i32::MIN));
        let of_group = self.positions.range(first..).take_while(move |((other, _), _)| other == group);
        of_group.map(|((_, place), _)| *place)
    }

    pub(in crate::broker) fn get(&self, group: &StrBytes, place: Place) -> Option<&Committed> {
        self.positions.get(&(group.clone(), place))
    }

    /// Takes a commit; one of nothing deletes.
    pub(in crate::broker) fn put(
        &mut self,
        group: &StrBytes,
        place: Place,
        committed: Option<Committed>,
    ) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        let written = self.file.write_all(&line(group, place, committed.as_ref())?);
        if written.is_err() {
            self.file.set_len(end)?;
        }
        written?;
        apply(&mut self.positions, (group.clone(), place), committed);
        self.stale_lines += 1;
        if self.stale_lines > STALE_LINES_MAX {
            self.file = rewritten(&self.path, &self.positions)?;
            self.stale_lines = 0;
        }
        Ok(())
    }

    /// Deletes what a group has, or what groups have of a topic.
    pub(in crate::broker) fn delete(&mut self, is_meant: impl Fn(&StrBytes, &Place) -> bool) -> io::Result<()> {
        let meant = self.positions.keys().filter(|(group, place)| is_meant(group, place));
        for (group, place) in meant.cloned().collect::<Vec<_>>() {
            self.put(&group, place, None)?;
        }
        Ok(())
    }
}

fn apply(positions: &mut Positions, key: (StrBytes, Place), committed: Option<Committed>) {
    match committed {
        Some(committed) => positions.insert(key, committed),
        None => positions.remove(&key),
    };
}

fn line(group: &str, (topic, partition): Place, committed: Option<&Committed>) -> io::Result<Vec<u8>> {
    let line = Line { group: group.to_owned(), topic, partition, committed: committed.cloned() };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The file without what no longer holds, opened for more.
fn rewritten(path: &Path, positions: &Positions) -> io::Result<File> {
    let mut lines = Vec::new();
    for ((group, place), committed) in positions {
        lines.extend(line(group, *place, Some(committed))?);
    }
    write_atomically(path, &lines)?;
    OpenOptions::new().append(true).open(path)
}
