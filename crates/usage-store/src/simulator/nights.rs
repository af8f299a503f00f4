//! The nightly upkeep: at some hour, by some clock, now and then not at all, or cut short.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use rand::RngExt;
use rand::rngs::SmallRng;

use super::SimulatedStore;
use super::stream::{START_MS, Stream};
use crate::rules::Rules;
use crate::upkeep::{self, DAY_MS, Quiet};

/// The nights of a schedule.
pub(crate) struct Nights<'a> {
    store: &'a SimulatedStore,
    stream: &'a Stream,
    /// The time, as it is.
    now_ms: &'a Cell<i64>,
    next_ms: i64,
    /// How many have fallen.
    pub(crate) fallen: u32,
    /// The night on which the clock is wrong, and how much.
    wrong: Option<(i64, i64)>,
    at_work: Option<Run<'a>>,
    /// A run of an earlier night that stands still.
    asleep: Option<Run<'a>>,
}

type Run<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

impl<'a> Nights<'a> {
    pub(crate) fn new(
        rng: &mut SmallRng,
        store: &'a SimulatedStore,
        stream: &'a Stream,
        now_ms: &'a Cell<i64>,
    ) -> Self {
        // By years, or by as much as would let something expire; when something goes on.
        let days = if rng.random_bool(0.5) { -800..800 } else { -45..-35 };
        let night = stream.a_day(rng) + rng.random_range(0..20);
        let wrong = rng.random_bool(0.4).then(|| (night, rng.random_range(days) * DAY_MS));
        let next_ms = START_MS + rng.random_range(0..DAY_MS / 4);
        Self { store, stream, now_ms, next_ms, fallen: 0, wrong, at_work: None, asleep: None }
    }

    pub(crate) fn next_ms(&self) -> i64 {
        self.next_ms
    }

    /// It is night.
    pub(crate) fn fall<R: Rules + 'a>(&mut self, rng: &mut SmallRng) {
        self.fallen += 1;
        let night = (self.next_ms - START_MS).div_euclid(DAY_MS);
        self.next_ms = START_MS + (night + 1) * DAY_MS + rng.random_range(0..DAY_MS / 4);
        if let Some(mut last) = self.at_work.take() {
            // Last night's run is still there: it comes to its end now, or sleeps on, or is given up.
            match rng.random_range(0..3) {
                0 => finish(last.as_mut()),
                1 => self.asleep = Some(last),
                _ => {}
            }
        }
        if rng.random_bool(0.05) {
            return;
        }
        let clock_ms = self.now_ms.get() + self.wrong.filter(|(wrong, _)| *wrong == night).map_or(0, |(_, ms)| ms);
        self.at_work = Some(Box::pin(run::<R>(self.store, self.stream, self.now_ms, clock_ms)));
        for _ in 0..rng.random_range(0..25) {
            step(&mut self.at_work);
        }
    }

    /// The run goes one step further; seldom, one that slept wakes up.
    pub(crate) fn step(&mut self, rng: &mut SmallRng) {
        step(&mut self.at_work);
        if rng.random_bool(0.02)
            && let Some(mut asleep) = self.asleep.take()
        {
            finish(asleep.as_mut());
        }
    }
}

fn finish(mut run: Pin<&mut dyn Future<Output = anyhow::Result<()>>>) {
    while run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}

fn step(run: &mut Option<Run<'_>>) {
    if let Some(at_work) = run
        && at_work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    {
        *run = None;
    }
}

async fn run<R: Rules>(
    store: &SimulatedStore,
    stream: &Stream,
    now_ms: &Cell<i64>,
    clock_ms: i64,
) -> anyhow::Result<()> {
    upkeep::mark(store, clock_ms, &stream.ends(now_ms.get())).await?;
    let quiet = Quiet::read::<R>(store, clock_ms).await?;
    let mut sources = upkeep::quiet_sources::<R>(store, &quiet, 0).await?;
    sources.retain(|source| {
        let published_ms = stream.published_ms(source.id, now_ms.get());
        published_ms.is_some_and(|published_ms| R::was_published(published_ms, source.quiet_since_ms))
    });
    upkeep::expire(store, &sources).await?;
    Ok(())
}
