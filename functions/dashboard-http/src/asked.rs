//! What is asked of the dashboard: which days, whose, and whether it shows itself anew.

use std::fmt;
use std::str::FromStr;

use http_api::{Problem, Query};
use telecom::{Day, Msisdn};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) period: Period,
    /// Whose usage alone; `None` is everybody's, and everything.
    pub(crate) subscriber: Option<Place>,
    /// Whether somebody has told the page to stay as it is.
    pub(crate) stays: bool,
}

/// Which days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    /// So many, the last ones that have data.
    Last(i64),
    /// All from the first to the second.
    Between(Day, Day),
}

/// A quarter: more bars than that can't be told apart on a page.
const MAX_DAYS: i64 = 92;

/// Where nothing is asked for: two weeks, so that each day of a week stands beside another one.
const DEFAULT_DAYS: i64 = 14;

/// What subscribers are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    Cost,
    Data,
}

/// The subscribers of a ranking.
pub(crate) const MAX_SUBSCRIBERS: u8 = 10;

/// A subscriber by the place in a ranking, so that no link holds the number. Text form:
/// `cost.3.528.2024-01-01.2024-01-14`, the rank, the place from 1, the digits that are shown anyway, and the days of
/// the ranking. Where it has changed since, as files come late, the digits are somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) rank: Rank,
    pub(crate) place: u8,
    shown: u16,
    from: Day,
    to: Day,
}

/// The digits of a number that are shown, as a divisor.
const SHOWN: u64 = 1_000;

/// The days that a part of the page shows, ascending: those that were asked for, or the last ones that have data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Days {
    all: Vec<Day>,
    are_asked: bool,
}

/// What a figure is of: a day, or, where one day is shown, an hour of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) day: Day,
    pub(crate) hour: Option<u8>,
}

impl Asked {
    /// Where nothing is asked for.
    pub(crate) const DEFAULT: Self = Self { period: Period::Last(DEFAULT_DAYS), subscriber: None, stays: false };

    /// Reads `from` and `to`, of which one alone is a single day; where both are absent, or empty as a form sends them,
    /// `days`; and `subscriber` and `refresh`.
    ///
    /// # Errors
    /// A 400 names the one that is malformed.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let query = Query::parse(query);
        let subscriber = query.optional("subscriber")?.map(Place::from_str).transpose();
        let subscriber = subscriber.map_err(|()| {
            Problem::invalid_parameter("subscriber", "it is no place in a ranking: follow a link of the dashboard")
        })?;
        let stays = match query.optional("refresh")? {
            None | Some("on") => false,
            Some("off") => true,
            Some(_) => return Err(Problem::invalid_parameter("refresh", "write on or off")),
        };
        Ok(Self { period: Period::read(&query)?, subscriber, stays })
    }

    /// The query that asks for the same.
    pub(crate) fn query(self) -> String {
        let mut query = match self.period {
            Period::Last(days) => format!("days={days}"),
            Period::Between(from, to) => format!("from={from}&to={to}"),
        };
        if let Some(place) = self.subscriber {
            query.push_str(&format!("&subscriber={place}"));
        }
        if self.stays {
            query.push_str("&refresh=off");
        }
        query
    }
}

impl Period {
    fn read(query: &Query) -> Result<Self, Problem> {
        let day = |name| {
            let text = query.optional(name)?;
            text.map(Day::parse).transpose().map_err(|error| Problem::invalid_parameter(name, &error.to_string()))
        };
        let last = match query.optional("days")? {
            None => DEFAULT_DAYS,
            Some(text) => days(text).ok_or_else(|| {
                Problem::invalid_parameter(
                    "days",
                    &format!("write how many days with data are shown, from 1 to {MAX_DAYS}"),
                )
            })?,
        };
        match (day("from")?, day("to")?) {
            (None, None) => Ok(Self::Last(last)),
            (Some(one), None) | (None, Some(one)) => Ok(Self::Between(one, one)),
            (Some(from), Some(to)) => Self::between(from, to),
        }
    }

    fn between(from: Day, to: Day) -> Result<Self, Problem> {
        if from > to {
            return Err(Problem::invalid_parameter("to", "it lies before from: exchange the two"));
        }
        let days = i64::from(to.epoch_days() - from.epoch_days() + 1);
        if days > MAX_DAYS {
            let why = format!("{days} days are asked for and at most {MAX_DAYS} are shown: ask for fewer");
            return Err(Problem::invalid_parameter("to", &why));
        }
        Ok(Self::Between(from, to))
    }
}

