//! Charts by day, or by hour, as figures: an SVG for the eye, a table for every other reader.
//!
//! Widths are percentages, so that a chart fits a phone without its text becoming small; heights are pixels.

use serde::Serialize;

use crate::asked::Days;
use crate::table::{Cell, Column, Table};
use crate::text::{Text, Unit};

/// A chart by day, or by hour.
pub(crate) struct Chart<'a> {
    /// The name of its table.
    pub(crate) name: &'static str,
    /// What it shows, without by what.
    pub(crate) what: &'a str,
    /// By what more than time, such as ` and channel`.
    pub(crate) more: &'a str,
    /// What its figures count.
    pub(crate) unit: Unit,
    pub(crate) days: &'a Days,
    /// What is told apart, at most [`MAX_SERIES`].
    pub(crate) series: Vec<Series>,
}

/// One colour of a chart, with a value a slot; `None` where there is nothing to show.
pub(crate) struct Series {
    pub(crate) name: Text,
    pub(crate) values: Vec<Option<u128>>,
}

/// How many colours the style has.
pub(crate) const MAX_SERIES: usize = 7;

/// The plot's height in pixels, without the names below it.
const HEIGHT: f64 = 180.0;
/// Few days get bars of the width that they have among this many.
const MIN_SLOTS: usize = 7;
/// Names of days: this many fit below a chart that is as wide as a page, and half of them on a phone.
const MAX_LABELS: usize = 8;
/// How much of its slot a bar fills, in percent.
const BAR: f64 = 76.0;

/// A chart as the templates draw it: all positions are computed.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    title: String,
    /// What is seen, in words.
    label: String,
    /// Names of colours; none where there is one alone.
    legend: Vec<String>,
    /// What stands beside the grid, from the top.
    axis: Vec<String>,
    /// The heights of the grid's lines.
    grid: Vec<String>,
    /// Where days are left out.
    gaps: Vec<String>,
    rects: Vec<Rect>,
    lines: Vec<Line>,
    dots: Vec<Dot>,
    names: Vec<Name>,
    height: f64,
    table: Table,
}

#[derive(Debug, Serialize)]
struct Rect {
    colour: usize,
    x: String,
    y: String,
    width: String,
    height: String,
    title: String,
}

#[derive(Debug, Serialize)]
struct Line {
    colour: usize,
    x1: String,
    y1: String,
    x2: String,
    y2: String,
}

#[derive(Debug, Serialize)]
struct Dot {
    colour: usize,
    x: String,
    y: String,
    title: String,
}

#[derive(Debug, Serialize)]
struct Name {
    x: String,
    text: String,
    /// Left out on a phone.
    is_minor: bool,
}

