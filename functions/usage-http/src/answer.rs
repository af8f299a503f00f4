use std::collections::BTreeMap;
use std::iter::Sum;

use serde::Serialize;
use telecom::{Category, Cost, Tariff, Totals};
use usage_store::DailyUsage;

use crate::ask::{Ask, Form};

/// The body of the answer: a pure function of what was asked, what is stored (one row a day and kind, in any order) and
/// what it costs.
///
/// # Errors
/// Never in practice: strings and numbers always have a JSON form.
pub fn answer(ask: &Ask, rows: &[DailyUsage], tariff: &Tariff) -> serde_json::Result<String> {
    let mut rows: Vec<&DailyUsage> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| (row.day, kind_of(row)));
    match &ask.form {
        Form::DataUsage { msisdn, start_time, end_time } => {
            let usage = rows.iter().map(|row| DayTotal::new(row)).collect();
            serde_json::to_string(&DataUsage { msisdn, start_time, end_time, usage })
        }
        Form::Days => {
            let (msisdn, from, to) = (ask.msisdn.to_string(), ask.from.to_string(), ask.to.to_string());
            let days = by_day(&rows).map(|day| DayUsage::new(day, tariff)).collect();
            serde_json::to_string(&Days { msisdn, from, to, days, totals: Priced::new(&rows, tariff) })
        }
        Form::Summary => serde_json::to_string(&Summary {
            msisdn: ask.msisdn.to_string(),
            first_day: rows.first().map(|row| row.day.to_string()),
            last_day: rows.last().map(|row| row.day.to_string()),
            days: by_day(&rows).count(),
            totals: Priced::new(&rows, tariff),
            usage: by_kind(&rows),
        }),
    }
}

/// `/data_usage`; like all the shapes here, described in docs/api.md.
#[derive(Serialize)]
struct DataUsage<'a> {
    msisdn: &'a str,
    start_time: &'a str,
    end_time: &'a str,
    usage: Vec<DayTotal>,
}

#[derive(Serialize)]
struct DayTotal {
    #[serde(flatten)]
    kind: Kind,
    total: u128,
    measure: &'static str,
    start_time: String,
}

#[derive(Serialize)]
struct Days {
    msisdn: String,
    from: String,
    to: String,
    days: Vec<DayUsage>,
    totals: Priced,
}

#[derive(Serialize)]
struct DayUsage {
    day: String,
    #[serde(flatten)]
    totals: Priced,
    usage: Vec<KindUsage>,
}

#[derive(Serialize)]
struct Summary {
    msisdn: String,
    first_day: Option<String>,
    last_day: Option<String>,
    days: usize,
    totals: Priced,
    usage: Vec<KindUsage>,
}

#[derive(Serialize)]
struct KindUsage {
    #[serde(flatten)]
    kind: Kind,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Kind {
    category: &'static str,
    usage_type: &'static str,
}

#[derive(Serialize)]
struct Priced {
    #[serde(flatten)]
    figures: Figures,
    cost: Money,
}

#[derive(Serialize)]
struct Money {
    currency: &'static str,
    amount: String,
}

/// Sums of [`Totals`], too wide to overflow.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Figures {
    up_bytes: u128,
    down_bytes: u128,
    seconds: u128,
    events: u128,
}

impl DayTotal {
    fn new(row: &DailyUsage) -> Self {
        let (total, measure) = match row.kind.category() {
            Category::Data => (row.totals.bytes(), "bytes"),
            Category::Call => (row.totals.seconds.into(), "seconds"),
        };
        Self { kind: kind_of(row), total, measure, start_time: format!("{} 00:00:00", row.day) }
    }
}

impl DayUsage {
    /// `rows` are one day's, and at least one.
    fn new(rows: &[&DailyUsage], tariff: &Tariff) -> Self {
        Self { day: rows[0].day.to_string(), totals: Priced::new(rows, tariff), usage: by_kind(rows) }
    }
}

impl Priced {
    /// The cost is rounded here, once, from the exact sum.
    fn new(rows: &[&DailyUsage], tariff: &Tariff) -> Self {
        let price = |day: &[&DailyUsage]| tariff.cost(day[0].day, day.iter().map(|row| (row.kind, row.totals)));
        let cost: Cost = by_day(rows).map(price).sum();
        Self {
            figures: rows.iter().map(|row| Figures::from(&row.totals)).sum(),
            cost: Money { currency: "ZAR", amount: cost.to_zar_string() },
        }
    }
}

fn kind_of(row: &DailyUsage) -> Kind {
    Kind { category: row.kind.category().as_str(), usage_type: row.kind.usage_type() }
}

