//! Jinja as dbt's models use it: `ref source config var is_incremental this target` and the project's own macros.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Kwargs, Object, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use serde_json::Value as Json;

use crate::config::Settings;
use crate::error::{Place, ReadError};

/// The schema of what names none, as `profiles.yml` would say it.
const TARGET_SCHEMA: &str = "public";
/// The one template that has all macros, so that they know each other.
const MACROS: &str = "macros";
/// What is there besides the project's macros.
const GLOBALS: &[&str] = &["ref", "source", "config", "var", "is_incremental", "this", "target", "execute"];

/// Values for `var(…)`.
pub(crate) type Vars = BTreeMap<String, Json>;

/// A table or view, as a model names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Stored {
        schema: String,
        identifier: String,
    },
    /// A model that is written into those that use it, under this name.
    Inline(String),
}

impl Relation {
    pub(crate) fn stored(schema: &str, identifier: &str) -> Self {
        Self::Stored { schema: schema.to_owned(), identifier: identifier.to_owned() }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored { schema, identifier } => write!(f, "{}.{}", quote(schema), quote(identifier)),
            Self::Inline(name) => f.write_str(name),
        }
    }
}

impl Object for Relation {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (&**self, key.as_str()?) {
            (Self::Stored { schema, .. }, "schema") => Some(schema.as_str().into()),
            (Self::Stored { identifier, .. }, "identifier" | "name" | "table") => Some(identifier.as_str().into()),
            (Self::Inline(name), "identifier" | "name") => Some(name.as_str().into()),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An identifier that means exactly this name.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// What names in a project stand for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) models: BTreeMap<String, Relation>,
    pub(crate) sources: BTreeMap<(String, String), Relation>,
}

/// What a template says of itself when it is read.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) refs: BTreeSet<String>,
    pub(crate) sources: BTreeSet<(String, String)>,
    pub(crate) settings: Settings,
}

/// What a template is rendered with.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) names: Arc<Names>,
    pub(crate) vars: Arc<Vars>,
    pub(crate) this: Option<Relation>,
    /// What it may refer to: what it referred to when it was read.
    pub(crate) refs: Arc<BTreeSet<String>>,
    pub(crate) is_incremental: bool,
}

/// A template's text, and the file that it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template<'a> {
    pub(crate) file: &'a str,
    /// The line of the file where the text begins.
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

impl Template<'_> {
    fn place(&self, line: Option<usize>) -> Place {
        Place::new(self.file, self.line + line.unwrap_or(1) - 1)
    }
}

/// The project's macros.
#[derive(Debug)]
pub(crate) struct Jinja {
    env: Environment<'static>,
    project: String,
    /// Where each file begins among the macros.
    files: Vec<(usize, String)>,
}

