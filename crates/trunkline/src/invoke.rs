//! `trunkline invoke` and `trunkline replay`: one event, one function, its answer on standard output.

use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
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
        let function = function_of(event)?;
        println!("{} → {function}", event.display());
        call(&project, function, event).await?;
    }
    Ok(())
}

/// Events lie in events/<function>/<case>.json.
fn function_of(event: &Path) -> anyhow::Result<&str> {
    match event.parent().and_then(Path::file_name).and_then(|folder| folder.to_str()) {
        Some(folder) => Ok(folder),
        None => bail!(
            "{} lies in no function's folder: put it under events/<function>/, or use `trunkline invoke NAME FILE`",
            event.display()
        ),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_names_the_function() {
        assert_eq!(function_of(Path::new("events/usage-http/health.json")).expect("a folder"), "usage-http");
        assert!(function_of(Path::new("health.json")).is_err());
    }
}
