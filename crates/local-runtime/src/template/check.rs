//! What a template says that the service would not do, that this runtime does not do yet, or that a project forbids.

use std::fmt;
use std::time::Duration;

use super::{Mapping, Origin, Route, Template};

/// The service's limit for functions behind a Kafka mapping.
const MAX_KAFKA_TIMEOUT: Duration = Duration::from_secs(14 * 60);

/// Something about the template that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it may be run all the same.
    pub severity: Severity,
    /// Where it stands.
    pub origin: Origin,
    /// What it is and what to do.
    pub message: String,
}

/// How serious a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, but not as it looks.
    Warning,
    /// It must not be deployed or run like this.
    Error,
}

/// A project's own rules, for its own functions. Others' mappings are what their own projects want them to be.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The project's functions: the rules are about their mappings. These log in to the brokers as the functions do, not
    /// with the service's secrets.
    pub functions: Vec<String>,
    /// Those of them that must see every record in order: nothing in their mappings may give a batch up, split it or
    /// reorder it.
    pub lossless: Vec<String>,
    /// Consumer groups are named `<prefix><function>-<topic>`.
    pub group_prefix: Option<String>,
}

impl Template {
    /// Checks the template against the service's rules, against what this runtime runs, and against a project's `rules`;
    /// errors first.
    #[must_use]
    pub fn check(&self, rules: &Rules) -> Vec<Finding> {
        let mut findings = self.not_run.clone();
        for mapping in &self.mappings {
            let mut add = |severity, message: String| {
                findings.push(Finding { severity, origin: mapping.origin.clone(), message });
            };
            service_rules(mapping, &mut add);
            not_run_yet(mapping, &mut add);
            if rules.functions.contains(&mapping.function) {
                project_rules(mapping, rules, &mut add);
            } else if !mapping.later.secrets.is_empty() {
                let secrets = mapping.later.secrets.join(", ");
                let message = format!(
                    "the secrets of SourceAccessConfigurations ({secrets}) are not used here: the mapping logs in with \
                     the runtime's own Kafka settings"
                );
                add(Severity::Warning, message);
            }
        }
        self.unique_groups(&mut findings);
        self.unique_routes(&mut findings);
        self.functions_alone(&mut findings);
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.origin.line));
        findings
    }

    /// Two mappings of one group on one topic would each get only some of the partitions.
    fn unique_groups(&self, findings: &mut Vec<Finding>) {
        for (index, mapping) in self.mappings.iter().enumerate() {
            if let Some(first) =
                self.mappings[..index].iter().find(|m| m.group == mapping.group && m.topic == mapping.topic)
            {
                findings.push(Finding {
                    severity: Severity::Error,
                    origin: mapping.origin.clone(),
                    message: format!(
                        "consumer group {} on {} is also that of {}",
                        mapping.group, mapping.topic, first.origin
                    ),
                });
            }
        }
    }

    /// All APIs of a template are served at one address here.
    fn unique_routes(&self, findings: &mut Vec<Finding>) {
        let text = |route: &Route| route.path.as_ref().map(ToString::to_string);
        for (index, route) in self.routes.iter().enumerate() {
            let is_same = |other: &&Route| other.method == route.method && text(other) == text(route);
            if let Some(first) = self.routes[..index].iter().find(is_same) {
                findings.push(Finding {
                    severity: Severity::Warning,
                    origin: route.origin.clone(),
                    message: format!("this is also the route of {}, which gets its requests here", first.origin),
                });
            }
        }
    }

    /// Functions that look alone and are not, or must be alone and are not made so.
    fn functions_alone(&self, findings: &mut Vec<Finding>) {
        for (index, function) in self.functions.iter().enumerate() {
            let mut warn = |message| {
                let origin = function.origin.clone();
                findings.push(Finding { severity: Severity::Warning, origin, message });
            };
            if let Some(first) = self.functions[..index].iter().find(|first| first.name == function.name) {
                let (name, first) = (&function.name, &first.origin);
                warn(format!("it is invoked as {name}, as {first} is: with one environment for both"));
            }
            let limit = function.reserved_concurrency.and_then(|limit| usize::try_from(limit).ok());
            if limit.is_some_and(|limit| self.concurrency(&function.name).is_none_or(|most| most > limit)) {
                warn(
                    "ReservedConcurrentExecutions is not run here: the function is invoked as often as it is due"
                        .into(),
                );
            }
        }
    }

    /// How many invocations there may be at a time: a mapping or schedule has one; requests have no limit.
    fn concurrency(&self, function: &str) -> Option<usize> {
        let mappings = self.mappings.iter().filter(|mapping| mapping.function == function).count();
        let schedules = self.schedules.iter().filter(|schedule| schedule.function == function).count();
        let is_served = self.routes.iter().any(|route| route.function == function);
        (!is_served).then_some(mappings + schedules)
    }
}

