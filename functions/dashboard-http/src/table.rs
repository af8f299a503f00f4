//! Figures in rows: as people read them, and whole for spreadsheets.

use anyhow::Context;
use serde::Serialize;

use crate::text::{Text, Unit};

/// A table of the page, which is also a file.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    /// The file's name, without its ending.
    pub(crate) name: &'static str,
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A column's head.
#[derive(Debug, Serialize)]
pub(crate) struct Column {
    head: String,
    /// The same in a file, where each figure has its unit above it.
    #[serde(skip)]
    file_head: String,
    is_figure: bool,
}

/// What stands in a row below a head.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cell {
    text: String,
    /// The same in a file: every digit, and nothing that a spreadsheet would compute.
    #[serde(skip)]
    whole: String,
    /// `good`, `bad` or `soft`; never what alone tells it.
    tone: &'static str,
    /// Sentences behind it.
    more: String,
    /// Where it leads, on this site.
    link: String,
}

impl Table {
    /// The table as RFC 4180 has it, with a head.
    ///
    /// # Errors
    /// When a row has not a cell for each column.
    pub(crate) fn csv(&self) -> anyhow::Result<String> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| &column.file_head))?;
        for row in &self.rows {
            writer
                .write_record(row.iter().map(|cell| &cell.whole))
                .with_context(|| format!("a row of {}", self.name))?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}

impl Column {
    /// Of names.
    pub(crate) fn of_names(head: &str) -> Self {
        Self { head: head.to_owned(), file_head: head.to_owned(), is_figure: false }
    }

    /// Of figures.
    pub(crate) fn of(unit: Unit, head: &str) -> Self {
        let file_head = match unit {
            Unit::Things => inert(head),
            Unit::Bytes | Unit::Seconds | Unit::Cents => inert(&format!("{head}, {}", unit.name())),
        };
        Self { head: head.to_owned(), file_head, is_figure: true }
    }
}

impl Cell {
    /// A name from outside.
    pub(crate) fn name(text: &Text) -> Self {
        Self { text: text.short(), whole: inert(text.whole()), ..Self::default() }
    }

    /// A word of ours.
    pub(crate) fn word(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { whole: text.clone(), text, ..Self::default() }
    }

    /// A figure with every digit.
    pub(crate) fn exact(unit: Unit, value: u128) -> Self {
        Self { text: unit.exact(value), whole: unit.plain(value), ..Self::default() }
    }

    /// A figure as it is read at a glance.
    pub(crate) fn short(unit: Unit, value: u128) -> Self {
        Self { text: unit.short(value), whole: unit.plain(value), ..Self::default() }
    }

    /// Nothing to show.
    pub(crate) fn none() -> Self {
        Self { text: "–".to_owned(), ..Self::default() }
    }

    pub(crate) fn toned(self, tone: &'static str) -> Self {
        Self { tone, ..self }
    }

    /// With sentences behind it; a file has them behind a colon.
    pub(crate) fn with(self, more: &Text) -> Self {
        let whole = match more.whole() {
            "" => self.whole,
            more => format!("{}: {more}", self.whole),
        };
        Self { more: more.passage(), whole, ..self }
    }

    pub(crate) fn leading_to(self, link: String) -> Self {
        Self { link, ..self }
    }

    /// Of a time to come; in a file it is below zero.
    pub(crate) fn ahead(self) -> Self {
        Self { text: format!("{} ahead", self.text), whole: format!("-{}", self.whole), tone: "bad", ..self }
    }

    /// Shown in another way, and the same in a file.
    pub(crate) fn shown(self, text: String) -> Self {
        Self { text, ..self }
    }
}

/// Text that no spreadsheet takes for a formula: behind one of these characters it would compute, or fetch.
fn inert(text: &str) -> String {
    const FORMULAS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    if text.trim_start().starts_with(FORMULAS) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_file_has_every_digit_and_no_formula() {
        let names = ["plain", "a,b", "say \"é\"", "=HYPERLINK(\"http://example.org\")", " +1", "@SUM(A1)", "－2"];
        let row = |name: &&str| {
            vec![
                Cell::name(&Text::new(*name)).with(&Text::new("")),
                Cell::short(Unit::Bytes, 1_234_567_890),
                Cell::short(Unit::Cents, 7_148_303),
                Cell::none(),
            ]
        };
        let columns = vec![
            Column::of_names("Name"),
            Column::of(Unit::Bytes, "Data"),
            Column::of(Unit::Cents, "-1"),
            Column::of(Unit::Things, "=1"),
        ];
        let table = Table { name: "names", caption: "Names".into(), columns, rows: names.iter().map(row).collect() };
        expect![[r#"
            Name,"Data, bytes","'-1, rand",'=1
            plain,1234567890,71483.03,
            "a,b",1234567890,71483.03,
            "say ""é""",1234567890,71483.03,
            "'=HYPERLINK(""http://example.org"")",1234567890,71483.03,
            ' +1,1234567890,71483.03,
            '@SUM(A1),1234567890,71483.03,
            '－2,1234567890,71483.03,
        "#]]
        .assert_eq(&table.csv().unwrap().replace("\r\n", "\n"));
        assert_eq!(table.csv().unwrap().matches("\r\n").count(), 1 + names.len());
    }
}
