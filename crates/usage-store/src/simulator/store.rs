//! A store with faults: a linearizable last-writer-wins register per row, entry and lane; writes come late, twice or in
//! part, answers get lost, and a call may be dropped wherever it waits.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use telecom::{SourceId, Totals};

use crate::store::{FileAccount, account};
use crate::{Buckets, Claim, Lane, LaneProgress, RowKey, SOURCE_LIFETIME_MS, SourceEntry, StoredRow, UsageStore};

/// The store, shared by all workers.
pub(crate) struct SimulatedStore {
    state: Mutex<State>,
    last_arrival_wins: bool,
}

struct State {
    rng: SmallRng,
    calm: bool,
    registers: Registers,
    /// Writes that are on their way, though nobody waits for them any more.
    late: Vec<Write>,
}

#[derive(Default)]
struct Registers {
    rows: HashMap<(Lane, RowKey), StoredRow>,
    sources: BTreeMap<(Lane, SourceId), SourceEntry>,
    lanes: BTreeMap<Lane, LaneProgress>,
    claims: HashMap<SourceId, Claim>,
    /// Two writes with the same `upto` differed: what was written is not a function of the log.
    differed: Option<String>,
}

#[derive(Clone)]
enum Write {
    Row(Lane, RowKey, StoredRow),
    Source(Lane, SourceId, SourceEntry),
    Lane(Lane, LaneProgress),
}

/// What the caller of a write hears.
enum Fate {
    Acknowledged,
    /// Nothing: it sends the write again.
    Unanswered,
    /// Nothing, and it gives up.
    Failed,
}

impl SimulatedStore {
    pub(crate) fn new(seed: u64, lanes: &[Lane]) -> Self {
        let registers = Registers {
            lanes: lanes.iter().map(|lane| (lane.clone(), LaneProgress::default())).collect(),
            ..Registers::default()
        };
        let rng = SmallRng::seed_from_u64(seed);
        Self { state: Mutex::new(State { rng, calm: false, registers, late: Vec::new() }), last_arrival_wins: false }
    }

    /// A store without the rule that the highest `upto` wins.
    pub(crate) fn where_the_last_arrival_wins(seed: u64, lanes: &[Lane]) -> Self {
        Self { last_arrival_wins: true, ..Self::new(seed, lanes) }
    }

    /// From here on nothing goes wrong.
    pub(crate) fn calm_down(&self) {
        self.state().calm = true;
    }

    /// Perhaps one of the late writes arrives.
    pub(crate) fn maybe_deliver_late(&self) {
        let state = &mut *self.state();
        if !state.late.is_empty() && state.rng.random_bool(0.1) {
            let index = state.rng.random_range(..state.late.len());
            let write = state.late.swap_remove(index);
            state.registers.apply(write, self.last_arrival_wins);
        }
    }

    /// All late writes arrive.
    pub(crate) fn deliver_late(&self) {
        let state = &mut *self.state();
        let mut late = std::mem::take(&mut state.late);
        late.shuffle(&mut state.rng);
        for write in late {
            state.registers.apply(write, self.last_arrival_wins);
        }
    }

    /// Deletes what [`Store::expire_sources`](crate::Store::expire_sources) deletes; says whether there was any.
    pub(crate) fn expire_sources(&self) -> bool {
        let registers = &mut self.state().registers;
        let before = registers.sources.len();
        let lanes = &registers.lanes;
        registers.sources.retain(|(lane, _), entry| {
            let newest = lanes.get(lane).and_then(|progress| progress.newest_timestamp_ms).unwrap_or(i64::MIN);
            newest.saturating_sub(entry.claim.timestamp_ms) <= SOURCE_LIFETIME_MS
        });
        registers.sources.len() < before
    }

    /// Makes a claim without faults.
    pub(crate) fn claim(&self, id: SourceId, claim: Claim) {
        self.state().registers.claims.insert(id, claim);
    }

    /// The store breaks its promise: a row is as it never was.
    pub(crate) fn lose_rows(&self) {
        self.state().registers.rows.clear();
    }

    /// Usage by row, summed over the lanes.
    pub(crate) fn usage(&self) -> BTreeMap<RowKey, Totals> {
        let mut sums = BTreeMap::<_, Totals>::new();
        for ((_, key), row) in &self.state().registers.rows {
            let sum = sums.entry(*key).or_default();
            *sum = sum.checked_add(row.totals).expect("a small sum");
        }
        sums.retain(|_, totals| totals.events > 0);
        sums
    }

    pub(crate) fn accounts(&self) -> Vec<FileAccount> {
        let entries: Vec<_> =
            self.state().registers.sources.iter().map(|((_, id), entry)| (*id, entry.clone())).collect();
        account(&entries)
    }

    pub(crate) fn progress(&self, lane: &Lane) -> LaneProgress {
        self.state().registers.lanes.get(lane).copied().unwrap_or_default()
    }

