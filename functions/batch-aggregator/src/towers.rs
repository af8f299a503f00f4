//! The live counters of the towers: what a batch adds to them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lambda_boot::Deadline;
use telecom::Totals;
use usage_store::{Counted, Store, TowerHour};

/// The longest that a batch waits for the towers' counters. Those of some thousand towers take tens of milliseconds in
/// PostgreSQL, and up to seconds in a ScyllaDB or Cassandra that is busy, to which each tower is a write of its own.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How long the counters are left alone after a batch has waited for them in vain: so that a store that is slow with
/// them takes a thirteenth of billing's time, and not five seconds of every batch.
const PAUSE: Duration = Duration::from_secs(60);

/// Adds to the towers' counters, unless they are being left alone.
///
/// They are approximate and billing is not: whatever becomes of this, the batch is counted. It is never tried again, since
/// nobody knows what a failed attempt has added.
#[derive(Debug, Default)]
pub(crate) struct Towers {
    paused_until: Mutex<Option<Instant>>,
}

impl Towers {
    /// Adds what the lanes have newly counted, and says how many records the counters may be missing.
    pub(crate) async fn add<'a>(
        &self,
        store: &Store,
        counted: impl IntoIterator<Item = &'a Counted>,
        deadline: Deadline,
    ) -> u64 {
        let activity: Vec<_> = sum(counted).into_iter().collect();
        let records = activity.iter().map(|(_, totals)| totals.events).sum();
        if activity.is_empty() || self.is_paused() {
            return records;
        }
        // What is left for rejecting and answering is not theirs.
        let left = deadline.remaining().map_or(MAX_WAIT, |left| left.saturating_sub(2 * Deadline::FAILURE_MARGIN));
        let error = match tokio::time::timeout(left.min(MAX_WAIT), store.add_tower_activity(&activity)).await {
            Ok(Ok(())) => return 0,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => {
                self.pause();
                format!("no answer in time: the counters are left alone for {PAUSE:?}")
            }
        };
        tracing::warn!(
            records,
            tower_hours = activity.len(),
            error,
            "the live tower counters may be missing these records"
        );
        records
    }

    fn is_paused(&self) -> bool {
        let paused_until = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        paused_until.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&self) {
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PAUSE);
    }
}

/// What the lanes have newly counted, by tower and hour, ascending.
fn sum<'a>(counted: impl IntoIterator<Item = &'a Counted>) -> BTreeMap<TowerHour, Totals> {
    let mut sums = BTreeMap::<TowerHour, Totals>::new();
    for (hour, totals) in counted.into_iter().flat_map(|counted| &counted.towers) {
        let sum = sums.entry(*hour).or_default();
        let together = sum.checked_add(*totals);
        debug_assert!(together.is_some(), "an event's records are too few and too small to outgrow 64 bits");
        *sum = together.unwrap_or(*sum);
    }
    sums
}
