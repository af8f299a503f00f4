//! Which days are shown.

use telecom::Day;

use crate::Problem;
use crate::query::{Query, invalid};

/// Days, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: Day,
    pub(crate) to: Day,
}

/// A quarter: more bars than that can't be told apart on a page.
const MAX_DAYS: i32 = 92;

/// Where no days are asked for: these many, up to the last one with data.
const DEFAULT_DAYS: i32 = 14;

impl Period {
    /// Reads `from` and `to`; `None` where neither is there, or both are empty, as a form sends them.
    ///
    /// # Errors
    /// [`Problem::InvalidParameter`] names the one that is missing or malformed.
    pub(crate) fn parse(query: &str) -> Result<Option<Self>, Problem> {
        let query = Query::parse(query);
        if !query.has("from") && !query.has("to") {
            return Ok(None);
        }
        let day = |name| {
            let text = query.required(name, "the days from and to, such as 2024-01-31, or neither")?;
            Day::parse(text).map_err(|error| invalid(name, &error.to_string()))
        };
        let (from, to) = (day("from")?, day("to")?);
        if from > to {
            return Err(invalid("to", "it lies before from: exchange the two"));
        }
        let days = to.epoch_days() - from.epoch_days() + 1;
        if days > MAX_DAYS {
            let why = format!("{days} days are asked for and at most {MAX_DAYS} are shown: ask for fewer");
            return Err(invalid("to", &why));
        }
        Ok(Some(Self { from, to }))
    }

    /// The last days of what there is.
    pub(crate) fn last_of(first: Day, last: Day) -> Self {
        let from = Day::from_epoch_days(last.epoch_days() - DEFAULT_DAYS + 1).unwrap_or(Day::MIN);
        Self { from: from.max(first), to: last }
    }

    /// Every day, ascending.
    pub(crate) fn days(self) -> Vec<Day> {
        (self.from.epoch_days()..=self.to.epoch_days()).filter_map(Day::from_epoch_days).collect()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(query: &str, expect: Expect) {
        match Period::parse(query) {
            Ok(period) => expect.assert_eq(&format!("{period:?}")),
            Err(problem) => expect.assert_eq(&problem.to_string()),
        }
    }

    #[test]
    fn both_days_or_neither() {
        for query in ["", "from=&to=", "day=1"] {
            check(query, expect!["None"]);
        }
        check("from=2024-01-01&to=2024-01-31", expect!["Some(Period { from: 2024-01-01, to: 2024-01-31 })"]);
        check(
            "from=2024-01-01",
            expect!["to: it is missing: write the days from and to, such as 2024-01-31, or neither"],
        );
        check(
            "from=&to=2024-01-01",
            expect!["from: it is missing: write the days from and to, such as 2024-01-31, or neither"],
        );
        check(
            "from=<b>&to=2024-01-01",
            expect!["from: a day is written YYYY-MM-DD and lies between 1970-01-01 and 2100-12-31"],
        );
        check("from=2024-01-02&to=2024-01-01", expect!["to: it lies before from: exchange the two"]);
        check(
            "from=2024-01-01&to=2024-04-02",
            expect!["to: 93 days are asked for and at most 92 are shown: ask for fewer"],
        );
    }

    #[test]
    fn the_last_days_that_there_are() {
        let day = |text| Day::parse(text).unwrap();
        let last = |first, last| {
            let Period { from, to } = Period::last_of(day(first), day(last));
            format!("{from} {to} {}", Period { from, to }.days().len())
        };
        assert_eq!(last("2023-01-01", "2024-01-31"), "2024-01-18 2024-01-31 14");
        assert_eq!(last("2024-01-31", "2024-01-31"), "2024-01-31 2024-01-31 1");
        assert_eq!(last("1970-01-01", "1970-01-02"), "1970-01-01 1970-01-02 2");
    }
}
