//! Marks, what expires, and by what the store counts.

use anyhow::Context;
use telecom::SourceId;
use tokio_postgres::Row;

use super::{Postgres, lane, one, record_rules};
use crate::upkeep::{Kept, Mark, Upkeep};
use crate::{Lane, LaneProgress, RecordRules};

impl Upkeep for Postgres {
    async fn read_rules(&self) -> anyhow::Result<RecordRules> {
        record_rules(one(&self.connection.query("SELECT rules, zone FROM usage.settings", &[]).await?)?, 0)
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
        let sql = "SELECT epoch, topic, partition, at_ms, end_offset FROM usage.marks JOIN usage.lanes ON lanes.id = marks.lane";
        let rows = self.connection.query(sql, &[]).await?;
        let mark = |row: &Row| Ok((lane(row, 0)?, Mark { at_ms: row.try_get(3)?, end: row.try_get(4)? }));
        rows.iter().map(mark).collect()
    }

    async fn write_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        let columns = MarkColumns::new(marks);
        self.connection
            .query(
                "INSERT INTO usage.marks (lane, at_ms, end_offset) SELECT lanes.id, new.at_ms, new.end_offset \
                 FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[]) \
                     AS new (epoch, topic, partition, at_ms, end_offset) \
                 JOIN usage.lanes USING (epoch, topic, partition) ON CONFLICT DO NOTHING",
                &[&columns.lanes.epochs, &columns.lanes.topics, &columns.lanes.partitions, &columns.at, &columns.ends],
            )
            .await?;
        Ok(())
    }

    async fn delete_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        let columns = MarkColumns::new(marks);
        self.connection
            .query(
                "DELETE FROM usage.marks USING unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[]) \
                     AS old (epoch, topic, partition, at_ms) JOIN usage.lanes USING (epoch, topic, partition) \
                 WHERE marks.lane = lanes.id AND marks.at_ms = old.at_ms",
                &[&columns.lanes.epochs, &columns.lanes.topics, &columns.lanes.partitions, &columns.at],
            )
            .await?;
        Ok(())
    }

    /// Of all lanes there are.
    async fn read_kept(&self, _: &[Lane], digit: u8) -> anyhow::Result<Vec<Kept>> {
        let sql = "SELECT epoch, topic, partition, source_id, upto, ARRAY(SELECT jsonb_object_keys(files)) \
                   FROM usage.sources JOIN usage.lanes ON lanes.id = sources.lane WHERE left(source_id, 1) = $1";
        let rows = self.connection.query(sql, &[&format!("{digit:x}")]).await?;
        let kept = |row: &Row| {
            let names: Vec<&str> = row.try_get(5)?;
            let named = names.into_iter().filter(|name| !name.is_empty());
            Ok(Kept {
                lane: lane(row, 0)?,
                source: row.try_get::<_, &str>(3)?.parse().context("a stored source is none")?,
                upto: row.try_get(4)?,
                files: named.map(str::parse).collect::<Result<_, _>>().context("a stored file name is none")?,
            })
        };
        rows.iter().map(kept).collect()
    }

    async fn delete_claims(&self, sources: &[SourceId]) -> anyhow::Result<()> {
        let ids: Vec<_> = sources.iter().map(SourceId::to_string).collect();
        self.connection.query("DELETE FROM usage.claims WHERE source_id = ANY($1)", &[&ids]).await?;
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