/// A count of days as people write it.
fn days(text: &str) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|days| is_number && (1..=MAX_DAYS).contains(days))
}

impl Place {
    /// `None` where there are no days.
    pub(crate) fn new(rank: Rank, place: u8, msisdn: Msisdn, days: &Days) -> Option<Self> {
        let (from, to) = (*days.all.first()?, *days.all.last()?);
        Some(Self { rank, place, shown: shown(msisdn), from, to })
    }

    /// The days of the ranking, and perhaps some without data between them.
    pub(crate) fn days(self) -> Days {
        Days::between(self.from, self.to)
    }

    /// Whether a number ends in the digits of this one.
    pub(crate) fn is_of(self, msisdn: Msisdn) -> bool {
        self.shown == shown(msisdn)
    }
}

fn shown(msisdn: Msisdn) -> u16 {
    (msisdn.as_u64() % SHOWN) as u16
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rank = match self.rank {
            Rank::Cost => "cost",
            Rank::Data => "data",
        };
        let Self { place, shown, from, to, .. } = self;
        write!(f, "{rank}.{place}.{shown:03}.{from}.{to}")
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split('.').collect();
        let [rank, place, shown, from, to] = parts[..] else { return Err(()) };
        let rank = match rank {
            "cost" => Rank::Cost,
            "data" => Rank::Data,
            _ => return Err(()),
        };
        let place = place.parse().ok().filter(|place| (1..=MAX_SUBSCRIBERS).contains(place)).ok_or(())?;
        let shown = shown.parse().ok().filter(|number| u64::from(*number) < SHOWN).ok_or(())?;
        let [from, to] = [from, to].map(|day| Day::parse(day).map_err(|_| ()));
        let read = Self { rank, place, shown, from: from?, to: to? };
        // One text for each place.
        if read.to_string() == text { Ok(read) } else { Err(()) }
    }
}

impl Days {
    /// Every day from the first to the last.
    pub(crate) fn between(from: Day, to: Day) -> Self {
        let all = (from.epoch_days()..=to.epoch_days()).filter_map(Day::from_epoch_days).collect();
        Self { all, are_asked: true }
    }

    /// The last days with data; `None` where there are none.
    pub(crate) fn with_data(all: Vec<Day>) -> Option<Self> {
        (!all.is_empty()).then_some(Self { all, are_asked: false })
    }

    pub(crate) fn all(&self) -> &[Day] {
        &self.all
    }

    /// What is shown side by side: the days, or the hours of a single one.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        match *self.all {
            [day] => (0..24).map(|hour| Slot { day, hour: Some(hour) }).collect(),
            _ => self.all.iter().map(|&day| Slot { day, hour: None }).collect(),
        }
    }

    /// What a slot is.
    pub(crate) fn slot_name(&self) -> &'static str {
        if self.are_hours() { "hour" } else { "day" }
    }

    /// Whether one day is shown, and so its hours.
    pub(crate) fn are_hours(&self) -> bool {
        self.all.len() == 1
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
        let [what_one, what_more] =
            if self.are_asked { ["", ""] } else { [", the last day with data", ", the last days with data"] };
        match &*self.all {
            [] => Ok(()),
            [day] => write!(f, "{day}{what_one}"),
            [first, .., last] => write!(f, "{first} to {last}{what_more}"),
        }
    }
}

impl Slot {
    /// Whether nothing lies between this one and an earlier one.
    pub(crate) fn follows(self, earlier: Self) -> bool {
        match (earlier.hour, self.hour) {
            (None, None) => self.day.previous() == Some(earlier.day),
            (earlier_hour, hour) => self.day == earlier.day && earlier_hour.map(|hour| hour + 1) == hour,
        }
    }

