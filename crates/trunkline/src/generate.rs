//! `trunkline generate`.

use std::path::PathBuf;
use std::time::Duration;

use generator::{DATA_TOPIC, Destination, Folder, Options, SftpFolder, Topics, VOICE_TOPIC, crm, progress_bar};
use lambda_boot::Vars;

use crate::cli::{CdrArgs, GenerateCdrArgs, GenerateCrmArgs, GenerateTo, Profile};

/// The seed's name for the file that says how far a run came.
const INDEX_FILE: &str = "idx_data.dat";

/// Partitions of the generator's topics, where it makes them.
const PARTITIONS: i32 = 3;

/// Brokers that take longer to answer are not there.
const KAFKA_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn cdr(args: GenerateCdrArgs) -> anyhow::Result<()> {
    crate::logs::as_text();
    let index = args.index.unwrap_or_else(|| match &args.to.to_folder {
        Some(folder) => folder.join(INDEX_FILE),
        None => PathBuf::from(INDEX_FILE),
    });
    let manifest = index.with_file_name("faults.json");
    let mut options = Options { index, manifest, continues: args.continues, ..options(&args.cdr) };
    options.start = args.start.unwrap_or(options.start);
    let destination = destination(args.to).await?;
    generator::run(&options, &destination, &progress_bar()).await?;
    Ok(())
}

pub(crate) async fn crm(args: GenerateCrmArgs) -> anyhow::Result<()> {
    crate::logs::as_text();
    let GenerateCrmArgs { database_url, seed, accounts, changes, rate } = args;
    let options = crm::Options { seed, accounts, changes, rate, ..crm::Options::default() };
    crm::run(&database_url, &options, &crm::progress_bar()).await?;
    Ok(())
}

/// The options that the command line asks for; index and manifest are the caller's.
pub(crate) fn options(args: &CdrArgs) -> Options {
    let profile = Options::of(match args.profile {
        Profile::Dev => generator::Profile::Dev,
        Profile::Prod => generator::Profile::Prod,
    });
    Options {
        seed: args.seed,
        seconds: args.seconds.unwrap_or(profile.seconds),
        lines_per_second: args.lines_per_second.unwrap_or(profile.lines_per_second),
        lines_per_file: args.lines_per_file,
        subscribers: args.subscribers,
        faults: args.faults,
        ..profile
    }
}

async fn destination(to: GenerateTo) -> anyhow::Result<Destination> {
    let vars = Vars::from_env();
    let mut destination = Destination::default();
    if let Some(folder) = to.to_folder {
        destination.files.push(Box::new(Folder::create(folder).await?));
    }
    if to.to_sftp {
        destination.files.push(Box::new(SftpFolder::connect(&vars.read()?).await?));
    }
    if to.to_topics {
        let kafka: kafka_sink::Config = vars.read()?;
        kafka_sink::Cluster::reach(&kafka, Some(KAFKA_WITHIN)).await?;
        kafka_sink::admin::create_topics(&kafka, &[DATA_TOPIC, VOICE_TOPIC].map(|topic| (topic, PARTITIONS))).await?;
        destination.topics = Some(Topics::new(&kafka)?);
    }
    Ok(destination)
}
