//! What is set, for topics and for the broker, and setting it for topics.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Altered;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::node::{NODE_ID, Node};
use crate::broker::refusal::{Answer, Refusal, code};
use crate::broker::settings::{SPECS, Settings, Spec, Values, check_topic_config, topic_spec};
use crate::broker::topics::Called;
use crate::broker::wire::Call;

/// The kinds of what has configs.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from.
const TOPIC_CONFIG: i8 = 1;
const BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;

/// What can be done with a value; a list can also be added to, and taken from.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Earlier versions of DescribeConfigs have no types.
const TYPES_SINCE: i16 = 3;

/// Whose configs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    Topic(&'a Values),
    Broker,
}

/// A config as it is told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) value: StrBytes,
    pub(super) source: i8,
    spec: &'static Spec,
}

/// All configs, each with what holds.
pub(super) fn told_configs<'a>(settings: &'a Settings, origin: Origin<'a>) -> impl Iterator<Item = Told> + 'a {
    SPECS.iter().filter_map(move |spec| {
        let by_broker = settings.set(spec);
        let (name, by_topic) = match origin {
            Origin::Topic(configs) => (spec.topic_name, configs.get(spec.topic_name).map(String::as_str)),
            Origin::Broker => (spec.broker_name, None),
        };
        let (value, source) = match (by_topic, by_broker) {
            (Some(value), _) => (value, TOPIC_CONFIG),
            (None, Some(value)) => (value, BROKER_CONFIG),
            (None, None) => (spec.default, DEFAULT_CONFIG),
        };
        (!name.is_empty()).then(|| Told { name, value: value.to_owned().into(), source, spec })
    })
}

pub(super) fn describe_configs(
    node: &mut Node,
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let configs = described(node, call, resource, request.include_synonyms);
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match configs {
            Ok(configs) => result.with_configs(configs),
            Err(refusal) => result.with_error_code(refusal.error.code()).with_error_message(refusal.message()),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn described(
    node: &Node,
    call: &Call,
    resource: &DescribeConfigsResource,
    with_synonyms: bool,
) -> Answer<Vec<DescribeConfigsResourceResult>> {
    let name = &resource.resource_name;
    let origin = match resource.resource_type {
        TOPIC => Origin::Topic(&node.topics.by_name(name)?.configs),
        BROKER if name.is_empty() || **name == NODE_ID.0.to_string() => Origin::Broker,
        BROKER => {
            let message = format!("Unexpected broker id, expected {} or empty string, but received {name}", NODE_ID.0);
            return Err(Refusal::new(ResponseError::InvalidRequest, message));
        }
        kind => return Err(unknown_kind(kind)),
    };
    let asked = |told: &Told| match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| **key == *told.name),
        _ => true,
    };
    let configs = told_configs(&node.settings, origin).filter(asked).map(|told| {
        let synonyms = if with_synonyms { synonyms(&node.settings, &told) } else { Vec::new() };
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(told.name))
            .with_value(Some(told.value))
            .with_config_source(told.source)
            .with_read_only(matches!(origin, Origin::Broker))
            .with_synonyms(synonyms)
            .with_config_type(if call.version >= TYPES_SINCE { told.spec.kind.number() } else { 0 })
    });
    Ok(configs.collect())
}

/// All that could hold, what does hold first.
fn synonyms(settings: &Settings, told: &Told) -> Vec<DescribeConfigsSynonym> {
    let synonym = |name: &'static str, value: &str, source| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(value.to_owned().into()))
            .with_source(source)
    };
    let broker_name = told.spec.broker_name;
    let by_topic = (told.source == TOPIC_CONFIG).then(|| synonym(told.name, &told.value, TOPIC_CONFIG));
    let by_broker = settings.set(told.spec).map(|value| synonym(broker_name, value, BROKER_CONFIG));
    let default = (!broker_name.is_empty()).then(|| synonym(broker_name, told.spec.default, DEFAULT_CONFIG));
    by_topic.into_iter().chain(by_broker).chain(default).collect()
}

fn unknown_kind(kind: i8) -> Refusal {
    let message = format!("This broker has configs of topics and its own, none of type {kind}");
    Refusal::new(ResponseError::InvalidRequest, message)
}

pub(super) fn alter_configs(node: &mut Node, _: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        // What is not named goes back to its default.
        let change = |configs: &mut Values| {
            configs.clear();
            resource.configs.iter().try_for_each(|config| set(configs, &config.name, config.value.as_deref()))
        };
        let outcome = alter(node, resource.resource_type, &resource.resource_name, request.validate_only, change);
        Altered::default()
            .with_error_code(code(&outcome))
            .with_error_message(outcome.err().and_then(|refusal| refusal.message()))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    AlterConfigsResponse::default().with_responses(results.collect())
}

pub(super) fn incremental_alter_configs(
    node: &mut Node,
    _: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let change = |configs: &mut Values| resource.configs.iter().try_for_each(|config| change(configs, config));
        let outcome = alter(node, resource.resource_type, &resource.resource_name, request.validate_only, change);
        AlterConfigsResourceResponse::default()
            .with_error_code(code(&outcome))
            .with_error_message(outcome.err().and_then(|refusal| refusal.message()))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(results.collect())
}

/// Changes a topic's configs, all or none.
fn alter(
    node: &mut Node,
    kind: i8,
    name: &StrBytes,
    validate_only: bool,
    change: impl FnOnce(&mut Values) -> Answer<()>,
) -> Answer<()> {
    match kind {
        TOPIC => {}
        BROKER => {
            let message = "This broker's own properties are set when it starts";
            return Err(Refusal::new(ResponseError::InvalidRequest, message));
        }
        kind => return Err(unknown_kind(kind)),
    }
    let topic = node.topics.get_mut(&Called::Name(name.clone()))?;
    let mut configs = topic.configs.clone();
    change(&mut configs)?;
    if validate_only { Ok(()) } else { topic.configure(configs, &node.settings) }
}

fn change(configs: &mut Values, config: &AlterableConfig) -> Answer<()> {
    let (name, value) = (&*config.name, config.value.as_deref());
    let is_list = topic_spec(name).is_some_and(|spec| spec.kind.is_list());
    match config.config_operation {
        SET => set(configs, name, value),
        DELETE => {
            configs.remove(name);
            Ok(())
        }
        APPEND | SUBTRACT if is_list => {
            let spec_default = topic_spec(name).map_or("", |spec| spec.default);
            let now = configs.get(name).map_or(spec_default, String::as_str);
            let value = combine(now, value.unwrap_or_default(), config.config_operation == APPEND);
            set(configs, name, Some(&value))
        }
        _ => {
            let message = format!("Can't APPEND to or SUBTRACT from a config that is no list: {name}");
            Err(Refusal::new(ResponseError::InvalidConfig, message))
        }
    }
}

/// A list with, or without, the words.
fn combine(list: &str, words: &str, with: bool) -> String {
    let mut all: Vec<&str> = list.split(',').filter(|word| !word.is_empty()).collect();
    for word in words.split(',') {
        match all.iter().position(|other| other == &word) {
            None if with => all.push(word),
            Some(at) if !with => drop(all.remove(at)),
            _ => {}
        }
    }
    all.join(",")
}

fn set(configs: &mut Values, name: &str, value: Option<&str>) -> Answer<()> {
    let value = value
        .ok_or_else(|| Refusal::new(ResponseError::InvalidRequest, format!("Null value not supported for : {name}")))?;
    check_topic_config(name, value)?;
    configs.insert(name.to_owned(), value.to_owned());
    Ok(())
}
