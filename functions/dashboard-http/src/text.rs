//! What is shown: text from outside, and figures as people read them.

use std::cmp::Ordering;

use telecom::Cost;

/// Text from outside, without characters that are not seen. The templates escape it, as they do everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text(String);

/// The most characters that are shown of a name: the rest tells a reader of a table nothing.
const MAX_NAME_CHARS: usize = 80;
/// The most characters of what is said in sentences, such as why a load failed.
const MAX_PASSAGE_CHARS: usize = 500;

impl Text {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        let is_unseen = |character: char| {
            // The latter turn the direction of what follows around.
            character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        Self(text.as_ref().replace(is_unseen, "\u{fffd}"))
    }

    /// All of it.
    pub(crate) fn whole(&self) -> &str {
        &self.0
    }

    /// As a name is shown.
    pub(crate) fn short(&self) -> String {
        self.cut(MAX_NAME_CHARS)
    }

    /// As sentences are shown.
    pub(crate) fn passage(&self) -> String {
        self.cut(MAX_PASSAGE_CHARS)
    }

    fn cut(&self, max_chars: usize) -> String {
        match self.0.char_indices().nth(max_chars) {
            Some((end, _)) => format!("{}…", &self.0[..end]),
            None => self.0.clone(),
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Seconds,
    /// Hundredths of a rand.
    Cents,
    /// Whole things.
    Things,
}

impl Unit {
    /// As it is read at a glance: three digits and a unit, rounded.
    pub(crate) fn short(self, value: u128) -> String {
        match self {
            Self::Bytes => scaled(
                value,
                &[
                    (1_000_000_000_000_000, "PB"),
                    (1_000_000_000_000, "TB"),
                    (1_000_000_000, "GB"),
                    (1_000_000, "MB"),
                    (1_000, "kB"),
                ],
                "B",
            ),
            Self::Seconds => duration(value),
            Self::Cents if value < 1_000_000 => zar(value),
            Self::Cents => {
                format!("R {}", scaled(value, &[(100_000_000_000, "bn"), (100_000_000, "m"), (100_000, "k")], ""))
            }
            Self::Things => grouped(value),
        }
    }

    /// The same for a mark of an axis, without decimals that are zero.
    pub(crate) fn tick(self, value: u128) -> String {
        let short = self.short(value).replace(".00 ", " ").replace(".0 ", " ");
        short.strip_suffix(".00").unwrap_or(&short).to_owned()
    }

    /// Every digit of it.
    pub(crate) fn exact(self, value: u128) -> String {
        match self {
            Self::Bytes | Self::Seconds | Self::Things => grouped(value),
            Self::Cents => zar(value),
        }
    }

    /// Every digit of it, as machines read it.
    pub(crate) fn plain(self, value: u128) -> String {
        match self {
            Self::Bytes | Self::Seconds | Self::Things => value.to_string(),
            Self::Cents => format!("{}.{:02}", value / 100, value % 100),
        }
    }

    /// The unit of [`exact`](Self::exact), for a table's caption.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Cents => "rand",
            Self::Things => "count",
        }
    }

    /// A round number that is `value` or a little more, in so many equal steps: the top of an axis.
    pub(crate) fn axis(self, value: u128) -> (u128, u128) {
        /// Steps of an axis, at most.
        const STEPS: u128 = 4;
        let least = value.div_ceil(STEPS).max(1);
        let step = match self {
            Self::Seconds if least <= 86_400 => {
                const ROUND: [u128; 18] =
                    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400];
                ROUND.into_iter().find(|round| least <= *round).unwrap_or(86_400)
            }
            Self::Seconds => round(least.div_ceil(86_400)) * 86_400,
            Self::Cents => round(least.div_ceil(100)) * 100,
            Self::Bytes | Self::Things => round(least),
        };
        (step, value.div_ceil(step).max(1))
    }
}

