//! What is asked of a tower, and what is answered.

use http_api::{Problem, Query, shown};
use serde::Serialize;
use telecom::{Day, Totals};
use usage_store::TowerHour;

use crate::answer::Figures;

/// A tower's activity by the hour. Hours are of civil days in the operator's zone, 0–23.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TowerAsk {
    /// The tower.
    pub tower_id: u32,
    /// The first hour.
    pub from: (Day, u8),
    /// The last hour, included.
    pub to: (Day, u8),
}

/// The most days in one answer: a month by the hour is what a chart shows, and a tower's day is one partition to read.
const MAX_DAYS: i32 = 31;
const MAX_HOURS: i32 = MAX_DAYS * 24;

impl TowerAsk {
    /// Reads what a path and its query ask for.
    ///
    /// # Errors
    /// A 400 names the first parameter that is missing or malformed.
    pub fn parse(id: &str, query: &str) -> Result<Self, Problem> {
        let query = Query::parse(query);
        let tower_id = parse_id(id)?;
        let from = parse_hour("from", query.required("from", "the first hour or day, such as 2024-01-01T08")?, 0)?;
        let to = parse_hour("to", query.required("to", "the last hour or day, such as 2024-01-01T17")?, 23)?;
        if from > to {
            return Err(Problem::invalid_parameter("to", "it lies before from: exchange the two"));
        }
        let hours = epoch_hours(to) - epoch_hours(from) + 1;
        if hours > MAX_HOURS {
            let why = format!(
                "{hours} hours are asked for and at most {MAX_HOURS} ({MAX_DAYS} days) are answered: ask in parts"
            );
            return Err(Problem::invalid_parameter("to", &why));
        }
        Ok(Self { tower_id, from, to })
    }

    /// The body of the answer to what is stored: ascending hours.
    ///
    /// # Errors
    /// Never in practice: strings and numbers always have a JSON form.
    pub fn answer(&self, hours: &[(TowerHour, Totals)]) -> serde_json::Result<String> {
        let hours = hours.iter().map(|(at, totals)| Hour { hour: text((at.day, at.hour)), figures: totals.into() });
        serde_json::to_string(&Activity {
            tower_id: self.tower_id,
            from: text(self.from),
            to: text(self.to),
            accuracy: "approximate",
            hours: hours.collect(),
        })
    }
}

/// `/v1/towers/{id}/activity`, as described in docs/api.md.
#[derive(Serialize)]
struct Activity {
    tower_id: u32,
    from: String,
    to: String,
    /// In the answer itself, so that nobody bills from it who has not read the documentation.
    accuracy: &'static str,
    hours: Vec<Hour>,
}

#[derive(Serialize)]
struct Hour {
    hour: String,
    #[serde(flatten)]
    figures: Figures,
}

fn parse_id(id: &str) -> Result<u32, Problem> {
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
    id.parse().ok().filter(|_| is_number).ok_or_else(|| {
        let why = format!("{} is not a tower: write a whole number up to {}, such as 1523", shown(id), u32::MAX);
        Problem::invalid_parameter("id", &why)
    })
}

/// `2024-01-01T10` or `2024-01-01T10:00`; a day alone, `2024-01-01`, stands for its `hour_of_day`.
fn parse_hour(name: &'static str, text: &str, hour_of_day: u8) -> Result<(Day, u8), Problem> {
    read_hour(text, hour_of_day).ok_or_else(|| {
        let why = format!(
            "{} is not an hour of a day from {} to {}: write YYYY-MM-DDThh, such as 2024-01-31T23, or a day alone",
            shown(text),
            Day::MIN,
            Day::MAX
        );
        Problem::invalid_parameter(name, &why)
    })
}

fn read_hour(text: &str, hour_of_day: u8) -> Option<(Day, u8)> {
    let (day, hour) = match text.split_once('T') {
        None => (text, hour_of_day),
        Some((day, time)) => {
            let &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = time.strip_suffix(":00").unwrap_or(time).as_bytes() else {
                return None;
            };
            (day, (tens - b'0') * 10 + (ones - b'0'))
        }
    };
    (hour < 24).then_some((Day::parse(day).ok()?, hour))
}

fn epoch_hours((day, hour): (Day, u8)) -> i32 {
    day.epoch_days() * 24 + i32::from(hour)
}

