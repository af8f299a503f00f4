//! Jinja as dbt's models use it: `ref source config var is_incremental this target` and the project's own macros.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Kwargs, Object, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use serde_json::Value as Json;

use crate::config::Settings;
use crate::error::{Place, ReadError};
use crate::references::References;

/// The schema of a model that does not name one. dbt takes it from `profiles.yml`.
const TARGET_SCHEMA: &str = "public";
/// The template that holds all macros, so that they can call each other.
const MACROS: &str = "macros";
/// The names that a template can use besides the project's macros.
const GLOBALS: &[&str] = &["ref", "source", "config", "var", "is_incremental", "this", "target", "execute"];

/// Values for `var(…)`.
pub(crate) type Vars = BTreeMap<String, Json>;

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) schema: String,
    pub(crate) identifier: String,
}

impl Relation {
    pub(crate) fn new(schema: &str, identifier: &str) -> Self {
        Self { schema: schema.to_owned(), identifier: identifier.to_owned() }
    }

    /// Stands for a model while the project is read: its settings, which choose its schema, are not known yet.
    pub(crate) fn not_yet_known(model: &str) -> Self {
        Self::new(TARGET_SCHEMA, model)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote(&self.schema), quote(&self.identifier))
    }
}

impl Object for Relation {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "schema" => Some(self.schema.as_str().into()),
            "identifier" | "name" | "table" => Some(self.identifier.as_str().into()),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A quoted SQL identifier.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// The relations of the project's models and sources.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) models: BTreeMap<String, Relation>,
    pub(crate) sources: BTreeMap<(String, String), Relation>,
}

/// What a scan finds in a template.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) references: References,
    pub(crate) settings: Settings,
}

/// The values that a template is rendered with.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) names: Arc<Names>,
    pub(crate) vars: Arc<Vars>,
    pub(crate) this: Option<Relation>,
    /// What it may refer to: the references that were found when it was read.
    pub(crate) references: Arc<References>,
    pub(crate) is_incremental: bool,
}

/// A template's text, and where it stands.
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
    /// Each file's first line in the template of all macros.
    files: Vec<(usize, String)>,
}

impl Jinja {
    /// Reads the macros, given with their files.
    ///
    /// # Errors
    /// When one is malformed, uses an unknown name, or has the name of another one.
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

    /// The schema that dbt chooses for a model's `schema` setting if the project has no `generate_schema_name`.
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
    /// When it is malformed or uses an unknown name.
    pub(crate) fn scan(&self, template: Template<'_>, scope: &Scope) -> Result<Found, ReadError> {
        self.check_names(template)?;
        let found = Arc::new(Mutex::new(Found::default()));
        self.evaluate(template, scope, Some(&found))?;
        let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        // minijinja does not say where a setting stands: the line of `config(` is the best guess.
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

    /// The line of the template's file from which the character at `offset` of the rendered text comes.
    pub(crate) fn line(&self, template: Template<'_>, scope: &Scope, rendered: &str, offset: usize) -> Option<usize> {
        // The marks can change which white space is trimmed, so white space is not counted.
        let wanted = rendered.chars().take(offset).filter(|c| !c.is_whitespace()).count();
        let marked = mark(template.text);
        let marked = self.evaluate(Template { text: &marked, ..template }, scope, None).ok()?;
        let (mut line, mut seen, mut pieces) = (1, 0, marked.split(['\u{1}', '\u{2}']));
        // The pieces alternate: text, line number, text, ….
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
        let (names, allowed) = (Arc::clone(&scope.names), Arc::clone(&scope.references));
        let (project, noted) = (self.project.clone(), found.cloned());
        env.add_function("ref", move |first: String, second: Option<String>| {
            let (package, name) = match second {
                Some(second) => (Some(first), second),
                None => (None, first),
            };
            if package.is_some_and(|package| package != project) {
                return Err(failure("ref: there are no other packages here"));
            }
            if noted.is_none() && !allowed.models.contains(&name) {
                return Err(failure(format!(
                    "ref('{name}') was not seen when the model was read: write \
                     `-- depends_on: {{{{ ref('{name}') }}}}` outside of the condition"
                )));
            }
            let Some(relation) = names.models.get(&name) else {
                return Err(failure(format!("ref('{name}'): there is no such model")));
            };
            note(&noted, &|found| found.references.models.extend([name.clone()]));
            Ok(Value::from_object(relation.clone()))
        });
        let (names, noted) = (Arc::clone(&scope.names), found.cloned());
        env.add_function("source", move |source: String, table: String| {
            let key = (source, table);
            let Some(relation) = names.sources.get(&key) else {
                return Err(failure(format!("source('{}', '{}'): there is no such source", key.0, key.1)));
            };
            note(&noted, &|found| found.references.sources.extend([key.clone()]));
            Ok(Value::from_object(relation.clone()))
        });
        let noted = found.cloned();
        env.add_function("config", move |settings: Kwargs| {
            for name in settings.args() {
                let value: Value = settings.get(name)?;
                let value = serde_json::to_value(&value)
                    .map_err(|_| failure(format!("config: {name} is not a value of a setting")))?;
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

    /// Rejects unknown names before the template runs, and names them.
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

/// Whether dbt itself calls a macro of this name, wherever it is defined.
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
        // A macro needs the state of the template that defines it.
        let mut macros = state.env().get_template(MACROS)?.render_captured(())?;
        macros.with_state_mut(|state| match state.lookup(&self.0) {
            Some(own) => own.call(state, arguments),
            None => Err(Error::from(ErrorKind::UnknownFunction)),
        })
    }
}

/// The text with its number before each line, except for lines that begin inside a Jinja tag.
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
