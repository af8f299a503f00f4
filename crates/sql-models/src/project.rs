use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::Value;

use crate::config::{Config, Materialized};
use crate::data_test::{self, DataTest};
use crate::error::{Place, ReadError};
use crate::graph::{self, Unit};
use crate::manifest::{self, Manifest};
use crate::model::Model;
use crate::properties::{GenericTest, ModelProperties, Properties, TestKind};
use crate::references::References;
use crate::render::{Jinja, Names, Relation, Scope, Template, Vars};
use crate::yaml;

/// A dbt project, read and checked.
#[derive(Debug)]
pub struct Project {
    pub(crate) jinja: Jinja,
    pub(crate) names: Arc<Names>,
    pub(crate) vars: Vars,
    pub(crate) models: BTreeMap<String, Model>,
    /// In an order in which they can be built.
    pub(crate) units: Vec<Unit>,
}

impl Project {
    /// Reads a project from its files: their paths below its folder, and their bytes. It ignores the files that dbt
    /// ignores.
    ///
    /// # Errors
    /// When something is malformed, unknown or missing, or models depend on each other in a circle.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, ReadError> {
        let mut texts = BTreeMap::new();
        for (file, bytes) in files {
            if file.ends_with(".sql") || file.ends_with(".yml") || file.ends_with(".yaml") {
                let text = std::str::from_utf8(bytes).map_err(|_| Place::new(file, 1).error("this is not UTF-8"))?;
                texts.insert(file.replace('\\', "/"), text.to_owned());
            } else if file.ends_with(".py") || file.ends_with(".csv") {
                return Err(Place::new(file, 1).error("models in Python and seeds are not run here"));
            }
        }
        let missing = || Place::new(manifest::FILE, 1).error("the project has no such file, or it is empty");
        let own = texts.get(manifest::FILE).ok_or_else(missing)?;
        let manifest = Manifest::read(&yaml::parse(manifest::FILE, own)?.ok_or_else(missing)?)?;
        let below = |paths: &[String], extension: &str| -> Vec<(String, String)> {
            let of = |file: &str| paths.iter().any(|path| folders_below(file, path).is_some());
            let found = texts.iter().filter(|(file, _)| file.ends_with(extension) && of(file));
            found.map(|(file, text)| (file.clone(), text.clone())).collect()
        };
        let mut properties = Properties::default();
        for paths in [&manifest.model_paths, &manifest.macro_paths, &manifest.test_paths] {
            for (file, text) in below(paths, ".yml").into_iter().chain(below(paths, ".yaml")) {
                if let Some(node) = yaml::parse(&file, &text)? {
                    properties.add(&node)?;
                }
            }
        }
        let jinja = Jinja::new(&manifest.name, &below(&manifest.macro_paths, ".sql"))?;
        let reader = Reader { jinja, manifest, properties };
        let models = below(&reader.manifest.model_paths, ".sql");
        let tests = below(&reader.manifest.test_paths, ".sql");
        reader.read(models, tests)
    }

    /// Whether one of the models is stored under this name.
    pub(crate) fn has(&self, schema: &str, identifier: &str) -> bool {
        let wanted = Relation::new(schema, identifier);
        self.models.values().any(|model| model.relation == wanted)
    }
}

/// The folders between `path` and a file in it; `None` for a file elsewhere.
fn folders_below<'a>(file: &'a str, path: &str) -> Option<Vec<&'a str>> {
    let mut parts: Vec<_> = file.strip_prefix(path)?.strip_prefix('/')?.split('/').collect();
    parts.pop();
    Some(parts)
}

