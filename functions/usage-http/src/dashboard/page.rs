//! The page's frame: head, period, tiles, and its parts in order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use telecom::{Category, Cost, Day, Tariff};

use super::parts;
use super::text::{Text, Unit, cents};
use super::warehouse::{DayUsage, WaitsOf};
use super::{Absent, Period, Section, View};

const STYLE: &str = include_str!("style.css");

/// A tower with bars, as the tab's picture.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg fill='%232f63c9'%3E%3Crect x='1' y='9' width='3.5' height='6' rx='1'/%3E%3Crect x='6.2' y='5' width='3.5' height='10' rx='1'/%3E%3Crect x='11.5' y='1' width='3.5' height='14' rx='1'/%3E%3C/g%3E%3C/svg%3E";

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

/// The whole page.
pub(super) fn render(view: &View, tariff: &Tariff) -> String {
    let body = [
        tiles(view, tariff),
        parts::usage(&view.marts.usage, tariff),
        parts::subscribers(&view.marts.top),
        parts::messages(&view.marts.messages),
        parts::waits(&view.marts.waits),
        parts::pipeline(&view.lags, &view.marts.loads, &view.marts.rejected, &view.marts.conflicts),
    ];
    frame(view.asked, &body.concat())
}

/// The page where no days can be shown.
pub(super) fn wrong(why: &str) -> String {
    frame(None, &format!(r#"<p class="note wrong" role="alert">{}</p>"#, Text::passage(why)))
}

fn frame(asked: Option<Period>, body: &str) -> String {
    let (from, to) = match asked {
        Some(Period { from, to }) => (from.to_string(), to.to_string()),
        None => (String::new(), String::new()),
    };
    let now = now();
    format!(
        r##"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Trunkline</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="{ICON}">
<style>{STYLE}</style></head><body>
<a class="skip" href="#main">Skip to the figures</a>
<header><div class="top"><div><h1>Trunkline</h1><p class="soft">Usage, messages and the pipeline, as of {now} UTC</p></div>
<form method="get" action="/dashboard"><div><label for="from">From</label><input type="date" id="from" name="from" value="{from}"></div>
<div><label for="to">To</label><input type="date" id="to" name="to" value="{to}"></div><button>Show</button></form></div>
<nav aria-label="Parts of this page"><ul><li><a href="#usage">Usage</a></li><li><a href="#subscribers">Subscribers</a></li><li><a href="#messages">Messages</a></li><li><a href="#waits">Response times</a></li><li><a href="#pipeline">Pipeline</a></li></ul></nav></header>
<main id="main">
{body}</main>
<footer>Days are civil days of the operator's time zone; each record counts on the day of its event. Bytes are decimal: 1 GB is 1,000,000,000 bytes.</footer>
</body></html>
"##
    )
}

/// `2024-01-31 12:00`
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let day = i32::try_from(seconds / 86_400).ok().and_then(Day::from_epoch_days).unwrap_or(Day::MAX);
    format!("{day} {:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60)
}

/// What everybody wants to know first.
fn tiles(view: &View, tariff: &Tariff) -> String {
    let mut tiles = String::new();
    let mut tile = |name: &str, value: String, more: String| {
        tiles.push_str(&format!("<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>\n"));
    };
    let usage = |of: &dyn Fn(&[DayUsage]) -> String| match &view.marts.usage {
        Ok(Some((days, rows))) => (of(rows), days.short()),
        other => nothing(other),
    };
    let sum = |category: Category, unit: Unit| {
        usage(&|rows| {
            let of_category = rows.iter().filter(|row| row.kind.category() == category);
            unit.short(of_category.map(|row| row.totals.bytes() + u128::from(row.totals.seconds)).sum())
        })
    };
    let (value, more) = sum(Category::Data, Unit::Bytes);
    tile("Data", value, more);
    let (value, more) = sum(Category::Call, Unit::Seconds);
    tile("Calls", value, more);
    let (value, more) = usage(&|rows| {
        let cost: Cost = rows.iter().map(|row| tariff.cost(row.day, [(row.kind, row.totals)])).sum();
        Unit::Cents.short(cents(cost))
    });
    tile("Cost", value, more);
    let (value, more) = match &view.marts.messages {
        Ok(Some((days, messages))) => {
            let messages = messages.by_channel.iter().map(|row| row.messages).sum();
            (Unit::Things.short(messages), days.short())
        }
        other => nothing(other),
    };
    tile("Messages", value, more);
    let (value, more) = match &view.marts.waits {
        Ok(Some((_, waits))) => match waits.iter().find(|wait| wait.of == WaitsOf::Period) {
            Some(all) => (Unit::Seconds.short(all.median_seconds), "median wait".to_owned()),
            None => ("–".to_owned(), "no answers".to_owned()),
        },
        other => nothing(other),
    };
    tile("Response", value, more);
    let (value, more) = match &view.lags {
        Ok(lags) => {
            let behind = lags.iter().map(|lag| u128::from(lag.records)).sum();
            let mappings = if lags.len() == 1 { "mapping" } else { "mappings" };
            (Unit::Things.short(behind), format!("records, {} {mappings}", lags.len()))
        }
        Err(absent) => ("–".to_owned(), reason(*absent)),
    };
    tile("Behind", value, more);
    let (value, more) = match &view.marts.loads {
        Ok(loads) => match loads.runs.first() {
            Some(run) => (parts::status(&run.status), parts::when(run)),
            None => ("–".to_owned(), "none yet".to_owned()),
        },
        Err(absent) => ("–".to_owned(), reason(*absent)),
    };
    tile("Last load", value, more);
    format!(r#"<h2 class="off">At a glance</h2><dl class="tiles">{tiles}</dl>"#)
}

fn nothing<T>(section: &Section<Option<T>>) -> (String, String) {
    let why = match section {
        Err(absent) => reason(*absent),
        Ok(_) => "nothing yet".to_owned(),
    };
    ("–".to_owned(), why)
}

fn reason(absent: Absent) -> String {
    match absent {
        Absent::NotMade => "not loaded yet".to_owned(),
        Absent::Away => "can't be read now".to_owned(),
        Absent::TooSlow => "no answer in time".to_owned(),
        Absent::Unset(variable) => format!("{variable} is not set"),
    }
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
