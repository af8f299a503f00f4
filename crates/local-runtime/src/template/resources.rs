//! The template's resources: which are run, which mapping is whose, and what is said of the rest.

use std::collections::BTreeMap;

use super::scope::{FOR_EACH_IS_NOT_RUN, Scope, Value};
use super::yaml::{FOR_EACH, Kind, Node};
use super::{Cluster, Function, Mapping, Origin, TemplateError, events};

/// Those whose condition holds.
pub(super) struct Resources<'r> {
    resources: Vec<Resource<'r>>,
}

pub(super) struct Resource<'r> {
    pub(super) id: &'r str,
    kind: &'r str,
    pub(super) node: &'r Node,
}

/// The transform that this reader is for.
const SAM: &str = "AWS::Serverless-2016-10-31";
/// One that only adds functions for values: those that are missing here are named where they stand.
const LANGUAGE_EXTENSIONS: &str = "AWS::LanguageExtensions";

/// What an API or a caller would miss, by the beginning of a type; anything else is only not there.
const INVOKERS: [(&str, &str); 16] = [
    ("AWS::ApiGateway", "none of its routes is served; HttpApi events are"),
    ("AWS::AppSync::", "it is not served"),
    ("AWS::CloudFormation::CustomResource", "its function is not invoked for it"),
    ("AWS::CloudFormation::Stack", "what is in it is not read"),
    ("AWS::Events::Rule", "it invokes nothing; Schedule and ScheduleV2 events of functions do"),
    ("AWS::IoT::TopicRule", "it invokes nothing"),
    ("AWS::Lambda::EventInvokeConfig", "a failed event is logged and sent nowhere"),
    ("AWS::Lambda::Url", "it is not served; HttpApi events are"),
    ("AWS::Pipes::Pipe", "it invokes nothing"),
    ("AWS::S3::Bucket", "it is not made, and its notifications invoke nothing"),
    ("AWS::SNS::Subscription", "it invokes nothing"),
    ("AWS::Scheduler::Schedule", "it invokes nothing; Schedule and ScheduleV2 events of functions do"),
    ("AWS::Serverless::Api", "none of its routes is served; HttpApi events are"),
    ("AWS::Serverless::Application", "what is in it is not read"),
    ("AWS::StepFunctions::", "it is not run, and invokes nothing"),
    ("Custom::", "its function is not invoked for it"),
];

impl<'r> Resources<'r> {
    pub(super) fn of(root: &'r Node, scope: &Scope<'_>) -> Result<Self, TemplateError> {
        let Some(Node { kind: Kind::Map(entries), .. }) = root.get("Resources") else {
            return Err(TemplateError::new(root.line, "Resources", "the template has no resources"));
        };
        let mut resources = Vec::with_capacity(entries.len());
        for (id, node) in entries {
            if id.starts_with(FOR_EACH) {
                scope.note(node.line, format!("Resources.{id}"), FOR_EACH_IS_NOT_RUN);
            } else if is_there(scope, id, node)? {
                let kind = match node.get("Type").map(|node| &node.kind) {
                    Some(Kind::Scalar(kind)) => kind.as_str(),
                    _ => return Err(TemplateError::new(node.line, id, "Type is missing")),
                };
                resources.push(Resource { id, kind, node });
            }
        }
        Ok(Self { resources })
    }

