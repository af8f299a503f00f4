//! The page's frame: head, periods, tiles, and its parts in order.

use std::time::{SystemTime, UNIX_EPOCH};

use http_api::Problem;
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;
use telecom::{Category, Cost, Day, Tariff};

use crate::asked::{Asked, Days, Period};
use crate::parts::{self, Part};
use crate::problem::{empty_table, unavailable};
use crate::read::{Absent, Section, SubscriberView, View};
use crate::table::Table;
use crate::text::{Unit, cents};
use crate::warehouse::{Usage, WaitsOf};

/// After so long the page shows itself anew, where it shows what is current.
const REFRESH_SECONDS: u32 = 60;

/// The periods that a click leads to, in days.
const PERIODS: [i64; 4] = [1, 7, 14, 30];

/// What the template of the page is given.
#[derive(Serialize)]
pub(crate) struct Page {
    now: String,
    refresh_seconds: Option<u32>,
    /// That of the page as it is, for files.
    query: String,
    /// That of the page, which then stays as it is.
    stay_query: String,
    /// That of the page for all subscribers.
    back_query: String,
    /// The days of the form; empty where none were asked for.
    from: String,
    to: String,
    periods: Vec<Choice>,
    /// Whose page it is, masked; empty where it is everybody's.
    subscriber: String,
    place: String,
    wrong: String,
    tiles: Vec<Tile>,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Choice {
    name: String,
    query: String,
    is_current: bool,
}

#[derive(Serialize)]
struct Tile {
    name: &'static str,
    value: String,
    more: String,
    tone: &'static str,
}

impl Page {
    /// Everything.
    pub(crate) fn of_everybody(asked: Asked, view: &View, tariff: &Tariff) -> Self {
        let marts = &view.marts;
        let parts = vec![
            parts::usage(&marts.usage, tariff),
            parts::subscribers(&marts.top, asked),
            parts::messages(&marts.messages),
            parts::waits(&marts.waits),
            parts::pipeline(view),
        ];
        Self { tiles: tiles(view, tariff), parts, ..Self::frame(asked) }
    }

    /// A subscriber's usage.
    pub(crate) fn of_subscriber(asked: Asked, view: &SubscriberView, tariff: &Tariff) -> Self {
        let (tiles, parts) = (usage_tiles(&view.usage, tariff).into(), vec![parts::usage(&view.usage, tariff)]);
        let subscriber = view.msisdn.masked().to_string();
        Self { subscriber, tiles, parts, ..Self::frame(asked) }
    }

    /// Where nothing can be shown.
    pub(crate) fn of_nothing(why: String) -> Self {
        Self { wrong: why, refresh_seconds: None, ..Self::frame(Asked::DEFAULT) }
    }

