use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use local_runtime::{InProcess, InProcessFunction, Invocation, Invoker, MappingStatus, Options, Runtime, Template};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

/// Joining a group takes seconds, and so does a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a function was invoked with, and whether it accepted it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) payload: Bytes,
    pub(crate) accepted: bool,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }

    /// Partition and offset of each record, in the event's order.
    pub(crate) fn positions(&self) -> Vec<(i64, i64)> {
        let event = self.event();
        let partitions = event["records"].as_object().unwrap();
        let records = partitions.values().flat_map(|records| records.as_array().unwrap());
        records.map(|record| (record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap())).collect()
    }
}

/// A function that remembers what it saw.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Seen>>>);

impl Recorder {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    /// An invoker whose function `f` remembers each event, and succeeds when `accepts` (given how many it saw before).
    pub(crate) fn invoker(&self, accepts: impl Fn(usize) -> bool + Send + Sync + 'static) -> Arc<dyn Invoker> {
        let seen = Arc::clone(&self.0);
        invoker(move |invocation| {
            let mut seen = seen.lock().unwrap();
            let accepted = accepts(seen.len());
            seen.push(Seen { payload: invocation.payload, accepted, at: Instant::now() });
            async move { if accepted { Ok(Bytes::from_static(b"{}")) } else { anyhow::bail!("not this time") } }.boxed()
        })
    }

    /// Partition, offset and value of each record that was accepted, in order; a record without a value has an empty
    /// one.
    pub(crate) fn accepted_values(&self) -> Vec<(i64, i64, String)> {
        let mut values = Vec::new();
        for seen in self.seen().iter().filter(|seen| seen.accepted) {
            let event = seen.event();
            for record in event["records"].as_object().unwrap().values().flat_map(|records| records.as_array().unwrap())
            {
                let value = STANDARD.decode(record["value"].as_str().unwrap_or_default()).unwrap();
                let (partition, offset) = (record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap());
                values.push((partition, offset, String::from_utf8(value).unwrap()));
            }
        }
        values
    }

    /// Per partition the offsets that were accepted, in order.
    pub(crate) fn accepted(&self) -> BTreeMap<i64, Vec<i64>> {
        let mut offsets: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for seen in self.seen().iter().filter(|seen| seen.accepted) {
            for (partition, offset) in seen.positions() {
                offsets.entry(partition).or_default().push(offset);
            }
        }
        offsets
    }
}

/// An invoker of one function, `f`.
pub(crate) fn invoker(
    function: impl Fn(Invocation) -> futures::future::BoxFuture<'static, anyhow::Result<Bytes>> + Send + Sync + 'static,
) -> Arc<dyn Invoker> {
    Arc::new(InProcess::new([("f".to_owned(), Arc::new(function) as InProcessFunction)]))
}

/// A template with the function `f` and one mapping.
pub(crate) fn mapping_template(topic: &str, properties: &str) -> Template {
    let text = format!(
        "Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 30
      Events:
        Kafka:
          Type: SelfManagedKafka
          Properties: {{KafkaBootstrapServers: [nowhere], Topics: [{topic}], ConsumerGroupId: g-{topic}, {properties}}}
"
    );
    Template::parse(&text, &BTreeMap::new()).unwrap()
}

/// Runs the template on the shared broker.
pub(crate) async fn start(template: &Template, invoker: Arc<dyn Invoker>) -> Runtime {
    let brokers = test_support::broker().await.to_owned();
    Runtime::start(template, invoker, Options { brokers: Some(brokers), ..Options::default() }).await.unwrap()
}

/// The same on another cluster.
pub(crate) async fn start_on(client: &ClientConfig, template: &Template, invoker: Arc<dyn Invoker>) -> Runtime {
    let brokers = client.get("bootstrap.servers").map(str::to_owned);
    Runtime::start(template, invoker, Options { brokers, ..Options::default() }).await.unwrap()
}

pub(crate) fn status(runtime: &Runtime) -> MappingStatus {
    runtime.status().mappings.into_iter().next().unwrap()
}

/// A fresh topic.
pub(crate) async fn topic(partitions: i32) -> String {
    let name = test_support::topic("t");
    create(&name, partitions).await;
    name
}

pub(crate) async fn create(topic: &str, partitions: i32) {
    create_on(&client().await, topic, partitions, 1).await;
}

/// The same on another cluster.
pub(crate) async fn create_on(client: &ClientConfig, topic: &str, partitions: i32, replicas: i32) {
    let admin: AdminClient<_> = client.create().unwrap();
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
    for result in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

async fn client() -> ClientConfig {
    embedded().await
}

/// A client of the shared embedded broker.
pub(crate) async fn embedded() -> ClientConfig {
    client_of(test_support::broker().await)
}

/// A client of the shared cluster.
pub(crate) async fn kafka() -> ClientConfig {
    client_of(&test_support::kafka().await.bootstrap_servers)
}

pub(crate) fn client_of(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

pub(crate) async fn producer() -> FutureProducer {
    producer_on(client().await)
}

fn producer_on(mut client: ClientConfig) -> FutureProducer {
    client.set("enable.idempotence", "true").set("linger.ms", "5").set("message.max.bytes", "2000000");
    client.create().unwrap()
}

/// Writes `count` records of `bytes` to each of the partitions, in order.
pub(crate) async fn produce(topic: &str, partitions: i32, count: usize, bytes: usize) {
    produce_on(&client().await, topic, partitions, count, bytes).await;
}

/// The same on another cluster.
pub(crate) async fn produce_on(client: &ClientConfig, topic: &str, partitions: i32, count: usize, bytes: usize) {
    let producer = producer_on(client.clone());
    let value = vec![b'v'; bytes];
    let mut sent = Vec::with_capacity(count);
    for _ in 0..count {
        for partition in 0..partitions {
            sent.push(
                producer.send_result(FutureRecord::to(topic).partition(partition).key("k").payload(&value)).unwrap(),
            );
        }
    }
    for delivery in join_all(sent).await {
        delivery.unwrap().unwrap();
    }
}

/// A record of 6 MB. Compressed, it passes the limit of a broker, which is on the compressed batch.
pub(crate) async fn produce_large(client: &ClientConfig, topic: &str, partition: i32) {
    let mut client = client.clone();
    client.set("compression.type", "zstd").set("message.max.bytes", "20000000");
    let producer: FutureProducer = client.create().unwrap();
    let value = vec![b' '; 6_000_000];
    let sent = producer.send(FutureRecord::<str, [u8]>::to(topic).partition(partition).payload(&value), PATIENCE).await;
    // The error would show the record, too.
    sent.map_err(|(error, _)| error).unwrap();
}

/// The group's committed offsets, as another client sees them.
pub(crate) async fn committed(topic: &str, partitions: i32) -> Vec<Option<i64>> {
    committed_on(&client().await, topic, partitions).await
}

/// The same on another cluster.
pub(crate) async fn committed_on(client: &ClientConfig, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let mut config = client.clone();
    config.set("group.id", format!("g-{topic}"));
    let topic = topic.to_owned();
    let ask = move || {
        let consumer: BaseConsumer = config.create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&topic, 0, partitions - 1);
        let found = consumer.committed_offsets(asked, PATIENCE).unwrap();
        let offsets = found.elements();
        offsets.iter().map(|e| if let Offset::Offset(offset) = e.offset() { Some(offset) } else { None }).collect()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}
