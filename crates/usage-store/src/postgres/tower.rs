//! The live activity of towers in PostgreSQL.

use anyhow::Context;
use telecom::{Day, Totals};
use tokio_postgres::Row;

use super::{Postgres, totals};
use crate::TowerHour;
use crate::figures::signed;

impl Postgres {
    /// Adds all of it or nothing. If the answer is lost, it is unknown which: the counters are approximate, as those of
    /// ScyllaDB are.
    pub(crate) async fn add_tower_activity(&self, activity: &[(TowerHour, Totals)]) -> anyhow::Result<()> {
        let column = |figure: fn(&Totals) -> u64| {
            activity.iter().map(|(_, totals)| signed(figure(totals))).collect::<anyhow::Result<Vec<i64>>>()
        };
        let towers: Vec<_> = activity.iter().map(|(hour, _)| i64::from(hour.tower_id)).collect();
        let days: Vec<_> = activity.iter().map(|(hour, _)| hour.day.epoch_days()).collect();
        let hours: Vec<_> = activity.iter().map(|(hour, _)| i16::from(hour.hour)).collect();
        self.connection
            .query_once(
                include_str!("add_tower_activity.sql"),
                &[
                    &towers,
                    &days,
                    &hours,
                    &column(|totals| totals.up_bytes)?,
                    &column(|totals| totals.down_bytes)?,
                    &column(|totals| totals.seconds)?,
                    &column(|totals| totals.events)?,
                ],
            )
            .await?;
        Ok(())
    }

    pub(crate) async fn tower_activity(
        &self,
        tower_id: u32,
        from: (Day, u8),
        to: (Day, u8),
    ) -> anyhow::Result<Vec<(TowerHour, Totals)>> {
        let rows = self
            .connection
            .query(
                include_str!("tower_activity.sql"),
                &[&i64::from(tower_id), &from.0.epoch_days(), &i16::from(from.1), &to.0.epoch_days(), &i16::from(to.1)],
            )
            .await?;
        let read = |row: &Row| {
            let day = Day::from_epoch_days(row.try_get(4)?).context("a stored day is out of range")?;
            let hour = u8::try_from(row.try_get::<_, i16>(5)?).context("a stored hour is out of range")?;
            Ok((TowerHour { tower_id, day, hour }, totals(row, 0)?))
        };
        rows.iter().map(read).collect()
    }
}
