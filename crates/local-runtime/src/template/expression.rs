//! `rate(5 minutes)` and `cron(0 2 * * ? *)`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;

/// When a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// At the start and then once in this time.
    Rate(Duration),
    /// At the moments that a calendar names.
    Cron(Cron),
}

/// A calendar of six fields: minutes, hours, day of the month, month, day of the week, year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// Boxed, as it is large beside a rate.
    calendar: Box<croner::Cron>,
}

/// Why a text is not an [`Expression`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// AWS runs it; this crate does not.
    #[error("{0} is not run here")]
    NotRun(String),
    /// It is not in AWS's form.
    #[error("{0}")]
    Malformed(String),
}

/// The years that AWS takes.
const YEARS: RangeInclusive<u16> = 1970..=2199;

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let inside = |name: &str| text.trim().strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inside("rate") {
            return parse_rate(rate).map(Self::Rate).ok_or_else(|| {
                malformed(format!(
                    "expected a rate such as rate(1 minute), rate(5 minutes) or rate(1 day), found {text:?}"
                ))
            });
        }
        match inside("cron") {
            Some(fields) => Ok(Self::Cron(Cron::parse(fields)?)),
            None if inside("at").is_some() => Err(ExpressionError::NotRun(text.to_owned())),
            None => Err(malformed(format!("expected rate(…) or cron(…), found {text:?}"))),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(every) => write!(f, "every {} s", every.as_secs_f64()),
            Self::Cron(cron) => write!(f, "cron({})", cron.text),
        }
    }
}

fn malformed(why: impl Into<String>) -> ExpressionError {
    ExpressionError::Malformed(why.into())
}

fn parse_rate(text: &str) -> Option<Duration> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let unit_seconds = match unit.trim() {
        "minute" | "minutes" => 60,
        "hour" | "hours" => 3_600,
        "day" | "days" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(unit_seconds)?))
}