fn by_day<'a, 'b>(rows: &'a [&'b DailyUsage]) -> impl Iterator<Item = &'a [&'b DailyUsage]> {
    rows.chunk_by(|a, b| a.day == b.day)
}

fn by_kind(rows: &[&DailyUsage]) -> Vec<KindUsage> {
    let mut kinds = BTreeMap::<Kind, Figures>::new();
    for row in rows {
        let figures = kinds.entry(kind_of(row)).or_default();
        *figures = [*figures, Figures::from(&row.totals)].into_iter().sum();
    }
    kinds.into_iter().map(|(kind, figures)| KindUsage { kind, figures }).collect()
}

impl From<&Totals> for Figures {
    fn from(totals: &Totals) -> Self {
        Self {
            up_bytes: totals.up_bytes.into(),
            down_bytes: totals.down_bytes.into(),
            seconds: totals.seconds.into(),
            events: totals.events.into(),
        }
    }
}

impl Sum for Figures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), |sum, one| Self {
            up_bytes: sum.up_bytes + one.up_bytes,
            down_bytes: sum.down_bytes + one.down_bytes,
            seconds: sum.seconds + one.seconds,
            events: sum.events + one.events,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::expect;
    use lambda_http::http::Method;
    use proptest::prelude::*;
    use serde_json::Value;
    use telecom::{Day, UsageKind};

    use super::*;
    use crate::{Resource, Route};

    fn row(day: &str, kind: UsageKind, [up_bytes, down_bytes, seconds, events]: [u64; 4]) -> DailyUsage {
        let totals = Totals { up_bytes, down_bytes, seconds, events };
        DailyUsage { day: Day::parse(day).unwrap(), kind, totals }
    }

    /// What the examples of the documentation are about.
    fn example() -> [DailyUsage; 3] {
        [
            row("2024-01-01", UsageKind::DataVideo, [523_456, 1_234_567, 0, 1]),
            row("2024-01-01", UsageKind::CallVoice, [0, 0, 185, 3]),
            row("2024-01-02", UsageKind::DataText, [400, 600, 0, 2]),
        ]
    }

