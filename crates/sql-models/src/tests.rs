//! Tests: statements whose rows should not be there.

use crate::config::Settings;
use crate::error::{Place, ReadError};
use crate::graph::References;
use crate::project::Project;
use crate::properties::{GenericTest, TestKind, is_warning};
use crate::render::{Relation, Scope, Template};

/// A test, and what it is about.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) is_warning: bool,
    pub(crate) references: References,
    sql: Sql,
}

#[derive(Debug)]
enum Sql {
    Generic { relation: Relation, test: GenericTest },
    Singular { file: String, text: String },
}

/// A test on a column. `of` is what is tested, as names of tests say it.
pub(crate) fn generic(of: &str, relation: &Relation, test: GenericTest, references: References) -> Test {
    let column = &test.column;
    let name = test.name.clone().unwrap_or_else(|| match &test.kind {
        TestKind::Unique => format!("unique_{of}_{column}"),
        TestKind::NotNull => format!("not_null_{of}_{column}"),
        TestKind::AcceptedValues { .. } => format!("accepted_values_{of}_{column}"),
        TestKind::Relationships { .. } => format!("relationships_{of}_{column}"),
    });
    let is_warning = test.is_warning;
    Test { name, is_warning, references, sql: Sql::Generic { relation: relation.clone(), test } }
}

/// A test that is a file.
///
/// # Errors
/// When it is configured to be something unknown.
pub(crate) fn singular(
    name: String,
    file: String,
    text: String,
    settings: &Settings,
    references: References,
) -> Result<Test, ReadError> {
    let mut warns = false;
    for (name, (place, value)) in settings {
        match name.as_str() {
            "severity" => warns = is_warning(value, place)?,
            "tags" | "meta" => {}
            _ => return Err(place.error(format!("{name}: this setting of a test is not known here"))),
        }
    }
    Ok(Test { name, is_warning: warns, references, sql: Sql::Singular { file, text } })
}

impl Test {
    /// The statement.
    ///
    /// # Errors
    /// When it can't be rendered.
    pub(crate) fn render(&self, project: &Project, scope: &Scope) -> Result<String, ReadError> {
        match &self.sql {
            Sql::Singular { file, text } => {
                project.jinja.render(Template { file, line: 1, text }, scope).map(|sql| sql.trim().to_owned())
            }
            Sql::Generic { relation, test } => {
                let render = |text: &str, place: &Place| {
                    project.jinja.render(Template { file: &place.file, line: place.line, text }, scope)
                };
                let rows = match &test.filter {
                    Some(filter) => {
                        format!("(select * from {relation} where {}) as tested", render(filter, &test.place)?)
                    }
                    None => format!("{relation} as tested"),
                };
                let column = &test.column;
                Ok(match &test.kind {
                    TestKind::NotNull => format!("select {column} from {rows} where {column} is null"),
                    TestKind::Unique => format!(
                        "select {column}, count(*) from {rows} where {column} is not null group by {column} having count(*) > 1"
                    ),
                    TestKind::AcceptedValues { values, is_quoted } => {
                        let values: Vec<_> = values.iter().map(|value| literal(value, *is_quoted)).collect();
                        format!(
                            "select {column}, count(*) from {rows} where {column} not in ({}) group by {column}",
                            values.join(", ")
                        )
                    }
                    TestKind::Relationships { to, field } => {
                        let to = render(&format!("{{{{ {to} }}}}"), &test.place)?;
                        format!(
                            "select tested.{column} from {rows} where tested.{column} is not null \
                             and not exists (select from {to} as parent where parent.{field} = tested.{column})"
                        )
                    }
                })
            }
        }
    }
}

fn literal(value: &str, is_quoted: bool) -> String {
    if is_quoted { format!("'{}'", value.replace('\'', "''")) } else { value.to_owned() }
}
