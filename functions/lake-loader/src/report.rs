use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::Deps;
use crate::run::RunId;
use crate::table::LoadedTopic;

/// What a run did; the function's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// What is left if the run is incomplete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// What came of each stream.
    pub streams: Vec<StreamReport>,
    /// The models, in the order in which they depend on each other, and the sources that have tests.
    pub models: Vec<ModelReport>,
    /// How far the topics have been loaded.
    #[serde(default)]
    pub lanes: Vec<LaneReport>,
    /// From the beginning to the end, in milliseconds.
    pub duration_ms: u64,
}

/// How far a partition of a topic has been loaded, by this run and all before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// The topic.
    pub topic: String,
    /// The partition of it.
    pub partition: i32,
    /// The offset behind the last record that was loaded.
    pub next_offset: i64,
}

impl LaneReport {
    /// The lanes of which something has been loaded.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn of(deps: &Deps) -> anyhow::Result<Vec<Self>> {
        const SQL: &str = include_str!("sql/loaded_lanes.sql");
        let topics: Vec<&str> = LoadedTopic::named(&deps.topics).map(|(_, topic)| topic).into();
        let rows = deps.pool.query(SQL, &[&i64::from(deps.epoch), &topics]).await?;
        let lane = |row: &Row| Self { topic: row.get(0), partition: row.get(1), next_offset: row.get(2) };
        Ok(rows.iter().map(lane).collect())
    }
}

/// How a run ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything that was in the lake is in the warehouse and the models.
    Succeeded,
    /// The time was up; the next run goes on.
    Incomplete,
    /// Another run is at work; nothing was done.
    Busy,
}

/// What came of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// The table in PostgreSQL.
    pub table: String,
    /// Pieces in which it was loaded.
    pub chunks: u64,
    /// The objects that were read.
    pub bytes: u64,
    /// Records in them: accepted, duplicates, rejected and withdrawn.
    pub records: u64,
    /// Rows of silver objects.
    pub accepted: u64,
    /// Those that were there before.
    pub duplicates: u64,
    /// Those that could not be used.
    pub rejected: u64,
    /// Those that took a row back.
    #[serde(default)]
    pub withdrawn: u64,
    /// Offsets that the topic skipped, or that were gone before they were kept.
    pub gap_offsets: u64,
    /// Rows that are new in the table: the accepted ones that no other lane had, and no earlier run.
    pub stored: u64,
}

/// What was done with a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Its name; of a source, `source.table`.
    pub name: String,
    /// What was done: view, table, incremental, or only tested.
    pub action: String,
    /// Rows written or deleted.
    pub rows: u64,
    /// Tests that passed.
    pub tests: u64,
    /// How long it took, with its tests.
    pub duration_ms: u64,
}

impl StreamReport {
    /// What a run's accounts say of each stream.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn of(deps: &Deps, run: RunId) -> anyhow::Result<Vec<Self>> {
        const SQL: &str = include_str!("sql/stream_report.sql");
        let mut streams = Vec::new();
        for stream in LoadedTopic::ALL {
            let table = stream.table();
            let name = table.full_name();
            let rows = deps.pool.query(SQL, &[&run.0, &table.silver, &name]).await?;
            let count = |index: usize| rows.first().map_or(0, |row| row.get::<_, i64>(index).unsigned_abs());
            streams.push(Self {
                chunks: count(0),
                bytes: count(1),
                records: count(2),
                accepted: count(3),
                duplicates: count(4),
                rejected: count(5),
                gap_offsets: count(6),
                stored: count(7),
                withdrawn: count(8),
                table: name,
            });
        }
        Ok(streams)
    }
}
