//! The schedules of a simulator, on all processors.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// More schedules than usual, or those of other seeds (`from..to`).
const VARIABLE: &str = "SIMULATED_SCHEDULES";

/// So many of a thread's schedules that deviate are enough to see.
const SHOWN: usize = 3;

/// Runs a schedule for each seed, the first `usual` where the variable `SIMULATED_SCHEDULES` does not say others, and returns
/// the first that deviate.
pub fn deviating<E: Send>(usual: u64, run: impl Fn(u64) -> Result<(), E> + Sync) -> Vec<(u64, E)> {
    let seeds = seeds(usual);
    let next = AtomicU64::new(seeds.start);
    let run_some = || {
        let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let deviating = |seed| Some((seed, run(seed).err()?));
        taken.take_while(|seed| *seed < seeds.end).filter_map(deviating).take(SHOWN).collect::<Vec<_>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run_some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the schedules run")).collect()
    })
}

#[expect(clippy::disallowed_methods, reason = "the tests' own variable")]
fn seeds(usual: u64) -> Range<u64> {
    let Ok(text) = std::env::var(VARIABLE) else { return 0..usual };
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    from.parse().expect("a number")..to.parse().expect("a number")
}
