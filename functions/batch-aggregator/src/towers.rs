//! The live counters of the towers: what a batch adds to them.

use std::collections::HashMap;
use std::time::Duration;

use lambda_boot::Deadline;
use telecom::Totals;
use usage_store::{Counted, Store, TowerHour};

use crate::FAILURE_MARGIN;
use crate::read::Reading;

/// The longest that a batch waits for the towers' counters. They take milliseconds; when they don't, billing goes on
/// without them.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Adds what each lane has newly counted, folded over all of them, and says how many records the counters may be missing.
///
/// They are approximate and billing is not: whatever becomes of this, the batch is counted. It is never tried again, since
/// nobody knows what a failed attempt has added.
pub(crate) async fn add<'a>(
    store: &Store,
    counted: impl IntoIterator<Item = (&'a Reading, &'a Counted)>,
    deadline: Deadline,
) -> u64 {
    let activity = fold(counted);
    // What is left for rejecting and answering is not theirs.
    let left = deadline.remaining().map_or(MAX_WAIT, |left| left.saturating_sub(2 * FAILURE_MARGIN));
    let error = match tokio::time::timeout(left.min(MAX_WAIT), store.add_tower_activity(&activity)).await {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "no answer in time".to_owned(),
    };
    let records = activity.iter().map(|(_, totals)| totals.events).sum();
    tracing::warn!(
        records,
        tower_hours = activity.len(),
        error,
        "the live tower counters may be missing these records"
    );
    records
}

/// What the newly counted records come to, by tower and hour, ascending.
fn fold<'a>(counted: impl IntoIterator<Item = (&'a Reading, &'a Counted)>) -> Vec<(TowerHour, Totals)> {
    let mut sums = HashMap::<TowerHour, Totals>::new();
    for (reading, counted) in counted {
        let mut offsets = counted.counted_offsets.iter().peekable();
        for (record, place) in reading.batch.records().iter().zip(&reading.places) {
            if offsets.next_if_eq(&&record.offset).is_none() {
                continue;
            }
            let (Some(usage), Some((tower_id, hour))) = (&record.usage, *place) else { continue };
            let sum = sums.entry(TowerHour { tower_id, day: usage.event.day, hour }).or_default();
            let fits = sum.add_event(&usage.event);
            debug_assert_eq!(fits, Some(()), "a batch's records are too few and too small to outgrow 64 bits");
        }
    }
    let mut activity: Vec<_> = sums.into_iter().collect();
    activity.sort_unstable_by_key(|(hour, _)| *hour);
    activity
}
