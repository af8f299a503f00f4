//! The broker's properties and the topics' configs, under Kafka's names and with Kafka's defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use kafka_protocol::ResponseError;

use super::refusal::{Answer, Refusal};

/// Values by name.
pub(super) type Values = BTreeMap<String, String>;

/// What may be set, and what holds where nothing is.
#[derive(Debug)]
pub(super) struct Spec {
    /// What topics call it; nothing where only the broker has it.
    pub(super) topic_name: &'static str,
    /// What the broker calls it; nothing where only topics have it.
    pub(super) broker_name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Flag,
    /// Of 32 bits, at least this.
    Int(i32),
    /// Of 64 bits, at least this.
    Long(i64),
    /// From 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// Some of them, joined by commas.
    SomeOf(&'static [&'static str]),
    /// This word only: the broker does nothing else.
    Only(&'static str),
    /// Any, joined by commas.
    Words,
}

const fn spec(topic_name: &'static str, broker_name: &'static str, kind: Kind, default: &'static str) -> Spec {
    Spec { topic_name, broker_name, kind, default }
}

const NEVER_MS: &str = "9223372036854775807";
const CODECS_STORED: Kind = Kind::Only("producer");

/// What the broker heeds comes first; the rest is taken, told again, and means nothing to one node that does not compact.
pub(super) const SPECS: &[Spec] = &[
    spec("max.message.bytes", "message.max.bytes", Kind::Int(0), "1048588"),
    spec("message.timestamp.type", "log.message.timestamp.type", TIMESTAMP_TYPES, "CreateTime"),
    spec("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", Kind::Long(0), "3600000"),
    spec("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", Kind::Long(0), NEVER_MS),
    spec("retention.bytes", "log.retention.bytes", Kind::Long(-1), "-1"),
    spec("retention.ms", "log.retention.ms", Kind::Long(-1), "604800000"),
    spec("segment.bytes", "log.segment.bytes", Kind::Int(1 << 20), "1073741824"),
    spec("segment.ms", "log.roll.ms", Kind::Long(1), "604800000"),
    spec("cleanup.policy", "log.cleanup.policy", Kind::SomeOf(&["compact", "delete"]), "delete"),
    spec("compression.type", "compression.type", CODECS_STORED, "producer"),
    spec("remote.storage.enable", "", Kind::Only("false"), "false"),
    spec("", "auto.create.topics.enable", Kind::Flag, "true"),
    spec("", "group.initial.rebalance.delay.ms", Kind::Int(0), "3000"),
    spec("", "group.max.session.timeout.ms", Kind::Int(0), "1800000"),
    spec("", "group.min.session.timeout.ms", Kind::Int(0), "6000"),
    spec("", "log.retention.check.interval.ms", Kind::Long(1), "300000"),
    spec("", "num.partitions", Kind::Int(1), "1"),
    spec("compression.gzip.level", "compression.gzip.level", Kind::Int(-1), "-1"),
    spec("compression.lz4.level", "compression.lz4.level", Kind::Int(1), "9"),
    spec("compression.zstd.level", "compression.zstd.level", Kind::Int(-131_072), "3"),
    spec("delete.retention.ms", "log.cleaner.delete.retention.ms", Kind::Long(0), "86400000"),
    spec("file.delete.delay.ms", "log.segment.delete.delay.ms", Kind::Long(0), "60000"),
    spec("flush.messages", "log.flush.interval.messages", Kind::Long(1), NEVER_MS),
    spec("flush.ms", "log.flush.interval.ms", Kind::Long(0), NEVER_MS),
    spec("follower.replication.throttled.replicas", "", Kind::Words, ""),
    spec("index.interval.bytes", "log.index.interval.bytes", Kind::Int(0), "4096"),
    spec("leader.replication.throttled.replicas", "", Kind::Words, ""),
    spec("local.retention.bytes", "log.local.retention.bytes", Kind::Long(-2), "-2"),
    spec("local.retention.ms", "log.local.retention.ms", Kind::Long(-2), "-2"),
    spec("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", Kind::Long(1), NEVER_MS),
    spec("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", Kind::Ratio, "0.5"),
    spec("min.insync.replicas", "min.insync.replicas", Kind::Int(1), "1"),
    spec("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", Kind::Long(0), "0"),
    spec("preallocate", "log.preallocate", Kind::Flag, "false"),
    spec("remote.log.copy.disable", "", Kind::Flag, "false"),
    spec("remote.log.delete.on.disable", "", Kind::Flag, "false"),
    spec("segment.index.bytes", "log.index.size.max.bytes", Kind::Int(4), "10485760"),
    spec("segment.jitter.ms", "log.roll.jitter.ms", Kind::Long(0), "0"),
    spec("unclean.leader.election.enable", "unclean.leader.election.enable", Kind::Flag, "false"),
];

const TIMESTAMP_TYPES: Kind = Kind::OneOf(&["CreateTime", "LogAppendTime"]);

/// What a topic's log heeds.
#[derive(Debug)]
pub(super) struct Limits {
    /// Of a batch.
    pub(super) message_bytes: u64,
    pub(super) timestamp_type: TimestampType,
    /// How far before now a record's time may be, and how far after it.
    pub(super) before_ms: i64,
    pub(super) after_ms: i64,
    pub(super) retention_bytes: u64,
    pub(super) retention_ms: i64,
    pub(super) segment_bytes: u64,
    pub(super) segment_ms: i64,
}