impl Jinja {
    /// Reads the macros, given with their files.
    ///
    /// # Errors
    /// When they are malformed, name something unknown, or have the same name.
    pub(crate) fn new(project: &str, macros: &[(String, String)]) -> Result<Self, ReadError> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.add_global("target", Value::from_pairs([("schema", TARGET_SCHEMA), ("type", "postgres")]));
        let mut jinja = Self { env, project: project.to_owned(), files: Vec::new() };
        let (mut text, mut lines, mut known) = (String::new(), 1, BTreeSet::new());
        for (file, source) in macros {
            let template = Template { file, line: 1, text: source };
            let own =
                jinja.env.template_from_named_str(file, source).map_err(|error| jinja.explain(&error, template))?;
            let own = own.render_captured(()).map_err(|error| jinja.explain(&error, template))?;
            for name in own.state().exports() {
                let why = if is_dbts_own(name) {
                    "is called by dbt itself, but not here: give it another name"
                } else if known.insert(name.to_owned()) {
                    continue;
                } else {
                    "is there twice"
                };
                let line = source.lines().position(|line| line.contains(name)).map(|line| line + 1);
                return Err(template.place(line).error(format!("the macro {name} {why}")));
            }
            jinja.files.push((lines, file.clone()));
            text.push_str(source);
            text.push('\n');
            lines += source.matches('\n').count() + 1;
        }
        let whole = Template { file: MACROS, line: 1, text: &text };
        let added = jinja.env.add_template_owned(MACROS, text.clone());
        added.map_err(|error| jinja.explain(&error, whole))?;
        for name in known {
            jinja.env.add_global(name.clone(), Value::from_object(Macro(name)));
        }
        for (file, source) in macros {
            jinja.check_names(Template { file, line: 1, text: source })?;
        }
        Ok(jinja)
    }

    /// Where dbt puts what wants this schema, unless the project has a macro of its own for it.
    pub(crate) fn default_schema(custom: Option<&str>) -> String {
        custom.map_or_else(|| TARGET_SCHEMA.to_owned(), |custom| format!("{TARGET_SCHEMA}_{}", custom.trim()))
    }

    /// Whether the project has this macro.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.env.globals().any(|(known, _)| known == name)
    }

    /// Calls a macro.
    pub(crate) fn call(&self, name: &str, arguments: &[Value]) -> Result<String, ReadError> {
        let whole = Template { file: MACROS, line: 1, text: "" };
        let mut state = self.env.empty_state();
        let called = Value::from_object(Macro(name.to_owned())).call(&mut state, arguments);
        Ok(called.map_err(|error| self.explain(&error, whole))?.to_string())
    }

    /// Reads a template: what it refers to, and its settings.
    ///
    /// # Errors
    /// When it is malformed or names something unknown.
    pub(crate) fn scan(&self, template: Template<'_>, scope: &Scope) -> Result<Found, ReadError> {
        self.check_names(template)?;
        let found = Arc::new(Mutex::new(Found::default()));
        self.evaluate(template, scope, Some(&found))?;
        let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        // Settings are told apart by name only: they are looked for where `config(` is.
        let line = template.text.lines().position(|line| line.contains("config(")).map(|line| line + 1);
        found.settings.values_mut().for_each(|(place, _)| *place = template.place(line));
        Ok(found)
    }

    /// The template's SQL.
    ///
    /// # Errors
    /// When it can't be rendered.
    pub(crate) fn render(&self, template: Template<'_>, scope: &Scope) -> Result<String, ReadError> {
        self.evaluate(template, scope, None)
    }

    /// The line of the template's file that the character at `offset` of what it renders to comes from.
    pub(crate) fn line(&self, template: Template<'_>, scope: &Scope, rendered: &str, offset: usize) -> Option<usize> {
        // White space may be trimmed otherwise where the marks are.
        let wanted = rendered.chars().take(offset).filter(|c| !c.is_whitespace()).count();
        let marked = mark(template.text);
        let marked = self.evaluate(Template { text: &marked, ..template }, scope, None).ok()?;
        let (mut line, mut seen, mut pieces) = (1, 0, marked.split(['\u{1}', '\u{2}']));
        // Text and line numbers take turns, text first.
        loop {
            seen += pieces.next()?.chars().filter(|c| !c.is_whitespace()).count();
            if seen > wanted {
                return Some(template.line + line - 1);
            }
            line = pieces.next()?.parse().ok()?;
        }
    }

    fn evaluate(
        &self,
        template: Template<'_>,
        scope: &Scope,
        found: Option<&Arc<Mutex<Found>>>,
    ) -> Result<String, ReadError> {
        let mut env = self.env.clone();
        self.add_functions(&mut env, scope, found);
        let rendered = env.template_from_named_str(template.file, template.text).and_then(|own| own.render(()));
        rendered.map_err(|error| self.explain(&error, template))
    }

    fn add_functions(&self, env: &mut Environment<'_>, scope: &Scope, found: Option<&Arc<Mutex<Found>>>) {
        let note = |found: &Option<Arc<Mutex<Found>>>, what: &dyn Fn(&mut Found)| {
            if let Some(found) = found {
                what(&mut found.lock().unwrap_or_else(PoisonError::into_inner));
            }
        };
        let (names, refs, project, noted) =
            (Arc::clone(&scope.names), Arc::clone(&scope.refs), self.project.clone(), found.cloned());
        env.add_function("ref", move |first: String, second: Option<String>| {
            let (package, name) = match second {
                Some(second) => (Some(first), second),
                None => (None, first),
            };
            if package.is_some_and(|package| package != project) {
                return Err(failure("ref: there are no other packages here"));
            }
            if noted.is_none() && !refs.contains(&name) {
                return Err(failure(format!(
                    "ref('{name}') was not seen when the model was read: write `-- depends_on: {{{{ ref('{name}') }}}}` \
                     outside of the condition"
                )));
            }
            let Some(relation) = names.models.get(&name) else {
                return Err(failure(format!("ref('{name}'): there is no such model")));
            };
            note(&noted, &|found| found.refs.extend([name.clone()]));
            Ok(Value::from_object(relation.clone()))
        });
        let (names, noted) = (Arc::clone(&scope.names), found.cloned());
        env.add_function("source", move |source: String, table: String| {
            let key = (source, table);
            let Some(relation) = names.sources.get(&key) else {
                return Err(failure(format!("source('{}', '{}'): there is no such source", key.0, key.1)));
            };
            note(&noted, &|found| found.sources.extend([key.clone()]));
            Ok(Value::from_object(relation.clone()))
        });
        let noted = found.cloned();
        env.add_function("config", move |settings: Kwargs| {
            for name in settings.args() {
                let value: Value = settings.get(name)?;
                let value = serde_json::to_value(&value)
                    .map_err(|_| failure(format!("config: {name} is nothing that a setting can be")))?;
                note(&noted, &|found| found.settings.extend([(name.to_owned(), (Place::new("", 0), value.clone()))]));
            }
            Ok(String::new())
        });
        let vars = Arc::clone(&scope.vars);
        env.add_function("var", move |name: String, default: Option<Value>| match (vars.get(&name), default) {
            (Some(value), _) => Ok(Value::from(Serde(value))),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(failure(format!("var('{name}') has no value: give it one in dbt_project.yml"))),
        });
        let is_incremental = scope.is_incremental;
        env.add_function("is_incremental", move || is_incremental);
        env.add_global("execute", found.is_none());
        if let Some(this) = &scope.this {
            env.add_global("this", Value::from_object(this.clone()));
        }
    }

    /// Names nothing that nobody knows: found before it is run, and told by name.
    fn check_names(&self, template: Template<'_>) -> Result<(), ReadError> {
        let own = self.env.template_from_named_str(template.file, template.text);
        let own = own.map_err(|error| self.explain(&error, template))?;
        let names = own.undeclared_variables(false);
        let builtin = Environment::new();
        let is_known = |name: &str| {
            GLOBALS.contains(&name) || self.has(name) || builtin.globals().any(|(builtin, _)| builtin == name)
        };
        match names.iter().filter(|name| !is_known(name)).min() {
            None => Ok(()),
            Some(name) => {
                let line = template.text.lines().position(|line| line.contains(name.as_str())).map(|line| line + 1);
                Err(template.place(line).error(format!("{name} is not known here")))
            }
        }
    }

    fn explain(&self, error: &Error, template: Template<'_>) -> ReadError {
        let place = match (error.name(), error.line()) {
            (Some(MACROS), Some(line)) => {
                let at = self.files.partition_point(|(first, _)| *first <= line).saturating_sub(1);
                let (first, file) = self.files.get(at).map_or((1, MACROS), |(first, file)| (*first, file));
                Place::new(file, line + 1 - first)
            }
            (_, line) => template.place(line),
        };
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        place.error(why)
    }
}