/// A file's name without its folders and extension.
fn stem(file: &str) -> &str {
    let name = file.rsplit_once('/').map_or(file, |(_, name)| name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

struct Reader {
    jinja: Jinja,
    manifest: Manifest,
    properties: Properties,
}

impl Reader {
    fn read(mut self, files: Vec<(String, String)>, tests: Vec<(String, String)>) -> Result<Project, ReadError> {
        let mut names = Names::default();
        for (key, source) in &self.properties.sources {
            names.sources.insert(key.clone(), Relation::new(&source.schema, &source.identifier));
        }
        for (file, _) in &files {
            if names.models.insert(stem(file).to_owned(), Relation::not_yet_known(stem(file))).is_some() {
                return Err(Place::new(file, 1).error(format!("there are two models {}", stem(file))));
            }
        }
        let mut scope = Scope {
            names: Arc::new(names),
            vars: Arc::new(self.manifest.vars.clone()),
            this: None,
            references: Arc::default(),
            is_incremental: false,
        };
        let mut models = BTreeMap::new();
        let mut all_folders = Vec::new();
        for (file, text) in files {
            let folders = self.manifest.model_paths.iter().find_map(|path| folders_below(&file, path));
            let mut folders: Vec<_> = folders.unwrap_or_default().into_iter().map(str::to_owned).collect();
            folders.push(stem(&file).to_owned());
            let model = self.model(file, text, &folders, &scope)?;
            all_folders.push(folders);
            if !model.config.is_disabled {
                models.insert(model.name.clone(), model);
            }
        }
        self.manifest.check_folders(&all_folders)?;
        if let Some((name, properties)) = self.properties.models.pop_first() {
            return Err(properties.place.error(format!("there is no model {name}")));
        }
        let relations = models.values().map(|model| (model.name.clone(), model.relation.clone()));
        let names = Names { sources: scope.names.sources.clone(), models: relations.collect() };
        scope.names = Arc::new(names);
        for model in models.values() {
            if let Some(name) = model.references.models.iter().find(|name| !models.contains_key(*name)) {
                return Err(model.place().error(format!("ref('{name}'): there is no such model")));
            }
        }
        let tests = self.tests(&models, tests, &scope)?;
        let units = graph::order(&models, tests)?;
        Ok(Project { jinja: self.jinja, names: scope.names, vars: self.manifest.vars, models, units })
    }

    fn model(&mut self, file: String, text: String, folders: &[String], scope: &Scope) -> Result<Model, ReadError> {
        let name = stem(&file).to_owned();
        let properties = self.properties.models.remove(&name);
        let this = Scope { this: Some(Relation::not_yet_known(&name)), ..scope.clone() };
        let template = Template { file: &file, line: 1, text: &text };
        let mut found = self.jinja.scan(template, &this)?;
        let mut layers = self.manifest.settings(folders.iter().map(String::as_str));
        layers.extend(properties.as_ref().map(|properties| &properties.settings));
        layers.push(&found.settings);
        let config = Config::of(layers)?;
        for hook in &config.pre_hooks {
            let line = text.lines().position(|line| line.contains("hook")).map_or(1, |line| line + 1);
            let inner = self.jinja.scan(Template { file: &file, line, text: hook }, &this)?;
            found.references.extend(inner.references);
        }
        let place = properties.as_ref().map_or_else(|| Place::new(&file, 1), |properties| properties.place.clone());
        if let Some(properties) = &properties {
            let of_columns = properties.columns.iter().flat_map(|column| &column.constraints);
            for constraint in of_columns.chain(&properties.constraints) {
                if let Some((to, _)) = &constraint.to {
                    found.references.extend(self.expression(to, &constraint.place, scope)?);
                }
            }
        }
        check(&config, properties.as_ref(), &place)?;
        let relation = Relation::new(&self.schema(&name, &config)?, &name);
        Ok(Model { name, file, text, config, relation, properties, references: Arc::new(found.references) })
    }

    /// The schema that the project's macro chooses, or dbt's own: the target's with the custom one behind it.
    fn schema(&self, name: &str, config: &Config) -> Result<String, ReadError> {
        let custom = config.schema.as_deref().map_or(Value::from(()), Value::from);
        let node = Value::from_pairs([("name", name), ("resource_type", "model")]);
        let schema = if self.jinja.has("generate_schema_name") {
            self.jinja.call("generate_schema_name", &[custom, node])?
        } else {
            Jinja::default_schema(config.schema.as_deref())
        };
        Ok(schema.trim().to_owned())
    }

    /// What an expression such as `ref('x')` refers to.
    fn expression(&self, expression: &str, place: &Place, scope: &Scope) -> Result<References, ReadError> {
        let text = format!("{{{{ {expression} }}}}");
        let template = Template { file: &place.file, line: place.line, text: &text };
        let found = self.jinja.scan(template, scope)?;
        if found.references.len() != 1 {
            return Err(place.error(format!("expected ref('…') or source('…', '…'), not {expression}")));
        }
        Ok(found.references)
    }

    fn tests(
        &self,
        models: &BTreeMap<String, Model>,
        files: Vec<(String, String)>,
        scope: &Scope,
    ) -> Result<Vec<DataTest>, ReadError> {
        let mut found = Vec::new();
        for model in models.values() {
            let tests = model.properties.iter().flat_map(|properties| &properties.tests);
            for test in tests {
                let references = self.references(test, References::to_model(&model.name), scope)?;
                found.push(data_test::generic(&model.name, &model.relation, test.clone(), references));
            }
        }
        for ((source, table), properties) in &self.properties.sources {
            let relation = Relation::new(&properties.schema, &properties.identifier);
            for test in &properties.tests {
                let references = self.references(test, References::to_source(source, table), scope)?;
                found.push(data_test::generic(&format!("{source}_{table}"), &relation, test.clone(), references));
            }
        }
        for (file, text) in files {
            let used = self.jinja.scan(Template { file: &file, line: 1, text: &text }, scope)?;
            if used.references.len() == 0 {
                return Err(Place::new(&file, 1).error("this test refers to no model and no source"));
            }
            let name = stem(&file).to_owned();
            found.push(data_test::singular(name, file, text, &used.settings, used.references)?);
        }
        Ok(found)
    }

    /// What a test refers to: the tested relation, and what its arguments and its `where` name.
    fn references(&self, test: &GenericTest, tested: References, scope: &Scope) -> Result<References, ReadError> {
        let mut references = tested;
        if let TestKind::Relationships { to, .. } = &test.kind {
            references.extend(self.expression(to, &test.place, scope)?);
        }
        if let Some(filter) = &test.filter {
            let template = Template { file: &test.place.file, line: test.place.line, text: filter };
            references.extend(self.jinja.scan(template, scope)?.references);
        }
        Ok(references)
    }
}

/// Checks that settings and properties fit together.
fn check(config: &Config, properties: Option<&ModelProperties>, place: &Place) -> Result<(), ReadError> {
    if config.materialized == Materialized::Incremental && config.unique_key.is_empty() {
        return Err(place.error("an incremental model needs a unique_key: rows are not appended without one"));
    }
    let constraints = properties.is_some_and(|properties| {
        !properties.constraints.is_empty() || properties.columns.iter().any(|column| !column.constraints.is_empty())
    });
    if !config.is_contract_enforced {
        return if constraints { Err(place.error("constraints need `contract: {enforced: true}`")) } else { Ok(()) };
    }
    if config.materialized == Materialized::View && constraints {
        return Err(place.error("a view can't have constraints"));
    }
    let columns = properties.map_or(&[][..], |properties| &properties.columns);
    if columns.is_empty() {
        return Err(place.error("a contract needs the model's columns"));
    }
    match columns.iter().find(|column| column.data_type.is_none()) {
        Some(column) => Err(column.place.error(format!("a contract needs the data_type of {}", column.name))),
        None => Ok(()),
    }
}
