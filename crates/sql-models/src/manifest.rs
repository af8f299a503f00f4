//! `dbt_project.yml`.

use std::collections::BTreeMap;

use crate::config::Settings;
use crate::error::{Place, ReadError};
use crate::properties::unknown;
use crate::render::Vars;
use crate::yaml::Node;

pub(crate) const FILE: &str = "dbt_project.yml";

/// The project's own file.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) vars: Vars,
    pub(crate) model_paths: Vec<String>,
    pub(crate) macro_paths: Vec<String>,
    pub(crate) test_paths: Vec<String>,
    models: Folder,
}

/// Settings of a folder of models, and of what is in it.
#[derive(Debug)]
struct Folder {
    place: Place,
    settings: Settings,
    inner: BTreeMap<String, Self>,
}

impl Manifest {
    /// # Errors
    /// When it has an unknown entry.
    pub(crate) fn read(file: &Node) -> Result<Self, ReadError> {
        let empty = || Folder { place: file.place.clone(), settings: Settings::new(), inner: BTreeMap::new() };
        let mut manifest = Self {
            name: String::new(),
            vars: Vars::new(),
            model_paths: vec!["models".to_owned()],
            macro_paths: vec!["macros".to_owned()],
            test_paths: vec!["tests".to_owned()],
            models: empty(),
        };
        for (key, node) in file.entries()? {
            match key.as_str() {
                "name" => manifest.name = node.text()?,
                "vars" => manifest.vars = node.entries()?.iter().map(|(k, v)| (k.clone(), v.json())).collect(),
                "model-paths" => manifest.model_paths = node.texts()?,
                "macro-paths" => manifest.macro_paths = node.texts()?,
                "test-paths" => manifest.test_paths = node.texts()?,
                "models" => manifest.models = folder(node)?,
                // They do not change what is built.
                "version"
                | "config-version"
                | "profile"
                | "require-dbt-version"
                | "target-path"
                | "log-path"
                | "clean-targets"
                | "docs-paths"
                | "query-comment" => {}
                "flags" => {
                    for (key, node) in node.entries()? {
                        if !matches!(key.as_str(), "send_anonymous_usage_stats" | "use_colors" | "partial_parse") {
                            return Err(unknown(&node.place, key, "flags"));
                        }
                    }
                }
                _ => return Err(unknown(&node.place, key, FILE)),
            }
        }
        if manifest.name.is_empty() {
            return Err(file.place.error("a name is missing"));
        }
        // The project's own variables can stand under its name.
        if let Some(serde_json::Value::Object(own)) = manifest.vars.remove(&manifest.name) {
            manifest.vars.extend(own);
        }
        let Folder { settings, inner, .. } = &mut manifest.models;
        if let Some(own) = inner.remove(&manifest.name) {
            settings.extend(own.settings);
            inner.extend(own.inner);
        }
        Ok(manifest)
    }

    /// The settings of a model in these folders, the weakest first.
    pub(crate) fn settings<'a>(&'a self, folders: impl IntoIterator<Item = &'a str>) -> Vec<&'a Settings> {
        let (mut at, mut layers) = (&self.models, vec![&self.models.settings]);
        for folder in folders {
            let Some(inner) = at.inner.get(folder) else { break };
            at = inner;
            layers.push(&at.settings);
        }
        layers
    }

    /// Refuses settings of a folder without models: they are a typing error.
    ///
    /// # Errors
    /// Naming it.
    pub(crate) fn check_folders(&self, models: &[Vec<String>]) -> Result<(), ReadError> {
        let mut open = vec![(Vec::new(), &self.models)];
        while let Some((path, folder)) = open.pop() {
            if !path.is_empty() && !models.iter().any(|model| model.starts_with(&path)) {
                return Err(folder.place.error(format!("there are no models in {}", path.join("/"))));
            }
            for (name, inner) in &folder.inner {
                open.push((path.iter().chain([name]).cloned().collect(), inner));
            }
        }
        Ok(())
    }
}

fn folder(node: &Node) -> Result<Folder, ReadError> {
    let mut folder = Folder { place: node.place.clone(), settings: Settings::new(), inner: BTreeMap::new() };
    for (key, value) in node.entries()? {
        match key.strip_prefix('+') {
            Some(setting) => drop(folder.settings.insert(setting.to_owned(), (value.place.clone(), value.json()))),
            None if value.entries().is_ok() => drop(folder.inner.insert(key.clone(), self::folder(value)?)),
            None => return Err(value.place.error(format!("{key} is no folder; if it is a setting, write +{key}"))),
        }
    }
    Ok(folder)
}
