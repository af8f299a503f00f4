//! Marks, what expires, and by what the store counts.

use ::stream::Lane;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::response::query_result::QueryRowsResult;
use telecom::SourceId;

use super::{CONCURRENT_REQUESTS, Scylla, claims, schema, sources};
use crate::upkeep::{Kept, Mark, Upkeep};
use crate::{LaneProgress, RecordRules};

impl Upkeep for Scylla {
    async fn read_rules(&self) -> anyhow::Result<RecordRules> {
        Ok(schema::counting(&self.connection).await?.rules)
    }

    async fn write_rules(&self, rules: &RecordRules, from: &[(Lane, i64)]) -> anyhow::Result<()> {
        schema::change_rules(&self.connection, rules, from).await
    }

    async fn read_lanes(&self) -> anyhow::Result<Vec<(Lane, LaneProgress)>> {
        self.lanes().await
    }

    async fn read_marks(&self) -> anyhow::Result<Vec<(Lane, Mark)>> {
        let mut marks = Vec::new();
        for (lane, _) in self.lanes().await? {
            let name = lane.to_string();
            let read = |page: QueryRowsResult| {
                for row in page.rows::<(i64, i64)>()? {
                    let (at_ms, end) = row?;
                    marks.push((lane.clone(), Mark { at_ms, end }));
                }
                Ok(())
            };
            let cql = "SELECT at_ms, end_offset FROM {keyspace}.marks WHERE lane = ?";
            self.connection.scan(cql, &(name,), read).await?;
        }
        Ok(marks)
    }

    async fn write_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        let write = async |(lane, mark): (String, Mark)| {
            let cql = "INSERT INTO {keyspace}.marks (lane, at_ms, end_offset) VALUES (?, ?, ?)";
            self.connection.execute(cql, &(lane, mark.at_ms, mark.end)).await
        };
        stream::iter(named(marks)).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, write).await
    }

    async fn delete_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        let delete = async |(lane, mark): (String, Mark)| {
            let cql = "DELETE FROM {keyspace}.marks WHERE lane = ? AND at_ms = ?";
            self.connection.execute(cql, &(lane, mark.at_ms)).await
        };
        stream::iter(named(marks)).map(Ok).try_for_each_concurrent(CONCURRENT_REQUESTS, delete).await
    }

    async fn read_kept(&self, lanes: &[Lane], digit: u8) -> anyhow::Result<Vec<Kept>> {
        sources::kept(&self.connection, lanes, digit).await
    }

    async fn delete_claims(&self, sources: &[SourceId]) -> anyhow::Result<()> {
        claims::delete(&self.connection, sources).await
    }

    async fn delete_sources(&self, entries: &[(Lane, SourceId, i64)]) -> anyhow::Result<()> {
        sources::delete(&self.connection, entries).await
    }
}

fn named(marks: &[(Lane, Mark)]) -> Vec<(String, Mark)> {
    marks.iter().map(|(lane, mark)| (lane.to_string(), *mark)).collect()
}
