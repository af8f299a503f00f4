//! A store with faults: a linearizable last-writer-wins register per row, entry and lane; writes come late, twice or in
//! part, answers get lost, and a call may be dropped wherever it waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use stream::Lane;
use telecom::{SourceId, Totals};

use super::stream::record_rules;
use crate::store::{FileAccount, account};
use crate::upkeep::{Kept, Mark, Upkeep};
use crate::{Buckets, Claim, LaneProgress, LaneState, RecordRules, RowKey, SourceEntry, StoredRow, UsageStore};

/// The store, shared by all workers.
pub(crate) struct SimulatedStore {
    state: Mutex<State>,
    fault: Fault,
}

/// What the store does wrong, beside what is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The last write to arrive wins, and not the one with the highest `upto`.
    LastArrivalWins,
    /// What is deleted is deleted, whatever has been written since.
    DeletesWhatIsNewer,
}

struct State {
    rng: SmallRng,
    calm: bool,
    registers: Registers,
    /// Writes that are on their way, though nobody waits for them any more.
    late: Vec<Write>,
    /// The last that was asked for was a lane's progress.
    was_asked_for_a_lane: bool,
}

struct Registers {
    rows: HashMap<(Lane, RowKey), StoredRow>,
    sources: BTreeMap<(Lane, SourceId), SourceEntry>,
    lanes: BTreeMap<Lane, LaneProgress>,
    claims: HashMap<SourceId, Claim>,
    marks: BTreeSet<(Lane, Mark)>,
    rules: RecordRules,
    /// Where the store went on to these rules, if it has begun by others.
    rules_from: HashMap<Lane, i64>,
    closed_before_ms: Option<i64>,
    /// Sources whose entries were deleted.
    expired: BTreeSet<SourceId>,
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
            rows: HashMap::new(),
            sources: BTreeMap::new(),
            lanes: lanes.iter().map(|lane| (lane.clone(), LaneProgress::default())).collect(),
            claims: HashMap::new(),
            marks: BTreeSet::new(),
            rules: record_rules(1),
            rules_from: HashMap::new(),
            closed_before_ms: None,
            expired: BTreeSet::new(),
            differed: None,
        };
        let rng = SmallRng::seed_from_u64(seed);
        Self {
            state: Mutex::new(State { rng, calm: false, registers, late: Vec::new(), was_asked_for_a_lane: false }),
            fault: Fault::None,
        }
    }

    /// A store that breaks a promise.
    pub(crate) fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// Whether the last call was for a lane's progress; says so once.
    pub(crate) fn was_asked_for_a_lane(&self) -> bool {
        std::mem::take(&mut self.state().was_asked_for_a_lane)
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
            state.registers.apply(write, self.fault);
        }
    }

    /// All late writes arrive.
    pub(crate) fn deliver_late(&self) {
        let state = &mut *self.state();
        let mut late = std::mem::take(&mut state.late);
        late.shuffle(&mut state.rng);
        for write in late {
            state.registers.apply(write, self.fault);
        }
    }

    /// Sources whose entries were deleted.
    pub(crate) fn expired(&self) -> BTreeSet<SourceId> {
        self.state().registers.expired.clone()
    }

    /// How many entries, claims and marks there are.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let registers = &self.state().registers;
        (registers.sources.len(), registers.claims.len(), registers.marks.len())
    }

    /// Where each lane went on to the next rules, if the store has.
    pub(crate) fn next_rules_from(&self) -> Option<HashMap<Lane, i64>> {
        let registers = &self.state().registers;
        (registers.rules != record_rules(1)).then(|| registers.rules_from.clone())
    }

    /// An earlier version of the program has closed its sources.
    pub(crate) fn close_before(&self, closed_before_ms: Option<i64>) {
        self.state().registers.closed_before_ms = closed_before_ms;
    }

    /// A lane of an earlier epoch has counted this source.
    pub(crate) fn inherit(&self, lane: &Lane, id: SourceId, entry: SourceEntry) {
        let registers = &mut self.state().registers;
        registers
            .lanes
            .insert(lane.clone(), LaneProgress { next_offset: entry.upto, records: 1, newest_timestamp_ms: Some(0) });
        registers.claims.insert(id, entry.claim);
        registers.sources.insert((lane.clone(), id), entry);
    }

    /// Makes a claim without faults.
    pub(crate) fn claim(&self, id: SourceId, claim: Claim) {
        self.state().registers.claims.insert(id, claim);
    }

    /// The store breaks its promise: a row is as it never was.
    pub(crate) fn lose_rows(&self) {
        self.state().registers.rows.clear();
    }

    /// The same: rows hold less than they did.
    pub(crate) fn lose_amounts(&self) {
        self.state().registers.rows.values_mut().for_each(|row| row.totals = Totals::default());
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
            state.registers.apply(write.clone(), self.fault);
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
    fn apply(&mut self, write: Write, fault: Fault) {
        let wins = |new: i64, stored: i64| fault == Fault::LastArrivalWins || new > stored;
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
                    // A process may remember what another one has to begin anew.
                    let is_whole = !self.expired.contains(&id);
                    if is_whole && entry.upto == stored.upto && entry != *stored {
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

    async fn read_lane(&self, lane: &Lane) -> anyhow::Result<Option<LaneState>> {
        let state = |registers: &Registers, (): &()| {
            Some(LaneState {
                progress: *registers.lanes.get(lane)?,
                rules: registers.rules.clone(),
                rules_from: registers.rules_from.get(lane).copied().unwrap_or_default(),
                closed_before_ms: registers.closed_before_ms,
            })
        };
        self.state().was_asked_for_a_lane = true;
        Ok(self.read_all(&[()], state).await?.into_iter().next().map(|(_, state)| state))
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

    async fn read_claims(&self, ids: &[SourceId]) -> anyhow::Result<Vec<(SourceId, Claim)>> {
        self.read_all(ids, |registers, id| registers.claims.get(id).copied()).await
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

impl Upkeep for SimulatedStore {
    async fn read_rules(&self) -> anyhow::Result<RecordRules> {
        wait().await;
        Ok(self.state().registers.rules.clone())
    }

    async fn write_rules(&self, rules: &RecordRules, from: &[(Lane, i64)]) -> anyhow::Result<()> {
        let registers = &mut self.state().registers;
        registers.rules = rules.clone();
        registers.rules_from = from.iter().cloned().collect();
        Ok(())
    }

    async fn read_lanes(&self) -> anyhow::Result<Vec<(Lane, LaneProgress)>> {
        wait().await;
        Ok(self.state().registers.lanes.iter().map(|(lane, progress)| (lane.clone(), *progress)).collect())
    }

    async fn read_marks(&self) -> anyhow::Result<Vec<(Lane, Mark)>> {
        wait().await;
        Ok(self.state().registers.marks.iter().cloned().collect())
    }

    async fn write_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        for mark in marks {
            wait().await;
            self.state().registers.marks.insert(mark.clone());
        }
        Ok(())
    }

    async fn delete_marks(&self, marks: &[(Lane, Mark)]) -> anyhow::Result<()> {
        for mark in marks {
            wait().await;
            self.state().registers.marks.remove(mark);
        }
        Ok(())
    }

    async fn read_kept(&self, _: &[Lane], digit: u8) -> anyhow::Result<Vec<Kept>> {
        wait().await;
        let state = self.state();
        let kept = |((lane, source), entry): (&(Lane, SourceId), &SourceEntry)| Kept {
            lane: lane.clone(),
            source: *source,
            upto: entry.upto,
            files: entry.files.keys().copied().flatten().collect(),
        };
        let has_digit = |((_, id), _): &(&(Lane, SourceId), _)| id.0[0] >> 4 == digit;
        Ok(state.registers.sources.iter().filter(has_digit).map(kept).collect())
    }

    async fn delete_claims(&self, sources: &[SourceId]) -> anyhow::Result<()> {
        for source in sources {
            wait().await;
            self.state().registers.claims.remove(source);
        }
        Ok(())
    }

    async fn delete_sources(&self, entries: &[(Lane, SourceId, i64)]) -> anyhow::Result<()> {
        for (lane, source, upto) in entries {
            wait().await;
            let registers = &mut self.state().registers;
            registers.expired.insert(*source);
            let key = (lane.clone(), *source);
            let is_newer = registers.sources.get(&key).is_some_and(|entry| entry.upto > *upto);
            if !is_newer || self.fault == Fault::DeletesWhatIsNewer {
                registers.sources.remove(&key);
            }
        }
        Ok(())
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
