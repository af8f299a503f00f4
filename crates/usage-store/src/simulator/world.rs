//! One schedule.

use std::cell::Cell;
use std::collections::HashSet;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use stream::Lane;

use super::SimulatedStore;
use super::drive;
use super::expected::expected;
use super::mapping::{Mapping, Now};
use super::nights::Nights;
use super::store::Fault;
use super::stream::{EPOCH, HOUR_MS, Inherited, START_MS, Stream, record_rules};
use crate::rules::Rules;
use crate::store::FileAccount;
use crate::upkeep::{self, DAY_MS};
use crate::{Buckets, Claim, SourceEntry};

/// After so many steps nothing goes wrong any more, so that every schedule ends.
const STORMY_STEPS: u32 = 3_000;
/// A calm schedule of these small streams ends long before this.
const MAX_STEPS: u32 = 200_000;
/// So many nights after the last record nothing is kept of any source.
const NIGHTS_AFTER: usize = 120;
/// The most that there is of marks in a lane then: one a night, and one by a wrong clock.
const MAX_MARKS: usize = 47;

/// One schedule of the design, or of a design with other rules.
pub(crate) fn run<R: Rules + 'static>(seed: u64) -> Result<(), String> {
    run_with::<R>(seed, Fault::None)
}

/// The same on a store that breaks a promise.
pub(crate) fn run_with<R: Rules + 'static>(seed: u64, fault: Fault) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let stream = Stream::draw(&mut rng);
    let lanes: Vec<_> = stream.lanes.iter().map(|(lane, _)| lane.clone()).collect();
    let store = SimulatedStore::new(rng.random(), &lanes).with(fault);
    inherit(&store, &stream);
    let now_ms = Cell::new(START_MS);
    let mut world = World::new(&mut rng, &store, &stream, &now_ms);
    world.run::<R>(&mut rng)?;
    store.deliver_late();
    check(&store, &stream, &lanes, &world)?;
    if stream.is_long {
        world.end::<R>(&mut rng)?;
    }
    Ok(())
}

/// What the store has from before.
fn inherit(store: &SimulatedStore, stream: &Stream) {
    store.close_before(stream.closed_before_ms);
    match stream.inherited {
        Some(Inherited::OtherEpoch(source)) => {
            let entry = SourceEntry::new(Claim { epoch: EPOCH - 1, timestamp_ms: START_MS });
            let lane = Lane { epoch: EPOCH - 1, topic: "cdr-data".to_owned(), partition: 0 };
            store.inherit(&lane, source, SourceEntry { upto: 10, last_line: 5, ..entry });
        }
        Some(Inherited::Closed(source)) => {
            store.claim(source, Claim { epoch: EPOCH, timestamp_ms: START_MS - 1 });
        }
        None => {}
    }
}

struct World<'a> {
    store: &'a SimulatedStore,
    stream: &'a Stream,
    now_ms: &'a Cell<i64>,
    mappings: Vec<Mapping<'a>>,
    nights: Nights<'a>,
}

impl<'a> World<'a> {
    fn new(rng: &mut SmallRng, store: &'a SimulatedStore, stream: &'a Stream, now_ms: &'a Cell<i64>) -> Self {
        let mapping = |(lane, records)| Mapping::new(lane, records, stream.is_read_otherwise);
        let mappings = stream.lanes.iter().map(|(lane, records)| mapping((lane, &records[..]))).collect();
        Self { store, stream, now_ms, mappings, nights: Nights::new(rng, store, stream, now_ms) }
    }