/// Whether a macro of this name would change what dbt does elsewhere than where it is called.
fn is_dbts_own(name: &str) -> bool {
    GLOBALS.contains(&name)
        || matches!(name, "generate_alias_name" | "generate_database_name" | "create_table_as")
        || ["default__", "postgres__", "get_", "test_"].iter().any(|start| name.starts_with(start))
}

fn failure(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

/// A macro, called from another template.
#[derive(Debug)]
struct Macro(String);

impl Object for Macro {
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        // A macro lives in the state of the template that has it.
        let mut macros = state.env().get_template(MACROS)?.render_captured(())?;
        macros.with_state_mut(|state| match state.lookup(&self.0) {
            Some(own) => own.call(state, arguments),
            None => Err(Error::from(ErrorKind::UnknownFunction)),
        })
    }
}

/// The text with the number of each line at its beginning, wherever that is not within Jinja's own.
fn mark(text: &str) -> String {
    let (mut marked, mut rest, mut line) = (String::from("\u{1}1\u{2}"), text, 1);
    let (mut end, mut quote) = (None::<&str>, None::<char>);
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match end {
            None => {
                end = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
                    .into_iter()
                    .find_map(|(start, end)| rest.starts_with(start).then_some(end));
                if end.is_some() {
                    taken = 2;
                }
            }
            Some("#}") if rest.starts_with("#}") => (end, taken) = (None, 2),
            Some("#}") => {}
            Some(delimiter) => match quote {
                Some(open) => quote = Some(open).filter(|open| *open != c),
                None if rest.starts_with(delimiter) => (end, taken) = (None, 2),
                None => quote = Some(c).filter(|c| matches!(c, '\'' | '"')),
            },
        }
        marked.push_str(&rest[..taken]);
        rest = &rest[taken..];
        if c == '\n' {
            line += 1;
            if end.is_none() {
                marked.push_str(&format!("\u{1}{line}\u{2}"));
            }
        }
    }
    marked
}
