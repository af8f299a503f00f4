//! The parts of the page: rows in, markup out.

use std::collections::BTreeMap;

use kafka_sink::GroupLag;
use telecom::{Category, Cost, Day, Tariff, UsageKind};

use super::chart::{Chart, Series, table};
use super::text::{Text, Unit, cents};
use super::warehouse::{
    BALANCED_RUNS, Balance, Conflict, DayMessages, DayUsage, Loaded, Loads, MAX_REJECTED, Messages, Newest, Rejected,
    Run, Subscriber, Top, Waits, WaitsOf,
};
use super::{Absent, Days, GROUP_PREFIX, Section};

pub(super) fn usage(usage: &Section<Option<(Days, Vec<DayUsage>)>>, tariff: &Tariff) -> String {
    part(
        "usage",
        "Usage",
        by_days(usage, "usage", |days, rows| {
            if rows.is_empty() {
                return note("No usage in these days.");
            }
            let kinds = |category: Category| {
                let kinds = UsageKind::ALL.into_iter().filter(move |kind| kind.category() == category);
                kinds.map(|kind| Series {
                    name: Text::new(kind.usage_type()),
                    values: per_day(
                        days,
                        rows.iter()
                            .filter(|row| row.kind == kind)
                            .map(|row| (row.day, row.totals.bytes() + u128::from(row.totals.seconds))),
                    ),
                })
            };
            let mut costs = BTreeMap::<Day, Cost>::new();
            for row in rows {
                *costs.entry(row.day).or_default() += tariff.cost(row.day, [(row.kind, row.totals)]);
            }
            let cost = per_day(days, costs.into_iter().map(|(day, cost)| (day, cents(cost))));
            let data = Chart { title: "Data by day", unit: Unit::Bytes, days, series: kinds(Category::Data).collect() };
            let calls =
                Chart { title: "Calls by day", unit: Unit::Seconds, days, series: kinds(Category::Call).collect() };
            let series = vec![Series { name: Text::new("Cost"), values: cost }];
            let cost = Chart { title: "Cost by day", unit: Unit::Cents, days, series };
            format!("<div class=\"grid2 grid3\">{}{}{}</div>", data.bars(), calls.bars(), cost.bars())
        }),
    )
}

pub(super) fn subscribers(top: &Section<Option<(Days, Top)>>) -> String {
    part(
        "subscribers",
        "Top subscribers",
        by_days(top, "usage", |_, top| {
            if top.by_cost.is_empty() && top.by_data.is_empty() {
                return note("No usage in these days.");
            }
            grid(&[ranking("By cost", &top.by_cost), ranking("By data", &top.by_data)])
        }),
    )
}

fn ranking(caption: &str, subscribers: &[Subscriber]) -> String {
    let rows = subscribers.iter().map(|subscriber| {
        vec![
            subscriber.msisdn.masked().to_string(),
            Unit::Cents.exact(cents(subscriber.cost)),
            Unit::Bytes.short(subscriber.bytes),
            Unit::Seconds.short(subscriber.seconds),
            Unit::Things.exact(subscriber.events),
        ]
    });
    card(&table(caption, ["MSISDN", "Cost", "Data", "Calls", "Records"], rows, 1))
}

pub(super) fn messages(messages: &Section<Option<(Days, Messages)>>) -> String {
    part(
        "messages",
        "Messages",
        by_days(messages, "messages", |days, messages| {
            if messages.by_channel.is_empty() {
                return note("No messages in these days.");
            }
            let chart = |title, rows: &[DayMessages]| {
                Chart { title, unit: Unit::Things, days, series: headings(days, rows) }.bars()
            };
            grid(&[
                chart("Messages by day and channel", &messages.by_channel),
                chart("Messages by day and sender", &messages.by_sender),
            ])
        }),
    )
}

/// The headings by their messages, the lesser ones summed at the end.
fn headings(days: &[Day], rows: &[DayMessages]) -> Vec<Series> {
    let mut sums = BTreeMap::<Option<&Text>, u128>::new();
    for row in rows {
        *sums.entry(row.heading.as_ref()).or_default() += row.messages;
    }
    let mut headings: Vec<_> = sums.into_iter().collect();
    headings.sort_by_key(|&(heading, sum)| (heading.is_none(), std::cmp::Reverse(sum), heading));
    let series = headings.into_iter().map(|(heading, _)| {
        let of_heading = rows.iter().filter(|row| row.heading.as_ref() == heading);
        let values = per_day(days, of_heading.map(|row| (row.day, row.messages)));
        Series { name: heading.cloned().unwrap_or_else(|| Text::new("all others")), values }
    });
    series.collect()
}

