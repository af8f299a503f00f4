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
use crate::broker::settings::{SPECS, Settings, Spec, Values, check_topic_config, is_list};
use crate::broker::topics::Called;
use crate::broker::wire::Call;

/// The kinds of what has configs.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from.
const TOPIC_CONFIG: i8 = 1;
const BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;

/// What can be done with a value; a list can be added to, and taken from.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Earlier versions of DescribeConfigs have no types.
const TYPES_SINCE: i16 = 3;

/// A config as it is told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) value: StrBytes,
    pub(super) source: i8,
    spec: &'static Spec,
}

/// All configs, each with what holds: a topic's, or the broker's own.
pub(super) fn told_configs<'a>(settings: &'a Settings, topic: Option<&'a Values>) -> impl Iterator<Item = Told> + 'a {
    SPECS.iter().filter_map(move |spec| {
        let name = if topic.is_some() { spec.topic_name } else { spec.broker_name };
        let by_topic = topic.and_then(|configs| configs.get(name)).map(|value| (value.as_str(), TOPIC_CONFIG));
        let by_broker = settings.set(spec).map(|value| (value, BROKER_CONFIG));
        let (value, source) = by_topic.or(by_broker).unwrap_or((spec.default, DEFAULT_CONFIG));
        (!name.is_empty()).then(|| Told { name, value: value.to_owned().into(), source, spec })
    })
}

pub(super) fn describe_configs(
    node: &mut Node,
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match described(node, call, resource, request.include_synonyms) {
            Ok(configs) => result.with_configs(configs).with_error_message(None),
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
    let topic = match resource.resource_type {
        TOPIC => Some(&node.topics.get(&Called::Name(name.clone()))?.configs),
        BROKER if name.is_empty() || **name == NODE_ID.0.to_string() => None,
        BROKER => return Err(Refusal::new(ResponseError::InvalidRequest, "This broker has another id")),
        _ => return Err(unknown_kind()),
    };
    let is_asked = |told: &Told| match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| **key == *told.name),
        _ => true,
    };
    let configs = told_configs(&node.settings, topic).filter(is_asked).map(|told| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(told.name))
            .with_synonyms(if with_synonyms { synonyms(&node.settings, &told) } else { Vec::new() })
            .with_value(Some(told.value))
            .with_config_source(told.source)
            .with_read_only(topic.is_none())
            .with_documentation(None)
            .with_config_type(if call.version >= TYPES_SINCE { told.spec.kind.number() } else { 0 })
    });
    Ok(configs.collect())
}

/// All that could hold, what does hold first.
fn synonyms(settings: &Settings, told: &Told) -> Vec<DescribeConfigsSynonym> {
    let (spec, broker_name) = (told.spec, told.spec.broker_name);
    let by_topic = (told.source == TOPIC_CONFIG).then_some((told.name, &*told.value, TOPIC_CONFIG));
    let by_broker = settings.set(spec).map(|value| (broker_name, value, BROKER_CONFIG));
    let default = spec.default_is_told().then_some((broker_name, spec.default, DEFAULT_CONFIG));
    let synonyms = by_topic.into_iter().chain(by_broker).chain(default).map(|(name, value, source)| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(value.to_owned().into()))
            .with_source(source)
    });
    synonyms.collect()
}

fn unknown_kind() -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, "This broker has configs of topics, and its own")
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
        _ => return Err(unknown_kind()),
    }
    let topic = node.topics.get_mut(&Called::Name(name.clone()))?;
    let mut configs = topic.configs.clone();
    change(&mut configs)?;
    if validate_only { Ok(()) } else { topic.configure(configs, &node.settings) }
}

fn change(configs: &mut Values, config: &AlterableConfig) -> Answer<()> {
    match config.config_operation {
        SET => set(configs, &config.name, config.value.as_deref()),
        DELETE => {
            configs.remove(&*config.name);
            Ok(())
        }
        APPEND | SUBTRACT if is_list(&config.name) => {
            let words = config.value.as_deref().unwrap_or_default();
            let now = configs.get(&*config.name).map(String::as_str).unwrap_or_default();
            let others =
                now.split(',').filter(|word| !word.is_empty() && !words.split(',').any(|other| other == *word));
            let appended = words.split(',').filter(|_| config.config_operation == APPEND);
            let combined: Vec<&str> = others.chain(appended).collect();
            set(configs, &config.name, Some(&combined.join(",")))
        }
        _ => {
            let message = format!("Can't APPEND to or SUBTRACT from {}: it is no list", config.name);
            Err(Refusal::new(ResponseError::InvalidConfig, message))
        }
    }
}

fn set(configs: &mut Values, name: &str, value: Option<&str>) -> Answer<()> {
    configs.insert(name.to_owned(), value_to_set(name, value)?);
    Ok(())
}

/// A value that a topic may have.
pub(super) fn value_to_set(name: &str, value: Option<&str>) -> Answer<String> {
    let message = || format!("Null value not supported for : {name}");
    let value = value.ok_or_else(|| Refusal::new(ResponseError::InvalidRequest, message()))?;
    check_topic_config(name, value)?;
    Ok(value.to_owned())
}
