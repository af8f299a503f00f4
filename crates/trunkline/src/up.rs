//! `trunkline up`: the template's functions on services that are there already.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use local_runtime::{Invoker, Options, RemoteInvoker, Runtime};
use tokio::task::JoinSet;

use crate::cli::UpArgs;
use crate::functions::Project;
use crate::interrupt::interrupted;
use crate::{check, decisions};

/// Between two looks at the template, for `--watch`: less than it takes to look up from the editor.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where usage-http says whether it is well; the mappings have a part in that.
pub(crate) const HEALTH_PATH: &str = "/health";
/// The function that serves it.
const USAGE_HTTP: &str = "usage-http";
const DASHBOARD_HTTP: &str = "dashboard-http";

/// Brokers, and whose they are: `None` is everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brokers {
    of: Option<String>,
    addresses: String,
}

impl FromStr for Brokers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No address has a `=`, and no ARN.
        let (of, addresses) = match text.split_once('=') {
            Some((name, addresses)) => (Some(name.to_owned()), addresses),
            None => (None, text),
        };
        let is_address = |address: &str| {
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if of.as_deref() == Some("") || !addresses.split(',').all(is_address) {
            return Err("write host:port, several joined by commas, and perhaps NAME= before them");
        }
        Ok(Self { of, addresses: addresses.to_owned() })
    }
}

/// A template that can be run, with its functions: nothing but its addresses may still fail.
struct Ready {
    project: Project,
    is_in_process: bool,
    kafka: Option<kafka_sink::Config>,
    invoker: Arc<dyn Invoker>,
    options: Options,
}

/// A template that runs.
struct Running {
    runtime: Runtime,
    /// Ends with it.
    _beside: JoinSet<()>,
}

pub(crate) async fn run(mut args: UpArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let mut files = Files::of(&args);
    let starting = async { ready(&args).await?.start().await };
    let mut running = tokio::select! {
        running = starting => running?,
        ended = interrupted() => return ended,
    };
    loop {
        // Another free port would be another address for those who know this one.
        args.listen = running.runtime.http_addr().unwrap_or(args.listen);
        let next = tokio::select! {
            ended = interrupted() => {
                running.runtime.shutdown().await;
                return ended;
            }
            next = changed(&args, &mut files), if args.watch => next,
        };
        match next {
            Ok(ready) => {
                println!("{} has changed: running it anew.", ready.project.file);
                running.runtime.shutdown().await;
                running = ready.start().await?;
            }
            Err(error) => eprintln!("The change is not run, what ran before goes on: {error:#}"),
        }
    }
}

async fn changed(args: &UpArgs, files: &mut Files) -> anyhow::Result<Ready> {
    files.changed().await;
    ready(args).await
}

async fn ready(args: &UpArgs) -> anyhow::Result<Ready> {
    let project = Project::read(&args.template)?;
    let kafka = kafka(&project)?;
    let options = options(args, &project, kafka.as_ref());
    Runtime::check(&project.template, &options)
        .with_context(|| format!("{} can't be run (brokers are given with --brokers)", project.file))?;
    let invoker = invoker(args, &project).await?;
    Ok(Ready { project, is_in_process: args.invoke.is_none(), kafka, invoker, options })
}

impl Ready {
    async fn start(self) -> anyhow::Result<Running> {
        let Self { project, is_in_process, kafka, invoker, options } = self;
        let runtime = Runtime::start(&project.template, invoker, options).await?;
        if let Some(address) = runtime.http_addr() {
            println!("The API is at http://{address}. Ctrl-C ends everything.");
            if project.template.function(DASHBOARD_HTTP).is_some() {
                println!("The dashboard is at http://{address}/dashboard, for users who may see every subscriber.");
            }
        } else {
            println!("Running {}, which has no HTTP API. Ctrl-C ends everything.", project.file);
        }
        if let Some(address) = runtime.invoke_api_addr() {
            println!("The functions' Invoke API is at http://{address}, for programs on this machine.");
        }
        let mut beside = JoinSet::new();
        if let Some(kafka) = kafka {
            beside.spawn(decisions::follow(runtime.mappings(), kafka));
        }
        if is_in_process && project.is_own() {
            // Functions connect to them when they first need to, the hourly load within the hour.
            beside.spawn(check::warn_of_databases(project.all_vars()));
        }
        Ok(Running { runtime, _beside: beside })
    }
}