impl Chart<'_> {
    /// Bars, one a slot, in which the series stand one upon the other.
    pub(crate) fn bars(self) -> Figure {
        let slots = self.days.slots();
        let sums = (0..slots.len()).map(|at| self.series.iter().filter_map(|series| series.values[at]).sum());
        let scale = Scale::new(self.unit, sums);
        let width = BAR / self.slots();
        let mut rects = Vec::new();
        for (at, slot) in slots.iter().enumerate() {
            let mut below = 0;
            for (colour, series) in self.series.iter().enumerate() {
                let Some(value) = series.values[at].filter(|value| *value > 0) else { continue };
                let (top, bottom) = (scale.y(below + value), scale.y(below));
                rects.push(Rect {
                    colour,
                    x: percent(self.x(at) - width / 2.0),
                    y: pixels(top),
                    width: percent(width),
                    height: pixels(bottom - top),
                    title: self.said(slot, series, value),
                });
                below += value;
            }
        }
        Figure { rects, ..self.figure("stacked bars", &scale) }
    }

    /// Lines from slot to slot, which end where one has no value.
    pub(crate) fn lines(self) -> Figure {
        let slots = self.days.slots();
        let scale =
            Scale::new(self.unit, self.series.iter().flat_map(|series| series.values.iter().flatten().copied()));
        let (mut lines, mut dots) = (Vec::new(), Vec::new());
        for (colour, series) in self.series.iter().enumerate() {
            for (at, slot) in slots.iter().enumerate() {
                let Some(value) = series.values[at] else { continue };
                let (x, y) = (percent(self.x(at)), pixels(scale.y(value)));
                if let Some(Some(next)) = series.values.get(at + 1)
                    && slots[at + 1].follows(*slot)
                {
                    let (x2, y2) = (percent(self.x(at + 1)), pixels(scale.y(*next)));
                    lines.push(Line { colour, x1: x.clone(), y1: y.clone(), x2, y2 });
                }
                dots.push(Dot { colour, x, y, title: self.said(slot, series, value) });
            }
        }
        Figure { lines, dots, ..self.figure("lines", &scale) }
    }

    fn said(&self, slot: &impl std::fmt::Display, series: &Series, value: u128) -> String {
        format!("{slot} · {}: {}", series.name.short(), self.unit.short(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "a quarter's days")]
    fn slots(&self) -> f64 {
        self.days.slots().len().max(MIN_SLOTS) as f64
    }

    /// The middle of a slot, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a quarter's days")]
    fn x(&self, at: usize) -> f64 {
        let (slots, shown) = (self.slots(), self.days.slots().len() as f64);
        // Few days stand in the middle.
        (at as f64 + 0.5 + (slots - shown) / 2.0) * 100.0 / slots
    }

    /// Everything but the marks.
    fn figure(self, form: &str, scale: &Scale) -> Figure {
        let title = format!("{} by {}{}", self.what, self.days.slot_name(), self.more);
        let slots = self.days.slots();
        let steps = (0..=scale.steps).rev().map(|step| scale.step * step);
        let is_gap = |at: &usize| !slots[*at].follows(slots[*at - 1]);
        let every = slots.len().div_ceil(MAX_LABELS).max(1);
        let names = (0..slots.len()).step_by(every).enumerate().map(|(count, at)| Name {
            x: percent(self.x(at)),
            text: slots[at].short(),
            is_minor: count % 2 == 1,
        });
        let legend = self.series.iter().map(|series| series.name.short());
        Figure {
            label: format!("{title}, as {form}, {}; the axis ends at {}", self.days, self.unit.short(scale.top())),
            legend: if self.series.len() > 1 { legend.collect() } else { Vec::new() },
            axis: steps.clone().map(|value| self.unit.tick(value)).collect(),
            grid: steps.map(|value| pixels(scale.y(value))).collect(),
            gaps: (1..slots.len()).filter(is_gap).map(|at| percent((self.x(at) + self.x(at - 1)) / 2.0)).collect(),
            rects: Vec::new(),
            lines: Vec::new(),
            dots: Vec::new(),
            names: names.collect(),
            height: HEIGHT,
            table: self.table(&title),
            title,
        }
    }

    fn table(&self, title: &str) -> Table {
        let first = if self.days.are_hours() { "Hour" } else { "Day" };
        let heads = self.series.iter().map(|series| Column::of(self.unit, &series.name.short()));
        let rows = self.days.slots().into_iter().enumerate().filter_map(|(at, slot)| {
            let values = self.series.iter().map(|series| series.values[at]);
            let cells =
                values.clone().map(|value| value.map_or_else(Cell::none, |value| Cell::exact(self.unit, value)));
            values.flatten().next().map(|_| std::iter::once(Cell::word(slot.to_string())).chain(cells).collect())
        });
        Table {
            name: self.name,
            caption: format!("{title}, {}", self.unit.name()),
            columns: std::iter::once(Column::of_names(first)).chain(heads).collect(),
            rows: rows.collect(),
        }
    }
}