impl Cron {
    fn parse(text: &str) -> Result<Self, ExpressionError> {
        let fields: Vec<_> = text.split_whitespace().collect();
        let [_, _, days, _, weekdays, years] = fields.as_slice() else {
            return Err(malformed(format!("expected six fields in cron({text}), found {}", fields.len())));
        };
        if (*days == "?") == (*weekdays == "?") {
            return Err(malformed(format!("expected ? for exactly one of the two days in cron({text})")));
        }
        // croner accepts these two; the first never fires.
        if weekdays.split(',').any(|weekday| weekday == "L") {
            return Err(ExpressionError::NotRun("L without a day of the week in cron".to_owned()));
        }
        if fields.iter().flat_map(|field| field.split(',')).any(str::is_empty) {
            return Err(malformed(format!("a list in cron({text}) has an empty element")));
        }
        // AWS has no seconds, counts the days of the week from Sunday = 1, and takes steps such as 5/10.
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required);
        let parser = parser.alternative_weekdays(true).sloppy_ranges(true).build();
        let calendar = parser.parse(&format!("0 {text}")).map_err(|why| malformed(format!("cron({text}): {why}")))?;
        if *years != "*" && !calendar.pattern.years.values().iter().all(|year| YEARS.contains(year)) {
            return Err(malformed(format!("a year in cron({text}) is not one from 1970 to 2199")));
        }
        Ok(Self { text: text.trim().to_owned(), calendar: Box::new(calendar) })
    }

    /// The first moment after `after`, in that moment's time zone; `None` when the calendar has ended.
    #[must_use]
    pub fn next_after(&self, after: &Zoned) -> Option<Zoned> {
        let mut at = after.clone();
        loop {
            at = self.calendar.find_next_occurrence(&at, false).ok()?;
            // When the clocks are set back, an hour comes twice. AWS fires only once.
            if at.datetime() > after.datetime() {
                return Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(expression: &str, expect: Expect) {
        let shown = match expression.parse() {
            Ok(Expression::Rate(every)) => format!("{every:?}"),
            Ok(Expression::Cron(cron)) => {
                let mut at: Zoned = "2024-02-28T23:30:00+02:00[Africa/Johannesburg]".parse().unwrap();
                let mut moments = Vec::new();
                while let Some(next) = cron.next_after(&at).filter(|_| moments.len() < 3) {
                    moments.push(next.datetime().to_string());
                    at = next;
                }
                moments.join(" ")
            }
            Err(why) => why.to_string(),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn rates() {
        check("rate(1 minute)", expect!["60s"]);
        check("rate(12 hours)", expect!["43200s"]);
        check("rate(1 day)", expect!["86400s"]);
        for bad in ["rate(0 minutes)", "rate(1 second)", "rate(1)", "rate(-1 day)", "rate(18446744073709551615 days)"] {
            assert!(bad.parse::<Expression>().is_err(), "{bad}");
        }
        check("every minute", expect![[r#"expected rate(…) or cron(…), found "every minute""#]]);
    }

    #[test]
    fn calendars() {
        check("cron(0 2 * * ? *)", expect!["2024-02-29T02:00:00 2024-03-01T02:00:00 2024-03-02T02:00:00"]);
        check("cron(0/20 23 * * ? *)", expect!["2024-02-28T23:40:00 2024-02-29T23:00:00 2024-02-29T23:20:00"]);
        check("cron(15 10 ? * MON-FRI *)", expect!["2024-02-29T10:15:00 2024-03-01T10:15:00 2024-03-04T10:15:00"]);
        check("cron(0 0 29 FEB ? 2024-2040)", expect!["2024-02-29T00:00:00 2028-02-29T00:00:00 2032-02-29T00:00:00"]);
        check("cron(0 0 1 1 ? 2023)", expect![""]);
        check("cron(0 2 * * *)", expect!["expected six fields in cron(0 2 * * *), found 5"]);
        check("cron(0 2 * * * *)", expect!["expected ? for exactly one of the two days in cron(0 2 * * * *)"]);
        check("cron(70 2 * * ? *)", expect!["cron(70 2 * * ? *): Component error: Number out of bounds."]);
        check(
            "cron(0 2 ? * MOL *)",
            expect![
                "cron(0 2 ? * MOL *): Pattern contains illegal characters: CronPattern contains illegal character 'M' in part 'MOL'"
            ],
        );
        check("cron(0 5-2 * * ? *)", expect!["cron(0 5-2 * * ? *): Component error: Range out of bounds."]);
        check("cron(0,,5 2 * * ? *)", expect!["a list in cron(0,,5 2 * * ? *) has an empty element"]);
        check("cron(0 2 * * ? 2200)", expect!["a year in cron(0 2 * * ? 2200) is not one from 1970 to 2199"]);
        check(
            "cron(0 ? * * ? *)",
            expect![
                "cron(0 ? * * ? *): Pattern contains illegal characters: CronPattern contains illegal character '?' in part '?'"
            ],
        );
        check(
            "cron(0 2 ? * 0 *)",
            expect!["cron(0 2 ? * 0 *): Component error: Position 0 is less than the input offset 1."],
        );
        check("cron(0/0 2 * * ? *)", expect!["cron(0/0 2 * * ? *): Component error: Step cannot be zero."]);
    }

    #[test]
    fn last_days_working_days_and_nth_weekdays() {
        check("cron(0 2 L * ? *)", expect!["2024-02-29T02:00:00 2024-03-31T02:00:00 2024-04-30T02:00:00"]);
        check("cron(0 2 LW * ? *)", expect!["2024-02-29T02:00:00 2024-03-29T02:00:00 2024-04-30T02:00:00"]);
        check("cron(0 2 15W * ? *)", expect!["2024-03-15T02:00:00 2024-04-15T02:00:00 2024-05-15T02:00:00"]);
        check("cron(0 2 ? * 2#1 *)", expect!["2024-03-04T02:00:00 2024-04-01T02:00:00 2024-05-06T02:00:00"]);
        check("cron(0 2 ? * FRI#1 *)", expect!["2024-03-01T02:00:00 2024-04-05T02:00:00 2024-05-03T02:00:00"]);
        check("cron(0 2 ? * 6L *)", expect!["2024-03-29T02:00:00 2024-04-26T02:00:00 2024-05-31T02:00:00"]);
    }

    #[test]
    fn when_the_clocks_change() {
        let check = |after: &str, expression: &str, expect: Expect| {
            let Ok(Expression::Cron(cron)) = expression.parse() else { panic!("{expression} is a cron expression") };
            let mut at: Zoned = format!("{after}[Europe/Berlin]").parse().unwrap();
            let mut moments = Vec::new();
            while let Some(next) = cron.next_after(&at).filter(|_| moments.len() < 3) {
                moments.push(next.strftime("%F %R %Z").to_string());
                at = next;
            }
            expect.assert_eq(&moments.join(", "));
        };
        check(
            "2024-10-27T01:45:00+02:00",
            "cron(30 * * * ? *)",
            expect!["2024-10-27 02:30 CEST, 2024-10-27 03:30 CET, 2024-10-27 04:30 CET"],
        );
        check(
            "2024-10-26T03:00:00+02:00",
            "cron(30 2 * * ? *)",
            expect!["2024-10-27 02:30 CEST, 2024-10-28 02:30 CET, 2024-10-29 02:30 CET"],
        );
        check(
            "2024-03-31T01:45:00+01:00",
            "cron(30 * * * ? *)",
            expect!["2024-03-31 03:30 CEST, 2024-03-31 04:30 CEST, 2024-03-31 05:30 CEST"],
        );
        check(
            "2024-03-30T03:00:00+01:00",
            "cron(30 2 * * ? *)",
            expect!["2024-03-31 03:00 CEST, 2024-04-01 02:30 CEST, 2024-04-02 02:30 CEST"],
        );
    }

    #[test]
    fn what_only_the_service_runs() {
        check("at(2030-01-01T00:00:00)", expect!["at(2030-01-01T00:00:00) is not run here"]);
        check("cron(0 2 ? * L *)", expect!["L without a day of the week in cron is not run here"]);
    }
}
