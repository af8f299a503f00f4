//! What invokes a function: Kafka mappings, schedules, routes.

use std::time::Duration;

use super::expression::{Expression, ExpressionError};
use super::scope::Value;
use super::{Cluster, Function, Later, Mapping, Origin, Route, Schedule, StartingPosition, TemplateError};
use crate::http::PathPattern;

/// Those of Kafka event source mappings: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const DEFAULT_BATCH_SIZE: i64 = 100;
const MAX_BATCH_SIZE: i64 = 10_000;
const DEFAULT_WINDOW: Duration = Duration::from_millis(500);
const MAX_WINDOW_SECONDS: i64 = 300;
/// An HTTP API waits this long for a function.
const MAX_INTEGRATION_MS: i64 = 30_000;
/// Where a function that reads the topics' brokers by itself is told of them, by convention.
const BROKERS_VARIABLE: &str = "KAFKA_BROKERS";

pub(super) fn seconds(
    properties: &Value<'_>,
    key: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<Duration>, TemplateError> {
    let Some(value) = properties.get(key)? else { return Ok(None) };
    Ok(Some(Duration::from_secs(value.integer(range)?.unsigned_abs())))
}

fn flag(properties: &Value<'_>, key: &str, default: bool) -> Result<bool, TemplateError> {
    properties.get(key)?.map_or(Ok(default), |value| value.boolean())
}

/// The mapping of an event of SAM.
pub(super) fn mapping(function: &Function, event: &Value<'_>, is_msk: bool) -> Result<Mapping, TemplateError> {
    let properties = event.need("Properties")?;
    let cluster = if is_msk {
        msk(function, properties.need("Stream")?.text()?)
    } else {
        Cluster::SelfManaged { brokers: properties.need("KafkaBootstrapServers")?.texts()? }
    };
    let mapping = mapping_of(function, origin(event), cluster, &properties, &properties)?;
    name_rest(&properties);
    Ok(mapping)
}

fn origin(value: &Value<'_>) -> Origin {
    Origin { line: value.line(), path: value.path().to_owned() }
}

/// A cluster of MSK, which the template names and does not say the brokers of.
pub(super) fn msk(function: &Function, arn: String) -> Cluster {
    Cluster::Msk { arn, brokers: function.environment.get(BROKERS_VARIABLE).cloned() }
}

/// What of a mapping is not run, other than by [`Later`].
pub(super) fn name_rest(properties: &Value<'_>) {
    properties.name_rest(&["KmsKeyArn", "LoggingConfig", "MetricsConfig", "Tags"], |_| "the mapping is run without it");
}

/// What SAM's events and CloudFormation's mappings have in common; `settings` is where the latter keep what is Kafka's
/// alone.
pub(super) fn mapping_of(
    function: &Function,
    origin: Origin,
    cluster: Cluster,
    properties: &Value<'_>,
    settings: &Value<'_>,
) -> Result<Mapping, TemplateError> {
    if let Some(registry) = settings.get("SchemaRegistryConfig")? {
        registry.note("SchemaRegistryConfig is not run here: records come as they are, neither decoded nor validated");
    }
    let later = later(properties, settings)?;
    let topic = one_topic(&properties.need("Topics")?)?;
    Ok(Mapping {
        function: function.name.clone(),
        timeout: function.timeout,
        cluster,
        group: match settings.get("ConsumerGroupId")? {
            Some(group) => group.text()?,
            None => format!("local-{}-{topic}", function.name),
        },
        topic,
        batch_size: properties
            .get("BatchSize")?
            .map_or(Ok(DEFAULT_BATCH_SIZE), |value| value.integer(1..=MAX_BATCH_SIZE))?
            .try_into()
            .unwrap_or(usize::MAX),
        window: seconds(properties, "MaximumBatchingWindowInSeconds", 0..=MAX_WINDOW_SECONDS)?
            .unwrap_or(DEFAULT_WINDOW),
        // Share groups have no position to begin at.
        start: if later.is_queue { StartingPosition::Latest } else { starting_position(properties)? },
        is_enabled: flag(properties, "Enabled", true)? && !later.is_queue,
        later,
        origin,
    })
}

fn one_topic(topics: &Value<'_>) -> Result<String, TemplateError> {
    match topics.texts()?.as_slice() {
        [topic] if !topic.is_empty() => Ok(topic.clone()),
        found => Err(topics.error(format!("expected exactly one topic, found {}", found.len()))),
    }
}

fn starting_position(properties: &Value<'_>) -> Result<StartingPosition, TemplateError> {
    let Some(position) = properties.get("StartingPosition")? else {
        // The service's guide requires it, its API takes mappings of Kafka without.
        properties.note("StartingPosition is missing: the mapping begins at the oldest record");
        return Ok(StartingPosition::TrimHorizon);
    };
    match position.text()?.as_str() {
        "TRIM_HORIZON" => Ok(StartingPosition::TrimHorizon),
        "LATEST" => Ok(StartingPosition::Latest),
        "AT_TIMESTAMP" => {
            let timestamp = properties.need("StartingPositionTimestamp")?;
            let seconds: f64 = timestamp.text()?.parse().map_err(|_| timestamp.error("expected seconds since 1970"))?;
            // The service takes fractions of a second; Kafka counts milliseconds.
            #[expect(clippy::cast_possible_truncation, reason = "a moment outside i64 milliseconds saturates")]
            Ok(StartingPosition::AtTimestamp((seconds * 1000.0).round() as i64))
        }
        other => Err(position.error(format!("expected TRIM_HORIZON, LATEST or AT_TIMESTAMP, found {other:?}"))),
    }
}

fn later(properties: &Value<'_>, settings: &Value<'_>) -> Result<Later, TemplateError> {
    let integer = |key: &str, range| properties.get(key)?.map(|value| value.integer(range)).transpose();
    let mut filters = Vec::new();
    if let Some(criteria) = properties.get("FilterCriteria")?
        && let Some(list) = criteria.get("Filters")?
    {
        for filter in list.items()? {
            filters.push(filter.need("Pattern")?.text()?);
        }
    }
    let on_failure = match properties.get("DestinationConfig")? {
        Some(config) => match config.get("OnFailure")? {
            Some(on_failure) => on_failure.name_of("Destination")?,
            None => None,
        },
        None => None,
    };
    let responses = properties.get("FunctionResponseTypes")?.map_or(Ok(Vec::new()), |types| types.texts())?;
    let mode = settings.get("ConsumptionMode")?.map(|mode| mode.text()).transpose()?;
    let secrets = match properties.get("SourceAccessConfigurations")? {
        Some(accesses) => secrets(&accesses)?,
        None => Vec::new(),
    };
    Ok(Later {
        secrets,
        filters,
        on_failure,
        maximum_retry_attempts: integer("MaximumRetryAttempts", -1..=10_000)?,
        maximum_record_age_seconds: integer("MaximumRecordAgeInSeconds", -1..=604_800)?,
        bisects: flag(properties, "BisectBatchOnFunctionError", false)?,
        reports_item_failures: responses.iter().any(|kind| kind == "ReportBatchItemFailures"),
        is_provisioned: properties.get("ProvisionedPollerConfig")?.is_some(),
        is_queue: mode.is_some_and(|mode| mode.eq_ignore_ascii_case("queue")),
        parallelization_factor: integer("ParallelizationFactor", 1..=10)?,
    })
}

/// The kinds of credentials among a mapping's ways to its cluster: all but the network's.
fn secrets(accesses: &Value<'_>) -> Result<Vec<String>, TemplateError> {
    let mut kinds = Vec::new();
    for access in accesses.items()? {
        let kind = access.need("Type")?.text()?;
        if !matches!(kind.as_str(), "VPC_SUBNET" | "VPC_SECURITY_GROUP") {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// The schedule of an event, if its expression is one that is run.
pub(super) fn schedule(
    function: &Function,
    event: &Value<'_>,
    is_scheduler: bool,
) -> Result<Option<Schedule>, TemplateError> {
    let properties = event.need("Properties")?;
    let written = properties.need(if is_scheduler { "ScheduleExpression" } else { "Schedule" })?;
    let expression = match written.text()?.parse::<Expression>() {
        Ok(expression) => expression,
        Err(ExpressionError::NotRun(why)) => {
            event.note(format!("{why} is not run here: this schedule never fires"));
            return Ok(None);
        }
        Err(ExpressionError::Malformed(why)) => return Err(written.error(why)),
    };
    let timezone = match properties.get("ScheduleExpressionTimezone")? {
        Some(name) => jiff::tz::TimeZone::get(&name.text()?).map_err(|error| name.error(error.to_string()))?,
        None => jiff::tz::TimeZone::UTC,
    };
    let state = properties.get("State")?.map(|state| state.text()).transpose()?;
    let event_name = event.path().rsplit('.').next().unwrap_or_default().to_owned();
    let schedule = Schedule {
        origin: origin(event),
        function: function.name.clone(),
        timeout: function.timeout,
        name: properties.get("Name")?.map_or(Ok(event_name), |name| name.text())?,
        expression,
        timezone,
        input: properties.get("Input")?.map(|input| input.text()).transpose()?,
        is_scheduler,
        is_enabled: state.is_none_or(|state| state == "ENABLED") && flag(&properties, "Enabled", true)?,
    };
    name_rest_of_schedule(&properties)?;
    Ok(Some(schedule))
}

fn name_rest_of_schedule(properties: &Value<'_>) -> Result<(), TemplateError> {
    if let Some(window) = properties.get("FlexibleTimeWindow")?
        && window.need("Mode")?.text()? != "OFF"
    {
        window.note("FlexibleTimeWindow is not run here: the schedule fires at its time");
    }
    let harmless = ["Description", "GroupName", "KmsKeyArn", "OmitName", "PermissionsBoundary", "RoleArn"];
    properties.name_rest(&harmless, |name| match name {
        "RetryPolicy" | "DeadLetterConfig" => "a firing that fails is logged, and the next one is the retry",
        _ => "the schedule is run without it",
    });
    Ok(())
}

/// The route of an event. One without path and method takes every request that no other route takes.
pub(super) fn route(function: &Function, event: &Value<'_>) -> Result<Option<Route>, TemplateError> {
    let mut route = Route {
        origin: origin(event),
        function: function.name.clone(),
        timeout: function.timeout,
        integration_timeout: Duration::from_millis(MAX_INTEGRATION_MS.unsigned_abs()),
        method: None,
        path: None,
    };
    let Some(properties) = event.get("Properties")? else { return Ok(Some(route)) };
    if let Some(version) = properties.get("PayloadFormatVersion")?
        && version.text()? != "2.0"
    {
        version.note("only payload format 2.0 is run here: this route is not served");
        return Ok(None);
    }
    if let Some(value) = properties.get("Method")? {
        route.method = match value.text()?.to_ascii_uppercase() {
            any if any == "ANY" || any == "X-AMAZON-APIGATEWAY-ANY-METHOD" => None,
            name => Some(name.parse().map_err(|_| value.error(format!("{name:?} is no HTTP method")))?),
        };
    }
    if let Some(value) = properties.get("Path")? {
        route.path = match value.text()?.as_str() {
            "$default" => None,
            path => Some(PathPattern::parse(path).map_err(|why| value.error(why))?),
        };
    }
    if let Some(value) = properties.get("TimeoutInMillis")? {
        route.integration_timeout = Duration::from_millis(value.integer(50..=MAX_INTEGRATION_MS)?.unsigned_abs());
    }
    if let Some(auth) = properties.get("Auth")?
        && auth.name_of("Authorizer")?.is_none_or(|name| name != "NONE")
    {
        auth.note("authorizers are not run here: every request reaches the function");
    }
    properties.name_rest(&["ApiId"], |_| "requests are answered without it");
    Ok(Some(route))
}
