//! The order in which units are built, and the unit with which each test runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::data_test::DataTest;
use crate::error::ReadError;
use crate::model::Model;
use crate::references::References;

/// The work of one transaction.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) subject: Subject,
    /// Indices of the units that must be done before it.
    pub(crate) after: BTreeSet<usize>,
    pub(crate) tests: Vec<DataTest>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Tests of a source, with nothing to build.
    Source(String, String),
    Model(String),
}

impl Subject {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Source(source, table) => format!("{source}.{table}"),
            Self::Model(name) => name.clone(),
        }
    }
}

/// Puts the units into an order in which they can be built. A test runs with the last of the units that it is about;
/// that unit waits for the others, even if its model does not refer to them.
///
/// # Errors
/// When models depend on each other in a circle.
pub(crate) fn order(models: &BTreeMap<String, Model>, tests: Vec<DataTest>) -> Result<Vec<Unit>, ReadError> {
    let mut before: BTreeMap<Subject, BTreeSet<Subject>> = BTreeMap::new();
    let touched: Vec<BTreeSet<Subject>> = tests.iter().map(|test| subjects(&test.references)).collect();
    for subject in touched.iter().flatten() {
        if matches!(subject, Subject::Source(..)) {
            before.insert(subject.clone(), BTreeSet::new());
        }
    }
    for model in models.values() {
        let of_models = model.references.models.iter().map(|name| Subject::Model(name.clone()));
        let of_sources =
            model.references.sources.iter().map(|(source, table)| Subject::Source(source.clone(), table.clone()));
        let all = of_models.chain(of_sources.filter(|source| before.contains_key(source))).collect();
        before.insert(Subject::Model(model.name.clone()), all);
    }
    let order = sort(&before).map_err(|circle| {
        let path: Vec<_> = circle.iter().map(Subject::name).collect();
        let why = format!("models depend on each other in a circle: {}", path.join(" → "));
        let model = circle.iter().find_map(|subject| models.get(&subject.name()));
        model.map_or_else(|| unreachable!("sources depend on nothing"), |model| model.place().error(why))
    })?;
    let index: BTreeMap<_, _> = order.iter().enumerate().map(|(index, subject)| (subject.clone(), index)).collect();
    let mut units: Vec<_> = order
        .into_iter()
        .map(|subject| {
            let after = before[&subject].iter().map(|subject| index[subject]).collect();
            Unit { subject, after, tests: Vec::new() }
        })
        .collect();
    for (test, touched) in tests.into_iter().zip(touched) {
        let mut touched: BTreeSet<_> = touched.iter().map(|subject| index[subject]).collect();
        if let Some(last) = touched.pop_last() {
            units[last].after.extend(touched);
            units[last].tests.push(test);
        }
    }
    Ok(units)
}

/// The subjects of a test: its models; if it has no models, its sources.
fn subjects(References { models, sources }: &References) -> BTreeSet<Subject> {
    if models.is_empty() {
        return sources.iter().map(|(source, table)| Subject::Source(source.clone(), table.clone())).collect();
    }
    models.iter().map(|name| Subject::Model(name.clone())).collect()
}

/// By level, then by name.
///
/// # Errors
/// With a circle; its first element is repeated at the end.
fn sort(before: &BTreeMap<Subject, BTreeSet<Subject>>) -> Result<Vec<Subject>, Vec<Subject>> {
    let (mut order, mut done) = (Vec::new(), BTreeSet::new());
    while done.len() < before.len() {
        let mut open = before.iter().filter(|(subject, _)| !done.contains(*subject)).peekable();
        let first = open.peek().map(|(subject, _)| (*subject).clone());
        let level: Vec<_> =
            open.filter(|(_, before)| before.is_subset(&done)).map(|(subject, _)| subject.clone()).collect();
        if let (true, Some(first)) = (level.is_empty(), first) {
            return Err(circle(first, before, &done));
        }
        done.extend(level.iter().cloned());
        order.extend(level);
    }
    Ok(order)
}

/// Follows unfinished dependencies from `at` until one comes up a second time.
fn circle(mut at: Subject, before: &BTreeMap<Subject, BTreeSet<Subject>>, done: &BTreeSet<Subject>) -> Vec<Subject> {
    let mut path = Vec::new();
    while !path.contains(&at) {
        path.push(at.clone());
        let next = before[&at].iter().find(|subject| !done.contains(*subject));
        at = next.cloned().unwrap_or_else(|| unreachable!("an unfinished subject waits for another one"));
    }
    path.drain(..path.iter().position(|subject| *subject == at).unwrap_or_default());
    path.push(at);
    path.reverse();
    path
}
