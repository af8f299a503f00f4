//! `trunkline up`: the template's functions on services that are there already.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use local_runtime::{Invoker, Options, RemoteInvoker, Runtime};

use crate::cli::UpArgs;
use crate::functions::Project;
use crate::interrupt::interrupted;
use crate::{check, decisions};

/// Where usage-http says whether it is well; the mappings have a part in that.
pub(crate) const HEALTH_PATH: &str = "/health";
/// The function that serves it, and the dashboard.
const USAGE_HTTP: &str = "usage-http";

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

pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    let kafka = kafka(&project)?;
    let options = options(&args, &project, kafka.as_ref());
    let starting = async {
        let invoker = invoker(&args, &project).await?;
        let runtime = Runtime::start(&project.template, invoker, options).await;
        runtime.with_context(|| format!("{} can't be run (its brokers are given with --brokers)", project.file))
    };
    let runtime = tokio::select! {
        runtime = starting => runtime?,
        ended = interrupted() => return ended,
    };
    if let Some(address) = runtime.http_addr() {
        println!("The API is at http://{address}. Ctrl-C ends everything.");
        if project.template.function(USAGE_HTTP).is_some() {
            println!("The dashboard is at http://{address}/dashboard, for users who may see every subscriber.");
        }
    } else {
        println!("Running {}, which has no HTTP API. Ctrl-C ends everything.", project.file);
    }
    let decisions = kafka.map(|kafka| tokio::spawn(decisions::follow(runtime.mappings(), kafka)));
    if args.invoke.is_none() && project.is_own() {
        // Functions connect to them when they first need to, the hourly load within the hour.
        tokio::spawn(check::warn_of_databases(project.all_vars()));
    }
    interrupted().await?;
    if let Some(decisions) = decisions {
        decisions.abort();
    }
    runtime.shutdown().await;
    Ok(())
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
