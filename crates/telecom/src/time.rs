//! When an event happened, in the operator's zone.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use crate::day::{Day, date_numbers, digits, epoch_days};
use crate::serde_text::serde_as_text;

/// The operator's zone unless configured otherwise.
pub const DEFAULT_ZONE: &str = "Africa/Johannesburg";

/// The operator's time zone, out of the zone database that is compiled in: the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// The database has no zone of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {0:?}: use a name of the IANA database, such as Africa/Johannesburg")]
pub struct UnknownZone(String);

/// When an event happened: civil time in the operator's zone. Text form: `2024-01-01 10:15:30[.ffffff]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime {
    /// The day under which the event is counted.
    pub day: Day,
    /// 0–23
    pub hour: u8,
    /// 0–59
    pub minute: u8,
    /// 0–59; a leap second counts as the 59th.
    pub second: u8,
    /// 0–999,999; finer digits are cut off.
    pub microsecond: u32,
}

/// A moment, as the operator's clocks show it. When clocks are set back in autumn they show an hour twice. In the
/// second one, a time alone is ambiguous, and its offset is kept with it. Text form: that of the time, and the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment {
    /// What the clocks showed.
    pub time: EventTime,
    /// Seconds east of UTC; only if the time alone would mean another moment.
    offset_seconds: Option<i32>,
}

/// The text is not the time of an event that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// It has not the form of a time.
    #[error("{0}; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset")]
    Malformed(TimeFault),
    /// Its day, in the operator's zone, cannot be counted.
    #[error("the day lies outside 1970-01-01 to 2100-12-31")]
    OutOfRange,
}

/// What is wrong with the form of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TimeFault {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// Perhaps seconds since 1970, perhaps a date and a time without anything between their parts.
    #[error("it is a number without separators")]
    Number,
    /// It begins otherwise.
    #[error("it does not begin with a date as YYYY-MM-DD")]
    Date,
    /// Such as 30 February.
    #[error("the calendar has no such day")]
    Day,
    /// A date alone.
    #[error("it has no time of day")]
    NoTime,
    /// Hour and minute alone.
    #[error("it has no seconds")]
    NoSeconds,
    /// Midnight has one name.
    #[error("its hour is 24: midnight is 00:00:00 of the day that begins")]
    Hour24,
    /// It has another form, or numbers that no clock shows.
    #[error("its time of day is not HH:MM:SS up to 23:59:59")]
    TimeOfDay,
    /// As some countries write fractions.
    #[error("its fraction stands behind a comma, not a point")]
    Comma,
    /// Finer than nanoseconds, or a point alone.
    #[error("its fraction has not 1 to 9 digits")]
    Fraction,
    /// Such as the name of a zone.
    #[error("what follows the time is neither UTC nor an offset such as +02:00")]
    Offset,
}

const SECONDS_PER_DAY: i64 = 86_400;
const MICROSECONDS_PER_SECOND: i64 = 1_000_000;

impl Zone {
    /// The zone with this IANA name.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        TimeZoneDatabase::bundled().get(name).map(Self).map_err(|_| UnknownZone(name.to_owned()))
    }
}

impl Zone {
    /// Seconds east of UTC of a time on these clocks. Where they show it twice or not at all: those of before they are
    /// set.
    fn offset_seconds(&self, civil_us: i64) -> i32 {
        let shown = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
            .saturating_add(jiff::SignedDuration::from_micros(civil_us));
        match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.seconds(),
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before.seconds(),
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::named(DEFAULT_ZONE).expect("the compiled-in database has the default zone")
    }
}

impl EventTime {
    /// Reads a time as the files write it: `2024-01-01 10:15:30`, with `T` or a space, perhaps with a fraction.
    ///
    /// Without an offset it already is civil time in the operator's zone, and is taken as it stands, also where the
    /// zone's clocks passed over it; with one (`Z`, `UTC`, `+02`, `+0200`, `+02:00`, perhaps behind a space) it is
    /// converted.
    pub fn parse(text: &str, zone: &Zone) -> Result<Self, InvalidTime> {
        let written = Written::parse(text).ok_or_else(|| InvalidTime::Malformed(TimeFault::of(text)))?;
        match written.offset_seconds {
            None => Self::from_civil(written.seconds, written.microsecond),
            Some(offset) => {
                // Years have four digits, so a time that `Timestamp` cannot hold is far out of range.
                let instant = Timestamp::from_second(written.seconds - i64::from(offset));
                Self::at(instant.map_err(|_| InvalidTime::OutOfRange)?, written.microsecond, zone)
            }
        }
    }

