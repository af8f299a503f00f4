//! Charts by day as figures: an SVG for the eye, a table for every other reader.
//!
//! Widths are percentages, so that a chart fits a phone without its text becoming small; heights are pixels.

use std::fmt::Display;

use telecom::Day;

use super::text::{Text, Unit, short_day};

/// A chart by day.
pub(crate) struct Chart<'a> {
    /// What it shows.
    pub(crate) title: &'a str,
    /// What its figures count.
    pub(crate) unit: Unit,
    /// The days, ascending.
    pub(crate) days: &'a [Day],
    /// What is told apart, at most [`MAX_SERIES`].
    pub(crate) series: Vec<Series>,
}

/// One colour of a chart, with a value a day; `None` where there is nothing to show.
pub(crate) struct Series {
    pub(crate) name: Text,
    pub(crate) values: Vec<Option<u128>>,
}

/// How many colours the style has.
pub(crate) const MAX_SERIES: usize = 7;

/// The plot's height in pixels, without the days' names.
const HEIGHT: f64 = 180.0;
/// Few days get bars of the width that they have among this many.
const MIN_SLOTS: usize = 7;
/// Names of days: this many fit below a chart that is as wide as a page, and half of them on a phone.
const MAX_LABELS: usize = 8;

impl Chart<'_> {
    /// Bars, one a day, in which the series stand one upon the other.
    pub(crate) fn bars(&self) -> String {
        let days = (0..self.days.len()).map(|at| self.series.iter().filter_map(|series| series.values[at]).sum());
        let scale = Scale::new(self.unit, days);
        let mut marks = String::new();
        for at in 0..self.days.len() {
            let mut below = 0;
            for (colour, series) in self.series.iter().enumerate() {
                let Some(value) = series.values[at].filter(|value| *value > 0) else { continue };
                let (top, bottom) = (scale.y(below + value), scale.y(below));
                let width = 76.0 / self.slots();
                marks.push_str(&format!(
                    r#"<rect class="s{colour}" x="{:.2}%" y="{top:.1}" width="{width:.2}%" height="{:.1}"><title>{} · {}: {}</title></rect>"#,
                    self.x(at) - width / 2.0,
                    bottom - top,
                    self.days[at],
                    series.name,
                    self.unit.short(value),
                ));
                below += value;
            }
        }
        self.figure("stacked bars", &scale, &marks)
    }

    /// Lines from day to day, which end where a day has no value.
    pub(crate) fn lines(&self) -> String {
        let scale =
            Scale::new(self.unit, self.series.iter().flat_map(|series| series.values.iter().flatten().copied()));
        let mut marks = String::new();
        for (colour, series) in self.series.iter().enumerate() {
            for at in 0..self.days.len() {
                let Some(value) = series.values[at] else { continue };
                let (x, y) = (self.x(at), scale.y(value));
                if let Some(Some(next)) = series.values.get(at + 1)
                    && !self.is_gap(at + 1)
                {
                    marks.push_str(&format!(
                        r#"<line class="l{colour}" x1="{x:.2}%" y1="{y:.1}" x2="{:.2}%" y2="{:.1}"/>"#,
                        self.x(at + 1),
                        scale.y(*next),
                    ));
                }
                marks.push_str(&format!(
                    r#"<circle class="s{colour}" cx="{x:.2}%" cy="{y:.1}" r="4"><title>{} · {}: {}</title></circle>"#,
                    self.days[at],
                    series.name,
                    self.unit.short(value),
                ));
            }
        }
        self.figure("lines", &scale, &marks)
    }

    /// Whether there are days between this one and the one before.
    fn is_gap(&self, at: usize) -> bool {
        at > 0 && self.days[at].previous() != Some(self.days[at - 1])
    }

    #[expect(clippy::cast_precision_loss, reason = "a quarter's days")]
    fn slots(&self) -> f64 {
        self.days.len().max(MIN_SLOTS) as f64
    }

    /// The middle of a day, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a quarter's days")]
    fn x(&self, at: usize) -> f64 {
        let slots = self.slots();
        // Few days stand in the middle.
        (at as f64 + 0.5 + (slots - self.days.len() as f64) / 2.0) * 100.0 / slots
    }

    fn figure(&self, form: &str, scale: &Scale, marks: &str) -> String {
        let (title, days, steps) = (self.title, self.days, scale.steps);
        let mut axis = String::new();
        let mut grid = String::new();
        for step in (0..=steps).rev() {
            let value = scale.step * step;
            axis.push_str(&format!("<span>{}</span>", self.unit.tick(value)));
            grid.push_str(&format!(
                r#"<line class="grid" x1="0" x2="100%" y1="{y:.1}" y2="{y:.1}"/>"#,
                y = scale.y(value)
            ));
        }
        for at in (0..days.len()).filter(|at| self.is_gap(*at)) {
            let x = (self.x(at) + self.x(at - 1)) / 2.0;
            grid.push_str(&format!(r#"<line class="gap" x1="{x:.2}%" x2="{x:.2}%" y1="0" y2="{HEIGHT}"/>"#));
        }
        let mut names = String::new();
        let every = days.len().div_ceil(MAX_LABELS).max(1);
        for (count, at) in (0..days.len()).step_by(every).enumerate() {
            let class = if count % 2 == 0 { "" } else { r#" class="minor""# };
            names.push_str(&format!(
                r#"<text x="{:.2}%" y="{:.0}"{class}>{}</text>"#,
                self.x(at),
                HEIGHT + 20.0,
                short_day(days[at])
            ));
        }
        let legend: String = self
            .series
            .iter()
            .enumerate()
            .map(|(colour, series)| format!(r#"<li><i class="s{colour}"></i>{}</li>"#, series.name))
            .collect();
        let legend = if self.series.len() > 1 { format!(r#"<ul class="legend">{legend}</ul>"#) } else { String::new() };
        let label = match days {
            [] => format!("{title}: nothing"),
            [day] => format!("{title}, as {form}, on {day}; the axis ends at {}", self.unit.short(scale.top())),
            [first, .., last] => {
                format!("{title}, as {form}, from {first} to {last}; the axis ends at {}", self.unit.short(scale.top()))
            }
        };
        let table = self.table();
        format!(
            r#"<figure><figcaption>{title}</figcaption>{legend}
<div class="chart"><div class="axis" aria-hidden="true">{axis}</div><svg role="img" aria-label="{label}">{grid}{marks}{names}</svg></div>
<details><summary>Figures<span class="off"> of: {title}</span></summary>{table}</details></figure>
"#
        )
    }

    fn table(&self) -> String {
        let caption = format!("{}, {}", self.title, self.unit.name());
        let heads = self.series.iter().map(|series| series.name.to_string());
        let rows = self.days.iter().enumerate().filter_map(|(at, day)| {
            let values = self.series.iter().map(|series| series.values[at]);
            let cells =
                values.clone().map(|value| value.map_or_else(|| "–".to_owned(), |value| self.unit.exact(value)));
            values.flatten().next().map(|_| std::iter::once(day.to_string()).chain(cells).collect())
        });
        table(&caption, std::iter::once("Day".to_owned()).chain(heads), rows, 1)
    }
}

/// A table that scrolls by itself where it is too wide. The cells are markup; the first `names` of a row are names, the others
/// figures.
pub(crate) fn table<H: Display>(
    caption: &str,
    heads: impl IntoIterator<Item = H>,
    rows: impl IntoIterator<Item = Vec<String>>,
    names: usize,
) -> String {
    let class = |at| if at < names { "" } else { r#" class="n""# };
    let heads: String = heads
        .into_iter()
        .enumerate()
        .map(|(at, head)| format!(r#"<th scope="col"{}>{head}</th>"#, class(at)))
        .collect();
    let mut body = String::new();
    for row in rows {
        body.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            body.push_str(&match at {
                0 => format!(r#"<th scope="row">{cell}</th>"#),
                _ => format!("<td{}>{cell}</td>", class(at)),
            });
        }
        body.push_str("</tr>\n");
    }
    // Who has no pointer scrolls it by the keyboard, so it takes the focus.
    format!(
        r#"<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>
<tbody>
{body}</tbody></table></div>
"#
    )
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
