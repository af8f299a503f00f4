//! `trunkline files`: what became of every file, and what a person decides about one that waits.

pub(crate) mod books;
mod table;

use std::io::Write as _;

use anyhow::{Context, bail};
use bytes::Bytes;
use lake::Lake;
use local_runtime::{Call, Invoker as _};
use serde_json::json;
use telecom::FileName;
use usage_store::Store;

use crate::cli::{Decision, DecisionArgs, FilesArgs};
use crate::functions::Project;
use books::Books;

/// The function that carries decisions out.
const DECIDES: &str = "sftp-poll";

pub(crate) async fn run(args: FilesArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    match &args.decide {
        None => list(&args).await,
        Some(Decision::Accept(decision)) => decide("accept", decision).await,
        Some(Decision::Replace(decision)) => decide("replace", decision).await,
        Some(Decision::Drop(decision)) => decide("drop", decision).await,
    }
}

async fn list(args: &FilesArgs) -> anyhow::Result<()> {
    let vars = Project::read(&args.template)?.all_vars();
    let lake = Lake::connect(&vars.read()?);
    let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
    let name = args.name.as_deref().map(file_name).transpose()?;
    let prefix = name.as_ref().map_or("", FileName::as_str);
    let books = Books::read(&lake, &store, prefix, |found| name.is_none_or(|name| name == found)).await?;
    let files = books.into_figures();
    if let (Some(name), true) = (&name, files.is_empty()) {
        bail!("{name} has not landed: `trunkline files` lists those that have");
    }
    let text = match (args.json, name) {
        (true, _) => serde_json::to_string_pretty(&files)? + "\n",
        (false, Some(_)) => files.iter().map(table::details).collect(),
        (false, None) => table::table(&files),
    };
    std::io::stdout().write_all(text.as_bytes()).context("can't write to standard output")?;
    let in_need: Vec<_> = files.iter().filter(|file| file.state.needs_a_person()).collect();
    match in_need.first() {
        Some(first) if args.check => bail!(
            "{} of {} files need a person, first {} ({}): `trunkline files {}` says why",
            in_need.len(),
            files.len(),
            first.name,
            first.state,
            first.name
        ),
        _ => Ok(()),
    }
}

fn file_name(text: &str) -> anyhow::Result<FileName> {
    FileName::parse(text).with_context(|| format!("{text} is not the name of a file of call records"))
}

/// Lets the function that lands files carry the decision out. Where it is interrupted, the same command goes on with it.
async fn decide(verb: &str, args: &DecisionArgs) -> anyhow::Result<()> {
    let name = file_name(&args.name)?;
    let project = Project::read(&args.template)?;
    let functions = project.boot_only(DECIDES).await?;
    let timeout = project.function(DECIDES)?.timeout;
    let payload = Bytes::from(serde_json::to_vec(&json!({ verb: name.as_str() }))?);
    functions.invoke(Call::new(DECIDES, payload, timeout)).await.with_context(|| format!("can't {verb} {name}"))?;
    println!("{verb} {name}: done; its rows follow. `trunkline files {name}` shows what became of them");
    Ok(())
}
