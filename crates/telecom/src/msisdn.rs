//! Subscriber numbers.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::serde_text::serde_as_text;

/// A subscriber number in international form: 5–15 digits, the first not 0 (E.164 allows at most 15).
///
/// `Display` and serde give the canonical digits, which are also the Kafka key. `Debug` masks them, as logs must.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn(u64);

/// The text is not a subscriber number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00")]
pub struct InvalidMsisdn;

const MIN_DIGITS: usize = 5;
const MAX_DIGITS: usize = 15;
/// How many digits of a number may appear in a log.
const SHOWN_DIGITS: usize = 3;

impl Msisdn {
    /// Reads a number as people and files write it: blanks around it are trimmed, one leading `+` or `00` is stripped.
    ///
    /// A `+` that a query string decoded to a space is therefore tolerated.
    pub fn parse(text: &str) -> Result<Self, InvalidMsisdn> {
        let text = text.trim_matches([' ', '\t']).as_bytes();
        let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"00")).unwrap_or(text);
        if !(MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) || digits[0] == b'0' {
            return Err(InvalidMsisdn);
        }
        let mut number = 0;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return Err(InvalidMsisdn);
            }
            number = number * 10 + u64::from(digit - b'0');
        }
        Ok(Self(number))
    }

    /// The number whose digits are those of `number`, as stores keep it.
    pub const fn from_u64(number: u64) -> Result<Self, InvalidMsisdn> {
        // 10^4 is the least number of 5 digits, 10^15 the least of 16.
        if number >= 10_000 && number < 1_000_000_000_000_000 { Ok(Self(number)) } else { Err(InvalidMsisdn) }
    }

    /// The digits as one integer: below 10^15, so that it also fits a signed 64-bit column.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The canonical digits, without an allocation: the Kafka key.
    pub fn digits(self) -> Digits {
        let mut digits = Digits { bytes: [b'0'; MAX_DIGITS], start: MAX_DIGITS };
        let mut rest = self.0;
        while rest > 0 {
            digits.start -= 1;
            digits.bytes[digits.start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        digits
    }

    /// For logs: every digit but the last three is a star.
    pub fn masked(self) -> impl fmt::Display {
        Masked(self)
    }
}

/// The canonical digits of an [`Msisdn`], on the stack. Reads as `str`.
#[derive(Clone, Copy)]
pub struct Digits {
    bytes: [u8; MAX_DIGITS],
    start: usize,
}

impl Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        // Only ASCII digits are ever written there.
        str::from_utf8(&self.bytes[self.start..]).unwrap_or_default()
    }
}

struct Masked(Msisdn);

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.digits();
        let hidden = digits.len() - SHOWN_DIGITS;
        write!(f, "{:*<hidden$}{}", "", &digits[hidden..])
    }
}

impl fmt::Display for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.digits())
    }
}

impl fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Msisdn({})", self.masked())
    }
}

impl FromStr for Msisdn {
    type Err = InvalidMsisdn;

    fn from_str(text: &str) -> Result<Self, InvalidMsisdn> {
        Self::parse(text)
    }
}

serde_as_text!(Msisdn);
