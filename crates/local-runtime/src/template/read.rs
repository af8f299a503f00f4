//! From the template's text to the typed model.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::{Finding, Severity};
use super::scope::{Parameters, Scope, Value};
use super::yaml::{self, Kind, Node};
use super::{
    Cluster, Expression, Function, Later, Mapping, Origin, Route, Schedule, StartingPosition, Template, TemplateError,
};
use crate::http::PathPattern;

/// The service's default and limits: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const DEFAULT_TIMEOUT_SECONDS: i64 = 3;
const MAX_TIMEOUT_SECONDS: i64 = 900;
const DEFAULT_MEMORY_MIB: i64 = 128;
const MAX_MEMORY_MIB: i64 = 10_240;
/// Those of Kafka event source mappings.
const DEFAULT_BATCH_SIZE: i64 = 100;
const MAX_BATCH_SIZE: i64 = 10_000;
const DEFAULT_WINDOW: Duration = Duration::from_millis(500);
const MAX_WINDOW_SECONDS: i64 = 300;
/// An HTTP API waits this long for a function.
const MAX_INTEGRATION_MS: i64 = 30_000;

pub(super) fn template(text: &str, parameters: &Parameters) -> Result<Template, TemplateError> {
    let root = yaml::parse(text).map_err(|error| TemplateError::new(error.line, "", error.why))?;
    let scope = Scope::new(&root, parameters)?;
    let mut template = Template {
        functions: Vec::new(),
        mappings: Vec::new(),
        schedules: Vec::new(),
        routes: Vec::new(),
        not_run: Vec::new(),
    };
    let Some(Node { kind: Kind::Map(resources), .. }) = root.get("Resources") else {
        return Err(TemplateError::new(root.line, "Resources", "the template has no resources"));
    };
    let globals = root.get("Globals").and_then(|globals| globals.get("Function"));
    for (id, resource) in resources {
        let is = |kind: &str| resource.get("Type").is_some_and(|node| node.kind == Kind::Scalar(kind.to_owned()));
        if let Some(condition) = resource.get("Condition") {
            let Kind::Scalar(name) = &condition.kind else {
                return Err(TemplateError::new(condition.line, format!("{id}.Condition"), "expected a name"));
            };
            if !scope.holds(name, condition.line, &format!("{id}.Condition"))? {
                continue;
            }
        }
        if is("AWS::Serverless::Function") {
            template.add_function(&scope, globals, id, resource)?;
        } else if is("AWS::Serverless::HttpApi") && resource.get("Properties").and_then(|p| p.get("Auth")).is_some() {
            let origin = Origin { line: resource.line, path: format!("{id}.Auth") };
            template.not_run.push(not_run(origin, "authorizers are not run: every request reaches the function"));
        }
    }
    Ok(template)
}

