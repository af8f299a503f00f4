//! What a template says that the service would not do, that this runtime does not do yet, or that a project forbids.

use std::fmt;
use std::time::Duration;

use super::{Mapping, Origin, Template};

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

/// A project's own rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Functions that must see every record in order: nothing in their mappings may give a batch up, split it or reorder
    /// it.
    pub lossless: Vec<String>,
    /// Consumer groups are named `<prefix>-<function>-<topic>`.
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
            if rules.lossless.contains(&mapping.function) {
                lossless(mapping, &mut add);
            }
            if let Some(prefix) = &rules.group_prefix {
                let wanted = format!("{prefix}-{}-{}", mapping.function, mapping.topic);
                if mapping.group != wanted {
                    add(Severity::Error, format!("the consumer group has to be {wanted}, not {}", mapping.group));
                }
            }
        }
        self.unique_groups(&mut findings);
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
    warn(later.is_queue, "Queue mode is not run yet: records come in the order of their partitions");
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
