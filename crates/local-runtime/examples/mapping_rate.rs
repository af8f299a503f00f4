//! Records a second through a mapping with an empty function, on the embedded broker:
//! `cargo run --profile cli -p local-runtime --example mapping_rate`.
#![expect(clippy::print_stdout, reason = "its result is for people")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use local_runtime::{InProcess, InProcessFunction, Options, Runtime, Template};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const RECORDS: u64 = 1_000_000;
const VALUE_BYTES: usize = 350;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let brokers = test_support::broker().await.to_owned();
    let topic = test_support::topic("throughput");
    let began = Instant::now();
    fill(&brokers, &topic).await?;
    println!("produced {RECORDS} records of {VALUE_BYTES} bytes in {:.1} s", began.elapsed().as_secs_f64());
    let template = Template::parse(
        &format!(
            "Resources: {{F: {{Type: 'AWS::Serverless::Function', Properties: {{Timeout: 60, Events: {{E: {{Type: SelfManagedKafka, Properties: {{
               KafkaBootstrapServers: [x], Topics: [{topic}], StartingPosition: TRIM_HORIZON, BatchSize: 10000}}}}}}}}}}}}"
        ),
        &BTreeMap::new(),
    )?;
    let empty: InProcessFunction = Arc::new(|_| Box::pin(async { Ok(Bytes::new()) }));
    let invoker = Arc::new(InProcess::new([("f".to_owned(), empty)]));
    let options = Options { brokers: Some(brokers), ..Options::default() };
    let runtime = Runtime::start(&template, invoker, options).await?;
    // The time that it takes to join the group is not counted.
    wait(&runtime, 1).await?;
    let (first, began) = (records(&runtime)?, Instant::now());
    wait(&runtime, RECORDS).await?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a million fits")]
    let rate = (RECORDS - first) as f64 / seconds;
    println!("{rate:.0} records/s in batches of up to 10,000 ({:?})", runtime.status());
    runtime.shutdown().await;
    Ok(())
}

fn records(runtime: &Runtime) -> anyhow::Result<u64> {
    Ok(runtime.status().mappings.first().context("one mapping")?.records)
}

async fn wait(runtime: &Runtime, wanted: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    while records(runtime)? < wanted {
        anyhow::ensure!(began.elapsed() < PATIENCE, "only {:?}", runtime.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn fill(brokers: &str, topic: &str) -> anyhow::Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("linger.ms", "20");
    let admin: AdminClient<_> = config.create()?;
    let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1));
    admin.create_topics([&new], &AdminOptions::new()).await?;
    let producer: BaseProducer = config.create()?;
    let topic = topic.to_owned();
    let fill = move || -> anyhow::Result<()> {
        let value = vec![b'v'; VALUE_BYTES];
        for number in 0..RECORDS {
            let key = number.to_string();
            let mut record = BaseRecord::to(&topic).key(&key).payload(&value);
            while let Err((error, back)) = producer.send(record) {
                anyhow::ensure!(
                    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                    "not produced: {error}"
                );
                record = back;
                producer.poll(Duration::from_millis(100));
            }
        }
        Ok(producer.flush(PATIENCE)?)
    };
    tokio::task::spawn_blocking(fill).await?
}
