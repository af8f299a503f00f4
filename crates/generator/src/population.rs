use crate::draws::{Draws, Purpose, mix};

/// The operator's subscribers, computed instead of stored: subscriber `n` always has the same number and home.
#[derive(Clone, Copy)]
pub(crate) struct Population {
    size: u32,
    step: u64,
    offset: u64,
}

/// Two digits after South Africa's 27 that belong to mobile networks.
const MOBILE_PREFIXES: [u64; 20] = [60, 61, 62, 63, 64, 65, 66, 67, 68, 71, 72, 73, 74, 76, 78, 79, 81, 82, 83, 84];
const NUMBERS_PER_PREFIX: u64 = 10_000_000;

/// All the mobile numbers there are; more subscribers would have to share them.
pub(crate) const NUMBERS: u32 = 200_000_000;

/// Towers are numbered from 1.
pub(crate) const TOWERS: u32 = 2_000;

impl Population {
    /// `size` is 1..=`NUMBERS`.
    pub(crate) fn new(seed: u64, size: u32) -> Self {
        let mut draws = Draws::new(seed, Purpose::Population, 0);
        // `NUMBERS` is 2^9 · 5^8: a step that shares no factor with it visits every number once.
        let mut step = u64::from(draws.below(NUMBERS) | 1);
        if step.is_multiple_of(5) {
            step += 2;
        }
        Self { size, step, offset: u64::from(draws.below(NUMBERS)) }
    }

    /// A subscriber, some of them much more active than others.
    pub(crate) fn active(&self, draws: &mut Draws) -> u32 {
        draws.skewed(self.size)
    }

    /// The subscriber's number, without the `+`; no two subscribers have the same.
    pub(crate) fn msisdn(&self, subscriber: u32) -> u64 {
        number(self.position(subscriber))
    }

    /// Mostly the tower at home, often the one at work, sometimes any other.
    pub(crate) fn tower(&self, subscriber: u32, draws: &mut Draws) -> u32 {
        let places = mix(u64::from(subscriber) ^ self.offset << 32);
        let place = match draws.below(10) {
            0..=5 => places as u32,
            6..=8 => (places >> 32) as u32,
            _ => draws.bits(),
        };
        1 + place % TOWERS
    }

    /// The other end of a subscriber's call: most often another subscriber of ours, never the caller.
    pub(crate) fn callee(&self, caller: u32, draws: &mut Draws) -> u64 {
        let position = match draws.below(10) {
            0..=6 => self.position(draws.below(self.size)),
            _ => u64::from(draws.below(NUMBERS)),
        };
        number(if position == self.position(caller) { (position + 1) % u64::from(NUMBERS) } else { position })
    }

    /// Where the subscriber's number stands among all numbers.
    fn position(&self, subscriber: u32) -> u64 {
        (u64::from(subscriber) * self.step + self.offset) % u64::from(NUMBERS)
    }
}

/// The mobile number at a position in the list of all of them.
fn number(position: u64) -> u64 {
    let prefix = MOBILE_PREFIXES[(position / NUMBERS_PER_PREFIX) as usize];
    (2_700 + prefix) * NUMBERS_PER_PREFIX + position % NUMBERS_PER_PREFIX
}
