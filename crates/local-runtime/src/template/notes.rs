//! What is met while a template is read, and is no error: it is named once, with its place.

use std::collections::BTreeMap;

use super::{Finding, Origin, Severity};

/// Findings, and what stands in the place of values that only the service has.
#[derive(Default)]
pub(super) struct Notes {
    said: Vec<Finding>,
    stand_ins: Vec<(Origin, StandIn)>,
}

/// A value that only the service has, and for which something else stands here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StandIn {
    /// A resource's physical name, or an attribute of it: its logical name.
    Resource(String),
    /// What another stack exports: the export's name.
    Export(String),
    /// What SSM has under a parameter's value: that value.
    LookedUp(String),
    /// `{{resolve:…}}`: the text itself.
    DynamicReference,
}

impl Notes {
    pub(super) fn say(&mut self, line: usize, path: impl Into<String>, message: impl Into<String>) {
        let origin = Origin { line, path: path.into() };
        push(&mut self.said, Finding { severity: Severity::Warning, origin, message: message.into() });
    }

    pub(super) fn stands_in(&mut self, line: usize, path: &str, stand_in: StandIn) {
        self.stand_ins.push((Origin { line, path: path.to_owned() }, stand_in));
    }

    /// How many stand-ins there are, for [`Notes::forget_since`].
    pub(super) fn mark(&self) -> usize {
        self.stand_ins.len()
    }

    pub(super) fn forget_since(&mut self, mark: usize) {
        self.stand_ins.truncate(mark);
    }

    /// One finding for each kind of stand-in in each mapping of the template, so one for all variables of a function.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        let mut findings = self.said;
        let mut groups: BTreeMap<(String, &str), (usize, Vec<String>)> = BTreeMap::new();
        for (origin, stand_in) in self.stand_ins {
            let (parent, key) = origin.path.rsplit_once('.').unwrap_or(("", &origin.path));
            let (_, shown) = groups.entry((parent.to_owned(), stand_in.why())).or_insert((origin.line, Vec::new()));
            let one = stand_in.shown(key);
            if !shown.contains(&one) {
                shown.push(one);
            }
        }
        for ((path, why), (line, shown)) in groups {
            let (origin, message) = (Origin { line, path }, format!("{}: {why}", shown.join(", ")));
            push(&mut findings, Finding { severity: Severity::Warning, origin, message });
        }
        findings
    }
}

/// What stands in `Globals` is met once for each function.
fn push(findings: &mut Vec<Finding>, finding: Finding) {
    let is_same = |other: &Finding| other.origin.line == finding.origin.line && other.message == finding.message;
    if !findings.iter().any(is_same) {
        findings.push(finding);
    }
}

impl StandIn {
    fn shown(&self, key: &str) -> String {
        match self {
            Self::Resource(name) | Self::Export(name) | Self::LookedUp(name) => format!("{key} ({name})"),
            Self::DynamicReference => key.to_owned(),
        }
    }

    fn why(&self) -> &'static str {
        match self {
            Self::Resource(_) => "nothing is deployed here, so the logical name stands for the real one",
            Self::Export(_) => "there are no other stacks here, so the export's name stands for its value",
            Self::LookedUp(_) => "nothing is looked up in SSM here: give the parameter its value itself",
            Self::DynamicReference => "{{resolve:…}} is not looked up here, and stands as it is",
        }
    }
}
