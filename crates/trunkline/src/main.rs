#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line prints text for people")]

mod check;
mod cli;
mod client;
mod decisions;
mod demo;
mod env;
mod examples;
mod figures;
mod files;
mod follow;
mod functions;
mod generate;
mod init;
mod interrupt;
mod invoke;
mod load;
mod logs;
mod messages;
mod pages;
mod parameters;
mod rotating;
mod skip;
mod status;
mod taken;
mod topics;
mod up;
mod values;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cli::{Cli, Command, Generate};

/// What still blocks a thread after a command has ended (a Kafka client that says goodbye) gets this long.
const GOODBYE: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(run(command));
    runtime.shutdown_timeout(GOODBYE);
    Ok(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline: {error:#}");
            ExitCode::FAILURE
        }
    })
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Up(args) => up::run(args).await,
        Command::Init(args) => init::run(&args).await,
        Command::Check(args) => check::run(args).await,
        Command::Env(args) => env::run(&args),
        Command::Load(args) => load::run(args).await,
        Command::Skip(args) => skip::run(args).await,
        Command::Status(args) => Box::pin(status::run(args)).await,
        Command::Files(args) => Box::pin(files::run(args)).await,
        Command::Invoke(args) => invoke::invoke(args).await,
        Command::Replay(args) => invoke::replay(args).await,
        Command::Generate(Generate::Cdr(args)) => generate::cdr(args).await,
        Command::Generate(Generate::Crm(args)) => generate::crm(args).await,
        Command::Generate(Generate::Messages(args)) => messages::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Completion(args) => pages::completion(&args),
        Command::Man(args) => pages::man(&args),
        Command::HashPassword => functions::hash_password_from_stdin(),
    }
}
