//! `trunkline init`: topics, tables and the bucket, where they are missing; and a look at the CRM's database.

use anyhow::{Context, ensure};
use lake::Lake;
use lambda_boot::Vars;
use usage_store::Store;

use crate::cli::InitArgs;
use crate::functions::Project;

/// Partitions of a topic: lanes that are counted side by side. Fixed for a stream epoch; the CRM's topics may have others.
const PARTITIONS: i32 = 3;

/// The variables that name topics.
const TOPICS: [&str; 5] =
    ["LANDED_FILES_TOPIC", "CDR_DATA_TOPIC", "CDR_VOICE_TOPIC", "CHAT_MESSAGES_TOPIC", "REJECTED_TOPIC"];

pub(crate) async fn run(args: &InitArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let vars = Project::read(&args.template)?.all_vars();
    for line in create(&vars).await? {
        println!("{line}");
    }
    match &args.crm_database_url {
        Some(url) => check_crm(url, &vars).await,
        None => Ok(()),
    }
}

/// Says what in the CRM's database would lose changes.
async fn check_crm(url: &str, vars: &Vars) -> anyhow::Result<()> {
    let cdc_handler::Config { topics, optional, .. } = cdc_handler::Config::from_vars(vars)?;
    let findings = cdc_handler::check_source(url, &topics, &optional).await?;
    for finding in &findings {
        println!("CRM      {finding}");
    }
    ensure!(findings.is_empty(), "the CRM's database would lose changes, or have them rejected: see the lines above");
    println!("CRM      its tables can be followed");
    Ok(())
}

/// Creates what is missing; does nothing the second time. Says what is there now.
pub(crate) async fn create(vars: &Vars) -> anyhow::Result<Vec<String>> {
    let topics: Vec<(&str, i32)> = TOPICS
        .iter()
        .map(|variable| {
            Ok((vars.get(variable).with_context(|| format!("the template sets no {variable}"))?, PARTITIONS))
        })
        .collect::<anyhow::Result<_>>()?;
    kafka_sink::admin::create_topics(&vars.read()?, &topics).await?;

    let crm = cdc_handler::Config::from_vars(vars)?;
    let followed = crm.topics.names();
    let followed: Vec<_> = followed.iter().map(|topic| (topic.as_str(), PARTITIONS)).collect();
    kafka_sink::admin::create_missing_topics(&crm.kafka, &followed).await?;
    cdc_handler::init(&crm.database.url).await?;
    lake_loader::init(&lake_loader::Config::from_vars(vars)?.database.url).await?;

    let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
    store.init().await.context("can't create the usage tables")?;
    let counted = batch_aggregator::Config::from_vars(vars)?.stream;
    for topic in [&counted.cdr_data, &counted.cdr_voice] {
        store.add_lanes(counted.epoch, topic, PARTITIONS).await.context("can't make the lanes known")?;
    }

    let lake: lake::Config = vars.read()?;
    Lake::connect(&lake).ensure_bucket().await.with_context(|| format!("can't create the bucket {}", lake.bucket))?;

    let names: Vec<_> = topics.iter().chain(&followed).map(|(name, _)| *name).collect();
    Ok(vec![
        format!("topics   {} ({PARTITIONS} partitions each)", names.join(", ")),
        format!("tables   usage, with the lanes of stream epoch {}", counted.epoch),
        "tables   crm_data; cdr_data, raw, ops".to_owned(),
        format!("bucket   {}", lake.bucket),
    ])
}