impl Figure {
    pub(crate) fn into_table(self) -> Table {
        self.table
    }
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

/// From values to pixels.
struct Scale {
    step: u128,
    steps: u128,
}

impl Scale {
    fn new(unit: Unit, values: impl Iterator<Item = u128>) -> Self {
        let (step, steps) = unit.axis(values.max().unwrap_or(0));
        Self { step, steps }
    }

    fn top(&self) -> u128 {
        self.step * self.steps
    }

    #[expect(clippy::cast_precision_loss, reason = "a pixel has far fewer digits")]
    fn y(&self, value: u128) -> f64 {
        HEIGHT * (1.0 - value as f64 / self.top() as f64)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use telecom::Day;

    use super::*;

    fn days(days: &[&str]) -> Days {
        Days::with_data(days.iter().map(|day| Day::parse(day).unwrap()).collect()).unwrap()
    }

    fn series(name: &str, values: &[Option<u128>]) -> Series {
        Series { name: Text::new(name), values: values.to_vec() }
    }

    #[test]
    fn bars_stand_one_upon_the_other() {
        let days = days(&["2023-12-31", "2024-01-02"]);
        let series = vec![series("a<b>", &[Some(1_500), Some(500)]), series("=c", &[Some(500), None])];
        let (what, more) = ("Messages", " and channel");
        let figure = Chart { name: "messages", what, more, unit: Unit::Things, days: &days, series }.bars();
        let rect = |rect: &Rect| {
            let Rect { colour, x, y, width, height, title } = rect;
            format!("s{colour} at {x} {y}, {width} by {height}: {title}\n")
        };
        expect![[r#"
            s0 at 37.43% 45.0, 10.86% by 135.0: 2023-12-31 · a<b>: 1,500
            s1 at 37.43% 0.0, 10.86% by 45.0: 2023-12-31 · =c: 500
            s0 at 51.71% 135.0, 10.86% by 45.0: 2024-01-02 · a<b>: 500
        "#]]
        .assert_eq(&figure.rects.iter().map(rect).collect::<String>());
        expect!["Messages by day and channel, as stacked bars, 2023-12-31 to 2024-01-02, the last days with data; the axis ends at 2,000"]
            .assert_eq(&figure.label);
        expect!["2,000 1,500 1,000 500 0"].assert_eq(&figure.axis.join(" "));
        assert_eq!(figure.gaps, ["50.00%"]);
        expect![[r#"
            Day,a<b>,'=c
            2023-12-31,1500,500
            2024-01-02,500,
        "#]]
        .assert_eq(&figure.table.csv().unwrap().replace('\r', ""));
    }

    #[test]
    fn lines_end_where_there_is_nothing() {
        let days = days(&["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-06"]);
        let series = vec![series("median", &[Some(60), Some(30), None, Some(90), Some(120)])];
        let figure = Chart { name: "waits", what: "Waits", more: "", unit: Unit::Seconds, days: &days, series }.lines();
        let line = |line: &Line| format!("{} {} to {} {}", line.x1, line.y1, line.x2, line.y2);
        assert_eq!(figure.lines.iter().map(line).collect::<Vec<_>>(), ["21.43% 90.0 to 35.71% 135.0"]);
        assert_eq!((figure.dots.len(), figure.gaps), (4, vec!["71.43%".to_owned()]));
    }

    #[test]
    fn one_day_is_shown_by_the_hour() {
        let days = days(&["2024-01-01"]);
        let mut values = vec![None; 24];
        values[8] = Some(90);
        let series = vec![series("Cost", &values)];
        let figure = Chart { name: "cost", what: "Cost", more: "", unit: Unit::Cents, days: &days, series }.bars();
        let names: Vec<_> = figure.names.iter().map(|name| &*name.text).collect();
        assert_eq!(names, ["00", "03", "06", "09", "12", "15", "18", "21"]);
        assert_eq!(figure.gaps, Vec::<String>::new());
        expect![[r#"
            Hour,"Cost, rand"
            2024-01-01 08:00,0.90
        "#]]
        .assert_eq(&figure.table.csv().unwrap().replace('\r', ""));
    }
}
