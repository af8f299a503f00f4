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
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub(crate) use self::store::SimulatedStore;
pub(crate) use self::stream::record_rules;
use self::world::run;
use crate::rules::{Design, Rules};

/// Schedules of the design on every test run; more with the variable `SIMULATED_SCHEDULES`.
const SCHEDULES: u64 = 20_000;

/// The design in a process that remembers hardly any source: what it remembers of rows meets what others did to sources.
struct Forgetful;

impl Rules for Forgetful {
    const MAX_REMEMBERED_SOURCES: usize = 1;
}

#[test]
fn whatever_goes_wrong_the_totals_are_those_of_a_plain_fold() {
    let run_one = |seed: u64| if seed.is_multiple_of(2) { run::<Design>(seed) } else { run::<Forgetful>(seed) };
    let deviating = test_support::deviating(SCHEDULES, run_one);
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
