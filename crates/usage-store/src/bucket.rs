//! Where a row lies: its bucket and its key.

use telecom::{Day, Msisdn, UsageKind};

/// Over how many buckets the subscribers are spread: fixed when a store is made.
///
/// A bucket is to a store what a partition is to a topic, and both are found by Kafka's own hash of the subscriber
/// number. So where the number of partitions divides that of the buckets, a lane touches only its share of the buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets(i16);

/// The number of buckets is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a store has 1 to {} buckets", i16::MAX)]
pub struct InvalidBuckets;

/// Names one row of a lane: a subscriber's usage of one kind on one day. Ordered so that a bucket's rows lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The subscriber's bucket.
    pub bucket: i16,
    /// The subscriber.
    pub msisdn: Msisdn,
    /// The day of the events.
    pub day: Day,
    /// What was used.
    pub kind: UsageKind,
}

impl Buckets {
    /// # Errors
    /// When the number is not in 1–32,767.
    pub fn new(number: i16) -> Result<Self, InvalidBuckets> {
        if number > 0 { Ok(Self(number)) } else { Err(InvalidBuckets) }
    }

    /// How many there are.
    #[must_use]
    pub fn number(self) -> i16 {
        self.0
    }

    /// The bucket of a subscriber.
    #[must_use]
    pub fn of(self, msisdn: Msisdn) -> i16 {
        let hash = murmur2(msisdn.digits().as_bytes()) & 0x7fff_ffff;
        // Below `self.0`, so it fits.
        (hash % u32::from(self.0.unsigned_abs())) as i16
    }

    /// The key of a row.
    #[must_use]
    pub fn key(self, msisdn: Msisdn, day: Day, kind: UsageKind) -> RowKey {
        RowKey { bucket: self.of(msisdn), msisdn, day, kind }
    }
}

/// 96: divisible by every number of partitions that is usual for a topic.
impl Default for Buckets {
    fn default() -> Self {
        Self(96)
    }
}

/// Kafka's hash of a key, `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Kafka's lengths are Java's: 32 bits.
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_kafka_does() {
        // The cases of Kafka's own UtilsTest.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_lane_touches_only_its_share_of_the_buckets() {
        let partitions = Buckets::new(3).unwrap();
        for number in 27_821_000_000..27_821_001_000 {
            let msisdn = Msisdn::from_u64(number).unwrap();
            assert_eq!(Buckets::default().of(msisdn) % 3, partitions.of(msisdn));
        }
    }

    #[test]
    fn there_is_at_least_one_bucket() {
        assert_eq!(Buckets::new(0), Err(InvalidBuckets));
        assert_eq!(Buckets::new(-1), Err(InvalidBuckets));
        assert_eq!(Buckets::new(1).unwrap().of(Msisdn::from_u64(27_821_000_000).unwrap()), 0);
    }
}