/// 1, 2 or 5 times a power of ten, not less than `least`.
fn round(least: u128) -> u128 {
    let mut power = 1;
    loop {
        for digit in [1, 2, 5] {
            if digit * power >= least {
                return digit * power;
            }
        }
        power *= 10;
    }
}

/// A cost in cents, for charts and sums; it is rounded by [`Cost`].
pub(crate) fn cents(cost: Cost) -> u128 {
    u128::try_from(cost.cents()).unwrap_or(0)
}

fn zar(cents: u128) -> String {
    format!("R {}.{:02}", grouped(cents / 100), cents % 100)
}

/// `1,234,567`
fn grouped(value: u128) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits in the largest of the units, which come first, of which there is one; rounded.
fn scaled(value: u128, units: &[(u128, &str)], one: &str) -> String {
    let fits = |(at, (size, _)): &(usize, &(u128, &str))| {
        // What rounds up to a thousand of the next smaller unit is one of this.
        let smaller = units.get(at + 1).map(|(smaller, _)| *smaller);
        value >= *size || smaller.is_some_and(|smaller| rounded(value, smaller) >= size / smaller)
    };
    let Some((_, (size, unit))) = units.iter().enumerate().find(fits) else { return format!("{value} {one}") };
    let (hundredths, tenths) = (rounded(value * 100, *size), rounded(value * 10, *size));
    match (hundredths, tenths) {
        (0..=999, _) => format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100),
        (_, 0..=999) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        _ => format!("{} {unit}", grouped(rounded(value, *size))),
    }
}

/// How many times `size` there is, to the nearest whole number; halves go to the even one, as those of cents do.
fn rounded(value: u128, size: u128) -> u128 {
    let (whole, rest) = (value / size, value % size);
    match (rest * 2).cmp(&size) {
        Ordering::Less => whole,
        Ordering::Equal => whole + whole % 2,
        Ordering::Greater => whole + 1,
    }
}

