//! A few numbers that stand for many rows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use twox_hash::XxHash3_64;

/// How many digests a sketch holds: enough to distinguish a half from less with a few percent of error.
pub const SKETCH_DIGESTS: usize = 64;

/// Any fixed number: digests of different runs are compared.
const SEED: u64 = 0x7472_756e_6b6c_696e;

/// The smallest digests of a set of rows: of two sets that share rows, so do the sketches, in proportion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Ascending; each once.
    digests: Vec<u64>,
}

/// The digest of a row, without its line end.
#[must_use]
pub fn row_digest(row: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(SEED, row)
}

impl Sketch {
    /// Adds a row.
    pub fn add(&mut self, row: &[u8]) {
        self.add_digest(row_digest(row));
    }

    /// Adds the rows of another sketch's set.
    pub fn merge(&mut self, other: &Self) {
        other.digests.iter().for_each(|digest| self.add_digest(*digest));
    }

    fn add_digest(&mut self, digest: u64) {
        if self.is_full() && self.digests.last().is_some_and(|largest| digest >= *largest) {
            return;
        }
        if let Err(place) = self.digests.binary_search(&digest) {
            self.digests.insert(place, digest);
            self.digests.truncate(SKETCH_DIGESTS);
        }
    }

    fn is_full(&self) -> bool {
        self.digests.len() == SKETCH_DIGESTS
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// The digests, ascending.
    #[must_use]
    pub fn digests(&self) -> &[u64] {
        &self.digests
    }

    /// The largest digest up to which a sketch of this size knows whether a row is in its set.
    fn known_up_to(digests: &[u64], most: usize) -> u64 {
        if digests.len() < most { u64::MAX } else { digests.last().copied().unwrap_or(u64::MAX) }
    }

    /// The share of this set's distinct rows that is in the other set too, as the sketches estimate it.
    #[must_use]
    pub fn share_in(&self, other: &Self) -> Share {
        let known =
            Self::known_up_to(&self.digests, SKETCH_DIGESTS).min(Self::known_up_to(&other.digests, SKETCH_DIGESTS));
        let looked_at = self.digests.iter().take_while(|digest| **digest <= known);
        let (mut rows, mut shared) = (0, 0);
        for digest in looked_at {
            rows += 1;
            shared += u32::from(other.digests.binary_search(digest).is_ok());
        }
        Share { rows, shared }
    }
}

/// A part of a set, by a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The sample.
    pub rows: u32,
    /// Those of the sample that are shared.
    pub shared: u32,
}

impl Share {
    /// How many rows that is, of this number.
    #[must_use]
    pub fn of(self, rows: u64) -> u64 {
        (u128::from(rows) * u128::from(self.shared) / u128::from(self.rows.max(1))) as u64
    }
}

impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.digests.iter().flat_map(|digest| digest.to_be_bytes()).collect();
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(de::Error::custom)?;
        let (digests, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(de::Error::custom("a sketch is a row of numbers of 8 bytes"));
        }
        let mut sketch = Self::default();
        digests.iter().for_each(|digest| sketch.add_digest(u64::from_be_bytes(*digest)));
        Ok(sketch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(rows: impl IntoIterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        rows.into_iter().for_each(|row| sketch.add(format!("row {row}").as_bytes()));
        sketch
    }

    #[test]
    fn few_rows_are_compared_exactly() {
        let (one, other) = (sketch(0..3), sketch([0, 7, 2]));
        assert_eq!(one.share_in(&other), Share { rows: 3, shared: 2 });
        assert_eq!(one.share_in(&sketch(0..40)), Share { rows: 3, shared: 3 });
        assert_eq!(one.share_in(&Sketch::default()), Share { rows: 3, shared: 0 });
        assert_eq!(Sketch::default().share_in(&one), Share::default());
        assert_eq!(Share { rows: 3, shared: 2 }.of(3), 2);
    }

    proptest! {
        /// Of large sets, the estimate is near: with 64 of the union's rows, 20 % are three standard deviations.
        #[test]
        fn a_half_is_told_from_a_tenth_and_from_all(from in 0_u64..1_000_000, rows in 2_000_u64..10_000) {
            let set = sketch(from..from + rows);
            for shared_tenths in [0, 1, 9, 10] {
                let kept = rows * shared_tenths / 10;
                let other = sketch((from + rows - kept)..(from + 2 * rows - kept));
                let estimate = set.share_in(&other).of(rows);
                prop_assert!(estimate.abs_diff(kept) <= rows / 5, "{estimate} instead of {kept} of {rows}");
            }
        }

        #[test]
        fn what_is_merged_and_written_is_what_was_added(a in 0_u64..200, b in 0_u64..200) {
            let mut merged = sketch(0..a);
            merged.merge(&sketch(a..a + b));
            prop_assert_eq!(&merged, &sketch(0..a + b));
            let written = serde_json::to_string(&merged).unwrap();
            prop_assert_eq!(serde_json::from_str::<Sketch>(&written).unwrap(), merged);
        }
    }
}
