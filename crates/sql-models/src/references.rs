//! What a template refers to.

use std::collections::BTreeSet;

/// Models, and tables of sources.
#[derive(Clone, Debug, Default)]
pub(crate) struct References {
    pub(crate) models: BTreeSet<String>,
    /// By source and table.
    pub(crate) sources: BTreeSet<(String, String)>,
}

impl References {
    pub(crate) fn to_model(name: &str) -> Self {
        Self { models: BTreeSet::from([name.to_owned()]), sources: BTreeSet::new() }
    }

    pub(crate) fn to_source(source: &str, table: &str) -> Self {
        Self { models: BTreeSet::new(), sources: BTreeSet::from([(source.to_owned(), table.to_owned())]) }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.models.extend(other.models);
        self.sources.extend(other.sources);
    }

    pub(crate) fn len(&self) -> usize {
        self.models.len() + self.sources.len()
    }
}
