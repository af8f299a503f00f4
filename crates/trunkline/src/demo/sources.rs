//! What comes in beside the call records: the CRM's customers, and messages.

use anyhow::Context;
use generator::{chat, crm};
use indicatif::ProgressBar;
use lambda_boot::Vars;

use crate::cli::CdrArgs;
use crate::figures::Api;

/// Customers of the CRM, at most: enough to look at, and they are there in a second.
const MAX_ACCOUNTS: u32 = 500;

/// Messages, and the rooms that they are in: likewise.
const MESSAGES: u32 = 2_000;
const ROOMS: u32 = 300;

/// Fills the CRM, with customers who have the call records' numbers, and tells all of them to its topics.
pub(super) async fn customers(args: &CdrArgs, crm_url: &str, vars: &Vars) -> anyhow::Result<()> {
    let accounts = args.subscribers.min(MAX_ACCOUNTS);
    let options = crm::Options { seed: args.seed, accounts, changes: 0, ..crm::Options::default() };
    crm::run(crm_url, &options, &ProgressBar::hidden()).await.context("filling the CRM failed")?;
    let topics = vars.get("CRM_TOPIC_PREFIX").context("the template sets no CRM_TOPIC_PREFIX")?;
    let sink = kafka_sink::Sink::new(&vars.read()?)?;
    crm::snapshot(crm_url, topics, &sink).await.context("telling the CRM's customers failed")?;
    Ok(())
}

/// Posts messages of the call records' subscribers to the API, as clients do.
pub(super) async fn messages(args: &CdrArgs, api: &Api) -> anyhow::Result<()> {
    let (seed, subscribers, faults) = (args.seed, args.subscribers, args.faults);
    let options =
        chat::Options { seed, subscribers, faults, count: MESSAGES, rooms: ROOMS, ..chat::Options::default() };
    crate::messages::post(api, &options).await.context("posting messages failed")?;
    Ok(())
}
