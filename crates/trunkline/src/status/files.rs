//! What became of the files.

use std::collections::BTreeMap;

use anyhow::Context;
use lake::Lake;
use lambda_boot::Vars;
use serde::Serialize;
use usage_store::Store;

use crate::figures::{FileFigures, age, grouped};
use crate::files::books::Books;

/// Of the files that need a person, so many are named.
const NAMED: usize = 10;

/// The files that have landed.
#[derive(Serialize)]
pub(super) struct Files {
    files: usize,
    /// How many are in each state.
    states: BTreeMap<String, usize>,
    rows: u64,
    rejected: u64,
    /// Since the newest rows landed.
    newest_s: Option<u64>,
    /// Those that need a person.
    in_need: Vec<String>,
}

impl Files {
    pub(super) async fn read(vars: &Vars) -> anyhow::Result<Self> {
        let lake = Lake::connect(&vars.read()?);
        let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
        Ok(Self::of(&Books::read(&lake, &store, "", |_| true).await?.into_figures()))
    }

    fn of(files: &[FileFigures]) -> Self {
        let mut states = BTreeMap::new();
        for file in files {
            *states.entry(file.state.to_string()).or_default() += 1;
        }
        let in_need = files.iter().filter(|file| file.state.needs_a_person());
        Self {
            files: files.len(),
            states,
            rows: files.iter().map(|file| file.rows).sum(),
            rejected: files.iter().map(|file| file.rejected).sum(),
            newest_s: files.iter().map(|file| file.age_s).min(),
            in_need: in_need.map(|file| format!("{} ({})", file.name, file.state)).collect(),
        }
    }

    /// What needs a person.
    pub(super) fn needs(&self) -> Vec<String> {
        let named = self.in_need.iter().take(NAMED);
        let mut needs: Vec<_> =
            named.map(|file| format!("{file}: `trunkline files NAME` shows why, and what can be done")).collect();
        if self.in_need.len() > NAMED {
            needs.push(format!("{} more files: `trunkline files` lists them", self.in_need.len() - NAMED));
        }
        needs
    }

    /// For people, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |what: &str, figure: &str, note: &str| format!("{what:<12}{figure:>12}  {note}");
        let newest = self.newest_s.map(|seconds| format!("the newest landed {} ago", age(seconds)));
        let states = self.states.iter().map(|(state, files)| line(state, &grouped(*files as u64), ""));
        let rows = line("rows", &grouped(self.rows), &format!("{} of them rejected", grouped(self.rejected)));
        [line("files", &grouped(self.files as u64), &newest.unwrap_or_default())]
            .into_iter()
            .chain(states)
            .chain([rows])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::FileState;

    #[test]
    fn files_are_counted_by_state_and_those_in_need_named() {
        let file = |name: &str, state, age_s| FileFigures {
            name: name.to_owned(),
            state,
            rows: 1_000,
            age_s,
            ..FileFigures::default()
        };
        let conflicts = (0..12).map(|n| file(&format!("{n}.csv"), FileState::Conflict, 50));
        let files: Vec<_> = conflicts.chain([file("a.csv", FileState::Counted, 5)]).collect();
        let files = Files::of(&files);
        assert_eq!((files.files, files.rows, files.newest_s), (13, 13_000, Some(5)));
        assert_eq!(files.states, BTreeMap::from([("conflict".to_owned(), 12), ("counted".to_owned(), 1)]));
        let needs = files.needs();
        assert_eq!(needs.len(), NAMED + 1);
        assert!(needs[0].starts_with("0.csv (conflict)") && needs[NAMED].starts_with("2 more files"), "{needs:?}");
        assert_eq!(files.lines().len(), 4);
        let nothing = Files::of(&[]);
        assert!(nothing.needs().is_empty() && nothing.newest_s.is_none());
    }
}
