//! Data tests: a test is a query, and fails if the query returns rows.

use crate::config::Settings;
use crate::error::ReadError;
use crate::properties::{GenericTest, TestKind, severity};
use crate::references::References;
use crate::render::{Jinja, Relation, Scope, Template};

/// A test, and the models or sources that it is about.
#[derive(Debug)]
pub(crate) struct DataTest {
    pub(crate) name: String,
    pub(crate) references: References,
    query: Query,
}

#[derive(Debug)]
enum Query {
    Generic { relation: Relation, test: GenericTest },
    Singular { file: String, text: String },
}

/// A test on a column. `of` is the tested relation, as it is written in the names of tests.
pub(crate) fn generic(of: &str, relation: &Relation, test: GenericTest, references: References) -> DataTest {
    let column = &test.column;
    let name = test.name.clone().unwrap_or_else(|| match &test.kind {
        TestKind::Unique => format!("unique_{of}_{column}"),
        TestKind::NotNull => format!("not_null_{of}_{column}"),
        TestKind::AcceptedValues { .. } => format!("accepted_values_{of}_{column}"),
        TestKind::Relationships { .. } => format!("relationships_{of}_{column}"),
    });
    DataTest { name, references, query: Query::Generic { relation: relation.clone(), test } }
}

/// A test that is a file.
///
/// # Errors
/// When it has a setting that is not supported.
pub(crate) fn singular(
    name: String,
    file: String,
    text: String,
    settings: &Settings,
    references: References,
) -> Result<DataTest, ReadError> {
    for (name, (place, _)) in settings {
        match name.as_str() {
            "tags" | "meta" => {}
            "severity" => return Err(severity(place)),
            _ => return Err(place.error(format!("{name}: this setting of a test is not known here"))),
        }
    }
    Ok(DataTest { name, references, query: Query::Singular { file, text } })
}

impl DataTest {
    /// The query of the rows that should not be there.
    ///
    /// # Errors
    /// When it can't be rendered.
    pub(crate) fn render(&self, jinja: &Jinja, scope: &Scope) -> Result<String, ReadError> {
        match &self.query {
            Query::Singular { file, text } => {
                jinja.render(Template { file, line: 1, text }, scope).map(|sql| sql.trim().to_owned())
            }
            Query::Generic { relation, test } => render_generic(relation, test, jinja, scope),
        }
    }
}

fn render_generic(relation: &Relation, test: &GenericTest, jinja: &Jinja, scope: &Scope) -> Result<String, ReadError> {
    let GenericTest { place, column, .. } = test;
    let render = |text: &str| jinja.render(Template { file: &place.file, line: place.line, text }, scope);
    let rows = match &test.filter {
        Some(filter) => format!("(select * from {relation} where {}) as tested", render(filter)?),
        None => format!("{relation} as tested"),
    };
    Ok(match &test.kind {
        TestKind::NotNull => format!("select {column} from {rows} where {column} is null"),
        TestKind::Unique => format!(
            "select {column}, count(*) from {rows} where {column} is not null group by {column} having count(*) > 1"
        ),
        TestKind::AcceptedValues { values, is_quoted } => {
            let values: Vec<_> = values.iter().map(|value| literal(value, *is_quoted)).collect();
            let values = values.join(", ");
            format!("select {column}, count(*) from {rows} where {column} not in ({values}) group by {column}")
        }
        TestKind::Relationships { to, field } => {
            let to = render(&format!("{{{{ {to} }}}}"))?;
            format!(
                "select tested.{column} from {rows} where tested.{column} is not null \
                 and not exists (select from {to} as parent where parent.{field} = tested.{column})"
            )
        }
    })
}

fn literal(value: &str, is_quoted: bool) -> String {
    if is_quoted { format!("'{}'", value.replace('\'', "''")) } else { value.to_owned() }
}
