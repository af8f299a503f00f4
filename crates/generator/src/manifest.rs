use serde::{Deserialize, Serialize};
use telecom::RecordType;

use crate::faults::{Damage, FileFaults};
use crate::files::{names, rows};
use crate::options::Options;
use crate::plan::Plan;

/// What a run with faults delivers, and what a correct pipeline must make of it.
///
/// It follows from the options alone, so it is written whole before the first file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The run's seed.
    pub seed: u64,
    /// The run's probability of a fault.
    pub faults: f64,
    /// Every file, in order of delivery.
    pub files: Vec<ManifestFile>,
}

/// One delivered file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name.
    pub name: String,
    /// `data` or `voice`.
    pub record_type: String,
    /// Data rows, the unusable ones included.
    pub rows: u32,
    /// Rows that must be accepted: `rows - good` must be rejected.
    pub good: u32,
    /// The unusable rows. When the header is bad, all rows are, and they are not listed.
    pub bad: Vec<BadLine>,
    /// Oddities that cost no row: `crlf`, `byte_order_mark`, `quoted`, `column_order`, `gzip`, `zstd`.
    pub shape: Vec<String>,
    /// What is wrong with the file as a whole: `empty`, `header_only`, `bad_header`, `cut`.
    pub damage: Option<String>,
    /// The file whose bytes these are, when they were delivered before: its accepted rows must be counted only once.
    pub duplicate_of: Option<String>,
}

/// An unusable row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLine {
    /// The data row's number in its file, from 1.
    pub line: u32,
    /// The reason code under which it must be rejected.
    pub reason: String,
}

impl Manifest {
    /// What a run with these options delivers.
    ///
    /// # Errors
    /// As for [`run`](crate::run): one line that names the option that cannot be used.
    pub fn of(options: &Options) -> anyhow::Result<Self> {
        Plan::new(options).map(|plan| Self::of_plan(&plan))
    }

    pub(crate) fn of_plan(plan: &Plan) -> Self {
        let files = (0..plan.sets()).flat_map(|set| files(plan, set)).collect();
        Self { seed: plan.seed, faults: plan.faults, files }
    }
}

/// In the order of `crate::files::files`.
fn files(plan: &Plan, set: u64) -> Vec<ManifestFile> {
    let mut files = Vec::new();
    let mut copies = Vec::new();
    for record_type in RecordType::ALL {
        let faults = FileFaults::of(plan, record_type, set);
        let (name, second_name) = names(plan, record_type, set, &faults);
        let file = describe(plan, record_type, set, &faults, name);
        copies.extend(second_name.map(|name| ManifestFile {
            name,
            duplicate_of: Some(file.name.clone()),
            ..file.clone()
        }));
        files.push(file);
    }
    files.append(&mut copies);
    files
}

fn describe(plan: &Plan, record_type: RecordType, set: u64, faults: &FileFaults, name: String) -> ManifestFile {
    let (rows, good) = rows(plan, set, faults);
    let mut bad: Vec<BadLine> = faults
        .bad_rows
        .iter()
        .map(|bad| BadLine { line: bad.row + 1, reason: bad.fault.reason().to_owned() })
        .collect();
    if let Some(Damage::Cut(_)) = faults.damage {
        bad.push(BadLine { line: rows, reason: "wrong_field_count".to_owned() });
    }
    ManifestFile {
        name,
        record_type: record_type.as_str().to_owned(),
        rows,
        good,
        bad,
        shape: faults.shape.names().into_iter().map(str::to_owned).collect(),
        damage: faults.damage.map(|damage| damage.name().to_owned()),
        duplicate_of: None,
    }
}
