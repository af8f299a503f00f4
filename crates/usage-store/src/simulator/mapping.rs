//! One lane's event source mapping, and the processes that it invokes.

use std::collections::HashSet;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rand::RngExt;
use rand::rngs::SmallRng;
use stream::Lane;

use super::SimulatedStore;
use super::stream::{HOUR_MS, Published, record_rules};
use crate::count::{CountError, Counted, count_by};
use crate::rules::Rules;
use crate::upkeep::DAY_MS;
use crate::{LaneBatch, LaneMemory};

/// Processes that may hold the same lane at once.
const WORKERS: usize = 3;
/// The longest that one stands still, in a stream that lasts for months.
const LONGEST_SLEEP_MS: i64 = 80 * DAY_MS;
const MAX_BATCH_RECORDS: usize = 9;

/// A mapping. What has been published is what it may hand over.
pub(crate) struct Mapping<'a> {
    lane: &'a Lane,
    records: &'a [Published],
    /// How many records have been acknowledged, as the mapping knows.
    pub(crate) committed: usize,
    workers: Vec<Worker<'a>>,
    refused: HashSet<i64>,
    /// Whether a night has fallen while a process worked on a batch.
    pub(crate) has_slept: bool,
}

/// A process, which handles one batch of the lane at a time, and reads it by the rules it was built with.
struct Worker<'a> {
    rules: u32,
    memory: LaneMemory,
    job: Option<Job<'a>>,
    /// It stands still until then: the service has given it up, and it does not know.
    frozen_until_ms: i64,
}

/// An invocation on its way. Dropped, it takes its memory with it, as a crash does.
struct Job<'a> {
    future: Pin<Box<dyn Future<Output = Done> + 'a>>,
    /// The batch's first record, and the one behind its last.
    records: Range<usize>,
    /// How many nights had fallen when it began.
    begun: u32,
}

/// What is to be known of the moment.
pub(crate) struct Now {
    pub(crate) ms: i64,
    /// How many nights have fallen.
    pub(crate) nights: u32,
    /// Things go wrong.
    pub(crate) is_stormy: bool,
    /// The stream lasts for months.
    pub(crate) is_long: bool,
    /// How many of the lane's records have been published.
    pub(crate) available: usize,
}

/// What is left of an invocation that has ended.
type Done = (LaneMemory, Result<Counted, CountError>);

impl<'a> Mapping<'a> {
    /// Its processes are of one version of the program, or of two.
    pub(crate) fn new(lane: &'a Lane, records: &'a [Published], has_two_rules: bool) -> Self {
        let rules = |index: usize| if has_two_rules { 1 + index as u32 % 2 } else { 1 };
        let worker =
            |index| Worker { rules: rules(index), memory: LaneMemory::default(), job: None, frozen_until_ms: 0 };
        let workers = (0..WORKERS).map(worker).collect();
        Self { lane, records, committed: 0, workers, refused: HashSet::new(), has_slept: false }
    }

    /// Nothing happens before the next record comes, or a process wakes up.
    pub(crate) fn is_waiting(&self, now: &Now) -> bool {
        self.committed == now.available && self.workers.iter().all(|worker| !worker.is_at_work(now))
    }

    /// When the next process wakes up, if one stands still.
    pub(crate) fn wakes_ms(&self) -> Option<i64> {
        self.workers.iter().filter(|worker| worker.job.is_some()).map(|worker| worker.frozen_until_ms).min()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.committed == self.records.len() && self.workers.iter().all(|worker| worker.job.is_none())
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (Lane, i64)> {
        self.refused.iter().map(|offset| (self.lane.clone(), *offset))
    }

    /// One thing happens: a batch is handed to a process, a process goes one step further, or something goes wrong.
    pub(crate) fn step<R: Rules + 'a>(
        &mut self,
        store: &'a SimulatedStore,
        rng: &mut SmallRng,
        now: &Now,
    ) -> Result<(), String> {
        if now.is_stormy && rng.random_bool(0.01) {
            self.committed = rng.random_range(0..=self.committed); // a commit is lost
        }
        let running = self.workers.iter().filter(|worker| worker.is_at_work(now)).count();
        let index = rng.random_range(..WORKERS);
        let worker = &mut self.workers[index];
        let Some(job) = &mut worker.job else {
            // Another process may get the same records while the first still works on them.
            let is_handed = running == 0 || (now.is_stormy && rng.random_bool(0.05));
            if is_handed && self.committed < now.available {
                self.hand_over::<R>(store, index, rng, now);
            }
            return Ok(());
        };
        if now.is_stormy && rng.random_bool(0.01) {
            worker.job = None;
            return Ok(());
        }
        if now.is_stormy && worker.frozen_until_ms > now.ms {
            return Ok(());
        }
        self.has_slept |= now.nights > job.begun;
        let Poll::Ready((memory, outcome)) = job.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            // It falls asleep anywhere, and oftener where it has just heard how far the lane is.
            if now.is_stormy && rng.random_bool(if store.was_asked_for_a_lane() { 0.1 } else { 0.005 }) {
                let sleep_ms = if now.is_long { rng.random_range(0..LONGEST_SLEEP_MS) } else { HOUR_MS };
                worker.frozen_until_ms = now.ms + sleep_ms;
            }
            return Ok(());
        };
        let records = job.records.clone();
        (worker.memory, worker.job) = (memory, None);
        match outcome {
            // Refused records could not be rejected, or the answer was lost: nothing is acknowledged.
            Ok(_) if now.is_stormy && rng.random_bool(0.02) => {}
            Ok(counted) => {
                let batch = &self.records[records.clone()];
                self.refused.extend(counted.refused.iter().map(|(index, _)| batch[*index].offset()));
                self.committed = records.end;
            }
            // Another process, of the other version, will get them.
            Err(CountError::Store(_) | CountError::OtherRules { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    fn hand_over<R: Rules + 'a>(&mut self, store: &'a SimulatedStore, index: usize, rng: &mut SmallRng, now: &Now) {
        let end = now.available.min(self.committed + rng.random_range(1..=MAX_BATCH_RECORDS));
        let worker = &mut self.workers[index];
        let records = self.committed..end;
        let read = self.records[records.clone()].iter().map(|published| published.read_by(worker.rules));
        let batch = LaneBatch::new(self.lane.clone(), record_rules(worker.rules), read.collect()).expect("a batch");
        let mut memory = std::mem::take(&mut worker.memory);
        let future = Box::pin(async move {
            let outcome = count_by::<R, _>(store, &mut memory, &batch).await;
            (memory, outcome)
        });
        worker.job = Some(Job { future, records, begun: now.nights });
        worker.frozen_until_ms = 0;
    }
}

impl Worker<'_> {
    fn is_at_work(&self, now: &Now) -> bool {
        self.job.is_some() && !(now.is_stormy && self.frozen_until_ms > now.ms)
    }
}
