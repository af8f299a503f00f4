//! Everything together.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::event::kafka::MAX_PAYLOAD_BYTES;
use crate::health::Health;
use crate::http::{Front, InvokeApi, Router, Server};
use crate::invoke::Invoker;
use crate::mapping::{MappingStatus, RunningMapping, Shared, SourceConfig, TopicIds};
use crate::schedule;
use crate::template::{Cluster, Mapping, Template};

/// By then everything has ended or is left behind.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(4_500);

/// How a template is run here.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Kafka brokers of every mapping (`host:port`, comma-joined) in place of the template's.
    pub brokers: Option<String>,
    /// The brokers of some mappings, by one of their [`Mapping::names`]. These go before all others.
    pub brokers_of: BTreeMap<String, String>,
    /// More properties of the Kafka clients, such as `security.protocol`.
    pub kafka_properties: BTreeMap<String, String>,
    /// Where the HTTP API listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where the functions' Invoke API listens; nowhere without one. It asks nobody who they are, so this has to be a
    /// loopback address.
    pub invoke_api: Option<SocketAddr>,
    /// The schedules of these functions fire once in the time beside, whatever the template says.
    pub schedule_every: BTreeMap<String, Duration>,
    /// Where a function of the template answers whether it is well, for example `/health`: the answer is completed by
    /// what the mappings are doing, and `<path>/mappings` tells all of that.
    pub health_path: Option<String>,
}

/// A running template. Dropping it tells everything to end and does not wait.
pub struct Runtime {
    server: Option<Server>,
    invoke_api: Option<Server>,
    mappings: Vec<RunningMapping>,
    watched: Mappings,
    schedules: JoinSet<()>,
    stop: CancellationToken,
}

/// The enabled mappings of a template, for those who watch them. It may be kept and asked for longer than they run.
#[derive(Clone, Default)]
pub struct Mappings(Arc<[Arc<Shared>]>);

impl Mappings {
    /// The progress of every mapping.
    #[must_use]
    pub fn status(&self) -> Status {
        Status { mappings: self.0.iter().map(|mapping| mapping.status()).collect() }
    }

    /// Lets the partition go on behind this record, in every mapping of the topic in which it stands still there. It
    /// does nothing to others, so it can be repeated. The record is delivered to nobody: keep it first.
    pub fn skip(&self, topic: &str, partition: i32, offset: i64) {
        for mapping in self.0.iter().filter(|mapping| mapping.is_of(topic)) {
            mapping.skip(partition, offset);
        }
    }
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
            brokers_of: BTreeMap::new(),
            kafka_properties: BTreeMap::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            invoke_api: None,
            schedule_every: BTreeMap::new(),
            health_path: None,
        }
    }
}

impl Runtime {
    /// Whether the template can be started with these options, but for its addresses, which may be taken.
    ///
    /// # Errors
    /// When no brokers are known for a mapping, or the Invoke API would be open to others.
    pub fn check(template: &Template, options: &Options) -> anyhow::Result<()> {
        sources(template, options)?;
        if let Some(address) = options.invoke_api {
            let is_private = address.ip().is_loopback();
            anyhow::ensure!(
                is_private,
                "the Invoke API can't listen on {address}: it asks nobody who they are, so it is for this machine only \
                 (127.0.0.1:{})",
                address.port()
            );
        }
        Ok(())
    }

