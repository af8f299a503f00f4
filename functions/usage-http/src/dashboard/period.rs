//! Which days are shown.

use std::fmt;

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

/// Where no days are asked for: this many, the last ones with data.
pub(crate) const DEFAULT_DAYS: i64 = 14;

/// The days that a part of the page shows, ascending: those that were asked for, or the last ones that have data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Days {
    all: Vec<Day>,
    are_asked: bool,
}

impl Days {
    /// The last days with data; `None` where there are none.
    pub(crate) fn with_data(all: Vec<Day>) -> Option<Self> {
        (!all.is_empty()).then_some(Self { all, are_asked: false })
    }

    pub(crate) fn all(&self) -> &[Day] {
        &self.all
    }

    /// How many, or which one.
    pub(crate) fn short(&self) -> String {
        match &*self.all {
            [day] => day.to_string(),
            days => format!("{} days", days.len()),
        }
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.are_asked { "" } else { ", the last days with data" };
        match &*self.all {
            [] => Ok(()),
            [day] => write!(f, "{day}"),
            [first, .., last] => write!(f, "{first} to {last}{what}"),
        }
    }
}

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

    /// Every day of it.
    pub(crate) fn days(self) -> Days {
        let all = (self.from.epoch_days()..=self.to.epoch_days()).filter_map(Day::from_epoch_days).collect();
        Days { all, are_asked: true }
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
    fn days_are_said() {
        let asked = Period::parse("from=2023-12-31&to=2024-01-02").unwrap().unwrap().days();
        assert_eq!(asked.all().len(), 3);
        expect!["3 days: 2023-12-31 to 2024-01-02"].assert_eq(&format!("{}: {asked}", asked.short()));
        assert_eq!(Days::with_data(Vec::new()), None);
        let with_data = Days::with_data(vec![asked.all()[0], asked.all()[2]]).unwrap();
        expect!["2 days: 2023-12-31 to 2024-01-02, the last days with data"]
            .assert_eq(&format!("{}: {with_data}", with_data.short()));
        let one = Days::with_data(vec![asked.all()[0]]).unwrap();
        expect!["2023-12-31: 2023-12-31"].assert_eq(&format!("{}: {one}", one.short()));
    }
}
