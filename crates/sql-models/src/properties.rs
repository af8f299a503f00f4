//! The properties of sources and models in the YAML files: descriptions, columns, constraints, tests, settings.

use std::collections::BTreeMap;

use crate::config::Settings;
use crate::error::{Place, ReadError};
use crate::yaml::Node;

/// The properties of all files.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    /// By name.
    pub(crate) models: BTreeMap<String, ModelProperties>,
    /// By source and table.
    pub(crate) sources: BTreeMap<(String, String), SourceTable>,
}

#[derive(Debug)]
pub(crate) struct ModelProperties {
    pub(crate) place: Place,
    pub(crate) description: Option<String>,
    pub(crate) columns: Vec<Column>,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) settings: Settings,
    pub(crate) tests: Vec<GenericTest>,
}

#[derive(Debug)]
pub(crate) struct SourceTable {
    pub(crate) schema: String,
    pub(crate) identifier: String,
    pub(crate) tests: Vec<GenericTest>,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) data_type: Option<String>,
    pub(crate) constraints: Vec<Constraint>,
}

/// A constraint of an enforced contract.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    pub(crate) place: Place,
    pub(crate) kind: ConstraintKind,
    pub(crate) name: Option<String>,
    /// Of a model's constraint; a column's is on its column.
    pub(crate) columns: Vec<String>,
    pub(crate) expression: Option<String>,
    /// `ref('x')`, and columns of x.
    pub(crate) to: Option<(String, Vec<String>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConstraintKind {
    NotNull,
    Unique,
    PrimaryKey,
    ForeignKey,
    Check,
}

/// One of dbt's built-in tests, on a column.
#[derive(Clone, Debug)]
pub(crate) struct GenericTest {
    pub(crate) place: Place,
    pub(crate) name: Option<String>,
    pub(crate) column: String,
    pub(crate) kind: TestKind,
    /// Limits the tested rows; may have Jinja in it.
    pub(crate) filter: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TestKind {
    Unique,
    NotNull,
    AcceptedValues {
        values: Vec<String>,
        is_quoted: bool,
    },
    /// `to` is an expression such as `ref('x')`.
    Relationships {
        to: String,
        field: String,
    },
}

impl Properties {
    /// Adds the properties of a file.
    ///
    /// # Errors
    /// When one is unknown, or is already there.
    pub(crate) fn add(&mut self, file: &Node) -> Result<(), ReadError> {
        for (key, node) in file.entries()? {
            match key.as_str() {
                "version" => {}
                "models" => {
                    for item in node.items()? {
                        let (name, model) = model(item)?;
                        if self.models.insert(name.clone(), model).is_some() {
                            return Err(item.place.error(format!("the model {name} is described twice")));
                        }
                    }
                }
                "sources" => {
                    for item in node.items()? {
                        self.add_source(item)?;
                    }
                }
                // They do not change what is built.
                "exposures" => {}
                "macros" | "data_tests" => {
                    for item in node.items()? {
                        for (key, value) in item.entries()? {
                            match key.as_str() {
                                "name" | "description" | "docs" | "meta" | "arguments" => {}
                                _ => return Err(unknown(&value.place, key, "a description")),
                            }
                        }
                    }
                }
                _ => return Err(unknown(&node.place, key, "a properties file")),
            }
        }
        Ok(())
    }

    fn add_source(&mut self, source: &Node) -> Result<(), ReadError> {
        let name = required(source, "name")?;
        let (mut schema, mut tables) = (name.clone(), &[][..]);
        for (key, node) in source.entries()? {
            match key.as_str() {
                "schema" => schema = node.text()?,
                "tables" => tables = node.items()?,
                "config" => freshness_only(node)?,
                "name" | "description" | "loader" | "meta" | "tags" | "freshness" | "loaded_at_field" => {}
                _ => return Err(unknown(&node.place, key, "a source")),
            }
        }
        for table in tables {
            let table_name = required(table, "name")?;
            let mut read = SourceTable { schema: schema.clone(), identifier: table_name.clone(), tests: Vec::new() };
            for (key, node) in table.entries()? {
                match key.as_str() {
                    "identifier" => read.identifier = node.text()?,
                    "columns" => {
                        columns(node, &mut read.tests)?;
                    }
                    "config" => freshness_only(node)?,
                    "name" | "description" | "meta" | "tags" | "freshness" | "loaded_at_field" => {}
                    _ => return Err(unknown(&node.place, key, "a source's table")),
                }
            }
            if self.sources.insert((name.clone(), table_name.clone()), read).is_some() {
                return Err(table.place.error(format!("the source {name}.{table_name} is described twice")));
            }
        }
        Ok(())
    }
}

/// Freshness is for `dbt source freshness`; a build ignores it.
fn freshness_only(config: &Node) -> Result<(), ReadError> {
    for (key, node) in config.entries()? {
        if !matches!(key.as_str(), "freshness" | "loaded_at_field" | "meta" | "tags") {
            return Err(unknown(&node.place, key, "a source's config"));
        }
    }
    Ok(())
}

fn model(node: &Node) -> Result<(String, ModelProperties), ReadError> {
    let name = required(node, "name")?;
    let mut model = ModelProperties {
        place: node.place.clone(),
        description: None,
        columns: Vec::new(),
        constraints: Vec::new(),
        settings: Settings::new(),
        tests: Vec::new(),
    };
    for (key, value) in node.entries()? {
        match key.as_str() {
            "name" | "docs" | "meta" => {}
            "description" => model.description = Some(value.text()?),
            "config" => model.settings = settings(value)?,
            "constraints" => {
                model.constraints = value.items()?.iter().map(constraint).collect::<Result<_, _>>()?;
            }
            "columns" => model.columns = columns(value, &mut model.tests)?,
            _ => return Err(unknown(&value.place, key, "a model")),
        }
    }
    Ok((name, model))
}

/// Settings of a mapping.
pub(crate) fn settings(node: &Node) -> Result<Settings, ReadError> {
    let settings = node.entries()?.iter();
    Ok(settings.map(|(name, node)| (name.clone(), (node.place.clone(), node.json()))).collect())
}

fn columns(node: &Node, tests: &mut Vec<GenericTest>) -> Result<Vec<Column>, ReadError> {
    let mut columns = Vec::new();
    for item in node.items()? {
        let name = required(item, "name")?;
        let mut column =
            Column { place: item.place.clone(), name, description: None, data_type: None, constraints: Vec::new() };
        for (key, value) in item.entries()? {
            match key.as_str() {
                "name" | "meta" | "tags" => {}
                "description" => column.description = Some(value.text()?),
                "data_type" => column.data_type = Some(value.text()?),
                "constraints" => {
                    column.constraints = value.items()?.iter().map(constraint).collect::<Result<_, _>>()?;
                }
                "data_tests" | "tests" => {
                    for test in value.items()? {
                        tests.push(generic_test(test, &column.name)?);
                    }
                }
                _ => return Err(unknown(&value.place, key, "a column")),
            }
        }
        columns.push(column);
    }
    Ok(columns)
}

fn constraint(node: &Node) -> Result<Constraint, ReadError> {
    let kind = match required(node, "type")?.as_str() {
        "not_null" => ConstraintKind::NotNull,
        "unique" => ConstraintKind::Unique,
        "primary_key" => ConstraintKind::PrimaryKey,
        "foreign_key" => ConstraintKind::ForeignKey,
        "check" => ConstraintKind::Check,
        "custom" => {
            let why = "the constraint type custom is not supported here: use not_null, unique, primary_key, \
                       foreign_key or check";
            return Err(node.place.error(why));
        }
        other => return Err(node.place.error(format!("the constraint type {other} is not known"))),
    };
    let place = node.place.clone();
    let mut constraint = Constraint { place, kind, name: None, columns: Vec::new(), expression: None, to: None };
    let (mut to, mut to_columns) = (None, Vec::new());
    for (key, value) in node.entries()? {
        match key.as_str() {
            "type" | "warn_unenforced" | "warn_unsupported" => {}
            "name" => constraint.name = Some(value.text()?),
            "columns" => constraint.columns = value.texts()?,
            "expression" => constraint.expression = Some(value.text()?),
            "to" => to = Some(value.text()?),
            "to_columns" => to_columns = value.texts()?,
            _ => return Err(unknown(&value.place, key, "a constraint")),
        }
    }
    constraint.to = to.map(|to| (to, to_columns));
    let is_complete = match kind {
        ConstraintKind::ForeignKey => match &constraint.to {
            Some((_, columns)) => !columns.is_empty(),
            None => constraint.expression.is_some(),
        },
        ConstraintKind::Check => constraint.expression.is_some(),
        ConstraintKind::NotNull | ConstraintKind::Unique | ConstraintKind::PrimaryKey => constraint.to.is_none(),
    };
    if !is_complete {
        return Err(node.place.error("check needs an expression, foreign_key needs to and to_columns"));
    }
    Ok(constraint)
}

fn generic_test(node: &Node, column: &str) -> Result<GenericTest, ReadError> {
    let nothing = [];
    let (kind, body) = match node.entries() {
        Ok([(name, body)]) => (name.clone(), body.entries()?),
        Ok(_) => return Err(node.place.error("expected one test, such as `- unique` or `- accepted_values: …`")),
        Err(_) => (node.text()?, &nothing[..]),
    };
    let mut test = GenericTest {
        place: node.place.clone(),
        name: None,
        column: column.to_owned(),
        kind: TestKind::NotNull,
        filter: None,
    };
    let mut arguments: BTreeMap<&str, &Node> = BTreeMap::new();
    for (key, value) in body {
        match key.as_str() {
            "name" => test.name = Some(value.text()?),
            "description" => {}
            "config" => {
                for (key, value) in value.entries()? {
                    match key.as_str() {
                        "where" => test.filter = Some(value.template()?),
                        "severity" => return Err(severity(&value.place)),
                        "tags" | "meta" => {}
                        _ => return Err(unknown(&value.place, key, "a test's config")),
                    }
                }
            }
            "arguments" => arguments.extend(value.entries()?.iter().map(|(key, value)| (key.as_str(), value))),
            key => drop(arguments.insert(key, value)),
        }
    }
    let mut argument = |name: &str| {
        let missing = || node.place.error(format!("the test {kind} needs {name}"));
        arguments.remove(name).ok_or_else(missing)
    };
    test.kind = match kind.as_str() {
        "unique" => TestKind::Unique,
        "not_null" => TestKind::NotNull,
        "accepted_values" => {
            let values = argument("values")?.texts()?;
            TestKind::AcceptedValues { values, is_quoted: argument("quote").map_or(Ok(true), Node::boolean)? }
        }
        "relationships" => TestKind::Relationships { to: argument("to")?.text()?, field: argument("field")?.text()? },
        other => {
            return Err(node.place.error(format!(
                "the test {other} is not known: use unique, not_null, accepted_values, relationships, or a file in \
                 tests/"
            )));
        }
    };
    match arguments.first_key_value() {
        Some((name, node)) => Err(unknown(&node.place, name, "this test")),
        None => Ok(test),
    }
}

/// The refusal of a test's `severity`.
pub(crate) fn severity(place: &Place) -> ReadError {
    place.error("severity is not supported here: leave it out, a test that fails always rolls its model back")
}

fn required(node: &Node, key: &str) -> Result<String, ReadError> {
    match node.entries()?.iter().find(|(name, _)| name == key) {
        Some((_, value)) => value.text(),
        None => Err(node.place.error(format!("a {key} is missing"))),
    }
}

pub(crate) fn unknown(place: &Place, key: &str, of: &str) -> ReadError {
    place.error(format!("{of} can't have {key} here"))
}
