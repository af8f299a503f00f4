//! PostgreSQL's moments, from 4714 BC to 294276 AD and with both infinities, read from every form in which Debezium
//! writes them. Pure.

/// What a `timestamptz` can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instant {
    /// Before all others: `-infinity`.
    Beginning,
    /// Microseconds since 1970; PostgreSQL's last years need more than 64 bits for them.
    At(i128),
    /// After all others: `infinity`.
    End,
}

const MICROS_PER_DAY: i128 = 86_400_000_000;

/// PostgreSQL's first moment, 4714-11-24 BC, and the one after its last, 294277-01-01.
const RANGE: std::ops::Range<i128> = -210_866_803_200_000_000..9_224_318_016_000_000_000;

/// The Gregorian calendar's first day.
const FIRST_GREGORIAN: Date = Date { year: 1582, month: 10, day: 15 };

/// The numbers that Debezium writes for `-infinity` and `infinity`; they come from PostgreSQL's Java driver. PostgreSQL
/// has no such moments. Moments from 294247 on have more microseconds than the number holds; Debezium writes `infinity`
/// for them.
const INFINITE_MILLIS: [i64; 2] = [-9_223_372_036_832_400_000, 9_223_372_036_825_200_000];
const INFINITE_MICROS: [i64; 2] = [i64::MIN, i64::MAX];
/// Those of a `date`: in the log, and in a snapshot.
const INFINITE_DAYS: [[i64; 2]; 2] = [[-2_147_472_691, 2_146_033_979], [-625_821_272, -622_191_234]];
/// The years of such moments as text; that of a snapshot's date `-infinity` has lost its sign.
const INFINITE_YEARS: [(i64, Instant); 5] = [
    (-292_275_055, Instant::Beginning),
    (292_269_055, Instant::Beginning),
    (-5_877_611, Instant::Beginning),
    (292_278_994, Instant::End),
    (5_877_611, Instant::End),
];

/// What a number counts since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Days,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Instant {
    /// A number as Debezium writes it.
    pub(crate) fn from_number(number: i64, unit: Unit) -> Option<Self> {
        let infinite: &[[i64; 2]] = match unit {
            Unit::Days => &INFINITE_DAYS,
            Unit::Milliseconds => &[INFINITE_MILLIS],
            Unit::Microseconds | Unit::Nanoseconds => &[INFINITE_MICROS],
        };
        for [beginning, end] in infinite {
            if number == *beginning {
                return Some(Self::Beginning);
            }
            if number == *end {
                return Some(Self::End);
            }
        }
        let number = i128::from(number);
        Self::at(match unit {
            Unit::Days => number * MICROS_PER_DAY,
            Unit::Milliseconds => number * 1_000,
            Unit::Microseconds => number,
            Unit::Nanoseconds => (number + 500).div_euclid(1_000),
        })
    }

    /// A date, or a date and a time of day, as ISO 8601 and PostgreSQL write them; without a zone it counts as UTC.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match text {
            "-infinity" => return Some(Self::Beginning),
            "infinity" => return Some(Self::End),
            _ => {}
        }
        let mut rest = Rest(text);
        let mut date = rest.date()?;
        let micros = if rest.take(['T', ' ']).is_some() { rest.time()? } else { 0 };
        let offset = rest.offset()?;
        match rest.0 {
            "" | " AD" => {}
            " BC" => date.year = 1 - date.year,
            _ => return None,
        }
        if let Some((_, infinite)) = INFINITE_YEARS.iter().find(|(year, _)| *year == date.year) {
            return Some(*infinite);
        }
        Self::at(i128::from(date.days()?) * MICROS_PER_DAY + micros - offset)
    }

    fn at(micros: i128) -> Option<Self> {
        RANGE.contains(&micros).then_some(Self::At(micros))
    }

    /// Whether it lies before the Gregorian calendar's first day.
    pub(crate) fn is_before_gregorian(self) -> bool {
        match (self, FIRST_GREGORIAN.days()) {
            (Self::At(micros), Some(first)) => micros < i128::from(first) * MICROS_PER_DAY,
            _ => false,
        }
    }

    /// As PostgreSQL reads it, whatever its settings are.
    pub(crate) fn text(self) -> String {
        let micros = match self {
            Self::Beginning => return "-infinity".to_owned(),
            Self::End => return "infinity".to_owned(),
            Self::At(micros) => micros,
        };
        let Date { year, month, day } = Date::of(micros.div_euclid(MICROS_PER_DAY));
        let time = micros.rem_euclid(MICROS_PER_DAY);
        let (seconds, micros) = (time / 1_000_000, time % 1_000_000);
        let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}+00{era}")
    }
}

/// A day of the Gregorian calendar, which goes on before its first day; year 0 is 1 BC.
#[derive(Clone, Copy)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

