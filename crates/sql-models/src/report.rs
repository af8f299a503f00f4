use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// How a project is run. `Options::default()` runs all of it, incrementally.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// Values for `var(…)`. They override those in `dbt_project.yml`.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Rebuilds incremental models from all rows, as `dbt build --full-refresh` does.
    pub full_refresh: bool,
    /// Builds only these models, with their tests. Empty means all.
    pub select: Vec<String>,
    /// The first statement in each unit's transaction. If it fails, the run ends: a process can stop this way once
    /// another one has taken over.
    pub guard: Option<String>,
    /// No model begins after it, and no statement runs beyond it.
    pub deadline: Option<Instant>,
    /// Called whenever a unit has ended.
    pub on_progress: Option<&'a (dyn Fn(&Unit) + Send + Sync)>,
}

/// What a run did: every unit of the project, each after those that it depends on.
#[derive(Clone, Debug)]
pub struct Report {
    /// The units, built or not.
    pub units: Vec<Unit>,
}

impl Report {
    /// Whether every unit was built, and every test passed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.units.iter().all(|unit| matches!(unit.status, Status::Done))
    }

    /// The failures. Each text names the model and, if a test failed, the test and its query.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.units.iter().filter_map(|unit| match &unit.status {
            Status::Failed(failure) => Some(format!("{}: {failure}", unit.name)),
            _ => None,
        })
    }
}

/// The work of one transaction: a model with its tests, or the tests of a source.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The model's name; of a source, `source.table`.
    pub name: String,
    /// `schema.table`; `None` for a source, of which nothing is built.
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
    /// Not begun, because this unit failed or was skipped itself.
    Skipped(String),
    /// Not begun, because the deadline had passed.
    OutOfTime,
}

/// What was done to a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, only tests ran.
    Tested,
    /// A view was created, or already had this query.
    View,
    /// A table was created, or refilled from all rows.
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

/// A test's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// As dbt names it, such as `unique_rooms_room_id`.
    pub name: String,
    /// Rows that should not be there.
    pub failures: u64,
}