impl Template {
    fn add_function(
        &mut self,
        scope: &Scope<'_>,
        globals: Option<&Node>,
        id: &str,
        resource: &Node,
    ) -> Result<(), TemplateError> {
        let own = resource.get("Properties").cloned();
        let own = own.unwrap_or(Node { line: resource.line, kind: Kind::Map(Vec::new()) });
        let properties = match globals {
            Some(globals) => merged(globals, own),
            None => own,
        };
        let properties = scope.value(&properties, id)?;
        let function = Function {
            origin: Origin { line: resource.line, path: id.to_owned() },
            name: name(scope, id, resource, &properties)?,
            timeout: seconds(&properties, "Timeout", 1..=MAX_TIMEOUT_SECONDS)?
                .unwrap_or(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS.unsigned_abs())),
            memory_mib: properties
                .get("MemorySize")?
                .map_or(Ok(DEFAULT_MEMORY_MIB), |value| value.integer(DEFAULT_MEMORY_MIB..=MAX_MEMORY_MIB))?
                .try_into()
                .unwrap_or(u32::MAX),
            environment: environment(&properties)?,
        };
        if let Some(events) = properties.get("Events")? {
            for (_, event) in events.entries()? {
                self.add_event(&function, &event)?;
            }
        }
        self.functions.push(function);
        Ok(())
    }

    fn add_event(&mut self, function: &Function, event: &Value<'_>) -> Result<(), TemplateError> {
        let origin = Origin { line: event.line(), path: event.path().to_owned() };
        let kind = event.need("Type")?.text()?;
        let properties = match event.get("Properties")? {
            Some(properties) => properties,
            None if kind == "HttpApi" => {
                self.routes.push(default_route(function, origin));
                return Ok(());
            }
            None => return Err(event.error("Properties is missing")),
        };
        match kind.as_str() {
            "SelfManagedKafka" => {
                let brokers = properties.need("KafkaBootstrapServers")?.texts()?;
                self.mappings.push(mapping(function, origin, Cluster::SelfManaged { brokers }, &properties)?);
            }
            "MSK" => {
                let arn = properties.need("Stream")?.text()?;
                self.mappings.push(mapping(function, origin, Cluster::Msk { arn }, &properties)?);
            }
            "Schedule" | "ScheduleV2" => {
                self.schedules.push(schedule(function, origin, kind == "ScheduleV2", &properties)?);
            }
            "HttpApi" => self.routes.push(route(function, origin, &properties)?),
            other => self.not_run.push(not_run(origin, format!("events of type {other} are not run"))),
        }
        Ok(())
    }
}

fn not_run(origin: Origin, message: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, origin, message: message.into() }
}

/// `Globals` under a resource's own properties, as SAM does it: mappings merge, lists append, anything else gives way.
fn merged(global: &Node, own: Node) -> Node {
    if global.intrinsic().is_some() || own.intrinsic().is_some() {
        return own;
    }
    let line = own.line;
    match (&global.kind, own.kind) {
        (Kind::Map(globals), Kind::Map(own)) => {
            let mut entries = globals.clone();
            for (name, node) in own {
                match entries.iter_mut().find(|(global, _)| *global == name) {
                    Some((_, slot)) => *slot = merged(slot, node),
                    None => entries.push((name, node)),
                }
            }
            Node { line, kind: Kind::Map(entries) }
        }
        (Kind::List(globals), Kind::List(own)) => {
            Node { line, kind: Kind::List(globals.iter().cloned().chain(own).collect()) }
        }
        (_, kind) => Node { line, kind },
    }
}

fn name(scope: &Scope<'_>, id: &str, resource: &Node, properties: &Value<'_>) -> Result<String, TemplateError> {
    if let Some(build) = resource.get("Metadata").and_then(|metadata| metadata.get("BuildProperties"))
        && let Some(binary) = scope.value(build, format!("{id}.Metadata.BuildProperties"))?.get("Binary")?
    {
        return binary.text();
    }
    match properties.get("FunctionName")? {
        Some(name) => name.text(),
        None => Ok(kebab_case(id)),
    }
}

