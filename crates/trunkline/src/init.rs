//! `trunkline init`: topics, tables and the bucket, where they are missing; and a look at the CRM's database.

use std::time::Duration;

use anyhow::{Context, ensure};
use kafka_sink::Cluster;
use lake::Lake;
use lambda_boot::Vars;
use stream::Topic;
use telecom::Zone;
use usage_store::{RecordRules, Setup, Store};

use crate::cli::InitArgs;
use crate::functions::Project;
use crate::topics::{PARTITIONS, Topics, with_partitions};

/// How long Kafka may take to tell where a topic ends.
const KAFKA_PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: &InitArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let vars = Project::read(&args.template)?.all_vars();
    for line in create(&vars, args.timeout.timeout).await? {
        println!("{line}");
    }
    match &args.crm_database_url {
        Some(url) => check_crm(url, &vars).await,
        None => Ok(()),
    }
}

/// Says what in the CRM's database would lose changes.
async fn check_crm(url: &str, vars: &Vars) -> anyhow::Result<()> {
    let findings = crate::check::crm_findings(url, vars).await?;
    for finding in &findings {
        println!("CRM      {finding}");
    }
    ensure!(findings.is_empty(), "the CRM's database would lose changes, or have them rejected: see the lines above");
    println!("CRM      its tables can be followed");
    Ok(())
}

/// Creates what is missing; does nothing the second time. Says what is there now. Brokers that don't answer are waited for
/// this long.
pub(crate) async fn create(vars: &Vars, patience: Duration) -> anyhow::Result<Vec<String>> {
    let topics = Topics::of(vars)?;
    let crm = cdc_handler::Config::from_vars(vars)?;
    Cluster::reach(&crm.kafka, Some(patience)).await?;
    kafka_sink::admin::create_topics(&crm.kafka, &with_partitions(&topics.own)).await?;
    kafka_sink::admin::create_missing_topics(&crm.kafka, &with_partitions(&topics.followed)).await?;
    cdc_handler::init(&crm.database.url).await?;
    lake_loader::init(&lake_loader::Config::from_vars(vars)?.database.url).await?;

    let counted = reconcile::Config::from_vars(vars)?;
    let zone = batch_aggregator::Config::from_vars(vars)?.settings.zone;
    make_store(&counted, &zone).await?;

    let config: lake::Config = vars.read()?;
    let lake = Lake::connect(&config);
    lake.ensure_bucket().await.with_context(|| format!("can't create the bucket {}", config.bucket))?;
    // Its state is some 10 KiB: too much for every caller's stack.
    let upgraded =
        Box::pin(sftp_poll::upgrade(&lake)).await.context("can't make registers of the files in the lake")?;

    let names: Vec<_> = topics.names().collect();
    Ok(vec![
        format!("topics   {} ({PARTITIONS} partitions each)", names.join(", ")),
        format!("tables   usage, with the lanes of stream epoch {}", counted.epoch.number),
        "tables   crm_data; cdr_data, raw, ops".to_owned(),
        format!("bucket   {}{}", config.bucket, registers_made(upgraded)),
    ])
}

/// Makes the usage store, or brings one of an earlier version or of another zone up to date, if everything that was delivered
/// has been counted.
async fn make_store(counted: &reconcile::Config, zone: &Zone) -> anyhow::Result<()> {
    let reconcile::Config { kafka, store, topics, epoch, .. } = counted;
    let ends = reconcile::log_ends(kafka, topics, *epoch, KAFKA_PATIENCE).await?;
    let setup = Setup { rules: RecordRules::of(zone), ends, ..Setup::default() };
    let store = Store::connect(&store.url)?;
    store.set_up(&setup).await.context("can't make the usage tables")?;
    for topic in Topic::CALL_RECORDS {
        store.add_lanes(epoch.number, &topics[topic], PARTITIONS).await.context("can't make the lanes known")?;
    }
    Ok(())
}

/// What was done about a lake that version 0.1 had filled.
fn registers_made(upgraded: sftp_poll::Upgraded) -> String {
    match upgraded.files {
        0 => String::new(),
        files => format!(" (registers made of {files} files, {} of which were read)", upgraded.read),
    }
}
