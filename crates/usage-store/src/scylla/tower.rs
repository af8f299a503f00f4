//! The live activity of towers: counter columns.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use futures::{StreamExt, TryStreamExt, stream};
use scylla::value::Counter;
use telecom::{Day, Totals};

use super::rows::totals;
use super::{CONCURRENT_REQUESTS, Scylla, date};
use crate::TowerHour;
use crate::figures::signed;

impl Scylla {
    /// All that can be added is, whatever fails: nothing of it is ever sent again.
    pub(crate) async fn add_tower_activity(&self, activity: &[(TowerHour, Totals)]) -> anyhow::Result<()> {
        let mut partitions = BTreeMap::<_, Vec<_>>::new();
        for (hour, totals) in activity {
            let values = (
                Counter(signed(totals.up_bytes)?),
                Counter(signed(totals.down_bytes)?),
                Counter(signed(totals.seconds)?),
                Counter(signed(totals.events)?),
                i64::from(hour.tower_id),
                date(hour.day),
                i8::try_from(hour.hour)?,
            );
            partitions.entry((hour.tower_id, hour.day)).or_default().push(values);
        }
        let add = async |values: Vec<_>| {
            self.connection
                .add_once(
                    "UPDATE {keyspace}.tower_activity SET up_bytes = up_bytes + ?, down_bytes = down_bytes + ?, \
                     seconds = seconds + ?, events = events + ? WHERE tower_id = ? AND day = ? AND hour = ?",
                    &values,
                )
                .await
        };
        let parts = partitions.len();
        let answers = stream::iter(partitions.into_values()).map(add).buffer_unordered(CONCURRENT_REQUESTS);
        let failed: Vec<_> = answers.filter_map(async |answer| answer.err()).collect().await;
        match failed.first() {
            None => Ok(()),
            Some(first) => Err(anyhow!("{} of {parts} towers' activity was perhaps not added: {first}", failed.len())),
        }
    }

    pub(crate) async fn tower_activity(
        &self,
        tower_id: u32,
        from: (Day, u8),
        to: (Day, u8),
    ) -> anyhow::Result<Vec<(TowerHour, Totals)>> {
        let read_day = async |day: Day| {
            let found = self
                .connection
                .query(
                    "SELECT hour, up_bytes, down_bytes, seconds, events FROM {keyspace}.tower_activity \
                     WHERE tower_id = ? AND day = ?",
                    &(i64::from(tower_id), date(day)),
                )
                .await?;
            let mut activity = Vec::with_capacity(found.rows_num());
            for row in found.rows::<(i8, Counter, Counter, Counter, Counter)>()? {
                let (hour, up_bytes, down_bytes, seconds, events) = row?;
                let hour = u8::try_from(hour).context("a stored hour is out of range")?;
                if (from..=to).contains(&(day, hour)) {
                    let totals = totals([up_bytes.0, down_bytes.0, seconds.0, events.0])?;
                    activity.push((TowerHour { tower_id, day, hour }, totals));
                }
            }
            anyhow::Ok(activity)
        };
        let days = std::iter::successors(Some(from.0), |day| day.next()).take_while(|day| *day <= to.0);
        stream::iter(days).map(read_day).buffered(CONCURRENT_REQUESTS).try_concat().await
    }
}
