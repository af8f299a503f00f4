//! The integration tests.

mod build;
mod failures;
mod incremental;
mod others;
mod reading;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use postgres_pool::{Names, Pool};
use sql_models::{Options, Project, ReadError, Report, Status};

/// A project of these files, with a project file of its own unless there is one among them.
fn read(files: &[(&str, &str)]) -> Result<Project, ReadError> {
    let mut all = BTreeMap::from([("dbt_project.yml", "name: shop\n")]);
    all.extend(files.iter().copied());
    Project::read(all.into_iter().map(|(file, text)| (file, text.as_bytes())))
}

fn project(files: &[(&str, &str)]) -> Project {
    read(files).expect("a good project")
}

/// A pool on a fresh database, in which these statements have been executed.
async fn database(statements: &str) -> Pool {
    let url = test_support::postgres_database().await;
    let names = Names { variable: "DATABASE_URL", service: "the warehouse" };
    let pool = Pool::new(&url, names).expect("a good address");
    pool.batch(statements).await.expect("good statements");
    pool
}

async fn run(project: &Project, pool: &Pool) -> Report {
    project.run(pool, &Options::default()).await.expect("a database that answers")
}

async fn full_refresh(project: &Project, pool: &Pool) -> Report {
    let options = Options { full_refresh: true, ..Options::default() };
    project.run(pool, &options).await.expect("a database that answers")
}

/// A line a unit, without its duration.
fn show(report: &Report) -> String {
    let mut text = String::new();
    for unit in &report.units {
        let relation = unit.relation.as_deref().unwrap_or("-");
        write!(text, "{} {relation} {} {}", unit.name, unit.action, unit.rows).expect("a text");
        for test in &unit.tests {
            write!(text, " {}={}", test.name, test.failures).expect("a text");
        }
        match &unit.status {
            Status::Done => {}
            other => write!(text, " {other:?}").expect("a text"),
        }
        text.push('\n');
    }
    text
}

/// A query's rows, a line each.
async fn rows(pool: &Pool, query: &str) -> String {
    let rows = pool.query(&format!("select (r.*)::text from ({query}) as r"), &[]).await.expect("a good query");
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}