fn text((day, hour): (Day, u8)) -> String {
    format!("{day}T{hour:02}:00")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::answer::tests::documented;

    fn check(id: &str, query: &str, expect: Expect) {
        match TowerAsk::parse(id, query) {
            Ok(TowerAsk { tower_id, from, to }) => {
                expect.assert_eq(&format!("{tower_id} {} {}", text(from), text(to)));
            }
            Err(problem) => expect.assert_eq(&problem.to_string()),
        }
    }

    #[test]
    fn hours_and_days_are_included() {
        check("1523", "from=2024-01-01&to=2024-01-01", expect!["1523 2024-01-01T00:00 2024-01-01T23:00"]);
        check("0", "from=2024-01-01T08&to=2024-01-01T17:00", expect!["0 2024-01-01T08:00 2024-01-01T17:00"]);
        check(
            "4294967295",
            "from=2024-01-01T08&to=2024-01-31",
            expect!["4294967295 2024-01-01T08:00 2024-01-31T23:00"],
        );
        check("007", "from=2024-01-01T23&to=2024-02-01T22&msisdn=1", expect!["7 2024-01-01T23:00 2024-02-01T22:00"]);
        check("1", "from=1970-01-01&to=1970-01-31", expect!["1 1970-01-01T00:00 1970-01-31T23:00"]);
    }

    #[test]
    fn says_what_to_write() {
        let day = "from=2024-01-01&to=2024-01-01";
        check("", day, expect![[r#"id: "" is not a tower: write a whole number up to 4294967295, such as 1523"#]]);
        check("-1", day, expect![[r#"id: "-1" is not a tower: write a whole number up to 4294967295, such as 1523"#]]);
        check("+1", day, expect![[r#"id: "+1" is not a tower: write a whole number up to 4294967295, such as 1523"#]]);
        check(
            "4294967296",
            day,
            expect![[r#"id: "4294967296" is not a tower: write a whole number up to 4294967295, such as 1523"#]],
        );
        check(
            "<1>",
            day,
            expect![[r#"id: "<1>" is not a tower: write a whole number up to 4294967295, such as 1523"#]],
        );
        check("1", "", expect!["from: it is missing: write the first hour or day, such as 2024-01-01T08"]);
        check("1", "from=2024-01-01", expect!["to: it is missing: write the last hour or day, such as 2024-01-01T17"]);
        check(
            "1",
            "from=2024-01-01&from=2024-01-02&to=2024-01-03",
            expect!["from: it is given more than once: write it once"],
        );
        for from in ["2024-01-01T24", "2024-01-01T8", "2024-01-01T08:30", "2024-01-01 08", "20240101080000", "T08", "é"]
        {
            let error = TowerAsk::parse("1", &format!("from={from}&to=2024-01-01")).unwrap_err().to_string();
            assert!(error.starts_with("from: ") && error.contains(" is not an hour of a day "), "{error}");
        }
        check(
            "1",
            "from=2024-02-30&to=2024-01-01",
            expect![[
                r#"from: "2024-02-30" is not an hour of a day from 1970-01-01 to 2100-12-31: write YYYY-MM-DDThh, such as 2024-01-31T23, or a day alone"#
            ]],
        );
        check("1", "from=2024-01-01T08&to=2024-01-01T07", expect!["to: it lies before from: exchange the two"]);
        check(
            "1",
            "from=2024-01-01T00&to=2024-02-01T00",
            expect!["to: 745 hours are asked for and at most 744 (31 days) are answered: ask in parts"],
        );
        check(
            "1",
            "from=1970-01-01&to=2100-12-31",
            expect!["to: 1148328 hours are asked for and at most 744 (31 days) are answered: ask in parts"],
        );
    }

    #[test]
    fn the_documented_answer_is_the_real_one() {
        let ask = TowerAsk::parse("1523", "from=2024-01-01T08&to=2024-01-01").unwrap();
        let at = |hour| TowerHour { tower_id: 1523, day: ask.from.0, hour };
        let hours = [
            (at(10), Totals { up_bytes: 523_456, down_bytes: 1_234_567, seconds: 185, events: 4 }),
            (at(23), Totals { up_bytes: 400, down_bytes: 600, seconds: 0, events: 2 }),
        ];
        let text = include_str!("../../../docs/api.md");
        assert_eq!(documented(text, "### `GET /v1/towers/{id}/activity"), ask.answer(&hours).unwrap());
        expect![[
            r#"{"tower_id":1523,"from":"2024-01-01T08:00","to":"2024-01-01T23:00","accuracy":"approximate","hours":[]}"#
        ]]
        .assert_eq(&ask.answer(&[]).unwrap());
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_writes_panics(id in ".*", from in ".*", to in ".*", query in ".*") {
            drop(TowerAsk::parse(&id, &query));
            drop(TowerAsk::parse("1", &format!("from={from}&to={to}")));
        }
    }
}
