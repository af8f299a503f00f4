//! Drives the real protocol through many schedules of everything that can go wrong, each from a seed, and compares what
//! is stored with a plain fold. Then breaks the protocol's rules one at a time, and shows that it notices.

mod mutants;
mod store;
mod stream;

use std::collections::HashSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub(crate) use self::store::SimulatedStore;
use self::stream::{EPOCH, Stream};
use crate::count::{CountError, Counted, count_by};
use crate::rules::{Design, Rules};
use crate::{Buckets, Claim, Lane, LaneBatch, LaneMemory, LaneRecord, UsageStore};

/// Schedules of the design on every test run.
const SCHEDULES: u64 = 5_000;
/// After so many steps nothing goes wrong any more, so that every schedule ends.
const STORMY_STEPS: u32 = 3_000;
/// A calm schedule of these small streams ends long before this.
const MAX_STEPS: u32 = 100_000;
/// Processes that may hold the same lane at once.
const WORKERS: usize = 3;
const MAX_BATCH_RECORDS: usize = 9;

#[test]
fn whatever_goes_wrong_the_totals_are_those_of_a_plain_fold() {
    let next = AtomicU64::new(0);
    let run_some = || {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let deviating = |seed| Some((seed, run::<Design>(seed).err()?));
        seeds.take_while(|seed| *seed < SCHEDULES).filter_map(deviating).take(3).collect::<Vec<_>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let deviating: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run_some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the schedules run")).collect()
    });
    assert!(deviating.is_empty(), "{deviating:#?}");
}

#[test]
fn the_simulated_store_is_a_store() {
    let store = SimulatedStore::new(0, &[0, 1].map(stream::lane));
    store.calm_down();
    drive(crate::contract::check(&store));
}

/// Runs a future of the simulated store to its end.
pub(crate) fn drive<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

/// One schedule of the design, or of a design with other rules.
fn run<R: Rules + 'static>(seed: u64) -> Result<(), String> {
    run_on::<R>(seed, SimulatedStore::new)
}

fn run_on<R: Rules + 'static>(seed: u64, make_store: fn(u64, &[Lane]) -> SimulatedStore) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let stream = Stream::draw(&mut rng);
    let lanes: Vec<_> = stream.lanes.iter().map(|(lane, _)| lane.clone()).collect();
    let store = make_store(rng.random(), &lanes);
    if let Some(source) = stream.foreign {
        store.claim(source, Claim { epoch: EPOCH - 1, timestamp_ms: 0 });
    }
    let mut mappings: Vec<_> = stream.lanes.iter().map(|(lane, records)| Mapping::new(lane, records)).collect();
    let mut has_expired = false;
    let mut steps = 0;
    while mappings.iter().any(|mapping| !mapping.is_done()) {
        steps += 1;
        let is_stormy = steps < STORMY_STEPS;
        if !is_stormy {
            store.calm_down();
        }
        if steps > MAX_STEPS {
            return Err("the schedule does not end".to_owned());
        }
        store.maybe_deliver_late();
        if stream.is_long && rng.random_bool(0.02) {
            has_expired |= store.expire_sources();
        }
        let index = rng.random_range(..mappings.len());
        mappings[index].step::<R>(&store, &mut rng, is_stormy)?;
    }
    store.deliver_late();

    let expected = stream.expected(Buckets::default());
    if let Some(difference) = store.difference() {
        return Err(format!("not a function of the log: {difference}"));
    }
    compare("usage", &store.usage(), &expected.usage)?;
    for (index, lane) in lanes.iter().enumerate() {
        compare("progress", &store.progress(lane), &stream.expected_progress(index))?;
    }
    let refused: HashSet<_> = mappings.iter().flat_map(Mapping::refused).collect();
    compare("refused", &refused, &expected.refused)?;
    if !has_expired {
        compare("accounts", &store.accounts(), &expected.accounts)?;
        stream.check_conservation(&store.accounts())?;
    }
    Ok(())
}

fn compare<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?} instead of {expected:?}")) }
}

/// One lane's event source mapping, and the processes that it invokes.
struct Mapping<'a> {
    lane: &'a Lane,
    records: &'a [LaneRecord],
    /// How many records have been acknowledged, as the mapping knows.
    committed: usize,
    workers: Vec<Worker<'a>>,
    refused: HashSet<i64>,
}

/// A process, which handles one batch of the lane at a time.
#[derive(Default)]
struct Worker<'a> {
    memory: LaneMemory,
    job: Option<Job<'a>>,
}

/// An invocation on its way. Dropped, it takes its memory with it, as a crash does.
struct Job<'a> {
    future: Pin<Box<dyn Future<Output = Done> + 'a>>,
    end: usize,
}

/// What is left of an invocation that has ended.
type Done = (LaneMemory, Result<Counted, CountError>);

impl<'a> Mapping<'a> {
    fn new(lane: &'a Lane, records: &'a [LaneRecord]) -> Self {
        let workers = (0..WORKERS).map(|_| Worker::default()).collect();
        Self { lane, records, committed: 0, workers, refused: HashSet::new() }
    }

    fn is_done(&self) -> bool {
        self.committed == self.records.len() && self.workers.iter().all(|worker| worker.job.is_none())
    }

    fn refused(&self) -> impl Iterator<Item = (Lane, i64)> {
        self.refused.iter().map(|offset| (self.lane.clone(), *offset))
    }

    /// One thing happens: a batch is handed to a process, a process goes one step further, or something goes wrong.
    fn step<R: Rules + 'a>(
        &mut self,
        store: &'a (impl UsageStore + 'a),
        rng: &mut SmallRng,
        is_stormy: bool,
    ) -> Result<(), String> {
        if is_stormy && rng.random_bool(0.01) {
            self.committed = rng.random_range(0..=self.committed); // a commit is lost
        }
        let running = self.workers.iter().filter(|worker| worker.job.is_some()).count();
        let index = rng.random_range(..WORKERS);
        let Some(job) = &mut self.workers[index].job else {
            // Another process may get the same records while the first still works on them.
            let is_handed = running == 0 || (is_stormy && rng.random_bool(0.05));
            if is_handed && self.committed < self.records.len() {
                self.hand_over::<R>(store, index, rng);
            }
            return Ok(());
        };
        if is_stormy && rng.random_bool(0.01) {
            self.workers[index].job = None;
            return Ok(());
        }
        let Poll::Ready((memory, outcome)) = job.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return Ok(());
        };
        let end = job.end;
        self.workers[index] = Worker { memory, job: None };
        match outcome {
            // Refused records could not be rejected, or the answer was lost: nothing is acknowledged.
            Ok(_) if is_stormy && rng.random_bool(0.02) => {}
            Ok(counted) => {
                self.refused.extend(counted.refused.iter().map(|(offset, _)| *offset));
                self.committed = end;
            }
            Err(CountError::Store(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    fn hand_over<R: Rules + 'a>(&mut self, store: &'a (impl UsageStore + 'a), index: usize, rng: &mut SmallRng) {
        let end = self.records.len().min(self.committed + rng.random_range(1..=MAX_BATCH_RECORDS));
        let batch = LaneBatch::new(self.lane.clone(), self.records[self.committed..end].to_vec()).expect("a batch");
        let mut memory = std::mem::take(&mut self.workers[index].memory);
        let future = Box::pin(async move {
            let outcome = count_by::<R, _>(store, &mut memory, &batch).await;
            (memory, outcome)
        });
        self.workers[index].job = Some(Job { future, end });
    }
}