    fn answer_to(path: &str, rows: &[DailyUsage]) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let Ok(Route::Usage(resource)) = Route::find(&Method::GET, path) else { panic!("{path} is no usage") };
        answer(&Ask::parse(&resource, query).unwrap(), rows, &Tariff::standard()).unwrap()
    }

    /// The JSON block that follows `heading`, without its line breaks and the spaces between its parts.
    pub(crate) fn documented(text: &str, heading: &str) -> String {
        let (_, after) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
        let (_, json) = after.split_once("```json\n").unwrap();
        let json: String = json.split_once("```").unwrap().0.lines().map(str::trim).collect();
        json.replace("\": ", "\":").replace(", \"", ",\"")
    }

    #[test]
    fn the_documented_answers_are_the_real_ones() {
        let text = include_str!("../../../docs/api.md");
        for (heading, path) in [
            (
                "### `GET /data_usage",
                "/data_usage?msisdn=+27821234567&start_time=20240101000000&end_time=20240103000000",
            ),
            ("### `GET /v1/usage/{msisdn}?", "/v1/usage/27821234567?from=2024-01-01&to=2024-01-31"),
            ("### `GET /v1/usage/{msisdn}/summary", "/v1/usage/27821234567/summary"),
        ] {
            assert_eq!(documented(text, heading), answer_to(path, &example()), "{path}");
        }
        let resource = Resource::Days { msisdn: "27821234567".into() };
        let problem = Ask::parse(&resource, "from=2024-13-01&to=2024-01-31").unwrap_err();
        let response = problem.response().unwrap();
        assert_eq!(documented(text, "## Errors").as_bytes(), &**response.body());
    }

    #[test]
    fn no_usage_is_an_answer_too() {
        let check = |path: &str, expect: expect_test::Expect| expect.assert_eq(&answer_to(path, &[]));
        check(
            "/data_usage?msisdn=27821234567&start_time=20240101000000&end_time=20240101000000",
            expect![[
                r#"{"msisdn":"27821234567","start_time":"20240101000000","end_time":"20240101000000","usage":[]}"#
            ]],
        );
        check(
            "/v1/usage/27821234567?from=2024-01-01&to=2024-01-01",
            expect![[
                r#"{"msisdn":"27821234567","from":"2024-01-01","to":"2024-01-01","days":[],"totals":{"up_bytes":0,"down_bytes":0,"seconds":0,"events":0,"cost":{"currency":"ZAR","amount":"0.00"}}}"#
            ]],
        );
        check(
            "/v1/usage/27821234567/summary",
            expect![[
                r#"{"msisdn":"27821234567","first_day":null,"last_day":null,"days":0,"totals":{"up_bytes":0,"down_bytes":0,"seconds":0,"events":0,"cost":{"currency":"ZAR","amount":"0.00"}},"usage":[]}"#
            ]],
        );
    }

    #[test]
    fn costs_are_rounded_once() {
        // Two days of 100,000 bytes: 0.0049 ZAR each, 0.0098 ZAR together.
        let rows = ["2024-01-01", "2024-01-02"].map(|day| row(day, UsageKind::DataText, [0, 100_000, 0, 1]));
        let body: Value =
            serde_json::from_str(&answer_to("/v1/usage/27821234567?from=2024-01-01&to=2024-01-02", &rows)).unwrap();
        assert_eq!(body["days"][0]["cost"]["amount"], "0.00");
        assert_eq!(body["days"][1]["cost"]["amount"], "0.00");
        assert_eq!(body["totals"]["cost"]["amount"], "0.01");
    }

    #[test]
    fn the_largest_figures_fit() {
        let rows = ["2024-01-01", "2024-01-02"].map(|day| row(day, UsageKind::DataText, [u64::MAX; 4]));
        let body = answer_to("/data_usage?msisdn=27821234567&start_time=20240101000000&end_time=20240102000001", &rows);
        assert_eq!(body.matches("\"total\":36893488147419103230").count(), 2);
        assert!(answer_to("/v1/usage/27821234567/summary", &rows).contains("\"events\":36893488147419103230"));
    }

    fn any_rows() -> impl Strategy<Value = Vec<DailyUsage>> {
        let figures = prop::array::uniform4(0..1_u64 << 40);
        let days = prop::collection::btree_map((0..60_i32, 0..UsageKind::ALL.len()), figures, 0..60);
        let rows = days.prop_map(|days| {
            let row = |((day, kind), [up_bytes, down_bytes, seconds, events]): ((i32, usize), [u64; 4])| DailyUsage {
                day: Day::from_epoch_days(19_700 + day).unwrap(),
                kind: UsageKind::ALL[kind],
                totals: Totals { up_bytes, down_bytes, seconds, events },
            };
            days.into_iter().map(row).collect::<Vec<_>>()
        });
        rows.prop_shuffle()
    }

    const FIGURES: [&str; 4] = ["up_bytes", "down_bytes", "seconds", "events"];

    fn sum<'a>(parts: impl IntoIterator<Item = &'a Value>) -> [u64; 4] {
        parts.into_iter().fold([0; 4], |mut sums, part| {
            for (sum, name) in sums.iter_mut().zip(FIGURES) {
                *sum += part[name].as_u64().unwrap();
            }
            sums
        })
    }

    proptest! {
        #[test]
        fn parts_add_up_to_their_totals(rows in any_rows()) {
            let usage = answer_to("/v1/usage/27821234567?from=2023-12-01&to=2024-03-31", &rows);
            let usage: Value = serde_json::from_str(&usage).unwrap();
            let days = usage["days"].as_array().unwrap();
            prop_assert_eq!(sum(days), sum([&usage["totals"]]));
            for day in days {
                prop_assert_eq!(sum(day["usage"].as_array().unwrap()), sum([day]));
            }
            prop_assert!(days.is_sorted_by(|a, b| a["day"].as_str() < b["day"].as_str()));

            let summary: Value = serde_json::from_str(&answer_to("/v1/usage/27821234567/summary", &rows)).unwrap();
            prop_assert_eq!(&summary["totals"], &usage["totals"]);
            prop_assert_eq!(&summary["days"], days.len());
            prop_assert_eq!(sum(summary["usage"].as_array().unwrap()), sum([&usage["totals"]]));

            let flat = answer_to("/data_usage?msisdn=27821234567&start_time=20231201000000&end_time=20240401000000", &rows);
            let flat: Value = serde_json::from_str(&flat).unwrap();
            let total = |measure: &str| -> u64 {
                let entries = flat["usage"].as_array().unwrap().iter();
                entries.filter(|entry| entry["measure"] == measure).map(|entry| entry["total"].as_u64().unwrap()).sum()
            };
            let of = |category: Category| rows.iter().filter(move |row| row.kind.category() == category);
            prop_assert_eq!(flat["usage"].as_array().unwrap().len(), rows.len());
            prop_assert_eq!(total("bytes"), of(Category::Data).map(|row| row.totals.up_bytes + row.totals.down_bytes).sum::<u64>());
            prop_assert_eq!(total("seconds"), of(Category::Call).map(|row| row.totals.seconds).sum::<u64>());
        }
    }
}