pub(super) fn waits(waits: &Section<Option<(Days, Vec<Waits>)>>) -> String {
    part(
        "waits",
        "Response times in rooms",
        by_days(waits, "messages", |days, waits| {
            if waits.is_empty() {
                return note("No customer was answered in these days.");
            }
            let by_day = |of: fn(&Waits) -> u128| {
                let rows = waits.iter().filter_map(|wait| match wait.of {
                    WaitsOf::Day(day) => Some((day, of(wait))),
                    WaitsOf::Period | WaitsOf::Channel(_) => None,
                });
                per_day(days, rows)
            };
            let series = vec![
                Series { name: Text::new("median"), values: by_day(|wait| wait.median_seconds) },
                Series { name: Text::new("nine of ten within"), values: by_day(|wait| wait.p90_seconds) },
            ];
            let chart = Chart { title: "Wait for the first answer, by day", unit: Unit::Seconds, days, series };
            let rows = waits.iter().filter_map(|wait| {
                let name = match &wait.of {
                    WaitsOf::Channel(channel) => channel.to_string(),
                    WaitsOf::Period => "all channels".to_owned(),
                    WaitsOf::Day(_) => return None,
                };
                let [median, p90] = [wait.median_seconds, wait.p90_seconds].map(|value| Unit::Seconds.short(value));
                Some(vec![name, Unit::Things.exact(wait.answers), median, p90])
            });
            let channels = table("Wait by channel", ["Channel", "Answers", "Median", "Nine of ten within"], rows, 1);
            grid(&[chart.lines(), card(&channels)])
        }),
    )
}

const MAPPINGS: &str = "Mappings, records behind";

pub(super) fn pipeline(
    lags: &Section<Vec<GroupLag>>,
    loads: &Section<Loads>,
    rejected: &Section<Vec<Rejected>>,
    conflicts: &Section<Vec<Conflict>>,
) -> String {
    let lags = match lags {
        Ok(lags) if lags.is_empty() => titled(MAPPINGS, &note("No mapping has committed anything yet.")),
        Ok(lags) => table(MAPPINGS, ["Function", "Topic", "Behind", "Consumers"], lags.iter().map(mapping), 2),
        Err(absent) => titled(MAPPINGS, &said(*absent)),
    };
    let runs = match loads {
        Ok(loads) if loads.runs.is_empty() => titled("Loads", &note("There has been no load yet.")),
        Ok(loads) => table("Loads", ["Began (UTC)", "Status", "Took"], loads.runs.iter().map(load), 2),
        Err(absent) => titled("Loads", &said(*absent)),
    };
    let balances = match loads {
        Ok(loads) if loads.balances.is_empty() => titled("Balances", &note("No load has had anything to count yet.")),
        Ok(loads) => {
            let heads = ["Layer", "Table", "In", "Out", "Duplicates", "Rejected", "Withdrawn", "Balance"];
            table(&format!("Balances of the last {BALANCED_RUNS} loads"), heads, loads.balances.iter().map(balance), 2)
        }
        Err(absent) => titled("Balances", &said(*absent)),
    };
    let rejected = match rejected {
        Ok(rejected) if rejected.is_empty() => titled("Rejected", &note("Nothing has been rejected.")),
        Ok(rejected) => {
            let rows = rejected.iter().map(|row| {
                let found = if row.by_loader { "by the loader" } else { "by the functions" };
                vec![row.reason.to_string(), found.to_owned(), Unit::Things.exact(row.rows)]
            });
            let caption = format!(
                "Rejected, by reason (newest {} records)",
                Unit::Things.exact(MAX_REJECTED.unsigned_abs().into())
            );
            table(&caption, ["Reason", "Found", "Rows"], rows, 2)
        }
        Err(absent) => titled("Rejected", &said(*absent)),
    };
    let topics = match loads {
        Ok(loads) if loads.topics.is_empty() => titled(LOADED, &note("Nothing has been loaded yet.")),
        Ok(loads) => {
            let heads = ["Topic", "Newest record (UTC)", "Age", "Loaded"];
            table(LOADED, heads, loads.topics.iter().map(loaded), 2)
        }
        Err(absent) => titled(LOADED, &said(*absent)),
    };
    let conflicts = match conflicts {
        Ok(conflicts) if conflicts.is_empty() => titled(CONFLICTS, &note("No file waits for a decision.")),
        Ok(conflicts) => {
            let heads = ["File", "Other file", "Why", "Rows", "Shared", "Waits"];
            let decide = note("Decide with <code>trunkline files accept|replace|drop NAME</code>.");
            table(CONFLICTS, heads, conflicts.iter().map(conflict), 2) + &decide
        }
        Err(absent) => titled(CONFLICTS, &said(*absent)),
    };
    let stack = |bodies: &[&String]| {
        let cards: String = bodies.iter().map(|body| card(body)).collect();
        format!("<div class=\"stack\">{cards}</div>")
    };
    let columns = [stack(&[&lags, &topics, &conflicts]), stack(&[&runs, &balances, &rejected])];
    part("pipeline", "Pipeline", grid(&columns))
}

const LOADED: &str = "Loaded, by topic";
const CONFLICTS: &str = "Files that wait for a decision";