    /// What the operator's clocks show at a moment.
    pub fn of(moment: SystemTime, zone: &Zone) -> Result<Self, InvalidTime> {
        let instant = Timestamp::try_from(moment).map_err(|_| InvalidTime::OutOfRange)?;
        // `as_second` rounds towards 1970; before it no day can be counted anyway.
        Self::at(instant, instant.subsec_microsecond().unsigned_abs(), zone)
    }

    /// Microseconds from 1970-01-01 00:00:00 to this time on the same clocks: the number by which stores keep civil
    /// time.
    pub const fn civil_microseconds(self) -> i64 {
        let seconds = self.day.epoch_days() as i64 * SECONDS_PER_DAY
            + self.hour as i64 * 3_600
            + self.minute as i64 * 60
            + self.second as i64;
        seconds * MICROSECONDS_PER_SECOND + self.microsecond as i64
    }

    fn at(instant: Timestamp, microsecond: u32, zone: &Zone) -> Result<Self, InvalidTime> {
        Self::from_civil(instant.as_second() + i64::from(zone.0.to_offset(instant).seconds()), microsecond)
    }

    fn from_civil(seconds: i64, microsecond: u32) -> Result<Self, InvalidTime> {
        let day = i32::try_from(seconds.div_euclid(SECONDS_PER_DAY)).ok().and_then(Day::from_epoch_days);
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        Ok(Self {
            day: day.ok_or(InvalidTime::OutOfRange)?,
            hour: (second_of_day / 3_600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
            microsecond,
        })
    }
}

impl Moment {
    /// Reads a time as [`EventTime::parse`] does, and keeps which moment it means. Without an offset, a time that the
    /// clocks show twice is the first one, and a time that they skip is read by the clocks before they are set.
    pub fn parse(text: &str, zone: &Zone) -> Result<Self, InvalidTime> {
        let time = EventTime::parse(text, zone)?;
        let alone = Self::from(time);
        let Some(Written { seconds, microsecond, offset_seconds: Some(offset) }) = Written::parse(text) else {
            return Ok(alone);
        };
        let utc_us = (seconds - i64::from(offset)) * MICROSECONDS_PER_SECOND + i64::from(microsecond);
        let told = (time.civil_microseconds() - utc_us) / MICROSECONDS_PER_SECOND;
        let offset_seconds = i32::try_from(told).ok().filter(|_| alone.utc_microseconds(zone) != utc_us);
        Ok(Self { time, offset_seconds })
    }

    /// Microseconds since 1970-01-01 00:00 UTC.
    pub fn utc_microseconds(self, zone: &Zone) -> i64 {
        let civil_us = self.time.civil_microseconds();
        let offset_seconds = self.offset_seconds.unwrap_or_else(|| zone.offset_seconds(civil_us));
        civil_us - i64::from(offset_seconds) * MICROSECONDS_PER_SECOND
    }
}

/// The moment that the time alone means.
impl From<EventTime> for Moment {
    fn from(time: EventTime) -> Self {
        Self { time, offset_seconds: None }
    }
}

/// Reads a moment as our own messages write it, `2024-12-07T15:23:45.123456`: UTC where it has no offset. Microseconds
/// since 1970.
pub(crate) fn utc_microseconds(text: &str) -> Option<i64> {
    let Written { seconds, microsecond, offset_seconds } = Written::parse(text)?;
    Some((seconds - i64::from(offset_seconds.unwrap_or(0))) * MICROSECONDS_PER_SECOND + i64::from(microsecond))
}

/// A time as it is written, checked against the calendar only.
struct Written {
    /// From 1970-01-01 00:00:00 on the clocks that it was read from.
    seconds: i64,
    microsecond: u32,
    /// East of UTC, if it is given.
    offset_seconds: Option<i32>,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let (&date, rest) = text.as_bytes().split_first_chunk()?;
        let (&time, rest) = rest.split_first_chunk()?;
        let days = days(&date)?;
        let (hour, minute, second) = time_of_day(&time)?;
        let (microsecond, offset) = fraction(rest)?;
        let offset_seconds = if offset.is_empty() { None } else { Some(offset_seconds(offset)?) };
        let seconds = i64::from(days) * SECONDS_PER_DAY + i64::from(hour * 3_600 + minute * 60 + second);
        Some(Self { seconds, microsecond, offset_seconds })
    }
}

