use std::sync::Arc;

use crate::config::Config;
use crate::error::Place;
use crate::properties::ModelProperties;
use crate::references::References;
use crate::render::{Relation, Template};

/// A model: its query, and how it is configured.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) config: Config,
    pub(crate) relation: Relation,
    pub(crate) properties: Option<ModelProperties>,
    pub(crate) references: Arc<References>,
}

impl Model {
    pub(crate) fn template(&self) -> Template<'_> {
        Template { file: &self.file, line: 1, text: &self.text }
    }

    /// Where its properties stand; without properties, its own file.
    pub(crate) fn place(&self) -> Place {
        self.properties.as_ref().map_or_else(|| Place::new(&self.file, 1), |properties| properties.place.clone())
    }
}
