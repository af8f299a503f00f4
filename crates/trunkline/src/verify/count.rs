//! Delivered files, counted once more. Deliberately plain and apart: it shares no code with the pipeline, only the
//! written rules (`crates/telecom/README.md`). Do not make it clever, and do not call `telecom` here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use jiff::tz::TimeZone;

use super::decode::Ending;
use super::rows::{is_file_time, row};
use super::sheet::Sheet;

/// Day (`2024-01-01`), category, usage type: sorts as the API's answers do.
pub(super) type UsageKey = (String, &'static str, String);

/// What one subscriber used. An amount without events stands for what must not be there.
pub(super) type Usage = BTreeMap<UsageKey, Amount>;

/// Sums. Where they would overflow they stay at the end, and so differ from any true sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) up_bytes: u64,
    pub(super) down_bytes: u64,
    pub(super) seconds: u64,
    pub(super) events: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: &Self) {
        self.up_bytes = self.up_bytes.saturating_add(other.up_bytes);
        self.down_bytes = self.down_bytes.saturating_add(other.down_bytes);
        self.seconds = self.seconds.saturating_add(other.seconds);
        self.events = self.events.saturating_add(other.events);
    }
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    /// For each row whether it can be used.
    usable: Vec<bool>,
    /// Rows at its beginning that another content brings, or that are left out.
    not_its_own: usize,
    pub(super) ending: Ending,
    /// Whether its last line lacks its end.
    pub(super) is_open: bool,
    /// The first file that begins with the same header and row, or itself.
    pub(super) family: String,
}

impl File {
    pub(super) fn rows(&self) -> u64 {
        self.usable.len() as u64
    }

    /// The usable rows behind the first `continued` and before the last `waiting` ones.
    pub(super) fn accepted(&self, continued: u64, waiting: u64) -> u64 {
        let place = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX).min(self.usable.len());
        let (from, to) = (place(continued), place(self.rows().saturating_sub(waiting)));
        self.usable.get(from..to).into_iter().flatten().filter(|is_usable| **is_usable).count() as u64
    }

    /// The usable rows that it alone brings.
    pub(super) fn own(&self) -> u64 {
        self.accepted(self.not_its_own as u64, 0)
    }
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) files: BTreeMap<String, File>,
    /// By the digits of the subscriber's number.
    pub(super) subscribers: BTreeMap<String, Usage>,
}

/// Delivered files by their names.
pub(super) struct Delivered(BTreeMap<String, PathBuf>);

