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

/// How much longer all that is asked of a service may take than each of its answers: the answers' own errors say more.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

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
        within(limit, ("functions", "the parameters"), async move |sheet| functions::check(sheet, project).await)
            .boxed_local(),
        within(limit, ("kafka", "KAFKA_BROKERS"), async move |sheet| kafka::check(sheet, project, limit).await)
            .boxed_local(),
        within(limit, ("sftp", "SFTP_HOST"), async move |sheet| sftp::check(sheet, &project.all_vars()).await)
            .boxed_local(),
        within(limit, ("lake", "AWS_ENDPOINT_URL_S3"), async move |sheet| {
            lake::check(sheet, &project.all_vars()).await
        })
        .boxed_local(),
        within(limit, ("usage", "USAGE_STORE"), async move |sheet| usage::check(sheet, &project.all_vars()).await)
            .boxed_local(),
        within(limit, ("warehouse", "DATABASE_URL"), async move |sheet| {
            warehouse::check(sheet, &project.all_vars()).await
        })
        .boxed_local(),
    ];
    if let Some(url) = &args.crm_database_url {
        checks.push(
            within(limit, ("crm", "CRM_DATABASE_URL"), async move |sheet| {
                crm::check(sheet, url, &project.all_vars()).await
            })
            .boxed_local(),
        );
    }
    checks
}

/// Says in the log what is wrong with the databases.
pub(crate) async fn warn_of_databases(vars: Vars) {
    let usage = within(AT_START, ("usage", "USAGE_STORE"), async |sheet| usage::check(sheet, &vars).await);
    let warehouse = within(AT_START, ("warehouse", "DATABASE_URL"), async |sheet| warehouse::check(sheet, &vars).await);
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

/// The checks of one service, which is named with the variable that has its address. What they end with is a fault, and so
/// is that they don't end.
async fn within(
    limit: Duration,
    (service, address): (&'static str, &'static str),
    check: impl AsyncFnOnce(&mut Sheet) -> anyhow::Result<()>,
) -> Sheet {
    let mut sheet = Sheet::of(service);
    match tokio::time::timeout(limit + GRACE, check(&mut sheet)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => sheet.fault(format!("{error:#}")),
        Err(_) => sheet.fault(format!(
            "it did not answer everything within {} s: check {address}, and whether a firewall lets this machine through; \
             --timeout waits longer",
            (limit + GRACE).as_secs()
        )),
    }
    sheet
}
