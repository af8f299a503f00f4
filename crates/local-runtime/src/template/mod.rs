//! A SAM template, read into what can be run: functions and what invokes them.

mod check;
mod events;
mod expression;
mod notes;
mod read;
mod resources;
mod scope;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

pub use check::{Finding, Rules, Severity};
pub use expression::{Cron, Expression, ExpressionError};
pub use scope::Parameters;

use crate::http::PathPattern;

/// The runnable part of a SAM template, with every parameter resolved.
#[derive(Clone, Debug)]
pub struct Template {
    /// `AWS::Serverless::Function` resources, in the template's order, then those of `AWS::Lambda::Function`.
    pub functions: Vec<Function>,
    /// `SelfManagedKafka` and `MSK` events, then Kafka's `AWS::Lambda::EventSourceMapping` resources.
    pub mappings: Vec<Mapping>,
    /// `Schedule` and `ScheduleV2` events.
    pub schedules: Vec<Schedule>,
    /// `HttpApi` events.
    pub routes: Vec<Route>,
    /// What is there and not run, or means something else here.
    pub(crate) not_run: Vec<Finding>,
}

/// Where something stands in the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// 1-based; 0 where no line can be named.
    pub line: usize,
    /// For example `BatchAggregator.Events.CdrData`.
    pub path: String,
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Where it stands; its path is the logical id.
    pub origin: Origin,
    /// The name it is invoked by: the binary's (`Metadata.BuildProperties.Binary`), else `FunctionName`, else the
    /// logical id; that in kebab-case where the function is a binary, since `cargo lambda` calls it so.
    pub name: String,
    /// `FunctionName`.
    pub function_name: Option<String>,
    /// The service stops an invocation after this time.
    pub timeout: Duration,
    /// `MemorySize`.
    pub memory_mib: u32,
    /// `ReservedConcurrentExecutions`.
    pub reserved_concurrency: Option<i64>,
    /// `Environment.Variables`, those of `Globals` included.
    pub environment: BTreeMap<String, String>,
}

/// A Kafka event source mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Where it stands.
    pub origin: Origin,
    /// The name of the function that it invokes.
    pub function: String,
    /// That function's timeout.
    pub timeout: Duration,
    /// Which cluster.
    pub cluster: Cluster,
    /// The one topic.
    pub topic: String,
    /// The consumer group; a mapping without one gets `local-<function>-<topic>`, so that a restart resumes.
    pub group: String,
    /// Records in a batch, at most.
    pub batch_size: usize,
    /// How long records are gathered for a batch.
    pub window: Duration,
    /// Where a group without a committed offset begins.
    pub start: StartingPosition,
    /// `Enabled`; false in Queue mode, too, which is not run.
    pub is_enabled: bool,
    /// What is read and kept, and not run yet.
    pub later: Later,
}

/// Where a mapping's records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// `KafkaBootstrapServers`.
    SelfManaged {
        /// `host:port` each.
        brokers: Vec<String>,
    },
    /// `Stream`, `EventSourceArn`.
    Msk {
        /// The cluster's ARN.
        arn: String,
        /// The function's own variable `KAFKA_BROKERS`: the template says nowhere else where the brokers are.
        brokers: Option<String>,
    },
}

/// Where a group without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record that is still there.
    TrimHorizon,
    /// What is written from now on.
    Latest,
    /// The first record at or after this moment, in milliseconds since 1970.
    AtTimestamp(i64),
}