impl Delivered {
    /// Files of call records, and those in folders, by their paths there: a file of a folder in a folder has both names, as in the
    /// lake.
    pub(super) fn list(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for path in paths {
            let is_folder = path.metadata().with_context(|| format!("can't read {}", path.display()))?.is_dir();
            let mut found = Vec::new();
            match is_folder {
                true => list(path, "", &mut found)?,
                false => {
                    found.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path.clone()))
                }
            }
            for (name, file) in found {
                if record_type(&name).is_none() {
                    ensure!(is_folder, "{} is no file of call records, by its name", file.display());
                } else if let Some(other) = files.insert(name, file.clone()) {
                    bail!(
                        "{} and {} have the same name: only one can have been delivered",
                        other.display(),
                        file.display()
                    );
                }
            }
        }
        Ok(Self(files))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Counts every content once, and only the rows of it that no other one begins with. Those of `left_out` bring
    /// nothing.
    pub(super) fn count(&self, zone: &TimeZone, left_out: &BTreeSet<String>) -> anyhow::Result<Counted> {
        let mut families: BTreeMap<(&str, Vec<u8>), Vec<&String>> = BTreeMap::new();
        for name in self.0.keys() {
            let (record_type, sheet) = self.read(name)?;
            let head = sheet.head().map_or_else(|| name.clone().into_bytes(), <[u8]>::to_vec);
            families.entry((record_type, head)).or_default().push(name);
        }
        let mut counted = Counted::default();
        for ((record_type, _), names) in &families {
            self.count_family(record_type, names, zone, left_out, &mut counted)?;
        }
        Ok(counted)
    }

    /// Only the files of one family are in memory at once: mostly that is one.
    fn count_family(
        &self,
        record_type: &str,
        names: &[&String],
        zone: &TimeZone,
        left_out: &BTreeSet<String>,
        counted: &mut Counted,
    ) -> anyhow::Result<()> {
        let mut sheets = Vec::new();
        for name in names {
            sheets.push((left_out.contains(*name), self.read(name)?.1));
        }
        for (at, name) in names.iter().enumerate() {
            let (is_left_out, sheet) = &sheets[at];
            let not_its_own = if *is_left_out { sheet.rows().len() } else { shared_rows(at, &sheets) };
            let mut usable = Vec::with_capacity(sheet.rows().len());
            for (line, text) in sheet.rows().enumerate() {
                let columns = sheet.columns.as_ref().filter(|_| sheet.is_readable());
                let row = columns.and_then(|columns| row(text, columns, record_type, zone));
                usable.push(row.is_some());
                let Some((msisdn, key, amount)) = row else { continue };
                if line >= not_its_own {
                    counted.subscribers.entry(msisdn).or_default().entry(key).or_default().add(&amount);
                } else if *is_left_out {
                    // It is asked for, and nothing of it may be found.
                    counted.subscribers.entry(msisdn).or_default().entry(key).or_default();
                }
            }
            let family = names[0].clone();
            let file = File { usable, not_its_own, ending: sheet.ending, is_open: sheet.is_open, family };
            counted.files.insert((*name).clone(), file);
        }
        Ok(())
    }

    fn read(&self, name: &str) -> anyhow::Result<(&'static str, Sheet)> {
        let record_type = record_type(name).with_context(|| format!("{name} is no file of call records"))?;
        let stored = std::fs::read(&self.0[name]).with_context(|| format!("can't read {name}"))?;
        Ok((record_type, Sheet::read(&stored, record_type)))
    }
}

/// The rows of the longest other content that is the whole beginning of this one; all, where an earlier file has the
/// same.
fn shared_rows(at: usize, sheets: &[(bool, Sheet)]) -> usize {
    let (_, sheet) = &sheets[at];
    let others = sheets
        .iter()
        .enumerate()
        .filter(|(other, (is_left_out, sheet))| *other != at && !is_left_out && sheet.is_readable());
    let shared = others.map(|(other, (_, it))| {
        let is_shared = if it.has_content_of(sheet) { other < at } else { sheet.begins_with(it) };
        if is_shared { it.rows().len() } else { 0 }
    });
    shared.max().unwrap_or_default()
}

/// All that lies in a folder and its folders, with its path there, which begins with `within`.
fn list(folder: &Path, within: &str, found: &mut Vec<(String, PathBuf)>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("can't list {}", folder.display()))?;
        let name = format!("{within}{}", entry.file_name().to_string_lossy());
        // A link to a folder is none: it may lead back here.
        match entry.file_type().with_context(|| format!("can't look at {}", entry.path().display()))?.is_dir() {
            true => list(&entry.path(), &format!("{name}/"), found)?,
            false => found.push((name, entry.path())),
        }
    }
    Ok(())
}

/// `data` or `voice`, by the file's name: `cdr_data_20240101_120000.csv`, perhaps with `.gz` or `.zst`.
fn record_type(name: &str) -> Option<&'static str> {
    let name = name.rsplit('/').next()?;
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(name);
    let (record_type, time) = if let Some(rest) = name.strip_prefix("cdr_data_") {
        ("data", rest)
    } else {
        ("voice", name.strip_prefix("cdr_voice_")?)
    };
    is_file_time(time.strip_suffix(".csv")?).then_some(record_type)
}