fn duration(seconds: u128) -> String {
    let parts = |big: u128, big_unit: &str, small: u128, small_unit: &str| match small {
        0 => format!("{} {big_unit}", grouped(big)),
        _ => format!("{} {big_unit} {small} {small_unit}", grouped(big)),
    };
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => parts(seconds / 60, "min", seconds % 60, "s"),
        _ => match rounded(seconds, 60) {
            minutes @ 0..6_000 => parts(minutes / 60, "h", minutes % 60, "min"),
            _ => format!("{} h", grouped(rounded(seconds, 3_600))),
        },
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(figures: impl IntoIterator<Item = String>, expect: Expect) {
        expect.assert_eq(&figures.into_iter().collect::<Vec<_>>().join(" | "));
    }

    #[test]
    fn text_from_outside_is_seen_and_cut() {
        expect!["a�b�c�é漢"].assert_eq(Text::new("a\0b\u{202e}c\u{2066}é漢").whole());
        let long = Text::new("é".repeat(501));
        assert_eq!(long.short(), "é".repeat(80) + "…");
        assert_eq!(long.passage(), "é".repeat(500) + "…");
        assert_eq!(long.whole(), "é".repeat(501));
    }

    #[test]
    fn figures_are_read_at_a_glance() {
        let bytes = [0, 999, 1_000, 1_759_999, 12_345_678, 999_999_999_999, 1_234_567_890_123_456_789];
        check(
            bytes.map(|value| Unit::Bytes.short(value)),
            expect!["0 B | 999 B | 1.00 kB | 1.76 MB | 12.3 MB | 1.00 TB | 1,235 PB"],
        );
        check(
            [0, 59, 60, 185, 3_600, 3_725, 359_999, 360_000, 9_999_999].map(|value| Unit::Seconds.short(value)),
            expect!["0 s | 59 s | 1 min | 3 min 5 s | 1 h | 1 h 2 min | 100 h | 100 h | 2,778 h"],
        );
        check(
            [0, 5, 317, 999_999, 1_000_000, 123_456_789, 98_765_432_100].map(|value| Unit::Cents.short(value)),
            expect!["R 0.00 | R 0.05 | R 3.17 | R 9,999.99 | R 10.0 k | R 1.23 m | R 988 m"],
        );
        check(
            [0, 999, 1_000, 1_234_567].map(|value| Unit::Things.exact(value)),
            expect!["0 | 999 | 1,000 | 1,234,567"],
        );
        check([Unit::Cents.exact(123_456_789), Unit::Seconds.exact(3_600)], expect!["R 1,234,567.89 | 3,600"]);
        check([Unit::Cents.plain(123_456_709), Unit::Seconds.plain(3_600)], expect!["1234567.09 | 3600"]);
    }

    #[test]
    fn figures_are_rounded_and_not_cut() {
        check(
            [7_148_303, 7_144_999, 7_145_000, 7_155_000, 99_949_999, 99_950_000, 99_999_999]
                .map(|v| Unit::Cents.short(v)),
            expect!["R 71.5 k | R 71.4 k | R 71.4 k | R 71.6 k | R 999 k | R 1.00 m | R 1.00 m"],
        );
        check(
            [1_004, 1_005, 1_015, 9_994, 9_995, 99_949, 99_950, 999_499, 999_500, 999_999]
                .map(|v| Unit::Bytes.short(v)),
            expect!["1.00 kB | 1.00 kB | 1.02 kB | 9.99 kB | 10.0 kB | 99.9 kB | 100 kB | 999 kB | 1.00 MB | 1.00 MB"],
        );
        check(
            [3_629, 3_630, 3_690, 7_170, 359_969, 359_971, 361_800, 365_400].map(|v| Unit::Seconds.short(v)),
            expect!["1 h | 1 h | 1 h 2 min | 2 h | 99 h 59 min | 100 h | 100 h | 102 h"],
        );
        // What is shown is never further from the truth than half of its last digit.
        for value in (0..40).flat_map(|power| (0..20).map(move |digit| (1_u128 << power) * 7 + digit * 13)) {
            let shown = Unit::Bytes.short(value);
            let (number, unit) = shown.split_once(' ').unwrap();
            let size = ["B", "kB", "MB", "GB", "TB", "PB"].iter().position(|name| *name == unit).unwrap();
            let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let digits: u128 = number.replace(['.', ','], "").parse().unwrap();
            let last = 1_000_u128.pow(u32::try_from(size).unwrap());
            let (shown, power) = (digits * last, 10_u128.pow(u32::try_from(decimals).unwrap()));
            assert!((value * power).abs_diff(shown) * 2 <= last, "{value}: {number} {unit}");
            assert!(digits < 1_000 || unit == "PB", "{value}: {number} {unit}");
        }
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let top = |unit: Unit, value| {
            let (step, steps) = unit.axis(value);
            assert!(step * steps >= value && steps <= 4, "{unit:?} {value}");
            format!("{} of {}", steps, unit.tick(step))
        };
        check(
            [0, 1, 7, 8, 9, 1_234].map(|value| top(Unit::Things, value)),
            expect!["1 of 1 | 1 of 1 | 4 of 2 | 4 of 2 | 2 of 5 | 3 of 500"],
        );
        check(
            [0, 59, 61, 7_000, 90_000, 1_000_000].map(|value| top(Unit::Seconds, value)),
            expect!["1 of 1 s | 4 of 15 s | 3 of 30 s | 4 of 30 min | 3 of 12 h | 3 of 120 h"],
        );
        check([1_759_999, 12_345_678].map(|value| top(Unit::Bytes, value)), expect!["4 of 500 kB | 3 of 5 MB"]);
        check([0, 317, 123_456].map(|value| top(Unit::Cents, value)), expect!["1 of R 1 | 4 of R 1 | 3 of R 500"]);
        for value in 0..5_000 {
            for unit in [Unit::Bytes, Unit::Seconds, Unit::Cents, Unit::Things] {
                top(unit, value * value);
            }
        }
    }
}