/// `UsageHTTPApi` as `usage-http-api`; logical ids are letters and digits.
fn kebab_case(id: &str) -> String {
    let mut name = String::with_capacity(id.len() + 4);
    let mut letters = id.chars().peekable();
    let mut before = None;
    while let Some(letter) = letters.next() {
        let begins_word = letter.is_uppercase()
            && before.is_some_and(|before: char| {
                !before.is_uppercase() || letters.peek().is_some_and(|next| next.is_lowercase())
            });
        if begins_word {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
        before = Some(letter);
    }
    name
}

fn environment(properties: &Value<'_>) -> Result<BTreeMap<String, String>, TemplateError> {
    let Some(environment) = properties.get("Environment")? else { return Ok(BTreeMap::new()) };
    let Some(variables) = environment.get("Variables")? else { return Ok(BTreeMap::new()) };
    variables.entries()?.into_iter().map(|(name, value)| Ok((name, value.text()?))).collect()
}

fn seconds(
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

fn mapping(
    function: &Function,
    origin: Origin,
    cluster: Cluster,
    properties: &Value<'_>,
) -> Result<Mapping, TemplateError> {
    let topics = properties.need("Topics")?;
    let topic = match topics.texts()?.as_slice() {
        [topic] if !topic.is_empty() => topic.clone(),
        topics_found => {
            return Err(topics.error(format!("expected exactly one topic, found {}", topics_found.len())));
        }
    };
    Ok(Mapping {
        function: function.name.clone(),
        timeout: function.timeout,
        cluster,
        group: match properties.get("ConsumerGroupId")? {
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
        start: starting_position(properties)?,
        is_enabled: flag(properties, "Enabled", true)?,
        later: later(properties)?,
        origin,
    })
}

fn starting_position(properties: &Value<'_>) -> Result<StartingPosition, TemplateError> {
    let position = properties.need("StartingPosition")?;
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

fn later(properties: &Value<'_>) -> Result<Later, TemplateError> {
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
            Some(on_failure) => Some(on_failure.need("Destination")?.text()?),
            None => None,
        },
        None => None,
    };
    let responses = properties.get("FunctionResponseTypes")?.map_or(Ok(Vec::new()), |types| types.texts())?;
    let mode = properties.get("ConsumptionMode")?.map(|mode| mode.text()).transpose()?;
    Ok(Later {
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

fn schedule(
    function: &Function,
    origin: Origin,
    is_scheduler: bool,
    properties: &Value<'_>,
) -> Result<Schedule, TemplateError> {
    let expression = properties.need(if is_scheduler { "ScheduleExpression" } else { "Schedule" })?;
    let timezone = match properties.get("ScheduleExpressionTimezone")? {
        Some(name) => jiff::tz::TimeZone::get(&name.text()?).map_err(|error| name.error(error.to_string()))?,
        None => jiff::tz::TimeZone::UTC,
    };
    let state = properties.get("State")?.map(|state| state.text()).transpose()?;
    let event_name = origin.path.rsplit('.').next().unwrap_or_default().to_owned();
    Ok(Schedule {
        function: function.name.clone(),
        timeout: function.timeout,
        name: properties.get("Name")?.map_or(Ok(event_name), |name| name.text())?,
        expression: expression.text()?.parse::<Expression>().map_err(|why| expression.error(why))?,
        timezone,
        input: properties.get("Input")?.map(|input| input.text()).transpose()?,
        is_scheduler,
        is_enabled: state.is_none_or(|state| state == "ENABLED") && flag(properties, "Enabled", true)?,
        origin,
    })
}

fn route(function: &Function, origin: Origin, properties: &Value<'_>) -> Result<Route, TemplateError> {
    if let Some(version) = properties.get("PayloadFormatVersion")?
        && version.text()? != "2.0"
    {
        return Err(version.error("only payload format 2.0 is run"));
    }
    let method = match properties.get("Method")? {
        Some(value) => match value.text()?.to_ascii_uppercase() {
            any if any == "ANY" || any == "X-AMAZON-APIGATEWAY-ANY-METHOD" => None,
            name => Some(name.parse().map_err(|_| value.error(format!("{name:?} is no HTTP method")))?),
        },
        None => None,
    };
    let path = match properties.get("Path")? {
        Some(value) => match value.text()?.as_str() {
            "$default" => None,
            path => Some(PathPattern::parse(path).map_err(|why| value.error(why))?),
        },
        None => None,
    };
    let limit = Duration::from_millis(MAX_INTEGRATION_MS.unsigned_abs());
    let integration_timeout = match properties.get("TimeoutInMillis")? {
        Some(value) => Duration::from_millis(value.integer(50..=MAX_INTEGRATION_MS)?.unsigned_abs()),
        None => limit,
    };
    Ok(Route { method, path, integration_timeout, ..default_route(function, origin) })
}

/// An `HttpApi` event without path and method takes every request that no other route takes.
fn default_route(function: &Function, origin: Origin) -> Route {
    Route {
        origin,
        function: function.name.clone(),
        timeout: function.timeout,
        integration_timeout: Duration::from_millis(MAX_INTEGRATION_MS.unsigned_abs()),
        method: None,
        path: None,
    }
}
