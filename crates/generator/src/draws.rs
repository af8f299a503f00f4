use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A reproducible source of choices. Each (seed, purpose, index) has a stream of its own, so a file needs nothing from
/// the files before it: resuming is just beginning at another index, and files are made in parallel.
///
/// The arithmetic is ours, on integers only: the same seed gives the same bytes on every machine, and an update of a
/// library cannot change that unnoticed.
pub(crate) struct Draws(ChaCha8Rng);

/// What a stream of choices is for; part of the stream's number.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Population = 0,
    DataRows = 1,
    VoiceRows = 2,
    DataFaults = 3,
    VoiceFaults = 4,
    CrmFills = 5,
    CrmChanges = 6,
    ChatSizes = 7,
    ChatRooms = 8,
    ChatCustomers = 9,
    ChatFaults = 10,
    Callers = 11,
}

/// A probability, as the number of 32-bit draws out of 2^32 that are hits.
#[derive(Clone, Copy)]
pub(crate) struct Chance(u64);

impl Chance {
    /// `probability` is clamped to 0..=1.
    pub(crate) fn new(probability: f64) -> Self {
        Self((probability.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64)
    }

    /// This chance, divided.
    pub(crate) fn one_in(self, n: u64) -> Self {
        Self(self.0 / n)
    }
}

impl Draws {
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
        key[16..24].copy_from_slice(&index.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    pub(crate) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 0..n, uniform to within n / 2^32.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        scale(self.bits(), n)
    }

    /// `low..=high`.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn hits(&mut self, chance: Chance) -> bool {
        u64::from(self.bits()) < chance.0
    }

    /// An element, each as likely as the others.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// An element, each as likely as its weight.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let mut left = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for &(weight, choice) in choices {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return choice,
            }
        }
        unreachable!("the draw is below the sum of the weights")
    }

    /// 0..n, small numbers more likely: the density falls with the square root, so for subscribers the first
    /// hundredth makes a tenth of the events and the first quarter makes half of them.
    pub(crate) fn skewed(&mut self, n: u32) -> u32 {
        skew(self.bits(), n)
    }
}

/// A 32-bit draw as [`Draws::skewed`] makes it of its own.
pub(crate) fn skew(u: u32, n: u32) -> u32 {
    scale(scale(u, u), n)
}

/// Spreads a number over 64 bits (the finalizer of SplitMix64): draws without a stream, where each needs only its
/// place.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// A 32-bit draw, scaled to 0..n.
fn scale(u: u32, n: u32) -> u32 {
    ((u64::from(u) * u64::from(n)) >> 32) as u32
}
