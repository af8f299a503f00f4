//! `rate(5 minutes)` and `cron(0 2 * * ? *)`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Zoned;
use jiff::civil::{Date, Weekday};

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
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    days: BTreeSet<i16>,
    months: BTreeSet<i16>,
    weekdays: BTreeSet<i16>,
    years: BTreeSet<i16>,
}

/// Why a text is no [`Expression`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The service knows it, and it is not run here.
    #[error("{0} is not run here")]
    NotRun(String),
    /// Nobody knows it.
    #[error("{0}")]
    Malformed(String),
}

const FIRST_YEAR: i16 = 1970;
const LAST_YEAR: i16 = 2199;
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

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
        let [minutes, hours, days, months, weekdays, years] = fields.as_slice() else {
            return Err(malformed(format!("expected six fields in cron({text}), found {}", fields.len())));
        };
        if (*days == "?") == (*weekdays == "?") {
            return Err(malformed(format!("expected ? for exactly one of the two days in cron({text})")));
        }
        Ok(Self {
            text: text.trim().to_owned(),
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: field(weekdays, 1, 7, &WEEKDAYS)?,
            years: field(years, FIRST_YEAR, LAST_YEAR, &[])?,
        })
    }

    /// The first moment after `after`, in that moment's time zone; `None` when the calendar has ended.
    #[must_use]
    pub fn next_after(&self, after: &Zoned) -> Option<Zoned> {
        let mut day = after.date();
        let zone = after.time_zone();
        loop {
            let year = *self.years.range(day.year()..).next()?;
            if year > day.year() {
                day = Date::new(year, 1, 1).ok()?;
            }
            if self.has(day) {
                for hour in &self.hours {
                    for minute in &self.minutes {
                        let moment = day.at(i8::try_from(*hour).ok()?, i8::try_from(*minute).ok()?, 0, 0);
                        match moment.to_zoned(zone.clone()) {
                            Ok(moment) if moment > *after => return Some(moment),
                            _ => {}
                        }
                    }
                }
            }
            day = day.tomorrow().ok()?;
        }
    }

    fn has(&self, day: Date) -> bool {
        let weekday = day.weekday().since(Weekday::Sunday) + 1;
        self.months.contains(&day.month().into())
            && self.days.contains(&day.day().into())
            && self.weekdays.contains(&weekday.into())
    }
}

/// The last day or weekday (`L`, `5L`), the nearest working day (`15W`), the second Monday (`2#2`).
fn is_special(part: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    part == "LW" || part.contains('#') || part.strip_suffix(['L', 'W']).is_some_and(is_number)
}

/// One field's values: `*`, `?`, `3`, `1-5`, `*/15`, `MON-FRI` and lists of these.
fn field(text: &str, first: i16, last: i16, names: &[&str]) -> Result<BTreeSet<i16>, ExpressionError> {
    let number = |part: &str| -> Result<i16, ExpressionError> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(part));
        let number = match named {
            Some(index) => i16::try_from(index).ok().map(|index| index + first),
            None => part.parse().ok(),
        };
        number.filter(|number| (first..=last).contains(number)).ok_or_else(|| match part {
            part if is_special(part) => ExpressionError::NotRun(format!("{part} in cron")),
            part => malformed(format!("expected a number from {first} to {last} in cron, found {part:?}")),
        })
    };
    let mut values = BTreeSet::new();
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                let step = step.parse().ok().filter(|step| *step > 0);
                (range, step.ok_or_else(|| malformed("a step has to be a number above 0"))?)
            }
            None => (item, 1_usize),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if range == "*" || range == "?" => (first, last),
            // `5/10` begins at 5 and goes on to the end.
            None if item.contains('/') => (number(range)?, last),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(malformed(format!("{range} in cron ends before it begins")));
        }
        values.extend((from..=to).step_by(step));
    }
    Ok(values)
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
        check("cron(70 2 * * ? *)", expect![[r#"expected a number from 0 to 59 in cron, found "70""#]]);
        check("cron(0 2 ? * MOL *)", expect![[r#"expected a number from 1 to 7 in cron, found "MOL""#]]);
        check("cron(0 5-2 * * ? *)", expect!["5-2 in cron ends before it begins"]);
    }

    #[test]
    fn what_only_the_service_runs() {
        check("at(2030-01-01T00:00:00)", expect!["at(2030-01-01T00:00:00) is not run here"]);
        check("cron(0 2 L * ? *)", expect!["L in cron is not run here"]);
        check("cron(0 2 15W * ? *)", expect!["15W in cron is not run here"]);
        check("cron(0 2 LW * ? *)", expect!["LW in cron is not run here"]);
        check("cron(0 2 ? * 2#1 *)", expect!["2#1 in cron is not run here"]);
    }
}
