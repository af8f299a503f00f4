//! The page's frame: head, periods, tiles, and its parts in order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};
use telecom::{Category, Cost, Day, Tariff};

use super::asked::{Asked, Days, Period};
use super::parts::{self, Part};
use super::table::Table;
use super::text::{Unit, cents};
use super::warehouse::{Usage, WaitsOf};
use super::{Absent, Section, SubscriberView, View};
use crate::Problem;

const STYLE: &str = include_str!("templates/style.css");

/// After so long the page shows itself anew, where it shows what is current.
const REFRESH_SECONDS: u32 = 60;

/// The periods that a click leads to, in days.
const PERIODS: [i64; 4] = [1, 7, 14, 30];

/// Nothing may run or be fetched: the page is its own style, and a form.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

pub(super) fn headers() -> BTreeMap<&'static str, Cow<'static, str>> {
    [
        ("content-type", "text/html; charset=utf-8".into()),
        ("cache-control", "no-store".into()),
        ("content-security-policy", POLICY.as_str().into()),
        ("referrer-policy", "no-referrer".into()),
        ("x-content-type-options", "nosniff".into()),
    ]
    .into()
}

/// The templates. What they are given is escaped, as their names end in `.html`.
///
/// # Errors
/// When one is malformed.
pub(super) fn templates() -> anyhow::Result<Environment<'static>> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    // The policy has the hash of every byte of the style.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?;
    templates.set_syntax(syntax);
    templates.add_template("style.css", STYLE)?;
    templates.add_template("blocks.html", include_str!("templates/blocks.html"))?;
    templates.add_template("page.html", include_str!("templates/page.html"))?;
    Ok(templates)
}

/// What the template of the page is given.
#[derive(Serialize)]
pub(super) struct Page {
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
    pub(super) fn of_everybody(asked: Asked, view: &View, tariff: &Tariff) -> Self {
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
    pub(super) fn of_subscriber(asked: Asked, view: &SubscriberView, tariff: &Tariff) -> Self {
        let (tiles, parts) = (usage_tiles(&view.usage, tariff).into(), vec![parts::usage(&view.usage, tariff)]);
        let subscriber = view.msisdn.masked().to_string();
        Self { subscriber, tiles, parts, ..Self::frame(asked) }
    }

    /// Where nothing can be shown.
    pub(super) fn of_nothing(why: String) -> Self {
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

    pub(super) fn render(&self, templates: &Environment<'_>) -> anyhow::Result<String> {
        Ok(templates.get_template("page.html")?.render(Serde(self))?)
    }

    /// The table of this name, to be a file.
    ///
    /// # Errors
    /// [`Problem::NotFound`] where there never is one, [`Problem::EmptyTable`] where it has nothing to show,
    /// [`Problem::Unavailable`] where that can't be told.
    pub(super) fn into_table(self, name: &str) -> Result<Table, Problem> {
        if !parts::TABLES.contains(&name) {
            return Err(Problem::NotFound);
        }
        let is_wrong = self.parts.iter().any(Part::is_wrong);
        let found = self.parts.into_iter().flat_map(Part::into_tables).find(|table| table.name == name);
        found.ok_or_else(|| match is_wrong {
            true => Problem::Unavailable(anyhow::anyhow!("a part of the dashboard can't be read")),
            false => Problem::EmptyTable,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The relative luminance of `#rrggbb` or `#rgb`, as the accessibility guidelines define it.
    fn luminance(colour: &str) -> f64 {
        let digits: String = match colour.len() {
            3 => colour.chars().flat_map(|digit| [digit, digit]).collect(),
            _ => colour.to_owned(),
        };
        let part = |at| {
            let part = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    }

    #[test]
    fn everything_can_be_told_from_what_it_stands_on() {
        let themes: Vec<BTreeMap<&str, f64>> = STYLE
            .split(":root{")
            .skip(1)
            .map(|theme| {
                let colours = theme.split('}').next().unwrap().split(';').filter_map(|it| it.trim().split_once(":#"));
                colours.map(|(name, colour)| (name, luminance(colour))).collect()
            })
            .collect();
        assert_eq!(themes.len(), 2, "light and dark");
        for theme in themes {
            let contrast = |a: &str, b: &str| {
                let (a, b) = (theme[a].max(theme[b]), theme[a].min(theme[b]));
                (a + 0.05) / (b + 0.05)
            };
            for background in ["--page", "--card"] {
                for text in ["--ink", "--soft", "--accent", "--good", "--bad"] {
                    assert!(
                        contrast(text, background) >= 4.5,
                        "{text} on {background}: {}",
                        contrast(text, background)
                    );
                }
            }
            for colour in theme.keys().filter(|name| name.starts_with("--c") && **name != "--card") {
                assert!(contrast(colour, "--card") >= 3.0, "{colour}: {}", contrast(colour, "--card"));
            }
        }
    }
}