/// Days of 400 years, after which the calendar repeats itself.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from 1 March of year 0, with which years begin here, so that a leap day is the last one, to 1970.
const DAYS_TO_1970: i64 = 719_468;

impl Date {
    /// Days since 1970; `None` if the day does not exist.
    fn days(self) -> Option<i64> {
        let Self { year, month, day } = self;
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + i64::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=last).contains(&day) {
            return None;
        }
        let year = if month < 3 { year - 1 } else { year };
        let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Some(era * DAYS_PER_ERA + year * 365 + year / 4 - year / 100 + day_of_year - DAYS_TO_1970)
    }

    fn of(days: i128) -> Self {
        let days = i64::try_from(days).unwrap_or_default() + DAYS_TO_1970;
        let (era, day) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let (day, month) = (day_of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
        Self { year: era * 400 + year + i64::from(month < 3), month, day }
    }
}

/// What is left of a text.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// One of these characters, if it is next.
    fn take<const N: usize>(&mut self, wanted: [char; N]) -> Option<char> {
        let next = self.0.chars().next().filter(|next| wanted.contains(next))?;
        self.0 = &self.0[next.len_utf8()..];
        Some(next)
    }

    /// A number of at most this many digits.
    fn number(&mut self, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
        let length = self.0.bytes().take(*digits.end()).take_while(u8::is_ascii_digit).count();
        if length < *digits.start() {
            return None;
        }
        let (number, rest) = self.0.split_at(length);
        self.0 = rest;
        number.parse().ok()
    }

    /// A number of two digits, up to a maximum.
    fn part(&mut self, max: i64) -> Option<i64> {
        self.number(2..=2).filter(|number| *number <= max)
    }

    fn date(&mut self) -> Option<Date> {
        let sign = self.take(['+', '-']);
        let year = self.number(4..=9)?;
        self.take(['-'])?;
        let month = self.part(12)?;
        self.take(['-'])?;
        let day = self.part(31)?;
        Some(Date { year: if sign == Some('-') { -year } else { year }, month, day })
    }

    /// A time of day in microseconds; digits behind these are rounded.
    fn time(&mut self) -> Option<i128> {
        let hour = self.part(23)?;
        self.take([':'])?;
        let minute = self.part(59)?;
        let second = if self.take([':']).is_some() { self.part(59)? } else { 0 };
        let fraction = if self.take(['.']).is_some() { self.fraction()? } else { 0 };
        Some(i128::from(hour * 3_600 + minute * 60 + second) * 1_000_000 + i128::from(fraction))
    }

    fn fraction(&mut self) -> Option<i64> {
        let before = self.0.len();
        let number = self.number(1..=9)?;
        let digits = u32::try_from(before - self.0.len()).ok()?;
        Some((number * 10_i64.pow(9 - digits) + 500) / 1_000)
    }

    /// How far a zone is ahead of UTC, in microseconds; none if no zone is given.
    fn offset(&mut self) -> Option<i128> {
        let Some(sign) = self.take(['Z', '+', '-']).filter(|sign| *sign != 'Z') else { return Some(0) };
        let mut seconds = self.part(15)? * 3_600;
        for unit in [60, 1] {
            if self.take([':']).is_some() || self.0.starts_with(|next: char| next.is_ascii_digit()) {
                seconds += self.part(59)? * unit;
            }
        }
        Some(i128::from(if sign == '-' { -seconds } else { seconds }) * 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn show(instant: Option<Instant>) -> String {
        instant.map_or("none".to_owned(), Instant::text)
    }

    fn check_text(text: &str, expect: Expect) {
        expect.assert_eq(&show(Instant::from_text(text)));
    }

    fn check_number(number: i64, unit: Unit, expect: Expect) {
        expect.assert_eq(&show(Instant::from_number(number, unit)));
    }

    #[test]
    fn text_comes_in_many_forms() {
        check_text("2024-03-01T10:00:00.123456Z", expect!["2024-03-01 10:00:00.123456+00"]);
        check_text("2024-03-01T10:00:00.1234567Z", expect!["2024-03-01 10:00:00.123457+00"]);
        check_text("2024-03-01 10:00:00.5", expect!["2024-03-01 10:00:00.500000+00"]);
        check_text("2024-03-01T10:00", expect!["2024-03-01 10:00:00.000000+00"]);
        check_text("2024-03-01T10:00:00+02:00", expect!["2024-03-01 08:00:00.000000+00"]);
        check_text("2024-03-01 10:00:00-0330", expect!["2024-03-01 13:30:00.000000+00"]);
        check_text("2024-02-29T23:59:59.9999999-12", expect!["2024-03-01 12:00:00.000000+00"]);
        check_text("2024-03-01Z", expect!["2024-03-01 00:00:00.000000+00"]);
        check_text("1883-11-18T12:00:00+01:26:08", expect!["1883-11-18 10:33:52.000000+00"]);
        check_text("9999-12-31T23:59:59.999999Z", expect!["9999-12-31 23:59:59.999999+00"]);
        check_text("+10000-01-01T00:00:00Z", expect!["10000-01-01 00:00:00.000000+00"]);
        check_text("+294276-12-31T23:59:59.999999Z", expect!["294276-12-31 23:59:59.999999+00"]);
        check_text("-0043-03-15T10:00:00.000000Z", expect!["0044-03-15 10:00:00.000000+00 BC"]);
        check_text("0044-03-15T10:00:00+00:00 BC", expect!["0044-03-15 10:00:00.000000+00 BC"]);
        check_text("0001-01-01T00:00:00+01:00", expect!["0001-12-31 23:00:00.000000+00 BC"]);
        check_text("-4713-11-24T00:00:00Z", expect!["4714-11-24 00:00:00.000000+00 BC"]);
    }

    #[test]
    fn what_postgresql_does_not_have_is_no_moment() {
        for text in [
            "",
            "yesterday",
            "2024-03-01T10:00:00Z[Europe/Paris]",
            "2024-3-1",
            "2024-02-30",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-03-01T24:00:00Z",
            "2024-03-01T10:00:60Z",
            "2024-03-01T10:00:00.Z",
            "2024-03-01T",
            "2024-03-01T10:00:00+",
            "10:00:00Z",
            "20240301",
            "-4713-11-23T23:59:59Z",
            "+294277-01-01T00:00:00Z",
            "+5874897-12-31Z",
            "12.30",
        ] {
            check_text(text, expect!["none"]);
        }
        check_number(9_224_318_016_000_000, Unit::Milliseconds, expect!["none"]);
        check_number(i64::MAX, Unit::Milliseconds, expect!["none"]);
        check_number(i64::MIN, Unit::Days, expect!["none"]);
    }

    #[test]
    fn numbers_have_a_unit() {
        check_number(19_783, Unit::Days, expect!["2024-03-01 00:00:00.000000+00"]);
        check_number(1_709_287_200_123, Unit::Milliseconds, expect!["2024-03-01 10:00:00.123000+00"]);
        check_number(1_709_287_200_123_456, Unit::Microseconds, expect!["2024-03-01 10:00:00.123456+00"]);
        check_number(1_709_287_200_123_456_789, Unit::Nanoseconds, expect!["2024-03-01 10:00:00.123457+00"]);
        check_number(253_402_214_400_000_000, Unit::Microseconds, expect!["9999-12-31 00:00:00.000000+00"]);
        check_number(76_204_800_000_000, Unit::Microseconds, expect!["1972-06-01 00:00:00.000000+00"]);
        check_number(9_224_318_015_999_999, Unit::Milliseconds, expect!["294276-12-31 23:59:59.999000+00"]);
        check_number(-100, Unit::Microseconds, expect!["1969-12-31 23:59:59.999900+00"]);
        check_number(-500, Unit::Nanoseconds, expect!["1970-01-01 00:00:00.000000+00"]);
        check_number(-735_160, Unit::Days, expect!["0044-03-15 00:00:00.000000+00 BC"]);
    }

    #[test]
    fn infinity_comes_in_many_forms() {
        for text in ["infinity", "+292278994-08-16T23:00:00Z", "+292278994-08-16Z", "+5877611-06-21Z"] {
            check_text(text, expect!["infinity"]);
        }
        for text in ["-infinity", "-292275055-05-16T23:00:00Z", "+292269055-12-02Z", "-5877611-06-22Z"] {
            check_text(text, expect!["-infinity"]);
        }
        check_number(9_223_372_036_825_200_000, Unit::Milliseconds, expect!["infinity"]);
        check_number(-9_223_372_036_832_400_000, Unit::Milliseconds, expect!["-infinity"]);
        check_number(i64::MAX, Unit::Microseconds, expect!["infinity"]);
        check_number(i64::MIN, Unit::Nanoseconds, expect!["-infinity"]);
        for (beginning, end) in [(-2_147_472_691, 2_146_033_979), (-625_821_272, -622_191_234)] {
            check_number(beginning, Unit::Days, expect!["-infinity"]);
            check_number(end, Unit::Days, expect!["infinity"]);
        }
    }

    #[test]
    fn every_day_has_its_number() {
        for days in (-2_440_588..2_440_588).chain(106_000_000..107_000_000) {
            assert_eq!(Date::of(days.into()).days(), Some(days));
        }
        assert!(Instant::from_text("1582-10-14").unwrap().is_before_gregorian());
        assert!(!Instant::from_text("1582-10-15").unwrap().is_before_gregorian());
    }
}
