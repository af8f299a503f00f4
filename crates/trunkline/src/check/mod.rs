//! `trunkline check`: tries what the functions need of each service, and names what is wrong and what to do about it.
//! Nothing is changed, but for an object of the lake that is removed again.

mod crm;
mod functions;
mod kafka;
mod lake;
mod sftp;
mod sheet;
mod usage;
mod warehouse;

use std::time::Duration;

use anyhow::{anyhow, ensure};
use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::{self, StreamExt};
use lambda_boot::Vars;
use serde_json::json;

use crate::cli::CheckArgs;
use crate::functions::Project;
use sheet::Sheet;

pub(crate) use crm::findings as crm_findings;
pub(crate) use warehouse::WAREHOUSE;

/// How much longer a service's checks may take than each of its answers: the answers' own errors say more.
const GRACE: Duration = Duration::from_secs(5);

/// How long `trunkline up` waits for the databases before it says that they don't answer.
const AT_START: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: CheckArgs) -> anyhow::Result<()> {
    crate::logs::errors_to_stderr();
    let project = Project::read(&args.template)?;
    ensure!(project.is_own(), "{} has none of this program's functions: there is nothing to check", project.file);
    let checks = checks(&project, &args);
    let at_once = checks.len();
    let mut sheets = Vec::new();
    let mut done = stream::iter(checks).buffered(at_once);
    while let Some(sheet) = done.next().await {
        if !args.json {
            print!("{sheet}");
        }
        sheets.push(sheet);
    }
    let all: usize = sheets.iter().map(Sheet::findings).sum();
    let faults = sheets.iter().flat_map(Sheet::faults).count();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "ok": faults == 0, "services": sheets }))?);
    }
    ensure!(faults == 0, "{faults} of {all} findings are faults");
    Ok(())
}

/// The checks, a service each, in the order in which they are shown.
fn checks<'a>(project: &'a Project, args: &'a CheckArgs) -> Vec<LocalBoxFuture<'a, Sheet>> {
    let limit = args.timeout.timeout;
    let mut checks = vec![
        within(limit, "functions", async move |sheet| functions::check(sheet, project).await).boxed_local(),
        within(limit, "kafka", async move |sheet| kafka::check(sheet, project, limit).await).boxed_local(),
        within(limit, "sftp", async move |sheet| sftp::check(sheet, &project.all_vars()).await).boxed_local(),
        within(limit, "lake", async move |sheet| lake::check(sheet, &project.all_vars()).await).boxed_local(),
        within(limit, "usage", async move |sheet| usage::check(sheet, &project.all_vars()).await).boxed_local(),
        within(limit, "warehouse", async move |sheet| warehouse::check(sheet, &project.all_vars()).await).boxed_local(),
    ];
    if let Some(url) = &args.crm_database_url {
        checks.push(
            within(limit, "crm", async move |sheet| crm::check(sheet, url, &project.all_vars()).await).boxed_local(),
        );
    }
    checks
}

/// Says in the log what is wrong with the databases.
pub(crate) async fn warn_of_databases(vars: Vars) {
    let usage = within(AT_START, "usage", async |sheet| usage::check(sheet, &vars).await);
    let warehouse = within(AT_START, "warehouse", async |sheet| warehouse::check(sheet, &vars).await);
    let (usage, warehouse) = futures::future::join(usage, warehouse).await;
    for error in usage.faults().chain(warehouse.faults()) {
        tracing::warn!(error, "functions will fail: `trunkline check` looks at all services");
    }
}

/// An error that says which variable to look at, where it does not say so itself.
fn naming(variable: &str, error: &anyhow::Error) -> anyhow::Error {
    let error = format!("{error:#}");
    let is_advice = error.contains(variable) || error.contains("trunkline init");
    if is_advice { anyhow!(error) } else { anyhow!("{error}: check {variable}, and whether its server runs") }
}

/// One service's checks. What they end with is a fault, and so is that they don't end.
async fn within(
    limit: Duration,
    service: &'static str,
    check: impl AsyncFnOnce(&mut Sheet) -> anyhow::Result<()>,
) -> Sheet {
    let mut sheet = Sheet::of(service);
    match tokio::time::timeout(limit + GRACE, check(&mut sheet)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => sheet.fault(format!("{error:#}")),
        Err(_) => sheet.fault(format!(
            "it did not answer everything within {} s: is its address right, and does a firewall let this machine \
             through? --timeout waits longer",
            (limit + GRACE).as_secs()
        )),
    }
    sheet
}