    fn run<R: Rules + 'a>(&mut self, rng: &mut SmallRng) -> Result<(), String> {
        let mut steps = 0;
        while self.stream.next_ms(self.now_ms.get()).is_some() || !self.mappings.iter().all(Mapping::is_done) {
            steps += 1;
            let is_stormy = steps < STORMY_STEPS;
            if !is_stormy {
                self.store.calm_down();
            }
            if steps > MAX_STEPS {
                return Err("the schedule does not end".to_owned());
            }
            self.store.maybe_deliver_late();
            self.time_passes::<R>(rng, is_stormy);
            if rng.random_bool(0.2) {
                self.nights.step(rng);
            }
            if self.stream.is_read_otherwise && rng.random_bool(0.02) {
                self.adopt_next_rules::<R>();
            }
            let index = rng.random_range(..self.mappings.len());
            let now = self.now(index, is_stormy);
            self.mappings[index].step::<R>(self.store, rng, &now)?;
        }
        Ok(())
    }

    fn now(&self, index: usize, is_stormy: bool) -> Now {
        let ms = self.now_ms.get();
        let (nights, is_long) = (self.nights.fallen, self.stream.is_long);
        Now { ms, nights, is_stormy, is_long, available: self.stream.available(index, ms) }
    }

    /// Where there is nothing to do, the next thing happens. Else time passes in between: seldom, and sometimes a lot of it,
    /// while all that has been delivered lies still.
    fn time_passes<R: Rules + 'a>(&mut self, rng: &mut SmallRng, is_stormy: bool) {
        let now_ms = self.now_ms.get();
        let next_ms = self.stream.next_ms(now_ms);
        let mut lanes = self.mappings.iter().enumerate();
        let to_ms = if lanes.all(|(index, mapping)| mapping.is_waiting(&self.now(index, is_stormy))) {
            next_ms.into_iter().chain(self.mappings.iter().filter_map(Mapping::wakes_ms)).min()
        } else if rng.random_bool(if next_ms.is_some() { 0.01 } else { 0.001 }) {
            Some(
                now_ms
                    + match rng.random_range(0..20) {
                        0 if self.stream.is_long => rng.random_range(0..45 * DAY_MS),
                        1..4 if self.stream.is_long => rng.random_range(0..3 * DAY_MS),
                        _ => rng.random_range(0..HOUR_MS),
                    },
            )
        } else {
            None
        };
        if let Some(to_ms) = to_ms {
            self.pass_to::<R>(rng, to_ms);
        }
    }

    fn pass_to<R: Rules + 'a>(&mut self, rng: &mut SmallRng, to_ms: i64) {
        while self.stream.is_long && self.nights.next_ms() <= to_ms {
            self.now_ms.set(self.now_ms.get().max(self.nights.next_ms()));
            self.nights.fall::<R>(rng);
        }
        self.now_ms.set(self.now_ms.get().max(to_ms));
    }

    /// An operator lets the store count by the next rules, if that is allowed now.
    fn adopt_next_rules<R: Rules>(&self) {
        let ends = self.stream.ends(self.now_ms.get());
        let adopted = drive(upkeep::adopt::<R>(self.store, &record_rules(2), &ends));
        debug_assert!(adopted.is_ok() || self.store.next_rules_from().is_none(), "what was adopted stays");
    }

    /// When nothing comes any more, nothing is kept any more.
    fn end<R: Rules + 'a>(&mut self, rng: &mut SmallRng) -> Result<(), String> {
        self.store.calm_down();
        let mut last_ms = self.now_ms.get();
        for _ in 0..NIGHTS_AFTER {
            last_ms += DAY_MS;
            self.pass_to::<R>(rng, last_ms);
            (0..200).for_each(|_| self.nights.step(rng));
        }
        let (sources, claims, marks) = self.store.sizes();
        // Nothing knows of a claim without an entry: an old one, or one by a process that stood still while another one counted
        // its records and their entry expired.
        let may_stay = matches!(self.stream.inherited, Some(Inherited::Closed(_)))
            || self.mappings.iter().any(|mapping| mapping.has_slept);
        if sources > 0 || (claims > 0 && !may_stay) || marks > MAX_MARKS * (self.mappings.len() + 1) {
            return Err(format!("{sources} entries, {claims} claims and {marks} marks are kept for ever"));
        }
        Ok(())
    }
}

fn check(store: &SimulatedStore, stream: &Stream, lanes: &[Lane], world: &World<'_>) -> Result<(), String> {
    let expected = expected(stream, Buckets::default(), store.next_rules_from().as_ref());
    if let Some(difference) = store.difference() {
        return Err(format!("not a function of the log: {difference}"));
    }
    compare("usage", &store.usage(), &expected.usage)?;
    for (index, lane) in lanes.iter().enumerate() {
        compare("progress", &store.progress(lane), &stream.expected_progress(index))?;
    }
    let expired = store.expired();
    let refused: HashSet<_> = world.mappings.iter().flat_map(Mapping::refused).collect();
    if stream.inherited.is_some_and(|inherited| expired.contains(&inherited.source())) {
        // Counted before the claim went, and acknowledged afterwards: that they were refused is not known any more.
        compare("falsely refused", &refused.difference(&expected.refused).collect(), &HashSet::new())?;
    } else {
        compare("refused", &refused, &expected.refused)?;
    }
    let is_kept = |account: &FileAccount| !expired.contains(&account.source_id);
    let kept = |accounts: Vec<FileAccount>| accounts.into_iter().filter(is_kept).collect::<Vec<_>>();
    let accounts = kept(store.accounts());
    compare("accounts", &accounts, &kept(expected.accounts))?;
    conserved(stream, &accounts)
}

/// The second conservation law: a file's rows are counted, duplicates, or taken back, each once.
fn conserved(stream: &Stream, accounts: &[FileAccount]) -> Result<(), String> {
    for account in accounts {
        let rows = account.file.and_then(|file| stream.complete.get(&(account.source_id, file)));
        if rows.is_some_and(|rows| *rows != account.counted + account.duplicates + account.withdrawn) {
            return Err(format!("{account:?} of a file of {rows:?} rows"));
        }
    }
    Ok(())
}

fn compare<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?} instead of {expected:?}")) }
}