    /// `1 Jan` or `08`, for the eye; tables have the whole of it.
    pub(crate) fn short(self) -> String {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Some(hour) = self.hour else {
            let (_, month, day) = self.day.civil();
            return format!("{day} {}", MONTHS.get(month as usize - 1).copied().unwrap_or_default());
        };
        format!("{hour:02}")
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hour {
            None => write!(f, "{}", self.day),
            Some(hour) => write!(f, "{} {hour:02}:00", self.day),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(query: &str, expect: Expect) {
        match Asked::parse(query) {
            Ok(asked) => {
                assert_eq!(Asked::parse(&asked.query()).map_err(|problem| problem.to_string()), Ok(asked));
                expect.assert_eq(&asked.query());
            }
            Err(problem) => expect.assert_eq(&problem.to_string()),
        }
    }

    #[test]
    fn days_are_asked_for_by_their_count_or_by_their_dates() {
        for query in ["", "from=&to=", "day=1", "refresh=on&days="] {
            check(query, expect!["days=14"]);
        }
        check("days=1", expect!["days=1"]);
        check("days=092", expect!["days=92"]);
        check("from=2024-01-01&to=2024-01-31&days=7", expect!["from=2024-01-01&to=2024-01-31"]);
        for query in ["from=2024-01-01", "from=&to=2024-01-01"] {
            check(query, expect!["from=2024-01-01&to=2024-01-01"]);
        }
        for query in ["days=0", "days=93", "days=-1", "days=%2B7", "days=week"] {
            check(query, expect!["days: write how many days with data are shown, from 1 to 92"]);
        }
        check("from=2024-01-01&from=", expect!["from: it is given more than once: write it once"]);
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
    fn a_subscriber_is_a_place_and_not_a_number() {
        check(
            "subscriber=cost.3.028.2024-01-01.2024-01-14&refresh=off",
            expect!["days=14&subscriber=cost.3.028.2024-01-01.2024-01-14&refresh=off"],
        );
        let (first, last) = (Day::parse("2024-01-01").unwrap(), Day::parse("2024-01-14").unwrap());
        let msisdn = |text| Msisdn::parse(text).unwrap();
        let place = Place::new(Rank::Data, 10, msisdn("27821234007"), &Days::between(first, last)).unwrap();
        assert_eq!(place.to_string(), "data.10.007.2024-01-01.2024-01-14");
        assert_eq!(place.days().all().len(), 14);
        assert!(place.is_of(msisdn("27830000007")) && !place.is_of(msisdn("27821234008")));
        let days = ".2024-01-01.2024-01-14";
        for place in ["27821234567", "cost.0.001", "cost.11.001", "cost.1.1", "cost.01.001", "age.1.001"] {
            assert_eq!(Place::from_str(&format!("{place}{days}")), Err(()), "{place}");
        }
        check(
            "subscriber=cost.1.001.2024-02-30.2024-03-01",
            expect!["subscriber: it is no place in a ranking: follow a link of the dashboard"],
        );
        check("refresh=never", expect!["refresh: write on or off"]);
    }

    #[test]
    fn days_are_said() {
        let [first, last] = ["2023-12-31", "2024-01-02"].map(|day| Day::parse(day).unwrap());
        let asked = Days::between(first, last);
        assert_eq!(asked.all().len(), 3);
        expect!["3 days: 2023-12-31 to 2024-01-02"].assert_eq(&format!("{}: {asked}", asked.short()));
        assert_eq!(Days::with_data(Vec::new()), None);
        let with_data = Days::with_data(vec![first, last]).unwrap();
        expect!["2 days: 2023-12-31 to 2024-01-02, the last days with data"]
            .assert_eq(&format!("{}: {with_data}", with_data.short()));
        let slots = with_data.slots();
        expect!["2023-12-31 31 Dec, 2024-01-02 2 Jan, false"].assert_eq(&format!(
            "{} {}, {} {}, {}",
            slots[0],
            slots[0].short(),
            slots[1],
            slots[1].short(),
            slots[1].follows(slots[0])
        ));
        let one = Days::with_data(vec![first]).unwrap();
        let hours = one.slots();
        expect![
            "2023-12-31: 2023-12-31, the last day with data, by the hour: 2023-12-31 00:00 00 to 2023-12-31 23:00 23"
        ]
        .assert_eq(&format!(
            "{}: {one}, by the {}: {} {} to {} {}",
            one.short(),
            one.slot_name(),
            hours[0],
            hours[0].short(),
            hours[23],
            hours[23].short()
        ));
        assert!(hours.windows(2).all(|pair| pair[1].follows(pair[0])) && !hours[2].follows(hours[0]));
    }
}