/// What a run is made of, and how it was when it was last looked at.
struct Files(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Files {
    fn of(args: &UpArgs) -> Self {
        let paths = std::iter::once(&args.template.template).chain(&args.template.parameters);
        Self(paths.map(|path| (path.clone(), std::fs::read(path).ok())).collect())
    }

    /// Waits until one of them has another content. One that can't be read is just being written.
    async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let mut is_changed = false;
            for (path, before) in &mut self.0 {
                let now = std::fs::read(path).ok();
                if now.is_some() && now != *before {
                    (*before, is_changed) = (now, true);
                }
            }
            if is_changed {
                return;
            }
        }
    }
}

/// How this project's functions get to Kafka, which is how its mappings do: the service's take user and password from a
/// secret. Another project's functions may not say it, and then need no login.
fn kafka(project: &Project) -> anyhow::Result<Option<kafka_sink::Config>> {
    match project.all_vars().read() {
        Ok(kafka) => Ok(Some(kafka)),
        Err(error) if project.is_own() => Err(error.into()),
        Err(error) => {
            tracing::info!(%error, "the functions have no variables for Kafka, so the mappings log in to no broker");
            Ok(None)
        }
    }
}

fn options(args: &UpArgs, project: &Project, kafka: Option<&kafka_sink::Config>) -> Options {
    let everybodys = args.brokers.iter().rfind(|brokers| brokers.of.is_none());
    let named = args.brokers.iter().filter_map(|brokers| Some((brokers.of.clone()?, brokers.addresses.clone())));
    Options {
        listen: args.listen,
        invoke_api: args.invoke_api,
        brokers: everybodys.map(|brokers| brokers.addresses.clone()),
        brokers_of: named.collect(),
        kafka_properties: kafka.map(kafka_sink::Config::security).unwrap_or_default(),
        // Another project's path of that name is its own.
        health_path: project.template.function(USAGE_HTTP).map(|_| HEALTH_PATH.to_owned()),
        ..Options::default()
    }
}

async fn invoker(args: &UpArgs, project: &Project) -> anyhow::Result<Arc<dyn Invoker>> {
    if let Some(url) = &args.invoke {
        let invoker = RemoteInvoker::new(url).map_err(anyhow::Error::msg)?;
        return Ok(Arc::new(invoker.with_prefix(&args.invoke_prefix)));
    }
    let functions = &project.template.functions;
    let names = || functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>().join(", ");
    ensure!(
        project.is_own() || functions.is_empty(),
        "this program contains none of the functions of {}, which are {}: call them over the Invoke API of what runs them \
         (`--invoke URL`)",
        project.file,
        names()
    );
    Ok(Arc::new(project.boot_all().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_may_have_a_name() {
        let named = |of: Option<&str>, addresses: &str| {
            Ok(Brokers { of: of.map(str::to_owned), addresses: addresses.to_owned() })
        };
        assert_eq!("a:1,b:2".parse(), named(None, "a:1,b:2"));
        assert_eq!("Orders=a:1".parse(), named(Some("Orders"), "a:1"));
        let arn = "arn:aws:kafka:us-east-1:123456789012:cluster/c/1";
        assert_eq!(format!("{arn}=a:1").parse(), named(Some(arn), "a:1"));
        for text in ["", "a", "a:", "a:1,", "=a:1", "Orders=", "Orders=a", "a:70000"] {
            assert!(text.parse::<Brokers>().is_err(), "{text}");
        }
    }
}
