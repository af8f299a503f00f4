//! `trunkline invoke` and `trunkline replay`: one event, one function, its answer on standard output.

use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use local_runtime::event::function_of;
use local_runtime::{Call, Invoker};

use crate::cli::{InvokeArgs, ReplayArgs};
use crate::functions::Project;

pub(crate) async fn invoke(args: InvokeArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    call(&project, &args.function, &args.event).await
}

pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    for event in &args.events {
        let function = function_of(event).with_context(|| {
            format!("{} lies in no function's folder: put it under events/<function>/", event.display())
        })?;
        project.template.function(function).with_context(|| {
            format!(
                "the template has no function {function}: a folder of events has its function's name; `trunkline invoke FUNCTION {}` \
                 calls another one with it",
                event.display()
            )
        })?;
        println!("{} → {function}", event.display());
        call(&project, function, event).await?;
    }
    Ok(())
}

async fn call(project: &Project, function: &str, event: &Path) -> anyhow::Result<()> {
    let payload = std::fs::read(event).with_context(|| format!("can't read the event {}", event.display()))?;
    serde_json::from_slice::<serde::de::IgnoredAny>(&payload)
        .with_context(|| format!("{} is not JSON", event.display()))?;
    let functions = project.boot_only(function).await?;
    let timeout = project.template.function(function).context("the function is in the template")?.timeout;
    let answer = functions
        .invoke(Call::new(function, Bytes::from(payload), timeout))
        .await
        .with_context(|| format!("{function} failed on {}", event.display()))?;
    println!("{}", String::from_utf8_lossy(&answer));
    Ok(())
}
