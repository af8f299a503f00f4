//! The functions that this program can run in its own process, and the template that says how.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_boot::{Deadline, Handler, Vars};
use local_runtime::{Function, Rules, Severity, Template};
use local_runtime::{InProcess, InProcessFunction};

use crate::cli::TemplateArgs;
use crate::parameters::{Parameters, check_fixed};

type Boot = fn(Vars) -> BoxFuture<'static, anyhow::Result<Handler>>;

/// Every function, by the name of its folder.
const FUNCTIONS: [(&str, Boot); 10] = [
    ("sftp-poll", |vars| sftp_poll::boot(vars).boxed()),
    ("file-to-topic", |vars| file_to_topic::boot(vars).boxed()),
    ("batch-aggregator", |vars| batch_aggregator::boot(vars).boxed()),
    ("cdc-handler", |vars| cdc_handler::boot(vars).boxed()),
    ("lake-writer", |vars| lake_writer::boot(vars).boxed()),
    ("lake-loader", |vars| lake_loader::boot(vars).boxed()),
    ("reconcile", |vars| reconcile::boot(vars).boxed()),
    ("dashboard-http", |vars| dashboard_http::boot(vars).boxed()),
    ("intake-http", |vars| intake_http::boot(vars).boxed()),
    ("usage-http", |vars| usage_http::boot(vars).boxed()),
];

/// Where nobody runs the program beside a template: the one it was built with.
const BUILT_IN_TEMPLATE: &str = include_str!("../../../template.yaml");

/// A template, checked, with what its functions need to start here. It may be another project's: then none of its functions
/// is in this program.
pub(crate) struct Project {
    pub(crate) template: Template,
    /// What the template is called where something is wrong with it.
    pub(crate) file: String,
    aws: BTreeMap<String, String>,
}

impl Project {
    /// Reads and checks the template that the command line names.
    pub(crate) fn read(args: &TemplateArgs) -> anyhow::Result<Self> {
        let parameters = Parameters::gather(args.parameters.as_deref(), &args.parameter_overrides)?;
        let project = Self::with(Some(&args.template), parameters.or_environment(&args.template))?;
        check_fixed(&project.all_vars())?;
        Ok(project)
    }

    /// The template at `path`, or the one that the program was built with.
    pub(crate) fn with(path: Option<&Path>, parameters: Parameters) -> anyhow::Result<Self> {
        let overrides = parameters.overrides;
        let template = match path {
            Some(path) if !path.exists() => {
                bail!(
                    "there is no {}: run this in the project's folder, or name the template with --template",
                    path.display()
                )
            }
            Some(path) => Template::read(path, &overrides)?,
            None => Template::parse(BUILT_IN_TEMPLATE, &overrides)?,
        };
        let file = path.map_or_else(|| "the built-in template".into(), |path| path.display().to_string());
        check(&template, &file)?;
        Ok(Self { template, file, aws: parameters.aws })
    }

    /// Whether one of its functions is in this program.
    pub(crate) fn is_own(&self) -> bool {
        self.template.functions.iter().any(|function| boot_of(&function.name).is_some())
    }

    /// A function's environment: the template's, and what the service adds.
    pub(crate) fn environment(&self, function: &Function) -> BTreeMap<String, String> {
        self.aws.iter().chain(&function.environment).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn vars(&self, function: &Function) -> Vars {
        self.environment(function).into_iter().collect()
    }

    /// All functions' variables together, for what belongs to none of them: topics, tables, the bucket.
    pub(crate) fn all_vars(&self) -> Vars {
        let functions = self.template.functions.iter().flat_map(|function| &function.environment);
        self.aws.iter().chain(functions).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A function of the template.
    pub(crate) fn function(&self, name: &str) -> anyhow::Result<&Function> {
        self.template.function(name).with_context(|| {
            let known: Vec<_> = self.template.functions.iter().map(|function| function.name.as_str()).collect();
            format!("the template has no function {name}; it has {}", known.join(", "))
        })
    }

    /// Starts one function.
    async fn boot(&self, name: &str) -> anyhow::Result<Handler> {
        let function = self.function(name)?;
        let Some(boot) = boot_of(name) else {
            bail!(
                "this program does not contain the function {name} of {}: call it over the Invoke API (`up --invoke URL`)",
                self.file
            );
        };
        boot(self.vars(function)).await.with_context(|| format!("{name} can't start"))
    }

    /// Starts one function in this process.
    pub(crate) async fn boot_only(&self, name: &str) -> anyhow::Result<InProcess> {
        Ok(InProcess::new([(name.to_owned(), in_process(self.boot(name).await?))]))
    }

    /// Starts every function of the template in this process. One that nothing here invokes may be missing.
    pub(crate) async fn boot_all(&self) -> anyhow::Result<InProcess> {
        let mut functions = Vec::new();
        for function in &self.template.functions {
            if boot_of(&function.name).is_none() && !self.template.invokes(&function.name) {
                tracing::warn!(template.place = %function.origin, "nothing here invokes {}, and it is not started", function.name);
                continue;
            }
            functions.push((function.name.clone(), in_process(self.boot(&function.name).await?)));
        }
        Ok(InProcess::new(functions))
    }
}

/// Functions whose records may not be sent away or passed over: there would be holes in the totals and in the lake, and
/// customers as they were long ago.
const LOSSLESS: [&str; 3] = ["batch-aggregator", "cdc-handler", "lake-writer"];

fn boot_of(name: &str) -> Option<Boot> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, boot)| *boot)
}

/// The template check: what the service would refuse, and what would lose records of the functions in this program. Other
/// functions are held to the service's rules alone.
fn check(template: &Template, file: &str) -> anyhow::Result<()> {
    let rules = Rules {
        functions: FUNCTIONS.map(|(name, _)| name.to_owned()).to_vec(),
        lossless: LOSSLESS.map(str::to_owned).to_vec(),
        group_prefix: Some(stream::GROUP_PREFIX.to_owned()),
    };
    let findings = template.check(&rules);
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        tracing::warn!(template.file = file, template.place = %finding.origin, "{}", finding.message);
    }
    let errors: Vec<_> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| format!("{}: {}", finding.origin, finding.message))
        .collect();
    if errors.is_empty() { Ok(()) } else { bail!("{file} can't be run as it is:\n  {}", errors.join("\n  ")) }
}

fn in_process(handler: Handler) -> InProcessFunction {
    Arc::new(move |call| {
        handler(lambda_boot::Invocation {
            payload: call.payload,
            deadline: Deadline::at(call.deadline),
            request_id: call.request_id,
        })
    })
}

/// `trunkline hash-password`.
pub(crate) fn hash_password_from_stdin() -> anyhow::Result<()> {
    let mut password = String::new();
    std::io::stdin().read_to_string(&mut password).context("can't read the password from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!(
            "the password is empty: write it to standard input, for example `printf %s \"$PASSWORD\" | trunkline hash-password`"
        );
    }
    println!("{}", http_api::auth::hash_password(password)?);
    Ok(())
}