    fn frame(asked: Asked) -> Self {
        let (from, to) = match asked.period {
            Period::Between(from, to) => (from.to_string(), to.to_string()),
            Period::Last(_) => (String::new(), String::new()),
        };
        let is_current = from.is_empty() && !asked.stays;
        let periods = PERIODS.map(|days| Choice {
            name: if days == 1 { "Last day, by the hour".to_owned() } else { format!("Last {days} days") },
            query: Asked { period: Period::Last(days), ..asked }.query(),
            is_current: asked.period == Period::Last(days),
        });
        Self {
            now: now(),
            refresh_seconds: is_current.then_some(REFRESH_SECONDS),
            query: asked.query(),
            stay_query: Asked { stays: true, ..asked }.query(),
            back_query: Asked { subscriber: None, ..asked }.query(),
            from,
            to,
            periods: periods.into(),
            subscriber: String::new(),
            place: asked.subscriber.map(|place| place.to_string()).unwrap_or_default(),
            wrong: String::new(),
            tiles: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub(crate) fn render(&self, templates: &Environment<'_>) -> anyhow::Result<String> {
        Ok(templates.get_template("page.html")?.render(Serde(self))?)
    }

    /// The table of this name, to be a file.
    ///
    /// # Errors
    /// 404 where there is no such table or it has nothing to show, 503 where that can't be told.
    pub(crate) fn into_table(self, name: &str) -> Result<Table, Problem> {
        if !parts::TABLES.contains(&name) {
            return Err(Problem::not_found());
        }
        let is_wrong = self.parts.iter().any(Part::is_wrong);
        let found = self.parts.into_iter().flat_map(Part::into_tables).find(|table| table.name == name);
        found.ok_or_else(|| match is_wrong {
            true => unavailable(anyhow::anyhow!("a part of the dashboard can't be read")),
            false => empty_table(),
        })
    }
}

/// `2024-01-31 12:00`
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let day = i32::try_from(seconds / 86_400).ok().and_then(Day::from_epoch_days).unwrap_or(Day::MAX);
    format!("{day} {:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60)
}

/// What everybody wants to know first.
fn tiles(view: &View, tariff: &Tariff) -> Vec<Tile> {
    let marts = &view.marts;
    let messages = of_days(&marts.messages, |days, messages| {
        let messages = messages.by_channel.iter().map(|row| row.messages).sum();
        (Unit::Things.short(messages), days.short())
    });
    let waits = of_days(&marts.waits, |_, waits| match waits.iter().find(|wait| wait.of == WaitsOf::Period) {
        Some(all) => (Unit::Seconds.short(all.median_seconds), "median wait".to_owned()),
        None => ("–".to_owned(), "no answers".to_owned()),
    });
    let mut tiles = Vec::from(usage_tiles(&marts.usage, tariff));
    tiles.extend([tile("Messages", messages, ""), tile("Response", waits, "")]);
    tiles.extend(pipeline_tiles(view));
    tiles
}

fn pipeline_tiles(view: &View) -> [Tile; 5] {
    let marts = &view.marts;
    let lags = of(&view.lags, |lags| {
        let behind = lags.iter().map(|lag| u128::from(lag.records)).sum();
        let mappings = if lags.len() == 1 { "mapping" } else { "mappings" };
        (Unit::Things.short(behind), format!("records, {} {mappings}", lags.len()))
    });
    let last = marts.loads.as_ref().ok().and_then(|loads| loads.runs.first());
    let load = of(&marts.loads, |_| match last {
        Some(run) => (run.status.short(), parts::when(run)),
        None => ("–".to_owned(), "none yet".to_owned()),
    });
    let silent = marts.loads.as_ref().map_or(0, |loads| loads.topics.iter().filter(|it| parts::is_silent(it)).count());
    let topics = of(&marts.loads, |loads| (silent.to_string(), format!("of {} topics", loads.topics.len())));
    let waiting = marts.conflicts.as_ref().map_or(0, Vec::len);
    let unmatched = marts.unmatched.as_ref().map_or(0, |unmatched| unmatched.files);
    let conflicts = of(&marts.conflicts, |_| {
        let of_nobody = if unmatched > 0 { format!("; nobody takes {unmatched}") } else { String::new() };
        (waiting.to_string(), format!("wait for a decision{of_nobody}"))
    });
    let rejected = of(&marts.rejected, |rows| {
        (Unit::Things.short(rows.iter().map(|row| row.rows).sum()), "rows, of the newest".to_owned())
    });
    let bad_if_any = |count| if count > 0 { "bad" } else { "" };
    [
        tile("Behind", lags, ""),
        tile("Last load", load, last.map_or("", |run| parts::tone(&run.status))),
        tile("Silent", topics, bad_if_any(silent)),
        tile("Files", conflicts, bad_if_any(waiting + usize::from(unmatched > 0))),
        tile("Rejected", rejected, ""),
    ]
}

fn usage_tiles(section: &Section<Option<(Days, Vec<Usage>)>>, tariff: &Tariff) -> [Tile; 3] {
    let sum = |category: Category, unit: Unit| {
        of_days(section, |days, rows| {
            let of_category = rows.iter().filter(|row| row.kind.category() == category);
            let sum = of_category.map(|row| row.totals.bytes() + u128::from(row.totals.seconds)).sum();
            (unit.short(sum), days.short())
        })
    };
    let cost = of_days(section, |days, rows| {
        let cost: Cost = rows.iter().map(|row| tariff.cost(row.slot.day, [(row.kind, row.totals)])).sum();
        (Unit::Cents.short(cents(cost)), days.short())
    });
    let (data, calls) = (sum(Category::Data, Unit::Bytes), sum(Category::Call, Unit::Seconds));
    [tile("Data", data, ""), tile("Calls", calls, ""), tile("Cost", cost, "")]
}

fn tile(name: &'static str, (value, more): (String, String), tone: &'static str) -> Tile {
    Tile { name, value, more, tone }
}

fn of_days<T>(
    section: &Section<Option<(Days, T)>>,
    show: impl FnOnce(&Days, &T) -> (String, String),
) -> (String, String) {
    of(section, |shown| match shown {
        Some((days, rows)) => show(days, rows),
        None => ("–".to_owned(), "nothing yet".to_owned()),
    })
}

fn of<T>(section: &Section<T>, show: impl FnOnce(&T) -> (String, String)) -> (String, String) {
    let why = match section {
        Ok(shown) => return show(shown),
        Err(Absent::NotMade) => "not loaded yet".to_owned(),
        Err(Absent::Away) => "can't be read now".to_owned(),
        Err(Absent::TooSlow) => "no answer in time".to_owned(),
        Err(Absent::Unset(variable)) => format!("{variable} is not set"),
    };
    ("–".to_owned(), why)
}
