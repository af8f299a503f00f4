//! Who calls when. Nobody is in two calls at once, and nobody calls for longer than a day lasts.

use std::ops::Range;

use crate::draws::{Draws, Purpose, mix, skew};

/// The longest call.
pub(crate) const LONGEST_CALL_SECONDS: u32 = 1_800;

/// Whose turn it is to call in each second.
///
/// Time is cut into rounds, and a round's seconds are shared out: each subscriber may begin a call in one of them. So
/// everyone knows the earliest second of their next call without looking at what the next round makes of it, and a call
/// that has ended by then overlaps none. That needs nothing of the rows before or after: a file is still computed
/// alone.
#[derive(Clone, Copy)]
pub(crate) struct Callers {
    key: u64,
    subscribers: u32,
    lines_per_second: u32,
    round_seconds: u64,
}

/// A subscriber's turn to call.
pub(crate) struct Turn {
    pub(crate) subscriber: u32,
    /// The call has to end before the subscriber's next turn, and on the day on which it began: a day's calls are then
    /// no longer than the day.
    pub(crate) max_seconds: u32,
}

/// For each call of a second, so many subscribers have their turn in it, where there are enough: some of them are much
/// more active than others.
const CHOICES: u32 = 4;

const DAY_SECONDS: u64 = 86_400;

impl Callers {
    /// At least as many subscribers as calls a second.
    pub(crate) fn new(seed: u64, subscribers: u32, lines_per_second: u32) -> Self {
        let mut draws = Draws::new(seed, Purpose::Callers, 0);
        let key = u64::from(draws.bits()) << 32 | u64::from(draws.bits());
        let round = u64::from(subscribers) / (u64::from(CHOICES) * u64::from(lines_per_second));
        let round_seconds = round.clamp(1, LONGEST_CALL_SECONDS.into());
        Self { key, subscribers, lines_per_second, round_seconds }
    }

    /// Whose turn it is in these rows of a run, whose first row is in the second `start` (since 1970, on the wall
    /// clock).
    pub(crate) fn turns(self, start: u64, rows: Range<u64>) -> impl Iterator<Item = Turn> {
        let lines = u64::from(self.lines_per_second);
        // From the beginning of a second, since nobody may have two turns in one.
        let before = rows.start % lines;
        let mut taken = Vec::new();
        let turns = (rows.start - before..rows.end).map(move |row| {
            if row % lines == 0 {
                taken.clear();
            }
            self.turn(start + row / lines, &mut taken)
        });
        turns.skip(before as usize)
    }

    /// The next turn of a second, after those that are taken.
    fn turn(&self, second: u64, taken: &mut Vec<u32>) -> Turn {
        let (round, at) = (second / self.round_seconds, second % self.round_seconds);
        let first = (at + self.shift(round)) % self.round_seconds;
        let choices = ((u64::from(self.subscribers) - first).div_ceil(self.round_seconds)) as u32;
        let draw = mix(self.key ^ mix(second * u64::from(self.lines_per_second) + taken.len() as u64));
        let mut choice = skew((draw >> 32) as u32, choices);
        while taken.contains(&choice) {
            choice = (choice + 1) % choices;
        }
        taken.push(choice);

        let next = (first + self.round_seconds - self.shift(round + 1)) % self.round_seconds;
        let until_next = self.round_seconds - at + next;
        let until_midnight = DAY_SECONDS - second % DAY_SECONDS;
        Turn {
            subscriber: (u64::from(choice) * self.round_seconds + first) as u32,
            max_seconds: until_next.min(until_midnight) as u32,
        }
    }

    /// Which turn a round begins with: another one in each round, so that nobody always calls at the same minute.
    fn shift(&self, round: u64) -> u64 {
        mix(!self.key ^ mix(round)) % self.round_seconds
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Beginnings and ends of each subscriber's calls when all are as long as may be.
    fn calls(callers: Callers, start: u64, rows: Range<u64>) -> std::collections::BTreeMap<u32, Vec<(u64, u64)>> {
        let mut calls = std::collections::BTreeMap::<_, Vec<_>>::new();
        for (row, turn) in rows.clone().zip(callers.turns(start, rows)) {
            let begin = start + row / u64::from(callers.lines_per_second);
            calls.entry(turn.subscriber).or_default().push((begin, begin + u64::from(turn.max_seconds)));
        }
        calls
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nobody_calls_twice_at_once_or_over_midnight(
            seed: u64,
            lines_per_second in 1_u32..20,
            more in 0_u32..20_000,
            start in 0_u64..2_000_000_000,
        ) {
            let subscribers = lines_per_second + more;
            let callers = Callers::new(seed, subscribers, lines_per_second);
            for (subscriber, calls) in calls(callers, start, 0..20_000) {
                prop_assert!(subscriber < subscribers);
                prop_assert!(calls.windows(2).all(|two| two[0].1 <= two[1].0), "{subscriber}: {calls:?}");
                prop_assert!(calls.iter().all(|(begin, end)| begin < end && begin / 86_400 == (end - 1) / 86_400));
            }
        }

        /// Files are made alone, in any order.
        #[test]
        fn a_part_is_the_same_as_in_the_whole(
            seed: u64,
            lines_per_second in 1_u32..20,
            from in 0_u64..500,
            rows in 0_u64..500,
        ) {
            let callers = Callers::new(seed, 50, lines_per_second);
            let shown = |turn: Turn| (turn.subscriber, turn.max_seconds);
            let whole: Vec<_> = callers.turns(9, 0..1_000).map(shown).collect();
            let part: Vec<_> = callers.turns(9, from..from + rows).map(shown).collect();
            prop_assert_eq!(&part[..], &whole[from as usize..(from + rows) as usize]);
        }
    }

    #[test]
    fn everyone_has_turns() {
        let callers = Callers::new(1, 1_003, 2);
        assert_eq!(calls(callers, 0, 0..100_000).len(), 1_003);
    }
}
