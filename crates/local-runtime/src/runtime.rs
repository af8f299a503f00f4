//! Everything together.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::event::kafka::MAX_PAYLOAD_BYTES;
use crate::http::{Router, Server};
use crate::invoke::Invoker;
use crate::mapping::{MappingStatus, RunningMapping, SourceConfig};
use crate::schedule;
use crate::template::{Cluster, Mapping, Template};

/// By then everything has ended or is left behind.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(4_500);

/// How a template is run here.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Kafka brokers of every mapping (`host:port`, comma-joined) in place of the template's.
    pub brokers: Option<String>,
    /// More properties of the Kafka clients, such as `security.protocol`.
    pub kafka_properties: BTreeMap<String, String>,
    /// Where the HTTP API listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// The schedules of these functions fire once in the time beside, whatever the template says.
    pub schedule_every: BTreeMap<String, Duration>,
}

/// A running template. Dropping it tells everything to end and does not wait.
pub struct Runtime {
    server: Option<Server>,
    mappings: Vec<RunningMapping>,
    schedules: JoinSet<()>,
    stop: CancellationToken,
}

/// What a runtime is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The enabled mappings, in the template's order.
    pub mappings: Vec<MappingStatus>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            brokers: None,
            kafka_properties: BTreeMap::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            schedule_every: BTreeMap::new(),
        }
    }
}

impl Runtime {
    /// Runs the template's mappings, schedules and HTTP API. No broker and no function has to be there yet.
    ///
    /// # Errors
    /// When the address is taken, or no brokers are known for a mapping.
    pub async fn start(template: &Template, invoker: Arc<dyn Invoker>, options: Options) -> anyhow::Result<Self> {
        let mut sources = Vec::new();
        for mapping in template.mappings.iter().filter(|mapping| mapping.is_enabled) {
            sources.push(SourceConfig {
                brokers: brokers(mapping, &options)?,
                properties: options.kafka_properties.clone().into_iter().collect(),
                max_payload_bytes: MAX_PAYLOAD_BYTES,
                mapping: mapping.clone(),
            });
        }
        let router = Router::new(&template.routes);
        let server = if router.is_empty() {
            None
        } else {
            let server = Server::start(options.listen, router, Arc::clone(&invoker)).await;
            Some(server.with_context(|| format!("the HTTP API can't listen on {}", options.listen))?)
        };
        let stop = CancellationToken::new();
        let mut runtime = Self { server, mappings: Vec::new(), schedules: JoinSet::new(), stop };
        for source in sources {
            let mapping =
                RunningMapping::start(source, Arc::clone(&invoker)).context("a mapping's thread can't start")?;
            runtime.mappings.push(mapping);
        }
        for schedule in template.schedules.iter().filter(|schedule| schedule.is_enabled) {
            let (invoker, stop) = (Arc::clone(&invoker), runtime.stop.clone());
            let every = options.schedule_every.get(&schedule.function).copied();
            runtime.schedules.spawn(schedule::run(schedule.clone(), every, invoker, stop));
        }
        Ok(runtime)
    }

    /// Where the HTTP API listens; `None` when the template has no routes.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|server| server.address)
    }

    /// The progress of every mapping.
    #[must_use]
    pub fn status(&self) -> Status {
        Status { mappings: self.mappings.iter().map(RunningMapping::status).collect() }
    }

    /// Ends everything: no new invocation begins; those that run get a few seconds, and a mapping's batch that comes back
    /// in that time is committed. Takes less than 5 s.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for mapping in &self.mappings {
            mapping.stop();
        }
        let server = self.server.take();
        let mappings = &mut self.mappings;
        let schedules = &mut self.schedules;
        let all = async {
            let front = async {
                if let Some(server) = server {
                    server.shutdown().await;
                }
            };
            let ended = futures::future::join_all(mappings.iter_mut().map(RunningMapping::ended));
            let fired = async { while schedules.join_next().await.is_some() {} };
            tokio::join!(front, ended, fired);
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await.is_err() {
            tracing::warn!("not everything ended in time and is left behind");
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn brokers(mapping: &Mapping, options: &Options) -> anyhow::Result<String> {
    match (&options.brokers, &mapping.cluster) {
        (Some(brokers), _) => Ok(brokers.clone()),
        (None, Cluster::SelfManaged { brokers }) => Ok(brokers.join(",")),
        (None, Cluster::Msk { arn }) => {
            anyhow::bail!("{}: the brokers of {arn} are not known here: give their addresses", mapping.origin)
        }
    }
}
