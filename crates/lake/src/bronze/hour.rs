use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::Date;

const FIRST_DAY: Date = Date::constant(1970, 1, 1);
const HOUR_MS: i64 = 3_600_000;
/// 9999-12-31 23h: with years of four digits the names' order is the order of time.
const LAST: i64 = 70_389_527;

/// An hour of 1970–9999, in UTC. Text form: `date=2026-07-28/hour=07`, as in the names of objects; their order is the
/// order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    /// The hour of a time in milliseconds since 1970-01-01 UTC; what lies before or after all of them is in the first
    /// or last one. Kafka's timestamp is a producer's to choose, and -1 where it has none.
    #[must_use]
    pub fn of(timestamp_ms: i64) -> Self {
        Self(timestamp_ms.div_euclid(HOUR_MS).clamp(0, LAST))
    }

    /// When it begins, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn start_ms(self) -> i64 {
        self.0 * HOUR_MS
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = FIRST_DAY.saturating_add((self.0 / 24).days());
        write!(f, "date={date}/hour={:02}", self.0 % 24)
    }
}

/// A text that is not an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an hour is written date=YYYY-MM-DD/hour=HH and lies between 1970 and 9999")]
pub struct InvalidHour;

impl FromStr for Hour {
    type Err = InvalidHour;

    fn from_str(text: &str) -> Result<Self, InvalidHour> {
        let (date, hour) = text.strip_prefix("date=").and_then(|text| text.split_once("/hour=")).ok_or(InvalidHour)?;
        let date: Date = date.parse().map_err(|_| InvalidHour)?;
        let hour: i64 = hour.parse().map_err(|_| InvalidHour)?;
        let hours =
            date.duration_since(FIRST_DAY).as_hours().checked_add(hour).filter(|hours| (0..=LAST).contains(hours));
        let parsed = Self(hours.ok_or(InvalidHour)?);
        // Accept only the canonical spelling.
        if parsed.to_string() == text { Ok(parsed) } else { Err(InvalidHour) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_what_it_is_written_as() {
        for (timestamp_ms, text) in [
            (i64::MIN, "date=1970-01-01/hour=00"),
            (-1, "date=1970-01-01/hour=00"),
            (0, "date=1970-01-01/hour=00"),
            (HOUR_MS - 1, "date=1970-01-01/hour=00"),
            (1_709_247_599_999, "date=2024-02-29/hour=22"),
            (1_709_247_600_000, "date=2024-02-29/hour=23"),
            (i64::MAX, "date=9999-12-31/hour=23"),
        ] {
            let hour = Hour::of(timestamp_ms);
            assert_eq!(hour.to_string(), text);
            assert_eq!(text.parse(), Ok(hour));
        }
        for text in ["", "date=2024-02-30/hour=01", "date=2024-02-28/hour=24", "date=2024-02-28/hour=1", "hour=01"] {
            assert_eq!(text.parse::<Hour>(), Err(InvalidHour), "{text}");
        }
        let hour: Hour = "date=2024-03-01/hour=05".parse().unwrap();
        assert_eq!(Hour::of(hour.start_ms()), hour);
        assert!(Hour::of(hour.start_ms() - 1) < hour);
    }
}