fn loaded(loaded: &Loaded) -> Vec<String> {
    let (at, age) = match &loaded.newest {
        None => ("–".to_owned(), "–".to_owned()),
        Some(Newest { at, age_seconds: age @ 0.. }) => (at.to_string(), Unit::Seconds.short(age.unsigned_abs().into())),
        Some(Newest { at, age_seconds }) => {
            let ahead = Unit::Seconds.short(age_seconds.unsigned_abs().into());
            (at.to_string(), format!(r#"<span class="bad">{ahead} ahead</span>"#))
        }
    };
    let ago = format!("{} ago", Unit::Seconds.short(loaded.loaded_seconds_ago));
    vec![loaded.topic.to_string(), at, age, ago]
}

fn conflict(conflict: &Conflict) -> Vec<String> {
    let why = match conflict.reason.to_string().as_str() {
        "changed" => "same name, other rows".to_owned(),
        "shares" => "shares most rows".to_owned(),
        "withdrawn" => "was replaced before".to_owned(),
        other => other.to_owned(),
    };
    let [rows, shared] = [conflict.rows, conflict.shared_rows].map(|rows| Unit::Things.exact(rows));
    let waits = conflict.waiting_seconds.map_or_else(|| "–".to_owned(), |seconds| Unit::Seconds.short(seconds));
    vec![conflict.file.to_string(), conflict.other.to_string(), why, rows, shared, waits]
}

fn mapping(lag: &GroupLag) -> Vec<String> {
    let function = lag.group.strip_prefix(GROUP_PREFIX).unwrap_or(&lag.group);
    let function = function.strip_suffix(&lag.topic).map_or(function, |function| function.trim_end_matches('-'));
    let members = match lag.members {
        0 if lag.records > 0 => r#"<span class="bad">none</span>"#.to_owned(),
        members => members.to_string(),
    };
    vec![
        Text::new(function).to_string(),
        Text::new(&*lag.topic).to_string(),
        Unit::Things.exact(lag.records.into()),
        members,
    ]
}

fn load(run: &Run) -> Vec<String> {
    let status = format!("{} <span class=\"soft wrap\">{}</span>", status(&run.status), run.message);
    let took = run.took_seconds.map_or_else(|| "–".to_owned(), |seconds| Unit::Seconds.short(seconds));
    vec![run.started_at.to_string(), status, took]
}

/// A run's status, which is not told by its colour alone.
pub(super) fn status(status: &Text) -> String {
    let text = status.to_string();
    let class = match text.as_str() {
        "succeeded" => "good",
        "failed" | "interrupted" => "bad",
        _ => "soft",
    };
    format!(r#"<span class="{class}">{text}</span>"#)
}

/// When a run ended.
pub(super) fn when(run: &Run) -> String {
    match run.ended_seconds_ago {
        Some(seconds) => format!("{} ago", Unit::Seconds.short(seconds)),
        None => format!("since {} UTC", run.started_at),
    }
}

fn balance(balance: &Balance) -> Vec<String> {
    let Balance { layer, table, rows_in, rows_out, duplicates, rejected, withdrawn, is_balanced } = balance;
    let [into, out, duplicates, rejected, withdrawn] =
        [rows_in, rows_out, duplicates, rejected, withdrawn].map(|rows| Unit::Things.exact(*rows));
    let is_balanced = match is_balanced {
        true => r#"<span class="good">even</span>"#,
        false => r#"<span class="bad">broken</span>"#,
    };
    let (layer, table) = (layer.to_string(), table.to_string());
    vec![layer, table, into, out, duplicates, rejected, withdrawn, is_balanced.to_owned()]
}

fn per_day(days: &[Day], values: impl Iterator<Item = (Day, u128)>) -> Vec<Option<u128>> {
    let mut by_day = BTreeMap::<Day, u128>::new();
    for (day, value) in values {
        *by_day.entry(day).or_default() += value;
    }
    days.iter().map(|day| by_day.get(day).copied()).collect()
}

fn by_days<T>(section: &Section<Option<(Days, T)>>, what: &str, show: impl FnOnce(&[Day], &T) -> String) -> String {
    match section {
        Ok(Some((days, rows))) => format!(r#"<p class="soft">{days}</p>{}"#, show(days.all(), rows)),
        Ok(None) => note(&format!("There are no {what} in the warehouse yet.").replace("are no usage", "is no usage")),
        Err(absent) => said(*absent),
    }
}

fn part(id: &str, title: &str, body: String) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
    )
}

fn grid(items: &[String]) -> String {
    format!("<div class=\"grid2\">{}</div>", items.concat())
}

fn card(body: &str) -> String {
    format!("<div class=\"card\">{body}</div>\n")
}

fn titled(title: &str, body: &str) -> String {
    format!("<h3>{title}</h3>{body}")
}

/// `text` is markup of ours.
fn note(text: &str) -> String {
    format!("<p class=\"note\">{text}</p>")
}

fn said(absent: Absent) -> String {
    match absent {
        Absent::NotMade => note(
            "This is made by the first load: run <code>trunkline load --now</code>, or wait for the next full hour.",
        ),
        Absent::Away => {
            r#"<p class="note wrong">This can't be read just now; the function's log says why. Try again.</p>"#
                .to_owned()
        }
        Absent::TooSlow => {
            r#"<p class="note wrong">There was no answer in time. Try again, or ask for fewer days.</p>"#.to_owned()
        }
        Absent::Unset(variable) => note(&format!("This needs <code>{variable}</code>, which is not set.")),
    }
}
