//! What comes in beside the call records, and how far all of it is on its way: the CRM's customers, and the topics' lag.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use generator::crm;
use indicatif::ProgressBar;
use lambda_boot::Vars;
use local_runtime::Template;

use crate::cli::CdrArgs;

/// Customers of the CRM, at most: enough to look at, and they are there in a second.
const MAX_ACCOUNTS: u32 = 500;

/// How long the broker may take to say how far everybody is.
const LAG_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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

/// Waits until these functions have taken all records of their topics. A group that has never committed is not known to the
/// broker: of the topics in `empty` none needs to be.
pub(super) async fn until_taken(
    template: &Template,
    vars: &Vars,
    functions: &[&str],
    empty: &[&str],
) -> anyhow::Result<()> {
    let mappings = template.mappings.iter().filter(|mapping| functions.contains(&mapping.function.as_str()));
    let awaited: Vec<_> = mappings.filter(|mapping| !empty.contains(&mapping.topic.as_str())).collect();
    let kafka = vars.read()?;
    loop {
        let lags = kafka_sink::lag(&kafka, "trunkline-", LAG_WITHIN).await.context("can't see how far the lake is")?;
        let behind: BTreeMap<&str, u64> = lags.iter().map(|lag| (lag.group.as_str(), lag.records)).collect();
        if awaited.iter().all(|mapping| behind.get(mapping.group.as_str()) == Some(&0)) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