impl TimeFault {
    /// What is wrong with a text that [`Written::parse`] does not take.
    fn of(text: &str) -> Self {
        let text = text.as_bytes();
        if text.is_empty() {
            return Self::Empty;
        }
        if text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+')) && text.len() != 10 {
            return Self::Number;
        }
        let Some((date, rest)) = text.split_first_chunk() else { return Self::Date };
        if date_numbers(date).is_none() {
            return if text.iter().all(u8::is_ascii_digit) { Self::Number } else { Self::Date };
        }
        if days(date).is_none() {
            return Self::Day;
        }
        match rest {
            [] => return Self::NoTime,
            [b' ' | b'T' | b't', h1, h2, b':', m1, m2] if digits(&[*h1, *h2, *m1, *m2]).is_some() => {
                return Self::NoSeconds;
            }
            _ => {}
        }
        let Some((time, rest)) = rest.split_first_chunk::<9>() else { return Self::TimeOfDay };
        match time {
            [b' ' | b'T' | b't', b'2', b'4', b':', ..] => Self::Hour24,
            _ if time_of_day(time).is_none() => Self::TimeOfDay,
            _ if rest.starts_with(b",") => Self::Comma,
            _ if fraction(rest).is_none() => Self::Fraction,
            _ => Self::Offset,
        }
    }
}

fn days(date: &[u8; 10]) -> Option<i32> {
    let (year, month, day) = date_numbers(date)?;
    epoch_days(year, month, day)
}

/// ` 10:15:30` or `T10:15:30`
fn time_of_day(time: &[u8; 9]) -> Option<(u32, u32, u32)> {
    let &[b' ' | b'T' | b't', h1, h2, b':', m1, m2, b':', s1, s2] = time else { return None };
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[m1, m2])?, digits(&[s1, s2])?);
    // 60 is a leap second: it belongs to the minute that it ends.
    (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second.min(59)))
}

/// The microseconds of `.ffffff`, if there are any, and what follows them.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.', text @ ..] = text else { return Some((0, text)) };
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Nanoseconds are the finest that clocks give.
    if !(1..=9).contains(&len) {
        return None;
    }
    let (fraction, rest) = text.split_at(len);
    Some((digits(fraction)? * 10_u32.pow(9 - len as u32) / 1_000, rest))
}

/// Seconds east of UTC of `Z`, `UTC`, `+02`, `+0200`, `+02:00`, perhaps behind a space.
fn offset_seconds(text: &[u8]) -> Option<i32> {
    let (sign, hours, minutes) = match *text.strip_prefix(b" ").unwrap_or(text) {
        [b'Z' | b'z'] | [b'U' | b'u', b'T' | b't', b'C' | b'c'] => return Some(0),
        [sign, h1, h2] => (sign, [h1, h2], [b'0', b'0']),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [h1, h2], [m1, m2]),
        _ => return None,
    };
    let (hours, minutes) = (digits(&hours)?, digits(&minutes)?);
    let seconds = (hours < 24 && minutes < 60).then_some((hours * 3_600 + minutes * 60) as i32)?;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:02}:{:02}:{:02}", self.day, self.hour, self.minute, self.second)?;
        if self.microsecond > 0 {
            write!(f, ".{:06}", self.microsecond)?;
        }
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time.fmt(f)?;
        let Some(offset_seconds) = self.offset_seconds else { return Ok(()) };
        let sign = if offset_seconds < 0 { '-' } else { '+' };
        let minutes = offset_seconds.unsigned_abs() / 60;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        Self::named(text)
    }
}

serde_as_text!(Zone);
