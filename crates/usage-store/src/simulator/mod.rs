//! Drives the real protocol through many schedules of everything that can go wrong, each from a seed, and compares what
//! is stored with a plain fold. Then breaks the protocol's rules one at a time, and shows that it notices.

mod expected;
mod mapping;
mod mutants;
mod nights;
mod store;
mod stream;
mod world;

use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

pub(crate) use self::store::SimulatedStore;
pub(crate) use self::stream::record_rules;
use self::world::run;
use crate::rules::{Design, Rules};

/// Schedules of the design on every test run; more, or those of other seeds (`from..to`), with this variable.
const SCHEDULES: u64 = 20_000;
const SCHEDULES_VARIABLE: &str = "SIMULATED_SCHEDULES";

/// The design in a process that remembers hardly any source: what it remembers of rows meets what others did to sources.
struct Forgetful;

impl Rules for Forgetful {
    const MAX_REMEMBERED_SOURCES: usize = 1;
}

#[expect(clippy::disallowed_methods, reason = "a test's own variable")]
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var(SCHEDULES_VARIABLE) else { return 0..SCHEDULES };
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn whatever_goes_wrong_the_totals_are_those_of_a_plain_fold() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let run_one = |seed: u64| if seed.is_multiple_of(2) { run::<Design>(seed) } else { run::<Forgetful>(seed) };
    let run_some = || {
        let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let deviating = |seed| Some((seed, run_one(seed).err()?));
        taken.take_while(|seed| *seed < seeds.end).filter_map(deviating).take(3).collect::<Vec<_>>()
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
    let store = SimulatedStore::new(0, &[0, 1].map(stream::lane));
    store.calm_down();
    drive(crate::contract::check_upkeep(&store));
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