/// Properties of a mapping that are read, checked and kept, and not run yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Later {
    /// `FilterCriteria`: the patterns.
    pub filters: Vec<String>,
    /// `DestinationConfig.OnFailure.Destination`.
    pub on_failure: Option<String>,
    /// `MaximumRetryAttempts`; -1 is for ever.
    pub maximum_retry_attempts: Option<i64>,
    /// `MaximumRecordAgeInSeconds`; -1 is for ever.
    pub maximum_record_age_seconds: Option<i64>,
    /// `BisectBatchOnFunctionError`.
    pub bisects: bool,
    /// `FunctionResponseTypes: [ReportBatchItemFailures]`.
    pub reports_item_failures: bool,
    /// `ProvisionedPollerConfig` is there.
    pub is_provisioned: bool,
    /// `ConsumptionMode: Queue`: records without an order.
    pub is_queue: bool,
    /// `ParallelizationFactor`.
    pub parallelization_factor: Option<i64>,
    /// `SourceAccessConfigurations`: the kinds of credentials.
    pub secrets: Vec<String>,
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Where it stands.
    pub origin: Origin,
    /// The name of the function that it invokes.
    pub function: String,
    /// That function's timeout.
    pub timeout: Duration,
    /// `Name`, else the event's name in the template.
    pub name: String,
    /// When.
    pub expression: Expression,
    /// The time zone of a `cron(…)`; UTC without one.
    pub timezone: jiff::tz::TimeZone,
    /// The payload, when the template gives one.
    pub input: Option<String>,
    /// EventBridge Scheduler (`ScheduleV2`) or an EventBridge rule (`Schedule`): their default payloads differ.
    pub is_scheduler: bool,
    /// `Enabled`, `State`.
    pub is_enabled: bool,
}

/// A route of the HTTP API.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it stands.
    pub origin: Origin,
    /// The name of the function that it invokes.
    pub function: String,
    /// The function's timeout.
    pub timeout: Duration,
    /// How long the API waits: `TimeoutInMillis`, at most 30 s.
    pub integration_timeout: Duration,
    /// `None` is any method.
    pub method: Option<http::Method>,
    /// `None` is the `$default` route.
    pub path: Option<PathPattern>,
}

/// Why a template can't be read: the place and what to do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}{origin}: {why}")]
pub struct TemplateError {
    file: String,
    origin: Origin,
    why: String,
}

impl Template {
    /// Reads the template at `path`.
    ///
    /// # Errors
    /// When the file can't be read, or as [`Template::parse`]; the message names the file.
    pub fn read(path: &Path, parameters: &Parameters) -> Result<Self, TemplateError> {
        let file = format!("{}: ", path.display());
        std::fs::read_to_string(path)
            .map_err(|error| TemplateError::new(0, "", format!("can't be read: {error}")))
            .and_then(|text| Self::parse(&text, parameters))
            .map_err(|error| TemplateError { file, ..error })
    }

    /// Reads a template's text (YAML or JSON).
    ///
    /// # Errors
    /// When it is not YAML, a parameter has no value, or a property that is read here can't be resolved or used: the
    /// message names resource, property and line.
    pub fn parse(text: &str, parameters: &Parameters) -> Result<Self, TemplateError> {
        read::template(text, parameters)
    }

    /// The function of this name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// Whether a mapping, schedule or route invokes this function.
    #[must_use]
    pub fn invokes(&self, name: &str) -> bool {
        self.mappings.iter().any(|mapping| mapping.function == name)
            || self.schedules.iter().any(|schedule| schedule.function == name)
            || self.routes.iter().any(|route| route.function == name)
    }
}

impl Function {
    /// Whether it goes by this name: its own, the service's or the template's.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.origin.path == name || self.function_name.as_deref() == Some(name)
    }
}

impl Mapping {
    /// What a person may call it: its place in the template, the event's name alone, its function, its cluster.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let cluster = match &self.cluster {
            Cluster::Msk { arn, .. } => Some(arn.as_str()),
            Cluster::SelfManaged { .. } => None,
        };
        // Of a cluster that is a resource, `Cluster.Arn` may stand for the ARN.
        let resource = cluster.filter(|arn| !arn.contains(':')).and_then(|arn| arn.split('.').next());
        let path = self.origin.path.as_str();
        let parts = [path.rsplit('.').next(), path.split('.').next(), Some(self.function.as_str()), cluster, resource];
        std::iter::once(path).chain(parts.into_iter().flatten())
    }
}

/// Reads `Key=Value`, as on a command line.
///
/// # Errors
/// When there is no `=` or nothing before it.
pub fn parse_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected Name=value, found {text:?}")),
    }
}

impl TemplateError {
    fn new(line: usize, path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { file: String::new(), origin: Origin { line, path: path.into() }, why: why.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.path.as_str()) {
            (0, "") => f.write_str("template"),
            (0, path) => f.write_str(path),
            (line, "") => write!(f, "line {line}"),
            (line, path) => write!(f, "line {line}: {path}"),
        }
    }
}
