//! The store's marks, its expired entries, and the rules by which it counts.

use anyhow::Context;
use stream::Lane;
use telecom::SourceId;
use tokio_postgres::Row;

use super::{Postgres, lane, one, record_rules};
use crate::upkeep::{Kept, Mark, Upkeep};
use crate::{LaneProgress, RecordRules};

impl Upkeep for Postgres {
    async fn read_rules(&self) -> anyhow::Result<RecordRules> {
        record_rules(one(&self.connection.query("select rules, zone from usage.settings", &[]).await?)?, 0)
    }

    async fn write_rules(&self, rules: &RecordRules, from: &[(Lane, i64)]) -> anyhow::Result<()> {
        let lanes = LaneColumns::new(from.iter().map(|(lane, _)| lane));
        let from: Vec<_> = from.iter().map(|(_, from)| *from).collect();
        self.connection
            .query(
                include_str!("write_rules.sql"),
                &[&i32::try_from(rules.number)?, &rules.zone, &lanes.epochs, &lanes.topics, &lanes.partitions, &from],
            )
            .await?;
        Ok(())
    }

    async fn read_lanes(&self) -> anyhow::Result<Vec<(Lane, LaneProgress)>> {
        self.lanes().await
    }

    async fn read_marks(&self) -> anyhow::Result<Vec<(Lane, Mark)>> {
        let rows = self.connection.query(include_str!("read_marks.sql"), &[]).await?;
        let mark = |row: &Row| Ok((lane(row, 0)?, Mark { at_ms: row.try_get(3)?, end: row.try_get(4)? }));
        rows.iter().map(mark).collect()
    }

    async fn write_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        let columns = MarkColumns::new(marks);
        self.connection
            .query(
                include_str!("write_marks.sql"),
                &[&columns.lanes.epochs, &columns.lanes.topics, &columns.lanes.partitions, &columns.at, &columns.ends],
            )
            .await?;
        Ok(())
    }

    async fn delete_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        let columns = MarkColumns::new(marks);
        self.connection
            .query(
                include_str!("delete_marks.sql"),
                &[&columns.lanes.epochs, &columns.lanes.topics, &columns.lanes.partitions, &columns.at],
            )
            .await?;
        Ok(())
    }

    /// Of all lanes, not only of the given ones.
    async fn read_kept(&self, _: &[Lane], digit: u8) -> anyhow::Result<Vec<Kept>> {
        let rows = self.connection.query(include_str!("read_kept.sql"), &[&format!("{digit:x}")]).await?;
        let kept = |row: &Row| {
            let names: Vec<&str> = row.try_get(5)?;
            let named = names.into_iter().filter(|name| !name.is_empty());
            Ok(Kept {
                lane: lane(row, 0)?,
                source: row.try_get::<_, &str>(3)?.parse().context("a stored source is malformed")?,
                upto: row.try_get(4)?,
                files: named.map(str::parse).collect::<Result<_, _>>().context("a stored file name is malformed")?,
            })
        };
        rows.iter().map(kept).collect()
    }

    async fn delete_claims(&self, sources: &[SourceId]) -> anyhow::Result<()> {
        let ids: Vec<_> = sources.iter().map(SourceId::to_string).collect();
        self.connection.query("delete from usage.claims where source_id = any($1)", &[&ids]).await?;
        Ok(())
    }

    async fn delete_sources(&self, entries: &[(Lane, SourceId, i64)]) -> anyhow::Result<()> {
        let lanes = LaneColumns::new(entries.iter().map(|(lane, ..)| lane));
        let ids: Vec<_> = entries.iter().map(|(_, id, _)| id.to_string()).collect();
        let uptos: Vec<_> = entries.iter().map(|(.., upto)| *upto).collect();
        self.connection
            .query(include_str!("delete_sources.sql"), &[&lanes.epochs, &lanes.topics, &lanes.partitions, &ids, &uptos])
            .await?;
        Ok(())
    }
}

/// The columns of many lanes, as PostgreSQL's arrays.
struct LaneColumns {
    epochs: Vec<i64>,
    topics: Vec<String>,
    partitions: Vec<i32>,
}

impl LaneColumns {
    fn new<'a>(lanes: impl Iterator<Item = &'a Lane> + Clone) -> Self {
        Self {
            epochs: lanes.clone().map(|lane| i64::from(lane.epoch)).collect(),
            topics: lanes.clone().map(|lane| lane.topic.clone()).collect(),
            partitions: lanes.map(|lane| lane.partition).collect(),
        }
    }
}

struct MarkColumns {
    lanes: LaneColumns,
    at: Vec<i64>,
    ends: Vec<i64>,
}

impl MarkColumns {
    fn new(marks: &[(Lane, Mark)]) -> Self {
        Self {
            lanes: LaneColumns::new(marks.iter().map(|(lane, _)| lane)),
            at: marks.iter().map(|(_, mark)| mark.at_ms).collect(),
            ends: marks.iter().map(|(_, mark)| mark.end).collect(),
        }
    }
}
