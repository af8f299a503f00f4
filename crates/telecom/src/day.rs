//! Civil days and months, in the operator's zone.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;

/// A civil day of 1970–2100, the days whose usage is counted. Text form: `2024-01-01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

/// The text is not a day that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a day is written YYYY-MM-DD and lies between 1970-01-01 and 2100-12-31")]
pub struct InvalidDay;

/// A civil month of 1970–2100. Text form: `2024-01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

/// The text is not a month that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month is written YYYY-MM and lies between 1970-01 and 2100-12")]
pub struct InvalidMonth;

impl Day {
    /// 1970-01-01.
    pub const MIN: Self = Self(0);
    /// 2100-12-31.
    pub const MAX: Self = Self(days_from_civil(2100, 12, 31));

    /// The day of a calendar date, if the calendar has it and it lies in 1970–2100.
    pub const fn from_civil(year: i32, month: u32, day: u32) -> Option<Self> {
        match epoch_days(year, month, day) {
            Some(days) => Self::from_epoch_days(days),
            None => None,
        }
    }

    /// The day this number of days after 1970-01-01.
    pub const fn from_epoch_days(days: i32) -> Option<Self> {
        if Self::MIN.0 <= days && days <= Self::MAX.0 { Some(Self(days)) } else { None }
    }

    /// Days since 1970-01-01.
    pub const fn epoch_days(self) -> i32 {
        self.0
    }

    /// Reads `2024-01-01`.
    pub fn parse(text: &str) -> Result<Self, InvalidDay> {
        let bytes: &[u8; 10] = text.as_bytes().try_into().map_err(|_| InvalidDay)?;
        let (year, month, day) = date_numbers(bytes).ok_or(InvalidDay)?;
        Self::from_civil(year, month, day).ok_or(InvalidDay)
    }

    /// Year, month (1–12) and day of the month (1–31).
    pub const fn civil(self) -> (i32, u32, u32) {
        civil_from_days(self.0)
    }

    /// The month it lies in.
    pub const fn month(self) -> Month {
        let (year, month, _) = self.civil();
        Month(year * 100 + month as i32)
    }

    /// The day after, but none after 2100-12-31.
    pub const fn next(self) -> Option<Self> {
        Self::from_epoch_days(self.0 + 1)
    }

    /// The day before, but none before 1970-01-01.
    pub const fn previous(self) -> Option<Self> {
        Self::from_epoch_days(self.0 - 1)
    }
}

impl Month {
    /// The month with this [`number`](Self::number).
    pub const fn from_number(number: i32) -> Option<Self> {
        let (year, month) = (number / 100, number % 100);
        if 1970 <= year && year <= 2100 && 1 <= month && month <= 12 { Some(Self(number)) } else { None }
    }

    /// The month as one integer, `202401` for 2024-01: ordered as the months are.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Reads `2024-01`.
    pub fn parse(text: &str) -> Result<Self, InvalidMonth> {
        let &[y1, y2, y3, y4, b'-', m1, m2] = text.as_bytes() else { return Err(InvalidMonth) };
        let number = digits(&[y1, y2, y3, y4, m1, m2]).ok_or(InvalidMonth)?;
        Self::from_number(number as i32).ok_or(InvalidMonth)
    }

    /// Its first day.
    pub const fn first_day(self) -> Day {
        Day(days_from_civil(self.0 / 100, (self.0 % 100) as u32, 1))
    }

    /// Its last day.
    pub const fn last_day(self) -> Day {
        let (year, month) = (self.0 / 100, (self.0 % 100) as u32);
        Day(days_from_civil(year, month, days_in_month(year, month)))
    }

    /// The month after, but none after 2100-12.
    pub const fn next(self) -> Option<Self> {
        Self::from_number(if self.0 % 100 == 12 { self.0 + 100 - 11 } else { self.0 + 1 })
    }
}

/// Days since 1970-01-01 of a date that the calendar has, in any year of four digits.
pub(crate) const fn epoch_days(year: i32, month: u32, day: u32) -> Option<i32> {
    if month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// Year, month and day as written in `2024-01-01`, not yet checked against the calendar.
pub(crate) fn date_numbers(text: &[u8; 10]) -> Option<(i32, u32, u32)> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    Some((digits(&[y1, y2, y3, y4])? as i32, digits(&[m1, m2])?, digits(&[d1, d2])?))
}

/// The number that these ASCII digits (at most 9) write.
pub(crate) fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

const fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The proleptic Gregorian calendar in eras of 400 years, whose years begin in March so that the leap day comes last.
const fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - EPOCH
}

const fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let days = days + EPOCH;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i32;
    (year, month as u32, day as u32)
}

/// Days in 400 years.
const DAYS_PER_ERA: i32 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i32 = 719_468;

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        Self::parse(text)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        Self::parse(text)
    }
}

serde_as_text!(Day, Month);