    pub(super) fn of_type(&self, kind: &str) -> impl Iterator<Item = &Resource<'r>> {
        self.resources.iter().filter(move |resource| resource.kind == kind)
    }

    /// An `AWS::Lambda::EventSourceMapping`: `None`, and said, when it is not one of Kafka for a function of the
    /// template.
    pub(super) fn mapping(
        &self,
        scope: &Scope<'_>,
        resource: &Resource<'_>,
        functions: &[Function],
    ) -> Result<Option<Mapping>, TemplateError> {
        let node = resource.properties();
        let properties = scope.value(&node, resource.id)?;
        let self_managed = properties.get("SelfManagedEventSource")?;
        let own_settings = ["SelfManagedKafkaEventSourceConfig", "AmazonManagedKafkaEventSourceConfig"];
        let is_kafka = self_managed.is_some() || ["Topics", own_settings[1]].iter().any(|key| node.get(key).is_some());
        if !is_kafka {
            properties.note("mappings of other sources than Kafka are not run: none of them invokes the function");
            return Ok(None);
        }
        let target = properties.name_of("FunctionName");
        let target = target?.ok_or_else(|| properties.error("FunctionName is missing"))?;
        let Some(function) = self.function_of(scope, &target, functions)? else {
            properties.note(format!("{target} is no function of this template: the mapping is not run"));
            return Ok(None);
        };
        let cluster = match self_managed {
            Some(source) => {
                Cluster::SelfManaged { brokers: source.need("Endpoints")?.need("KafkaBootstrapServers")?.texts()? }
            }
            None => events::msk(function, properties.need("EventSourceArn")?.text()?),
        };
        let mut settings = None;
        for key in own_settings {
            settings = settings.or(properties.get(key)?);
        }
        let settings = settings.as_ref().unwrap_or(&properties);
        let origin = Origin { line: resource.node.line, path: resource.id.to_owned() };
        let mapping = events::mapping_of(function, origin, cluster, &properties, settings)?;
        events::name_rest(settings);
        events::name_rest(&properties);
        Ok(Some(mapping))
    }

    /// The function that `target` names: by its logical id, its name or an ARN, a version or an alias.
    fn function_of<'f>(
        &self,
        scope: &Scope<'_>,
        target: &str,
        functions: &'f [Function],
    ) -> Result<Option<&'f Function>, TemplateError> {
        let name = match target.split_once(":function:") {
            Some((_, name)) => name.split(':').next().unwrap_or_default(),
            None => target.split('.').next().unwrap_or_default(),
        };
        let alias = self.resources.iter().find(|resource| {
            resource.id == name && matches!(resource.kind, "AWS::Lambda::Alias" | "AWS::Lambda::Version")
        });
        if let Some(alias) = alias {
            let node = alias.properties();
            // An alias is of a function or a version; neither is of an alias, so this ends.
            return match scope.value(&node, alias.id)?.name_of("FunctionName")? {
                Some(target) if target != name => self.function_of(scope, &target, functions),
                _ => Ok(None),
            };
        }
        // SAM names a function's version and alias `<id>Version…`, `<id>Alias…`.
        let generated = |id: &str| {
            name.strip_prefix(id).is_some_and(|rest| rest.starts_with("Version") || rest.starts_with("Alias"))
        };
        let is_called = |function: &&Function| function.answers_to(name);
        let found = functions.iter().find(is_called);
        Ok(found.or_else(|| functions.iter().find(|function| generated(&function.origin.path))))
    }

    /// Names what of the template's resources, macros and fronts is not run.
    pub(super) fn name_what_is_not_run(&self, root: &Node, scope: &Scope<'_>) -> Result<(), TemplateError> {
        name_macros(root, scope);
        if let Some(front) = root.get("Globals").and_then(|globals| globals.get("HttpApi")) {
            name_front(&scope.value(front, "Globals.HttpApi")?);
        }
        let mut by_type: BTreeMap<&str, Vec<&Resource<'_>>> = BTreeMap::new();
        for resource in &self.resources {
            match resource.kind {
                "AWS::Serverless::Function" | "AWS::Lambda::Function" | "AWS::Lambda::EventSourceMapping" => {}
                "AWS::Serverless::HttpApi" => name_front(&scope.value(&resource.properties(), resource.id)?),
                kind => by_type.entry(kind).or_default().push(resource),
            }
        }
        let mut only_missing = Vec::new();
        for (kind, resources) in by_type {
            match INVOKERS.iter().find(|(beginning, _)| kind.starts_with(beginning)) {
                Some((_, instead)) => {
                    let message = format!("{kind} is not run here: {instead}{}", others(&resources));
                    scope.note(resources[0].node.line, resources[0].id, message);
                }
                None => only_missing.extend(resources),
            }
        }
        name_missing(scope, only_missing);
        Ok(())
    }
}

impl Resource<'_> {
    pub(super) fn properties(&self) -> Node {
        let none = || Node { line: self.node.line, kind: Kind::Map(Vec::new()) };
        self.node.get("Properties").cloned().unwrap_or_else(none)
    }
}

fn is_there(scope: &Scope<'_>, id: &str, resource: &Node) -> Result<bool, TemplateError> {
    let Some(condition) = resource.get("Condition") else { return Ok(true) };
    let path = format!("{id}.Condition");
    let Kind::Scalar(name) = &condition.kind else {
        return Err(TemplateError::new(condition.line, path, "expected a name"));
    };
    scope.holds(name, condition.line, &path)
}

/// One line for all that is only not there: most templates have many of these.
fn name_missing(scope: &Scope<'_>, mut missing: Vec<&Resource<'_>>) {
    missing.sort_by_key(|resource| resource.node.line);
    let Some(first) = missing.first() else { return };
    let named = |resource: &&Resource<'_>| format!("{} ({}, line {})", resource.id, resource.kind, resource.node.line);
    let all: Vec<_> = missing.iter().map(named).collect();
    let message = format!("not made here, so what functions need of it has to be there: {}", all.join(", "));
    scope.note(first.node.line, "Resources", message);
}

fn others(resources: &[&Resource<'_>]) -> String {
    let named = |resource: &&Resource<'_>| format!("{} (line {})", resource.id, resource.node.line);
    match resources.get(1..) {
        None | Some([]) => String::new(),
        Some(others) => format!("; also {}", others.iter().map(named).collect::<Vec<_>>().join(", ")),
    }
}

/// What an HTTP API says about all of its routes.
fn name_front(properties: &Value<'_>) {
    // In payload format 2.0 the path of another stage than $default begins with the stage's name.
    match properties.name_of("StageName") {
        Ok(None) => {}
        Ok(Some(stage)) if stage == "$default" => {}
        _ => properties.note("StageName is not run here: paths have no stage in front"),
    }
    let harmless = ["AccessLogSettings", "Description", "FailOnWarnings", "Name", "PropagateTags", "Tags"];
    properties.name_rest(&harmless, |name| match name {
        "Auth" => "every request reaches its function",
        "CorsConfiguration" => "no answer gets its headers, and OPTIONS is a request like others",
        "DefinitionBody" | "DefinitionUri" => "only the routes of HttpApi events are served",
        "StageVariables" => "no event has them",
        _ => "requests are answered without it",
    });
}

/// Macros may change the whole template.
fn name_macros(root: &Node, scope: &Scope<'_>) {
    let Some(transform) = root.get("Transform") else { return };
    let one = std::slice::from_ref(transform);
    let all = if let Kind::List(items) = &transform.kind { items.as_slice() } else { one };
    for transform in all {
        let name = match &transform.kind {
            Kind::Scalar(name) => name.as_str(),
            _ => match transform.get("Name").map(|name| &name.kind) {
                Some(Kind::Scalar(name)) => name.as_str(),
                _ => "a macro",
            },
        };
        if name != SAM && name != LANGUAGE_EXTENSIONS {
            scope.note(
                transform.line,
                "Transform",
                format!("{name} is not run here: the template is read as it stands"),
            );
        }
    }
}