    /// Runs the template's mappings, schedules and HTTP API. No broker and no function has to be there yet.
    ///
    /// # Errors
    /// When an address is taken, or as [`Runtime::check`].
    pub async fn start(template: &Template, invoker: Arc<dyn Invoker>, options: Options) -> anyhow::Result<Self> {
        Self::check(template, &options)?;
        let sources = sources(template, &options)?;
        let watched = Mappings(sources.iter().map(|source| Arc::new(Shared::new(&source.mapping))).collect());
        let (mappings, schedules, stop) = (Vec::new(), JoinSet::new(), CancellationToken::new());
        let server = front(template, &invoker, &options, &watched).await?;
        let invoke_api = invoke_api(template, &invoker, &options).await?;
        let mut runtime = Self { server, invoke_api, mappings, watched, schedules, stop };
        let mut topic_ids = BTreeMap::new();
        for (source, shared) in sources.into_iter().zip(runtime.watched.0.iter()) {
            let of_cluster =
                topic_ids.entry(source.brokers.clone()).or_insert_with(|| Arc::new(TopicIds::new(&source)));
            let of_cluster = Arc::clone(of_cluster);
            let mapping = RunningMapping::start(source, Arc::clone(&invoker), Arc::clone(shared), of_cluster);
            runtime.mappings.push(mapping.context("a mapping's thread can't start")?);
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

    /// Where the Invoke API listens; `None` when nobody asked for it.
    #[must_use]
    pub fn invoke_api_addr(&self) -> Option<SocketAddr> {
        self.invoke_api.as_ref().map(|server| server.address)
    }

    /// The progress of every mapping.
    #[must_use]
    pub fn status(&self) -> Status {
        self.watched.status()
    }

    /// What can be asked of, and told to, the mappings from elsewhere.
    #[must_use]
    pub fn mappings(&self) -> Mappings {
        self.watched.clone()
    }

    /// Ends everything: no new invocation begins; those that run get a few seconds, and a mapping's batch that comes
    /// back in that time is committed. Takes less than 5 s.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for mapping in &self.mappings {
            mapping.stop();
        }
        let servers = [self.server.take(), self.invoke_api.take()];
        let mappings = &mut self.mappings;
        let schedules = &mut self.schedules;
        let all = async {
            let front = futures::future::join_all(servers.into_iter().flatten().map(Server::shutdown));
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

/// The HTTP API, if the template has routes.
async fn front(
    template: &Template,
    invoker: &Arc<dyn Invoker>,
    options: &Options,
    watched: &Mappings,
) -> anyhow::Result<Option<Server>> {
    let router = Router::new(&template.routes);
    if router.is_empty() {
        return Ok(None);
    }
    let health = options.health_path.clone().map(|path| Health::new(path, watched.clone()));
    let front = Arc::new(Front { router, invoker: Arc::clone(invoker), health });
    let server = Server::start(options.listen, front).await;
    Ok(Some(server.with_context(|| format!("the HTTP API can't listen on {}", options.listen))?))
}

/// The Invoke API, if somebody asked for it.
async fn invoke_api(
    template: &Template,
    invoker: &Arc<dyn Invoker>,
    options: &Options,
) -> anyhow::Result<Option<Server>> {
    let Some(address) = options.invoke_api else { return Ok(None) };
    let api = Arc::new(InvokeApi::new(template.functions.clone(), Arc::clone(invoker)));
    let server = Server::start(address, api).await;
    Ok(Some(server.with_context(|| format!("the Invoke API can't listen on {address}"))?))
}

/// Where each enabled mapping's records come from.
fn sources(template: &Template, options: &Options) -> anyhow::Result<Vec<SourceConfig>> {
    for name in options.brokers_of.keys() {
        let mut names = template.mappings.iter().flat_map(Mapping::names);
        if !names.any(|known| known == name) {
            let known: Vec<_> = template.mappings.iter().map(|mapping| mapping.origin.path.as_str()).collect();
            anyhow::bail!("brokers are given for {name}, but no mapping has that name; they are {}", known.join(", "));
        }
    }
    let enabled = template.mappings.iter().filter(|mapping| mapping.is_enabled);
    let source = |mapping: &Mapping| {
        Ok(SourceConfig {
            brokers: brokers(mapping, options)?,
            properties: options.kafka_properties.clone().into_iter().collect(),
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            mapping: mapping.clone(),
        })
    };
    enabled.map(source).collect()
}

/// The brokers that were given, else those of the template.
fn brokers(mapping: &Mapping, options: &Options) -> anyhow::Result<String> {
    if let Some(given) = mapping.names().find_map(|name| options.brokers_of.get(name)).or(options.brokers.as_ref()) {
        return Ok(given.clone());
    }
    let origin = &mapping.origin;
    let remedy = format!("give them as {}=host:port", origin.path.rsplit('.').next().unwrap_or_default());
    let (brokers, place) = match &mapping.cluster {
        Cluster::SelfManaged { brokers } => (brokers.join(","), "KafkaBootstrapServers"),
        Cluster::Msk { brokers: Some(brokers), .. } => (brokers.clone(), "its function's variable KAFKA_BROKERS"),
        Cluster::Msk { arn, brokers: None } => anyhow::bail!(
            "{origin}: the template does not say where the brokers of {arn} are: {remedy}, or its function a variable \
             KAFKA_BROKERS"
        ),
    };
    let is_usable = brokers.split(',').all(is_address);
    anyhow::ensure!(is_usable, "{origin}: {place} has no addresses of the form host:port here: {remedy}");
    Ok(brokers)
}

fn is_address(broker: &str) -> bool {
    let parts = broker.trim().rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
