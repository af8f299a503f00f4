use http_api::{Problem, Query, shown};
use telecom::{Day, Msisdn};

use crate::route::Resource;

/// What is asked of the usage store, and in which form it is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose usage.
    pub msisdn: Msisdn,
    /// The first day.
    pub from: Day,
    /// The last day, included.
    pub to: Day,
    /// The form of the answer.
    pub form: Form,
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/data_usage`: flat, with the asked values as they were written.
    DataUsage {
        /// As it was written.
        msisdn: String,
        /// As it was written.
        start_time: String,
        /// As it was written.
        end_time: String,
    },
    /// `/v1/usage/{msisdn}`: day by day.
    Days,
    /// `/v1/usage/{msisdn}/summary`: the whole history at once.
    Summary,
}

/// The most days in one answer: a year, which stays well under the 6 MB of a function's answer (a day has at most
/// 1.2 kB).
const MAX_DAYS: i32 = 366;

impl Ask {
    /// Reads what a path and its query ask for.
    ///
    /// # Errors
    /// A 400 names the first parameter that is missing or malformed.
    pub fn parse(resource: &Resource, query: &str) -> Result<Self, Problem> {
        match resource {
            Resource::DataUsage => Self::data_usage(&Query::parse(query)),
            Resource::Days { msisdn } => Self::days(msisdn, &Query::parse(query)),
            Resource::Summary { msisdn } => {
                Ok(Self { msisdn: parse_msisdn(msisdn)?, from: Day::MIN, to: Day::MAX, form: Form::Summary })
            }
        }
    }

    fn data_usage(query: &Query) -> Result<Self, Problem> {
        let msisdn = query.required("msisdn", "a subscriber's number, such as 27821234567")?;
        let start_time = query.required("start_time", "YYYYMMDDhhmmss, such as 20240101000000")?;
        let end_time = query.required("end_time", "YYYYMMDDhhmmss, such as 20240131235959")?;
        let number = parse_msisdn(msisdn)?;
        let start = Moment::parse("start_time", start_time)?;
        let end = Moment::parse("end_time", end_time)?;
        if start > end {
            return Err(Problem::invalid_parameter("end_time", "it lies before start_time: exchange the two"));
        }
        let (from, to) = days_touched(start, end);
        limit_days("end_time", from, to)?;
        let (msisdn, start_time, end_time) = (msisdn.to_owned(), start_time.to_owned(), end_time.to_owned());
        Ok(Self { msisdn: number, from, to, form: Form::DataUsage { msisdn, start_time, end_time } })
    }

    fn days(msisdn: &str, query: &Query) -> Result<Self, Problem> {
        let msisdn = parse_msisdn(msisdn)?;
        let from = parse_day("from", query.required("from", "the first day, such as 2024-01-01")?)?;
        let to = parse_day("to", query.required("to", "the last day, such as 2024-01-31")?)?;
        if from > to {
            return Err(Problem::invalid_parameter("to", "it lies before from: exchange the two"));
        }
        limit_days("to", from, to)?;
        Ok(Self { msisdn, from, to, form: Form::Days })
    }
}

/// A second of civil time. The order of the fields is the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    day: Day,
    second: u32,
}

impl Moment {
    fn parse(name: &'static str, text: &str) -> Result<Self, Problem> {
        Self::read(text).ok_or_else(|| {
            let why = format!("{} is not a time: write YYYYMMDDhhmmss, such as 20240131235959", shown(text));
            Problem::invalid_parameter(name, &why)
        })
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().ok();
        let [hour, minute, second] = [number(8..10)?, number(10..12)?, number(12..14)?];
        let day = Day::parse(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..8])).ok()?;
        (hour < 24 && minute < 60 && second < 60).then_some(Self { day, second: (hour * 60 + minute) * 60 + second })
    }
}

/// The first and the last day that [start, end) touches; an empty interval is taken as the second that it names.
fn days_touched(start: Moment, end: Moment) -> (Day, Day) {
    let ends_at_midnight = end.second == 0 && end > start;
    (start.day, end.day.previous().filter(|_| ends_at_midnight).unwrap_or(end.day))
}

fn parse_msisdn(text: &str) -> Result<Msisdn, Problem> {
    Msisdn::parse(text).map_err(|_| {
        let why = format!(
            "{} is not a subscriber's number: write 5 to 15 digits in international form, such as 27821234567",
            shown(text)
        );
        Problem::invalid_parameter("msisdn", &why)
    })
}

fn parse_day(name: &'static str, text: &str) -> Result<Day, Problem> {
    Day::parse(text).map_err(|_| {
        let why = format!(
            "{} is not a day from {} to {}: write YYYY-MM-DD, such as 2024-01-31",
            shown(text),
            Day::MIN,
            Day::MAX
        );
        Problem::invalid_parameter(name, &why)
    })
}

fn limit_days(name: &'static str, from: Day, to: Day) -> Result<(), Problem> {
    let days = to.epoch_days() - from.epoch_days() + 1;
    if days <= MAX_DAYS {
        return Ok(());
    }
    Err(Problem::invalid_parameter(
        name,
        &format!("{days} days are asked for and at most {MAX_DAYS} are answered: ask in parts"),
    ))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use lambda_http::http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::Route;

    fn check(resource: &Resource, query: &str, expect: Expect) {
        match Ask::parse(resource, query) {
            Ok(Ask { msisdn, from, to, form }) => expect.assert_eq(&format!("{msisdn} {from} {to} {form:?}")),
            Err(problem) => expect.assert_eq(&problem.to_string()),
        }
    }

    fn data_usage(query: &str, expect: Expect) {
        check(&Resource::DataUsage, query, expect);
    }

    #[test]
    fn data_usage_takes_the_seeds_parameters() {
        data_usage(
            "msisdn=27821234567&start_time=20240101000000&end_time=20240101235959",
            expect![[
                r#"27821234567 2024-01-01 2024-01-01 DataUsage { msisdn: "27821234567", start_time: "20240101000000", end_time: "20240101235959" }"#
            ]],
        );
        data_usage(
            "end_time=20240102000000&msisdn=%2B27821234567&start_time=20240101000000&unknown=1&",
            expect![[
                r#"27821234567 2024-01-01 2024-01-01 DataUsage { msisdn: "+27821234567", start_time: "20240101000000", end_time: "20240102000000" }"#
            ]],
        );
        data_usage(
            "msisdn=+27821234567&start_time=20240101000000&end_time=20240101000000",
            expect![[
                r#"27821234567 2024-01-01 2024-01-01 DataUsage { msisdn: "+27821234567", start_time: "20240101000000", end_time: "20240101000000" }"#
            ]],
        );
        data_usage(
            "msisdn=%2027821234567%20&start_time=20240101000000&end_time=20240101000000",
            expect![[
                r#"27821234567 2024-01-01 2024-01-01 DataUsage { msisdn: " 27821234567 ", start_time: "20240101000000", end_time: "20240101000000" }"#
            ]],
        );
        data_usage(
            "msisdn=0027821234567&start_time=20240101000000&end_time=20241231235959",
            expect![[
                r#"27821234567 2024-01-01 2024-12-31 DataUsage { msisdn: "0027821234567", start_time: "20240101000000", end_time: "20241231235959" }"#
            ]],
        );
    }

    #[test]
    fn data_usage_says_what_to_write() {
        data_usage("", expect!["msisdn: it is missing: write a subscriber's number, such as 27821234567"]);
        data_usage(
            "msisdn=&start_time=20240101000000&end_time=20240101235959",
            expect!["msisdn: it is missing: write a subscriber's number, such as 27821234567"],
        );
        data_usage(
            "msisdn=27821234567",
            expect!["start_time: it is missing: write YYYYMMDDhhmmss, such as 20240101000000"],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240101000000",
            expect!["end_time: it is missing: write YYYYMMDDhhmmss, such as 20240131235959"],
        );
        data_usage(
            "msisdn=0821234567&start_time=20240101000000&end_time=20240101235959",
            expect![[
                r#"msisdn: "0821234567" is not a subscriber's number: write 5 to 15 digits in international form, such as 27821234567"#
            ]],
        );
        data_usage(
            "msisdn=27<821>%00%FF&start_time=20240101000000&end_time=20240101235959",
            expect![[
                r#"msisdn: "27<821>\0�" is not a subscriber's number: write 5 to 15 digits in international form, such as 27821234567"#
            ]],
        );
        data_usage(
            &format!("msisdn={}&start_time=20240101000000&end_time=20240101235959", "é".repeat(41)),
            expect![[
                r#"msisdn: "éééééééééééééééééééééééééééééééééééééééé"… is not a subscriber's number: write 5 to 15 digits in international form, such as 27821234567"#
            ]],
        );
        data_usage(
            "msisdn=1&msisdn=2&start_time=20240101000000&end_time=20240101235959",
            expect!["msisdn: it is given more than once: write it once"],
        );
        data_usage(
            "msisdn=27821234567&start_time=2024-01-01&end_time=20240101235959",
            expect![[r#"start_time: "2024-01-01" is not a time: write YYYYMMDDhhmmss, such as 20240131235959"#]],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240230000000&end_time=20240101235959",
            expect![[r#"start_time: "20240230000000" is not a time: write YYYYMMDDhhmmss, such as 20240131235959"#]],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240101000000&end_time=20240101240000",
            expect![[r#"end_time: "20240101240000" is not a time: write YYYYMMDDhhmmss, such as 20240131235959"#]],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240101000000&end_time=20240101236000",
            expect![[r#"end_time: "20240101236000" is not a time: write YYYYMMDDhhmmss, such as 20240131235959"#]],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240101000000&end_time=20240101235960",
            expect![[r#"end_time: "20240101235960" is not a time: write YYYYMMDDhhmmss, such as 20240131235959"#]],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240101000000&end_time=2024010123595",
            expect![[r#"end_time: "2024010123595" is not a time: write YYYYMMDDhhmmss, such as 20240131235959"#]],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240101000001&end_time=20240101000000",
            expect!["end_time: it lies before start_time: exchange the two"],
        );
        data_usage(
            "msisdn=27821234567&start_time=20240101000000&end_time=20250101000001",
            expect!["end_time: 367 days are asked for and at most 366 are answered: ask in parts"],
        );
    }

    #[test]
    fn an_interval_touches_days() {
        let days = |start: &str, end: &str| {
            let query = format!("msisdn=27821234567&start_time={start}&end_time={end}");
            let ask = Ask::parse(&Resource::DataUsage, &query).unwrap();
            format!("{} {}", ask.from, ask.to)
        };
        assert_eq!(days("20240101000000", "20240102000000"), "2024-01-01 2024-01-01");
        assert_eq!(days("20240101000000", "20240101235959"), "2024-01-01 2024-01-01");
        assert_eq!(days("20240101235959", "20240102000001"), "2024-01-01 2024-01-02");
        assert_eq!(days("20240101000000", "20240201000000"), "2024-01-01 2024-01-31");
        assert_eq!(days("20240102000000", "20240102000000"), "2024-01-02 2024-01-02");
        assert_eq!(days("20240228120000", "20240301000000"), "2024-02-28 2024-02-29");
        assert_eq!(days("19700101000000", "19700101000000"), "1970-01-01 1970-01-01");
    }

    fn usage(msisdn: &str, query: &str, expect: Expect) {
        check(&Resource::Days { msisdn: msisdn.into() }, query, expect);
    }

    #[test]
    fn usage_takes_days() {
        usage("+27821234567", "from=2024-01-01&to=2024-01-31", expect!["27821234567 2024-01-01 2024-01-31 Days"]);
        usage("27821234567", "from=2024-01-01&to=2024-01-01", expect!["27821234567 2024-01-01 2024-01-01 Days"]);
        usage("27821234567", "from=2024-01-01&to=2024-12-31", expect!["27821234567 2024-01-01 2024-12-31 Days"]);
        usage(
            "0",
            "from=2024-01-01&to=2024-01-31",
            expect![[
                r#"msisdn: "0" is not a subscriber's number: write 5 to 15 digits in international form, such as 27821234567"#
            ]],
        );
        usage("27821234567", "", expect!["from: it is missing: write the first day, such as 2024-01-01"]);
        usage("27821234567", "from=2024-01-01", expect!["to: it is missing: write the last day, such as 2024-01-31"]);
        usage(
            "27821234567",
            "from=2024-13-01&to=2024-01-31",
            expect![[
                r#"from: "2024-13-01" is not a day from 1970-01-01 to 2100-12-31: write YYYY-MM-DD, such as 2024-01-31"#
            ]],
        );
        usage(
            "27821234567",
            "from=2024-01-01&to=20240131",
            expect![[
                r#"to: "20240131" is not a day from 1970-01-01 to 2100-12-31: write YYYY-MM-DD, such as 2024-01-31"#
            ]],
        );
        usage(
            "27821234567",
            "from=1969-12-31&to=2024-01-31",
            expect![[
                r#"from: "1969-12-31" is not a day from 1970-01-01 to 2100-12-31: write YYYY-MM-DD, such as 2024-01-31"#
            ]],
        );
        usage("27821234567", "from=2024-01-02&to=2024-01-01", expect!["to: it lies before from: exchange the two"]);
        usage(
            "27821234567",
            "from=2024-01-01&to=2025-01-01",
            expect!["to: 367 days are asked for and at most 366 are answered: ask in parts"],
        );
    }

    #[test]
    fn a_summary_is_of_all_time() {
        check(
            &Resource::Summary { msisdn: "27821234567".into() },
            "from=ignored",
            expect!["27821234567 1970-01-01 2100-12-31 Summary"],
        );
        check(
            &Resource::Summary { msisdn: "summary".into() },
            "",
            expect![[
                r#"msisdn: "summary" is not a subscriber's number: write 5 to 15 digits in international form, such as 27821234567"#
            ]],
        );
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_writes_panics(path in ".*", msisdn in ".*", from in ".*", to in ".{14}", query in ".*") {
            if let Ok(Route::Usage(resource)) = Route::find(&Method::GET, &format!("/v1/usage/{path}")) {
                drop(Ask::parse(&resource, &query));
            }
            let query = format!("msisdn={msisdn}&from={from}&to={to}&start_time={from}&end_time={to}&{query}");
            for resource in [Resource::DataUsage, Resource::Days { msisdn: msisdn.clone() }] {
                drop(Ask::parse(&resource, &query));
            }
        }
    }
}
