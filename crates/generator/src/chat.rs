//! The chat messages of the same operator: customers ask, agents answer, in rooms.
//!
//! A room's customer has the number of a subscriber of the call records that the same seed makes.

mod dialogue;
mod spoil;
mod texts;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::ensure;
use jiff::civil::DateTime;
use telecom::Message;

use crate::draws::{Chance, Draws, Purpose};
use crate::population::{NUMBERS, Population};
use dialogue::{Room, Turn};

/// What to generate. `Options::default()` is what the command line does when nothing else is said.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides every byte: the same options give the same messages.
    pub seed: u64,
    /// Messages, spoiled and repeated ones not counted.
    pub count: u32,
    /// Rooms, each of one customer; at most `count`.
    pub rooms: u32,
    /// How many subscribers there are; not all of them write.
    pub subscribers: u32,
    /// The days on which rooms are opened; a dialogue may go on into the next.
    pub days: u32,
    /// When the first room is opened, as a clock on the operator's wall shows it.
    pub start: DateTime,
    /// The probability that a message is followed by an unusable one, and that it comes again later: 0 to 1.
    pub faults: f64,
}

impl Default for Options {
    /// Seed 1, 10,000 messages in 1,500 rooms of 50,000 subscribers, on the day of the dev profile's call records.
    fn default() -> Self {
        Self {
            seed: 1,
            count: 10_000,
            rooms: 1_500,
            subscribers: 50_000,
            days: 1,
            start: DateTime::constant(2024, 1, 1, 0, 0, 0, 0),
            faults: 0.0,
        }
    }
}

/// What is posted: a message's JSON, or what should be one. Without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// The bytes.
    pub json: Vec<u8>,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message, for the first time.
    New,
    /// One that came before.
    Again,
    /// None that can be used.
    Unusable,
}

/// The most rooms: their ids have six digits.
const MAX_ROOMS: u32 = 1_000_000;

/// The most days: about as many as records may have.
const MAX_DAYS: u32 = 130 * 365;

/// Lines after which a message comes again, at most: mostly in the same request, sometimes in a later one.
const AGAIN_WITHIN: u32 = 1_500;

/// All lines of a run, in the order of their times. It holds only what is being talked about at one time.
///
/// # Errors
/// One line that names the option and says what it may be.
pub fn lines(options: &Options) -> anyhow::Result<impl Iterator<Item = Line> + use<>> {
    let plan = Plan::new(options)?;
    let mut faults = Draws::new(plan.seed, Purpose::ChatFaults, 0);
    let chance = Chance::new(plan.faults);
    let mut timeline = Timeline { plan, next_room: 0, pending: BinaryHeap::new() };
    let mut ready: Vec<Line> = Vec::new();
    // Lines that come again, by the number of the line before which they do.
    let mut again: BinaryHeap<Reverse<(u64, Vec<u8>)>> = BinaryHeap::new();
    let mut number = 0_u64;
    Ok(std::iter::from_fn(move || {
        if let Some(line) = ready.pop() {
            return Some(line);
        }
        if again.peek().is_some_and(|Reverse((due, _))| *due <= number) {
            return again.pop().map(|Reverse((_, json))| Line { kind: Kind::Again, json });
        }
        let Some(message) = timeline.next() else {
            return again.pop().map(|Reverse((_, json))| Line { kind: Kind::Again, json });
        };
        number += 1;
        let json = message.to_json();
        if faults.hits(chance) {
            again.push(Reverse((number + u64::from(faults.below(AGAIN_WITHIN)), json.clone())));
        }
        if faults.hits(chance) {
            ready.push(Line { kind: Kind::Unusable, json: spoil::spoiled(&message, &mut faults) });
        }
        Some(Line { kind: Kind::New, json })
    }))
}

/// Options that make sense.
struct Plan {
    seed: u64,
    faults: f64,
    population: Population,
    start: DateTime,
    seconds: u64,
    /// Messages of each room.
    sizes: Vec<u32>,
}

impl Plan {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let Options { seed, count, rooms, subscribers, days, start, faults } = *options;
        ensure!(
            (1..=MAX_ROOMS).contains(&rooms) && rooms <= count,
            "--rooms {rooms}: give 1 to {MAX_ROOMS}, and no more than messages (--count {count})"
        );
        ensure!(
            (1..=NUMBERS).contains(&subscribers),
            "--subscribers {subscribers}: give 1 to {NUMBERS}, as there are no more mobile numbers"
        );
        ensure!((1..=MAX_DAYS).contains(&days), "--days {days}: give 1 to {MAX_DAYS}");
        ensure!((0.0..=1.0).contains(&faults), "--faults {faults}: give a probability from 0 to 1");
        ensure!(start.subsec_nanosecond() == 0, "--start {start}: give whole seconds");
        ensure!(
            (1970..=2100).contains(&start.year()) && i64::from(days) < i64::from(2100 - start.year()) * 365,
            "--start {start} and --days {days}: the messages must lie between 1970 and 2100"
        );
        // Every room has a message; the others fall where they fall.
        let mut sizes = vec![1; rooms as usize];
        let mut draws = Draws::new(seed, Purpose::ChatSizes, 0);
        for _ in rooms..count {
            sizes[draws.below(rooms) as usize] += 1;
        }
        let population = Population::new(seed, subscribers);
        Ok(Self { seed, faults, population, start, seconds: u64::from(days) * 86_400, sizes })
    }

    /// When a room is opened, in seconds since the start: later than the rooms before it, or at the same time.
    fn opened_at(&self, room: u32) -> u64 {
        u64::from(room) * self.seconds / self.sizes.len() as u64
    }
}

/// Merges the rooms' dialogues.
struct Timeline {
    plan: Plan,
    next_room: u32,
    /// What is still to be said in the rooms that are open.
    pending: BinaryHeap<Reverse<Turn>>,
}

impl Iterator for Timeline {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        // A room that opens before the next turn may have an earlier one.
        while let Some(&size) = self.plan.sizes.get(self.next_room as usize)
            && self.pending.peek().is_none_or(|Reverse(turn)| self.plan.opened_at(self.next_room) <= turn.second)
        {
            let turns = Room::new(&self.plan, self.next_room).turns(size);
            self.pending.extend(turns.into_iter().map(Reverse));
            self.next_room += 1;
        }
        let Reverse(turn) = self.pending.pop()?;
        Some(Room::new(&self.plan, turn.room).message(&self.plan, turn))
    }
}
