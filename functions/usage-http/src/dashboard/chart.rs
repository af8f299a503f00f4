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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn days(days: &[&str]) -> Vec<Day> {
        days.iter().map(|day| Day::parse(day).unwrap()).collect()
    }

    fn series(name: &str, values: &[Option<u128>]) -> Series {
        Series { name: Text::new(name), values: values.to_vec() }
    }

    #[test]
    fn bars_stand_one_upon_the_other() {
        let days = days(&["2023-12-31", "2024-01-02"]);
        let series = vec![series("a<b>", &[Some(1_500), Some(500)]), series("\"c\"", &[Some(500), None])];
        let chart = Chart { title: "Messages", unit: Unit::Things, days: &days, series };
        expect![[r#"
            <figure><figcaption>Messages</figcaption><ul class="legend"><li><i class="s0"></i>a&lt;b&gt;</li><li><i class="s1"></i>&quot;c&quot;</li></ul>
            <div class="chart"><div class="axis" aria-hidden="true"><span>2,000</span><span>1,500</span><span>1,000</span><span>500</span><span>0</span></div><svg role="img" aria-label="Messages, as stacked bars, from 2023-12-31 to 2024-01-02; the axis ends at 2,000"><line class="grid" x1="0" x2="100%" y1="0.0" y2="0.0"/><line class="grid" x1="0" x2="100%" y1="45.0" y2="45.0"/><line class="grid" x1="0" x2="100%" y1="90.0" y2="90.0"/><line class="grid" x1="0" x2="100%" y1="135.0" y2="135.0"/><line class="grid" x1="0" x2="100%" y1="180.0" y2="180.0"/><line class="gap" x1="50.00%" x2="50.00%" y1="0" y2="180"/><rect class="s0" x="37.43%" y="45.0" width="10.86%" height="135.0"><title>2023-12-31 · a&lt;b&gt;: 1,500</title></rect><rect class="s1" x="37.43%" y="0.0" width="10.86%" height="45.0"><title>2023-12-31 · &quot;c&quot;: 500</title></rect><rect class="s0" x="51.71%" y="135.0" width="10.86%" height="45.0"><title>2024-01-02 · a&lt;b&gt;: 500</title></rect><text x="42.86%" y="200">31 Dec</text><text x="57.14%" y="200" class="minor">2 Jan</text></svg></div>
            <details><summary>Figures<span class="off"> of: Messages</span></summary><div class="scroll" role="region" aria-label="Messages, count" tabindex="0"><table><caption>Messages, count</caption><thead><tr><th scope="col">Day</th><th scope="col" class="n">a&lt;b&gt;</th><th scope="col" class="n">&quot;c&quot;</th></tr></thead>
            <tbody>
            <tr><th scope="row">2023-12-31</th><td class="n">1,500</td><td class="n">500</td></tr>
            <tr><th scope="row">2024-01-02</th><td class="n">500</td><td class="n">–</td></tr>
            </tbody></table></div>
            </details></figure>
        "#]].assert_eq(&chart.bars());
    }

    #[test]
    fn lines_end_where_there_is_nothing() {
        let days = days(&["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-06"]);
        let series = vec![series("median", &[Some(60), Some(30), None, Some(90), Some(120)])];
        let chart = Chart { title: "Waits", unit: Unit::Seconds, days: &days, series };
        let lines = chart.lines();
        let lines: String =
            lines.lines().filter(|line| line.contains("<svg")).map(|line| line.replace('>', ">\n")).collect();
        let lines: Vec<_> =
            lines.lines().filter(|line| line.contains("class=\"l0\"") || line.contains("gap")).collect();
        expect![[r#"
            <line class="gap" x1="71.43%" x2="71.43%" y1="0" y2="180"/>
            <line class="l0" x1="21.43%" y1="90.0" x2="35.71%" y2="135.0"/>"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn nothing_is_a_chart_too() {
        let chart = Chart { title: "Calls", unit: Unit::Seconds, days: &[], series: Vec::new() };
        assert!(chart.bars().contains("Calls: nothing") && chart.lines().contains("Calls: nothing"));
    }
}
