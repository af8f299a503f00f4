//! `trunkline completion` and `trunkline man`: the command line as shells and `man` read it.

use std::io::Write as _;

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::{Cli, CompletionArgs, ManArgs};

pub(crate) fn completion(args: &CompletionArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "trunkline", &mut script);
    std::io::stdout().write_all(&script).context("can't write to standard output")
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("can't write the man pages into {}", folder.display()))?;
    println!("The man pages are in {}", folder.display());
    Ok(())
}
