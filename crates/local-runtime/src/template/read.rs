//! From the template's text to the typed model.

use std::time::Duration;

use super::resources::{Resource, Resources};
use super::scope::{Parameters, Scope, Value};
use super::yaml::{self, Kind, Node};
use super::{Function, Origin, Template, TemplateError, events};

/// The service's default and limits: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const DEFAULT_TIMEOUT_SECONDS: i64 = 3;
const MAX_TIMEOUT_SECONDS: i64 = 900;
const DEFAULT_MEMORY_MIB: i64 = 128;
const MAX_MEMORY_MIB: i64 = 10_240;

/// Properties of functions that say how they are packed, what they may do and where they run. They are for whatever
/// runs the functions; what invokes them, and with what, does not depend on them.
const OF_THE_SANDBOX: [&str; 36] = [
    "Architectures",
    "AssumeRolePolicyDocument",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "AutoPublishCodeSha256",
    "Code",
    "CodeSigningConfigArn",
    "CodeUri",
    "DeploymentPreference",
    "Description",
    "EphemeralStorage",
    "FileSystemConfigs",
    "Handler",
    "ImageConfig",
    "ImageUri",
    "InlineCode",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "PackageType",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "ProvisionedConcurrencyConfig",
    "RecursiveLoop",
    "Role",
    "RolePath",
    "Runtime",
    "RuntimeManagementConfig",
    "SnapStart",
    "SourceKMSKeyArn",
    "Tags",
    "Tracing",
    "TracingConfig",
    "VersionDescription",
    "VpcConfig",
];

pub(super) fn template(text: &str, parameters: &Parameters) -> Result<Template, TemplateError> {
    let document = yaml::parse(text).map_err(|error| TemplateError::new(error.line, "", error.why))?;
    let root = document.root;
    let scope = Scope::new(&root, parameters)?;
    for (line, key) in document.repeated {
        scope.note(line, key, "the key is there twice: the last one counts");
    }
    let resources = Resources::of(&root, &scope)?;
    let mut template = Template {
        functions: Vec::new(),
        mappings: Vec::new(),
        schedules: Vec::new(),
        routes: Vec::new(),
        not_run: Vec::new(),
    };
    let globals = root.get("Globals").and_then(|globals| globals.get("Function"));
    for resource in resources.of_type("AWS::Serverless::Function") {
        template.add_function(&scope, globals, resource)?;
    }
    for resource in resources.of_type("AWS::Lambda::Function") {
        template.add_function(&scope, None, resource)?;
    }
    for resource in resources.of_type("AWS::Lambda::EventSourceMapping") {
        template.mappings.extend(resources.mapping(&scope, resource, &template.functions)?);
    }
    resources.name_what_is_not_run(&root, &scope)?;
    template.not_run = scope.into_findings();
    Ok(template)
}

impl Template {
    fn add_function(
        &mut self,
        scope: &Scope<'_>,
        globals: Option<&Node>,
        resource: &Resource<'_>,
    ) -> Result<(), TemplateError> {
        let own = resource.properties();
        let properties = match globals {
            Some(globals) => merged(globals, own),
            None => own,
        };
        let properties = scope.value(&properties, resource.id)?;
        let function = function(scope, resource, &properties)?;
        if let Some(events) = properties.get("Events")? {
            for (_, event) in events.entries()? {
                self.add_event(&function, &event)?;
            }
        }
        properties.name_rest(&OF_THE_SANDBOX, |name| match name {
            "FunctionUrlConfig" => "no URL is served for it; an HttpApi event is",
            "DeadLetterConfig" | "DeadLetterQueue" | "EventInvokeConfig" => "a failed event is logged and sent nowhere",
            _ => "the function is invoked without it",
        });
        self.functions.push(function);
        Ok(())
    }

    fn add_event(&mut self, function: &Function, event: &Value<'_>) -> Result<(), TemplateError> {
        let kind = event.need("Type")?.text()?;
        match kind.as_str() {
            "SelfManagedKafka" | "MSK" => self.mappings.push(events::mapping(function, event, kind == "MSK")?),
            "Schedule" | "ScheduleV2" => {
                self.schedules.extend(events::schedule(function, event, kind == "ScheduleV2")?);
            }
            "HttpApi" => self.routes.extend(events::route(function, event)?),
            "Api" => event.note("events of type Api (REST) are not run: this route is not served; HttpApi events are"),
            other => event.note(format!("events of type {other} are not run: none of them invokes the function")),
        }
        Ok(())
    }
}

fn function(scope: &Scope<'_>, resource: &Resource<'_>, properties: &Value<'_>) -> Result<Function, TemplateError> {
    let function_name = properties.get("FunctionName")?.map(|name| name.text()).transpose()?;
    let memory_mib = properties
        .get("MemorySize")?
        .map_or(Ok(DEFAULT_MEMORY_MIB), |value| value.integer(DEFAULT_MEMORY_MIB..=MAX_MEMORY_MIB))?;
    let environment = match properties.get("Environment")? {
        Some(environment) => environment.get("Variables")?.map(|variables| variables.texts_by_name()).transpose()?,
        None => None,
    };
    let reserved = properties.get("ReservedConcurrentExecutions")?;
    Ok(Function {
        origin: Origin { line: resource.node.line, path: resource.id.to_owned() },
        name: name(scope, resource, properties, function_name.as_deref())?,
        function_name,
        timeout: events::seconds(properties, "Timeout", 1..=MAX_TIMEOUT_SECONDS)?
            .unwrap_or(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS.unsigned_abs())),
        memory_mib: memory_mib.try_into().unwrap_or(u32::MAX),
        reserved_concurrency: reserved.map(|value| value.integer(0..=i64::MAX)).transpose()?,
        environment: environment.unwrap_or_default(),
    })
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

/// What a function is invoked by: see [`Function::name`].
fn name(
    scope: &Scope<'_>,
    resource: &Resource<'_>,
    properties: &Value<'_>,
    function_name: Option<&str>,
) -> Result<String, TemplateError> {
    let id = resource.id;
    if let Some(build) = resource.node.get("Metadata").and_then(|metadata| metadata.get("BuildProperties"))
        && let Some(binary) = scope.value(build, format!("{id}.Metadata.BuildProperties"))?.get("Binary")?
    {
        return binary.text();
    }
    let runtime = properties.get("Runtime")?.map(|runtime| runtime.text()).transpose()?;
    let is_image = properties.get("PackageType")?.is_some_and(|kind| kind.text().is_ok_and(|kind| kind == "Image"));
    let is_binary = !is_image && runtime.is_none_or(|runtime| runtime.starts_with("provided"));
    Ok(match function_name {
        Some(name) => name.to_owned(),
        None if is_binary => kebab_case(id),
        None => id.to_owned(),
    })
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
