//! The command line: what can be asked, and its words.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::examples;
use crate::values::{listen, new_file, probability, seconds};

/// Call records in, exact daily usage per MSISDN out: small functions on Kafka, run from a SAM template.
#[derive(Parser)]
#[command(name = "trunkline", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The whole pipeline in one process: services, synthetic call records, functions, a served API
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Run the template's functions on your own services, until Ctrl-C
    #[command(after_help = examples::UP)]
    Up(UpArgs),
    /// Create topics, tables and the bucket, where they are missing
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Try every service that the parameters name, and say what is wrong and what to do about it
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Print the functions' environment variables, for `cargo lambda watch --env-file`
    Env(EnvArgs),
    /// Load what is new in the lake into the warehouse and build the models, as is done every hour
    #[command(after_help = examples::LOAD)]
    Load(LoadArgs),
    /// Go past a record that can't be delivered: it is kept in the topic `rejected`, and its partition goes on behind
    /// it
    #[command(after_help = examples::SKIP)]
    Skip(SkipArgs),
    /// Show how far everything is, on one page, and what needs a person
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Every file that has landed: what became of its rows, and whether a person has to decide about it
    #[command(after_help = examples::FILES)]
    Files(FilesArgs),
    /// Call one function with an event and print its answer
    #[command(after_help = examples::INVOKE)]
    Invoke(InvokeArgs),
    /// Send events to the functions whose folders under events/ they lie in
    #[command(after_help = examples::REPLAY)]
    Replay(ReplayArgs),
    /// Make synthetic data
    #[command(subcommand)]
    Generate(Generate),
    /// Compare the API's answers for every subscriber with an independent count of your files
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArgs),
    /// Print a script that completes the commands and options, for a shell
    #[command(after_help = examples::COMPLETION)]
    Completion(CompletionArgs),
    /// Write the man pages into a folder
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
    /// Read a password from standard input and print its argon2id hash, for API_USERS
    HashPassword,
}

