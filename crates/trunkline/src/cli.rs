//! The command line: what can be asked, and its words.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::examples;
use crate::values::{listen, new_file, probability, seconds};

/// Turn call records into exact daily usage per MSISDN, with small functions on Kafka that a SAM template describes.
#[derive(Parser)]
#[command(name = "trunkline", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the whole pipeline in one process, with its own services and synthetic data
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Run the template's functions on your own services, until Ctrl-C
    #[command(after_help = examples::UP)]
    Up(UpArgs),
    /// Create the topics, tables and bucket that are missing
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Test every service that the parameters name; report each fault and its remedy
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Print the functions' environment variables, for `cargo lambda watch --env-file`
    Env(EnvArgs),
    /// Load new data from the lake into the warehouse and build the models, as the hourly schedule does
    #[command(after_help = examples::LOAD)]
    Load(LoadArgs),
    /// Skip a record that can't be delivered, after saving it to the topic `rejected`
    #[command(after_help = examples::SKIP)]
    Skip(SkipArgs),
    /// Show the state of everything on one page, and what needs your attention
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// List the delivered files and what became of their rows, or decide about one that waits
    #[command(after_help = examples::FILES)]
    Files(FilesArgs),
    /// Call one function with an event and print its answer
    #[command(after_help = examples::INVOKE)]
    Invoke(InvokeArgs),
    /// Send events to the functions that their folders under events/ are named after
    #[command(after_help = examples::REPLAY)]
    Replay(ReplayArgs),
    /// Generate synthetic data
    #[command(subcommand)]
    Generate(Generate),
    /// Compare the API's answers for every subscriber with an independent count of the files
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArgs),
    /// Print a shell's completion script
    #[command(after_help = examples::COMPLETION)]
    Completion(CompletionArgs),
    /// Write the man pages into a folder
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
    /// Read a password from standard input and print its argon2id hash for API_USERS
    HashPassword,
}

#[derive(Subcommand)]
pub(crate) enum Generate {
    /// Generate call records, as files or directly into topics
    #[command(after_help = examples::GENERATE_CDR)]
    Cdr(GenerateCdrArgs),
    /// Fill the CRM's database with accounts, addresses and devices, then change them, one transaction at a time
    #[command(after_help = examples::GENERATE_CRM)]
    Crm(GenerateCrmArgs),
    /// Generate chat messages of customers and agents; post them to the API or write them to a file
    #[command(after_help = examples::GENERATE_MESSAGES)]
    Messages(GenerateMessagesArgs),
}

/// The template's usual name, in the project's folder.
pub(crate) const DEFAULT_TEMPLATE: &str = "template.yaml";

