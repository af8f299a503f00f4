//! `trunkline status`: how far everything is, on one page, and what needs a person.

mod files;
mod groups;
mod warehouse;

use std::time::Duration;

use anyhow::{anyhow, ensure};
use serde::Serialize;

use crate::check::GRACE;
use crate::cli::StatusArgs;
use crate::functions::Project;
use files::Files;
use groups::Groups;
use warehouse::Warehouse;

/// How far everything is.
#[derive(Serialize)]
struct Status {
    groups: Part<Groups>,
    files: Part<Files>,
    warehouse: Part<Warehouse>,
    /// What needs a person.
    needs: Vec<String>,
}

/// What one service tells, if it does.
#[derive(Serialize)]
#[serde(untagged)]
enum Part<T> {
    Known(T),
    Unknown { error: String },
}

impl<T> Part<T> {
    async fn read(limit: Duration, read: impl Future<Output = anyhow::Result<T>>) -> Self {
        let late = |_| anyhow!("not everything was answered within {} s (--timeout)", (limit + GRACE).as_secs());
        match tokio::time::timeout(limit + GRACE, read).await.map_err(late).flatten() {
            Ok(known) => Self::Known(known),
            Err(error) => Self::Unknown { error: format!("{error:#}") },
        }
    }

    /// What needs a person; that nothing is known does.
    fn needs(&self, what: &str, needs: impl Fn(&T) -> Vec<String>) -> Vec<String> {
        match self {
            Self::Known(known) => needs(known),
            Self::Unknown { error } => vec![format!("{what} can't be seen: {error}")],
        }
    }

    fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// Under a heading, for people.
    fn shown(&self, heading: &str, lines: impl Fn(&T) -> Vec<String>) -> String {
        let lines = match self {
            Self::Known(known) => lines(known),
            Self::Unknown { .. } => vec!["not known".to_owned()],
        };
        section(heading, &lines)
    }
}

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<()> {
    crate::logs::errors_to_stderr();
    let project = Project::read(&args.template)?;
    let status = Status::read(&project, args.timeout.timeout).await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", status.page());
    }
    let is_known = status.groups.is_known() && status.files.is_known() && status.warehouse.is_known();
    ensure!(is_known, "not everything can be seen: `trunkline check` says what to do about it");
    ensure!(!args.check || status.needs.is_empty(), "something needs a person");
    Ok(())
}

impl Status {
    async fn read(project: &Project, limit: Duration) -> Self {
        let vars = project.all_vars();
        let (groups, files, warehouse) = futures::join!(
            Part::read(limit, Groups::read(project, limit)),
            Part::read(limit, Files::read(&vars)),
            Part::read(limit, Warehouse::read(&vars)),
        );
        let needs = [
            groups.needs("how far the topics are read", Groups::needs),
            files.needs("the files", Files::needs),
            warehouse.needs("the warehouse", Warehouse::needs),
        ];
        Self { groups, files, warehouse, needs: needs.concat() }
    }

    fn page(&self) -> String {
        let nothing = ["nothing".to_owned()];
        let needs = if self.needs.is_empty() { nothing.as_slice() } else { &self.needs };
        [
            self.groups.shown("Topics", Groups::lines),
            self.files.shown("Files", Files::lines),
            self.warehouse.shown("Warehouse", Warehouse::lines),
            section("Needs a person", needs),
        ]
        .join("\n")
    }
}

fn section(heading: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("  {}\n", line.trim_end())).collect();
    format!("{heading}\n{lines}")
}