fn project_rules(mapping: &Mapping, rules: &Rules, add: &mut impl FnMut(Severity, String)) {
    if rules.lossless.contains(&mapping.function) {
        lossless(mapping, add);
    }
    if let Some(prefix) = &rules.group_prefix {
        let wanted = format!("{prefix}{}-{}", mapping.function, mapping.topic);
        if mapping.group != wanted {
            add(Severity::Error, format!("the consumer group has to be {wanted}, not {}", mapping.group));
        }
    }
}

fn service_rules(mapping: &Mapping, add: &mut impl FnMut(Severity, String)) {
    let later = &mapping.later;
    if mapping.timeout > MAX_KAFKA_TIMEOUT {
        let seconds = mapping.timeout.as_secs();
        add(
            Severity::Error,
            format!("the function's timeout of {seconds} s is above the 14 minutes of Kafka mappings"),
        );
    }
    if later.on_failure.as_deref() == Some(&format!("kafka://{}", mapping.topic)) {
        add(Severity::Error, "the on-failure destination is the source topic itself".into());
    }
    if !later.is_provisioned {
        let mut needs_provisioned = |is_set: bool, property: &str| {
            if is_set {
                add(Severity::Warning, format!("{property} does nothing without ProvisionedPollerConfig"));
            }
        };
        needs_provisioned(later.reports_item_failures, "FunctionResponseTypes: ReportBatchItemFailures");
        needs_provisioned(later.bisects, "BisectBatchOnFunctionError");
        needs_provisioned(later.maximum_retry_attempts.is_some(), "MaximumRetryAttempts");
        needs_provisioned(later.maximum_record_age_seconds.is_some(), "MaximumRecordAgeInSeconds");
    }
}

fn not_run_yet(mapping: &Mapping, add: &mut impl FnMut(Severity, String)) {
    let later = &mapping.later;
    let mut warn = |is_set: bool, message: &str| {
        if is_set {
            add(Severity::Warning, message.to_owned());
        }
    };
    warn(!later.filters.is_empty(), "FilterCriteria is not run yet: the function gets every record");
    warn(later.on_failure.is_some(), "DestinationConfig is not run yet: a failing batch is retried for ever");
    warn(
        later.maximum_retry_attempts.is_some_and(|attempts| attempts >= 0)
            || later.maximum_record_age_seconds.is_some_and(|seconds| seconds >= 0),
        "retry limits are not run yet: a failing batch is retried for ever",
    );
    warn(later.bisects, "BisectBatchOnFunctionError is not run yet: a failing batch is retried whole");
    warn(later.reports_item_failures, "ReportBatchItemFailures is not run yet: the function's answer is not looked at");
    warn(later.is_queue, "Queue mode is not run here: this mapping does not start, and its records stay in the topic");
}

fn lossless(mapping: &Mapping, add: &mut impl FnMut(Severity, String)) {
    let later = &mapping.later;
    let mut forbid = |is_set: bool, property: &str| {
        if is_set {
            let function = &mapping.function;
            add(Severity::Error, format!("{function} must see every record in order: remove {property}"));
        }
    };
    forbid(later.on_failure.is_some(), "DestinationConfig");
    forbid(!later.filters.is_empty(), "FilterCriteria");
    forbid(later.bisects, "BisectBatchOnFunctionError");
    forbid(later.is_queue, "ConsumptionMode: Queue");
    forbid(later.parallelization_factor.is_some(), "ParallelizationFactor");
    forbid(later.reports_item_failures, "FunctionResponseTypes");
    forbid(later.maximum_retry_attempts.is_some_and(|attempts| attempts >= 0), "MaximumRetryAttempts");
    forbid(later.maximum_record_age_seconds.is_some_and(|seconds| seconds >= 0), "MaximumRecordAgeInSeconds");
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}: {}", self.origin, self.message)
    }
}