/// Which template, with which values.
#[derive(Args, Clone)]
pub(crate) struct TemplateArgs {
    /// The SAM template
    #[arg(long, value_name = "FILE", default_value = DEFAULT_TEMPLATE)]
    pub(crate) template: PathBuf,
    /// Values for the template's parameters, as `sam deploy` takes them
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    pub(crate) parameter_overrides: Vec<String>,
    /// A file of KEY=VALUE lines: parameters of the template, and AWS_* variables of the functions. What neither this nor
    /// --parameter-overrides names comes from the environment: SFTP_HOST for SftpHost, KAFKA_BROKERS for KafkaBrokers, and so
    /// on for SFTP_* and KAFKA_*
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_PARAMETERS")]
    pub(crate) parameters: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct CompletionArgs {
    /// The shell to write the script for
    pub(crate) shell: Shell,
}

#[derive(Args)]
pub(crate) struct ManArgs {
    /// The folder, which is created if it is missing
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// How long a service is waited for.
#[derive(Args, Clone, Copy)]
pub(crate) struct TimeoutArgs {
    /// Wait this long for a service to answer
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArgs,
    /// Also check the CRM's database at this address. It contains a password: prefer the variable
    #[arg(long, value_name = "URL", env = generator::crm::DATABASE_URL, hide_env_values = true)]
    pub(crate) crm_database_url: Option<String>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 1 if something needs your attention
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArgs,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) timeout: TimeoutArgs,
    /// Also check the CRM's database, for example postgres://user:password@host/wtc_prod, for settings that would lose
    /// changes. The address contains a password: prefer the variable
    #[arg(long, value_name = "URL", env = generator::crm::DATABASE_URL, hide_env_values = true)]
    pub(crate) crm_database_url: Option<String>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Where the HTTP API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:18089", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Use these brokers instead of those in the template. NAME limits them to one Kafka mapping: its event or logical id, its
    /// function, or its cluster's ARN
    #[arg(long, value_name = "[NAME=]HOST:PORT,…")]
    pub(crate) brokers: Vec<crate::up::Brokers>,
    /// Call the functions over the Lambda Invoke API at this address, instead of in this process
    #[arg(long, value_name = "URL")]
    pub(crate) invoke: Option<String>,
    /// The prefix of the functions' names there: STACK- for functions that `sam deploy` created
    #[arg(long, value_name = "PREFIX", requires = "invoke", default_value = "")]
    pub(crate) invoke_prefix: String,
    /// Also serve the functions' Lambda Invoke API at this address, for `aws lambda invoke --endpoint-url` and `cargo lambda
    /// invoke`. It asks nobody who they are, so it takes an address of this machine only, such as 127.0.0.1:9001
    #[arg(long, value_name = "ADDRESS", value_parser = listen)]
    pub(crate) invoke_api: Option<SocketAddr>,
    /// When the template or the parameters file changes, run it anew, in this process
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Args)]
pub(crate) struct EnvArgs {
    /// The functions, by folder name [default: all functions of the template]
    pub(crate) functions: Vec<String>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Load everything that is in the topics now: wait until it is in the lake, and until a running load has ended
    #[arg(long)]
    pub(crate) now: bool,
    /// Load again what arrived from this hour (UTC) on; this restores missing objects and rows
    #[arg(long, value_name = "YYYY-MM-DDTHH")]
    pub(crate) from: Option<lake_loader::LoadHour>,
    /// Load again what arrived before this hour (UTC)
    #[arg(long, value_name = "YYYY-MM-DDTHH")]
    pub(crate) to: Option<lake_loader::LoadHour>,
    /// Rebuild all models from all loaded data
    #[arg(long)]
    pub(crate) full_refresh: bool,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct SkipArgs {
    /// The topic of the record
    #[arg(long)]
    pub(crate) topic: String,
    /// The partition that has stopped
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: i32,
    /// The offset of the record, as shown in the log and by GET /health/mappings
    #[arg(long, value_name = "O", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) offset: i64,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct FilesArgs {
    #[command(subcommand)]
    pub(crate) decide: Option<Decision>,
    /// Show all details of this file
    pub(crate) name: Option<String>,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 1 if a file waits for a decision, or has no usable row
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

/// What is to become of a file's version that waits.
#[derive(Subcommand)]
pub(crate) enum Decision {
    /// Count its rows, and keep those of the conflicting file
    Accept(DecisionArgs),
    /// Count its rows, and withdraw those of the conflicting file
    Replace(DecisionArgs),
    /// Do not count its rows
    Drop(DecisionArgs),
}

#[derive(Args)]
pub(crate) struct DecisionArgs {
    /// The file that waits for a decision
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// All delivered files of call records, or folders that contain them
    #[arg(required = true, value_name = "FOLDER|FILE")]
    pub(crate) paths: Vec<PathBuf>,
    /// The address of the API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:18089")]
    pub(crate) url: String,
    /// An API user who may see every subscriber. The password is read from TRUNKLINE_API_PASSWORD, or from standard input
    #[arg(long)]
    pub(crate) user: String,
    /// First compare what became of each file's rows, as the lake and the usage store of the template's parameters say
    #[arg(long)]
    pub(crate) files: bool,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct InvokeArgs {
    /// The function, by folder name
    pub(crate) function: String,
    /// A file with the event as JSON
    pub(crate) event: PathBuf,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// Event files below events/<function>/
    #[arg(required = true)]
    pub(crate) events: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// 86,400 seconds at 1 line a second
    Dev,
    /// 172,800 seconds at 5 lines a second
    Prod,
}

/// What is generated, wherever it goes.
#[derive(Args, Clone)]
pub(crate) struct CdrArgs {
    /// How much: dev is a day at 1 line a second, prod two days at 5
    #[arg(long, value_enum, default_value = "dev")]
    pub(crate) profile: Profile,
    /// The same seed makes the same bytes
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Simulated seconds, instead of the profile's
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: Option<u64>,
    /// Lines of each type a simulated second, instead of the profile's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) lines_per_second: Option<u32>,
    /// Lines in a file; the last one has what is left
    #[arg(long, value_name = "LINES", default_value_t = generator::LINES_PER_FILE)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) lines_per_file: u32,
    /// How many MSISDNs there are
    #[arg(long, default_value_t = 50_000)]
    pub(crate) subscribers: u32,
    /// The share of rows made unusable, and of files delivered twice or oddly: 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = probability)]
    pub(crate) faults: f64,
}

#[derive(Args)]
pub(crate) struct GenerateCdrArgs {
    #[command(flatten)]
    pub(crate) cdr: CdrArgs,
    /// When the first record was made, on the operator's wall clock, such as 2024-01-01 or 2024-01-01T06:30:00 [default:
    /// 2024-01-01T00:00:00]
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<jiff::civil::DateTime>,
    /// Once the run that the index tells of is complete, make as much again, from where it ended
    #[arg(long = "continue")]
    pub(crate) continues: bool,
    #[command(flatten)]
    pub(crate) to: GenerateTo,
    /// Where progress is kept, so that a killed run is continued: a file for each destination [default: idx_data.dat,
    /// or in the folder of --to-folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) index: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct GenerateCrmArgs {
    /// The database, for example postgres://user:password@host/wtc_prod. It contains a password: prefer the variable
    #[arg(long, value_name = "URL", env = generator::crm::DATABASE_URL, hide_env_values = true)]
    pub(crate) database_url: String,
    /// The same seed makes the same statements, with the phone numbers of the same seed's call records
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The number of accounts; account n has the phone number of subscriber n - 1
    #[arg(long, default_value_t = 50_000)]
    pub(crate) accounts: u32,
    /// The number of changes after that. Run it again with a higher number to continue
    #[arg(long, default_value_t = 10_000)]
    pub(crate) changes: u64,
    /// Changes per second; 0 means as fast as the database allows
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u32,
}

#[derive(Args)]
pub(crate) struct GenerateMessagesArgs {
    #[command(flatten)]
    pub(crate) messages: MessagesArgs,
    #[command(flatten)]
    pub(crate) to: MessagesTo,
    /// An API user who may post. The password is read from TRUNKLINE_API_PASSWORD, or from standard input
    #[arg(long, required_unless_present = "to_file", conflicts_with = "to_file")]
    pub(crate) user: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct MessagesTo {
    /// Post the messages to the API at this address
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Write the messages to this file, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) to_file: Option<PathBuf>,
}

/// Which messages.
#[derive(Args, Clone)]
pub(crate) struct MessagesArgs {
    /// The number of messages, without those that --faults adds
    #[arg(long, default_value_t = 10_000)]
    pub(crate) count: u32,
    /// The number of rooms; each belongs to one customer
    #[arg(long, default_value_t = 1_500)]
    pub(crate) rooms: u32,
    /// The same seed makes the same messages, with the phone numbers of the same seed's call records
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The number of MSISDNs
    #[arg(long, default_value_t = 50_000)]
    pub(crate) subscribers: u32,
    /// The number of days on which rooms are opened
    #[arg(long, default_value_t = 1)]
    pub(crate) days: u32,
    /// The time of the first message, in the operator's time zone
    #[arg(long, value_name = "TIME", default_value = "2024-01-01T00:00:00")]
    pub(crate) start: jiff::civil::DateTime,
    /// The probability that a message is repeated, and that an unusable one follows: 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = probability)]
    pub(crate) faults: f64,
}

/// One destination, or several in one run.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct GenerateTo {
    /// Write the files into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) to_folder: Option<PathBuf>,
    /// Upload the files to the SFTP server that the SFTP_* variables name
    #[arg(long)]
    pub(crate) to_sftp: bool,
    /// Produce the rows to cdr_data and cdr_voice on the brokers that KAFKA_BROKERS names
    #[arg(long)]
    pub(crate) to_topics: bool,
}

#[derive(Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) cdr: CdrArgs,
    /// Where the HTTP API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Keep all data here, and continue from it when started again [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Count the files a second time, and compare with the API's answers for every subscriber
    #[arg(long)]
    pub(crate) verify: bool,
    /// Exit when everything is counted, instead of serving until Ctrl-C
    #[arg(long)]
    pub(crate) exit: bool,
    /// Write the figures of the run to this file, as JSON
    #[arg(long, value_name = "FILE", value_parser = new_file)]
    pub(crate) report: Option<PathBuf>,
}