    /// Two different values that were written with the same `upto`.
    pub(crate) fn difference(&self) -> Option<String> {
        self.state().registers.differed.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    /// Sends a write until it is acknowledged, or the caller gives up.
    async fn write(&self, write: Write) -> anyhow::Result<()> {
        loop {
            let fate = self.try_write(&write);
            wait().await;
            match fate {
                Fate::Acknowledged => return Ok(()),
                Fate::Unanswered => {}
                Fate::Failed => anyhow::bail!("the store did not answer"),
            }
        }
    }

    /// Sends a write once. It may be made now, later, both, or not at all, whatever the caller hears.
    fn try_write(&self, write: &Write) -> Fate {
        let state = &mut *self.state();
        let (is_made, comes_late, fate) = match if state.calm { 100.0 } else { state.rng.random_range(0.0..100.0) } {
            ..6.0 => (false, true, Fate::Unanswered),
            ..12.0 => (true, false, Fate::Unanswered),
            ..12.5 => (state.rng.random(), state.rng.random(), Fate::Failed),
            ..15.0 => (true, true, Fate::Acknowledged),
            _ => (true, false, Fate::Acknowledged),
        };
        if comes_late {
            state.late.push(write.clone());
        }
        if is_made {
            state.registers.apply(write.clone(), self.last_arrival_wins);
        }
        fate
    }

    /// Sends writes in any order. Should the caller go away, any part of them may still arrive.
    async fn write_all(&self, mut writes: Vec<Write>) -> anyhow::Result<()> {
        {
            let state = &mut *self.state();
            writes.shuffle(&mut state.rng);
            if !state.calm && state.rng.random_bool(0.1) {
                for write in &writes {
                    if state.rng.random_bool(0.3) {
                        state.late.push(write.clone());
                    }
                }
            }
        }
        for write in writes {
            self.write(write).await?;
        }
        Ok(())
    }

    /// Reads one register at a time, in any order.
    async fn read_all<K: Clone, V>(
        &self,
        keys: &[K],
        read: impl Fn(&Registers, &K) -> Option<V>,
    ) -> anyhow::Result<Vec<(K, V)>> {
        let mut keys = keys.to_vec();
        keys.shuffle(&mut self.state().rng);
        let mut found = Vec::new();
        for key in keys {
            let value = read(&self.state().registers, &key);
            found.extend(value.map(|value| (key, value)));
            wait().await;
        }
        let state = &mut *self.state();
        anyhow::ensure!(state.calm || !state.rng.random_bool(0.005), "the store did not answer");
        Ok(found)
    }
}

impl Registers {
    fn apply(&mut self, write: Write, last_arrival_wins: bool) {
        let wins = |new: i64, stored: i64| last_arrival_wins || new > stored;
        match write {
            Write::Row(lane, key, row) => {
                let stored = self.rows.entry((lane, key)).or_default();
                if row.upto == stored.upto && row != *stored {
                    self.differed = Some(format!("rows {stored:?} and {row:?}"));
                }
                if wins(row.upto, stored.upto) {
                    *stored = row;
                }
            }
            Write::Source(lane, id, entry) => match self.sources.get_mut(&(lane.clone(), id)) {
                Some(stored) => {
                    let newest = self.lanes.get(&lane).and_then(|progress| progress.newest_timestamp_ms);
                    let is_alive = newest.is_none_or(|newest| newest - entry.claim.timestamp_ms <= SOURCE_LIFETIME_MS);
                    if is_alive && entry.upto == stored.upto && entry != *stored {
                        self.differed = Some(format!("entries {stored:?} and {entry:?}"));
                    }
                    if wins(entry.upto, stored.upto) {
                        *stored = entry;
                    }
                }
                None => {
                    self.sources.insert((lane, id), entry);
                }
            },
            Write::Lane(lane, progress) => {
                let stored = self.lanes.entry(lane).or_default();
                if progress.next_offset == stored.next_offset && progress != *stored {
                    self.differed = Some(format!("lanes {stored:?} and {progress:?}"));
                }
                if wins(progress.next_offset, stored.next_offset) {
                    *stored = progress;
                }
            }
        }
    }
}

impl UsageStore for SimulatedStore {
    async fn buckets(&self) -> anyhow::Result<Buckets> {
        Ok(Buckets::default())
    }

    async fn read_lane(&self, lane: &Lane) -> anyhow::Result<Option<LaneProgress>> {
        let found = self.read_all(&[()], |registers, ()| registers.lanes.get(lane).copied()).await?;
        Ok(found.first().map(|(_, progress)| *progress))
    }

    async fn read_sources(&self, lane: &Lane, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, SourceEntry)>> {
        self.read_all(ids, |registers, id| registers.sources.get(&(lane.clone(), *id)).cloned()).await
    }

    async fn claim_sources(&self, claims: &[(SourceId, Claim)]) -> anyhow::Result<Vec<(SourceId, Claim)>> {
        let mut first = Vec::new();
        for (id, claim) in claims {
            let made = *self.state().registers.claims.entry(*id).or_insert(*claim);
            first.push((*id, made));
            wait().await;
        }
        let state = &mut *self.state();
        anyhow::ensure!(state.calm || !state.rng.random_bool(0.005), "the store did not answer");
        Ok(first)
    }

    async fn read_rows(&self, lane: &Lane, keys: &[RowKey]) -> anyhow::Result<Vec<(RowKey, StoredRow)>> {
        self.read_all(keys, |registers, key| registers.rows.get(&(lane.clone(), *key)).copied()).await
    }

    async fn write_rows(&self, lane: &Lane, upto: i64, rows: &[(RowKey, Totals)]) -> anyhow::Result<()> {
        let row =
            |(key, totals): &(RowKey, Totals)| Write::Row(lane.clone(), *key, StoredRow { totals: *totals, upto });
        self.write_all(rows.iter().map(row).collect()).await
    }

    async fn write_sources(&self, lane: &Lane, entries: &[(SourceId, &SourceEntry)]) -> anyhow::Result<()> {
        let entry = |(id, entry): &(SourceId, &SourceEntry)| Write::Source(lane.clone(), *id, (*entry).clone());
        self.write_all(entries.iter().map(entry).collect()).await
    }

    async fn write_lane(&self, lane: &Lane, progress: &LaneProgress) -> anyhow::Result<()> {
        self.write_all(vec![Write::Lane(lane.clone(), *progress)]).await
    }
}

/// Gives the scheduler a turn; here a call can be dropped.
fn wait() -> impl Future<Output = ()> + Send {
    struct Wait(bool);

    impl Future for Wait {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    Wait(false)
}