#[derive(Subcommand)]
pub(crate) enum Generate {
    /// Call records, as files or straight into topics
    #[command(after_help = examples::GENERATE_CDR)]
    Cdr(GenerateCdrArgs),
    /// The CRM's database: accounts, addresses and devices, and then changes of them, each a transaction
    #[command(after_help = examples::GENERATE_CRM)]
    Crm(GenerateCrmArgs),
    /// Chat messages of customers and agents, posted to the API or written to a file
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
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Args)]
pub(crate) struct ManArgs {
    /// The folder; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// How long a service is waited for.
#[derive(Args, Clone, Copy)]
pub(crate) struct TimeoutArgs {
    /// How long to wait for a service to answer
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
    /// The CRM's database: also check it for what would lose changes. It has a password, so better set the variable
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
    /// Fail if something needs a person
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
    /// The CRM's database, for example postgres://user:password@host/wtc_prod: looked at for what would lose changes. Better in
    /// the variable, as it has a password
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
    /// The brokers of the template's Kafka mappings, instead of those that it names. NAME is a mapping's event or logical id, its
    /// function or its cluster's ARN; without it, they are those of all others
    #[arg(long, value_name = "[NAME=]HOST:PORT,…")]
    pub(crate) brokers: Vec<crate::up::Brokers>,
    /// Call the functions over the Lambda Invoke API at this address, instead of in this process
    #[arg(long, value_name = "URL")]
    pub(crate) invoke: Option<String>,
    /// What the functions' names begin with there: STACK- for what `sam deploy` made
    #[arg(long, value_name = "PREFIX", requires = "invoke", default_value = "")]
    pub(crate) invoke_prefix: String,
}

#[derive(Args)]
pub(crate) struct EnvArgs {
    /// The functions, by the names of their folders [default: all of the template's]
    pub(crate) functions: Vec<String>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Load everything that is in the topics at this moment: wait for the lake, and for a run that is at work
    #[arg(long)]
    pub(crate) now: bool,
    /// Once more what came from this hour on (UTC): objects and rows that are missing are restored
    #[arg(long, value_name = "YYYY-MM-DDTHH")]
    pub(crate) from: Option<lake_loader::LoadHour>,
    /// … and before this one
    #[arg(long, value_name = "YYYY-MM-DDTHH")]
    pub(crate) to: Option<lake_loader::LoadHour>,
    /// Build the models anew, from all that is loaded
    #[arg(long)]
    pub(crate) full_refresh: bool,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct SkipArgs {
    /// The record's topic
    #[arg(long)]
    pub(crate) topic: String,
    /// The partition that stands still
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: i32,
    /// The offset at which it does, as the log and GET /health/mappings tell it
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
    /// A file, to be told everything about it
    pub(crate) name: Option<String>,
    /// For programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Fail if a file waits for a decision, or none of its rows can be used
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

/// What is to become of a file's version that waits.
#[derive(Subcommand)]
pub(crate) enum Decision {
    /// Its rows count, beside those of the file that it waits for
    Accept(DecisionArgs),
    /// Its rows count, and those of the file that it waits for are taken back
    Replace(DecisionArgs),
    /// Its rows do not count
    Drop(DecisionArgs),
}

#[derive(Args)]
pub(crate) struct DecisionArgs {
    /// The file that waits
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Everything that was delivered: files of call records, and folders of them
    #[arg(required = true, value_name = "FOLDER|FILE")]
    pub(crate) paths: Vec<PathBuf>,
    /// Where the API answers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:18089")]
    pub(crate) url: String,
    /// A user of the API who may see every subscriber; the password comes from TRUNKLINE_API_PASSWORD, else from
    /// standard input
    #[arg(long)]
    pub(crate) user: String,
    /// Look at what became of each file's rows first, in the lake and the usage store that the template's parameters
    /// (--parameters, TRUNKLINE_PARAMETERS) name
    #[arg(long)]
    pub(crate) files: bool,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct InvokeArgs {
    /// The function, by the name of its folder
    pub(crate) function: String,
    /// The event's JSON
    pub(crate) event: PathBuf,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// Events under events/<function>/
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
    /// The database, for example postgres://user:password@host/wtc_prod; better in the variable, as it has a password
    #[arg(long, value_name = "URL", env = generator::crm::DATABASE_URL, hide_env_values = true)]
    pub(crate) database_url: String,
    /// The same seed makes the same statements, and the phone numbers of the same seed's call records
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Accounts to fill the tables with: account n has the number of subscriber n - 1
    #[arg(long, default_value_t = 50_000)]
    pub(crate) accounts: u32,
    /// Changes to make after that; a run that is started again goes on, so more of them continue it
    #[arg(long, default_value_t = 10_000)]
    pub(crate) changes: u64,
    /// Changes a second; 0 for as many as the database takes
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u32,
}

#[derive(Args)]
pub(crate) struct GenerateMessagesArgs {
    #[command(flatten)]
    pub(crate) messages: MessagesArgs,
    #[command(flatten)]
    pub(crate) to: MessagesTo,
    /// A user of the API who may post; the password comes from TRUNKLINE_API_PASSWORD, else from standard input
    #[arg(long, required_unless_present = "to_file", conflicts_with = "to_file")]
    pub(crate) user: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct MessagesTo {
    /// Post the messages to the API at this address
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Write the messages into this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) to_file: Option<PathBuf>,
}

/// Which messages.
#[derive(Args, Clone)]
pub(crate) struct MessagesArgs {
    /// Messages, those of --faults not counted
    #[arg(long, default_value_t = 10_000)]
    pub(crate) count: u32,
    /// Rooms, each of one customer
    #[arg(long, default_value_t = 1_500)]
    pub(crate) rooms: u32,
    /// The same seed makes the same messages, and the phone numbers of the same seed's call records
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many MSISDNs there are
    #[arg(long, default_value_t = 50_000)]
    pub(crate) subscribers: u32,
    /// The days on which rooms are opened
    #[arg(long, default_value_t = 1)]
    pub(crate) days: u32,
    /// When the first one is, in the operator's time zone
    #[arg(long, value_name = "TIME", default_value = "2024-01-01T00:00:00")]
    pub(crate) start: jiff::civil::DateTime,
    /// How probable it is that a message comes again, and that an unusable one follows: 0 to 1
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
    /// Keep everything here, and go on from it when started again [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Compare the API's answers for every subscriber with an independent count of the files
    #[arg(long)]
    pub(crate) verify: bool,
    /// End when everything has been counted, instead of serving until Ctrl-C
    #[arg(long)]
    pub(crate) exit: bool,
    /// Write the run's figures here, as JSON
    #[arg(long, value_name = "FILE", value_parser = new_file)]
    pub(crate) report: Option<PathBuf>,
}