/// What the time of a record is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// What the broker was told at its start.
#[derive(Debug)]
pub(super) struct Settings {
    properties: Values,
    pub(super) auto_create_topics: bool,
    pub(super) partitions: i32,
    pub(super) initial_rebalance_delay: Duration,
    /// A member's session timeout must be in between.
    pub(super) session_min_ms: u64,
    pub(super) session_max_ms: u64,
    pub(super) retention_check: Duration,
}

impl Settings {
    pub(super) fn new(properties: &[(&str, &str)]) -> anyhow::Result<Self> {
        for (name, value) in properties {
            let spec = SPECS.iter().find(|spec| spec.broker_name == *name && !name.is_empty());
            let spec = spec.with_context(|| format!("the embedded Kafka broker knows no property {name}"))?;
            ensure!(spec.kind.admits(value), "the embedded Kafka broker can't take {name}={value}");
        }
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let properties: Values = properties.iter().map(own).collect();
        let get = |name: &str| property(&properties, name);
        Ok(Self {
            auto_create_topics: get("auto.create.topics.enable") == "true",
            partitions: get("num.partitions").parse()?,
            initial_rebalance_delay: Duration::from_millis(get("group.initial.rebalance.delay.ms").parse()?),
            session_min_ms: get("group.min.session.timeout.ms").parse()?,
            session_max_ms: get("group.max.session.timeout.ms").parse()?,
            retention_check: Duration::from_millis(get("log.retention.check.interval.ms").parse()?),
            properties,
        })
    }

    /// What was set for the broker, if it was.
    pub(super) fn set(&self, spec: &Spec) -> Option<&str> {
        self.properties.get(spec.broker_name).map(String::as_str)
    }

    /// What holds for a topic, which may have set it.
    pub(super) fn of_topic<'a>(&'a self, configs: &'a Values, spec: &Spec) -> &'a str {
        configs.get(spec.topic_name).map_or_else(|| self.set(spec).unwrap_or(spec.default), String::as_str)
    }

    pub(super) fn limits(&self, configs: &Values) -> Limits {
        let text = |name: &str| topic_spec(name).map_or("", |spec| self.of_topic(configs, spec));
        // Nothing below zero but -1, which means no limit.
        let number = |name: &str| text(name).parse::<u64>().unwrap_or(u64::MAX);
        let milliseconds = |name: &str| i64::try_from(number(name)).unwrap_or(i64::MAX);
        let deletes = text("cleanup.policy").contains("delete");
        Limits {
            message_bytes: number("max.message.bytes"),
            timestamp_type: match text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            before_ms: milliseconds("message.timestamp.before.max.ms"),
            after_ms: milliseconds("message.timestamp.after.max.ms"),
            retention_bytes: if deletes { number("retention.bytes") } else { u64::MAX },
            retention_ms: if deletes { milliseconds("retention.ms") } else { i64::MAX },
            segment_bytes: number("segment.bytes"),
            segment_ms: milliseconds("segment.ms"),
        }
    }
}

fn property<'a>(properties: &'a Values, name: &str) -> &'a str {
    let default = || SPECS.iter().find(|spec| spec.broker_name == name).map_or("", |spec| spec.default);
    properties.get(name).map_or_else(default, String::as_str)
}

fn topic_spec(name: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.topic_name == name && !name.is_empty())
}

pub(super) fn is_list(name: &str) -> bool {
    topic_spec(name).is_some_and(|spec| matches!(spec.kind, Kind::SomeOf(_) | Kind::Words))
}

/// Refuses what topics don't have, and values that they can't have.
pub(super) fn check_topic_config(name: &str, value: &str) -> Answer<()> {
    let message = match topic_spec(name) {
        Some(spec) if spec.kind.admits(value) => return Ok(()),
        Some(spec) => format!("Invalid value {value} for configuration {name}: {:?} is wanted", spec.kind),
        None => format!("Unknown topic config name: {name}"),
    };
    Err(Refusal::new(ResponseError::InvalidConfig, message))
}

impl Spec {
    /// For some Kafka has a default under another name, in hours, and tells none.
    pub(super) fn default_is_told(&self) -> bool {
        let in_hours = ["retention.ms", "segment.ms", "segment.jitter.ms", "flush.ms"];
        !self.broker_name.is_empty() && !in_hours.contains(&self.topic_name)
    }
}

impl Kind {
    pub(super) fn admits(self, value: &str) -> bool {
        match self {
            Self::Flag => ["true", "false"].contains(&value),
            Self::Int(least) => value.parse::<i32>().is_ok_and(|number| number >= least),
            Self::Long(least) => value.parse::<i64>().is_ok_and(|number| number >= least),
            Self::Ratio => value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
            Self::OneOf(words) => words.contains(&value),
            Self::SomeOf(words) => value.split(',').all(|word| words.contains(&word.trim())),
            Self::Only(word) => value == word,
            Self::Words => true,
        }
    }

    /// The number of the type in an answer to DescribeConfigs.
    pub(super) fn number(self) -> i8 {
        match self {
            Self::Flag | Self::Only("false") => 1,
            Self::OneOf(_) | Self::Only(_) => 2,
            Self::Int(_) => 3,
            Self::Long(_) => 5,
            Self::Ratio => 6,
            Self::SomeOf(_) | Self::Words => 7,
        }
    }
}
