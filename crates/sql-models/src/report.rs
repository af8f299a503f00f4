use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// How a project is run. `Options::default()` runs all of it, incrementally.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// Values for `var(…)`, in front of those in `dbt_project.yml`.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Builds incremental models anew, as `dbt build --full-refresh` does.
    pub full_refresh: bool,
    /// Only the models of these names, with their tests; empty: all.
    pub select: Vec<String>,
    /// A statement that is executed first in the transaction of each unit; when it fails, the run ends. For whoever must
    /// not go on once somebody else has taken over.
    pub guard: Option<String>,
    /// No model is begun after it, and no statement lasts longer.
    pub deadline: Option<Instant>,
    /// Called when a unit has ended, in the order of their ends.
    pub on_progress: Option<&'a (dyn Fn(&Unit) + Send + Sync)>,
}

/// What a run did: every unit of the project, in the order in which they come in the graph.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was built and tested.
    pub units: Vec<Unit>,
}

impl Report {
    /// Whether everything asked for was built, and every test passed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.units.iter().all(|unit| matches!(unit.status, Status::Done))
    }

    /// What failed: one line each, naming the model, the test and what to look at.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.units.iter().filter_map(|unit| match &unit.status {
            Status::Failed(failure) => Some(format!("{}: {failure}", unit.name)),
            _ => None,
        })
    }

    /// Whether models were left because there was no more time.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        self.units.iter().any(|unit| matches!(unit.status, Status::OutOfTime))
    }
}

/// A model with its tests, or the tests of a source: what is done in one transaction.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The model's name; of a source, `source.table`.
    pub name: String,
    /// `schema.table`; `None` where nothing is built.
    pub relation: Option<String>,
    /// How it went.
    pub status: Status,
    /// What was done to the relation.
    pub action: Action,
    /// Rows written or deleted; 0 for views.
    pub rows: u64,
    /// Its tests, in the order in which they ran; a failed one is the last.
    pub tests: Vec<Test>,
    /// From its first statement to its last.
    pub duration: Duration,
}

/// How a unit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Built, tested and committed.
    Done,
    /// Rolled back: the relation is as it was.
    Failed(String),
    /// Not begun, as this unit failed or was itself not begun.
    Skipped(String),
    /// Not begun, as the deadline had come.
    OutOfTime,
}

/// What was done to a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: only tests.
    Tested,
    /// A view was made.
    View,
    /// A table was made anew.
    Table,
    /// Rows were added to a table, or changed.
    Incremental,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tested => "tested",
            Self::View => "view",
            Self::Table => "table",
            Self::Incremental => "incremental",
        })
    }
}

/// One test's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// As dbt names it, such as `unique_rooms_room_id`.
    pub name: String,
    /// Rows that should not be there.
    pub failures: u64,
    /// Only reported (`severity: warn`).
    pub is_warning: bool,
}
