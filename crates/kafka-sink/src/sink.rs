use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, ThreadedProducer};

use crate::deliveries::{Context, Deliveries, Waiting, describe};
use crate::{Config, Rejected};

/// The producer of a function, kept from one invocation to the next.
#[derive(Debug)]
pub struct Sink {
    client: ClientConfig,
    brokers: String,
    rejected_topic: Arc<str>,
    live: Mutex<Arc<Live>>,
}

/// One invocation's records: sent in order, acknowledged together by [`flush`](Session::flush).
///
/// Dropping a session leaves what it has sent to be delivered, or not: always a prefix of it for each partition.
#[derive(Debug)]
pub struct Session {
    live: Arc<Live>,
    waiting: Arc<Waiting>,
    rejected_topic: Arc<str>,
}

/// Why records have not, or not certainly, arrived: the invocation is to fail, so that its event is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A record could not be delivered. What this session sent after it has not arrived either; the producer is
    /// discarded and the next session gets a new one.
    #[error("Kafka did not take a record: {0}")]
    Discarded(String),
    /// The time was up before everything had been acknowledged.
    #[error("{waiting} records were not acknowledged by Kafka in time")]
    NotInTime {
        /// How many.
        waiting: u64,
    },
    /// The client can't be made of this configuration.
    #[error("the Kafka producer can't start")]
    Start(#[source] KafkaError),
}

impl Sink {
    /// Makes the producer. It connects in the background: a cluster that is down does not fail the start, it is waited
    /// for where records are sent.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration, such as a certificate that can't be read.
    pub fn new(config: &Config) -> Result<Self, SinkError> {
        let mut client = config.client();
        client
            // No gaps, no reordering: a failed record fails everything after it.
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            // A record is given up by a person or by the invocation's deadline, never by a clock of the producer's.
            .set("message.timeout.ms", "0")
            // Java's partitioner, which the buckets of the usage rows rely on.
            .set("partitioner", "murmur2_random")
            // Next to none in processor time; zstd took 1.6 µs a record more, in an unoptimized build.
            .set("compression.codec", "lz4")
            .set("linger.ms", "5")
            // The queue is bounded by bytes, in `Deliveries`.
            .set("queue.buffering.max.messages", "0");
        let live = Live::start(&client, config.brokers())?;
        Ok(Self {
            client,
            brokers: config.brokers().to_owned(),
            rejected_topic: config.rejected_topic().into(),
            live: Mutex::new(live),
        })
    }

    /// Begins the records of one invocation. Sessions may run side by side; each knows its own records.
    ///
    /// # Errors
    /// When a producer that failed is to be replaced and the new one can't start.
    pub fn session(&self) -> Result<Session, SinkError> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.deliveries.failure().is_some() {
            *live = Live::start(&self.client, &self.brokers)?;
        }
        Ok(Session {
            live: Arc::clone(&live),
            waiting: Arc::default(),
            rejected_topic: Arc::clone(&self.rejected_topic),
        })
    }
}

impl Session {
    /// Queues a record behind this session's earlier ones; waits while too many bytes are waiting for acknowledgement.
    /// Gives way to other tasks now and then, so a loop over it never starves the runtime.
    ///
    /// # Errors
    /// When this or an earlier record can't be delivered; nothing more can be sent in this session.
    pub async fn send(&mut self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), SinkError> {
        tokio::task::coop::consume_budget().await;
        let Live { producer, deliveries } = &*self.live;
        if deliveries.is_full() {
            deliveries.room().await;
        }
        self.check()?;
        deliveries.enqueue(key, value);
        self.waiting.add_one();
        let record = BaseRecord::with_opaque_to(topic, Arc::clone(&self.waiting)).key(key).payload(value);
        if let Err((error, _)) = producer.send(record) {
            deliveries.fail(|| describe(&error));
            deliveries.dequeue(key.len(), value.len());
            self.waiting.take_back_one();
        }
        self.check()
    }

    /// Sends a record that can't be used to the topic `rejected`, like [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn reject(&mut self, rejected: &Rejected<'_>) -> Result<(), SinkError> {
        let topic = Arc::clone(&self.rejected_topic);
        self.send(&topic, rejected.key().as_bytes(), &rejected.to_json()).await
    }

    /// Waits until everything this session has sent is acknowledged by all in-sync replicas; at most `within`, where
    /// given.
    ///
    /// # Errors
    /// When a record can't be delivered, or the time is up.
    pub async fn flush(&mut self, within: Option<Duration>) -> Result<(), SinkError> {
        let acknowledged = self.live.deliveries.acknowledged(&self.waiting);
        match within {
            None => acknowledged.await,
            Some(within) => {
                if tokio::time::timeout(within, acknowledged).await.is_err() {
                    return Err(SinkError::NotInTime { waiting: self.waiting.count() });
                }
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), SinkError> {
        self.live.deliveries.failure().map_or(Ok(()), |reason| Err(SinkError::Discarded(reason.to_owned())))
    }
}

/// A producer and what is known of its deliveries.
pub(crate) struct Live {
    producer: Producer,
    deliveries: Arc<Deliveries>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.deliveries.fmt(f)
    }
}

impl Live {
    pub(crate) fn start(client: &ClientConfig, brokers: &str) -> Result<Arc<Self>, SinkError> {
        let deliveries = Arc::new(Deliveries::new(brokers));
        let producer = client.create_with_context(Context(Arc::clone(&deliveries))).map_err(SinkError::Start)?;
        Ok(Arc::new(Self { producer: Producer(Some(producer)), deliveries }))
    }

    pub(crate) fn producer(&self) -> &ThreadedProducer<Context> {
        &self.producer
    }

    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }
}

/// Ending a producer joins its thread and waits up to half a second for what it has in flight, which must not block the
/// runtime on which a session is dropped: a thread of its own does it.
struct Producer(Option<ThreadedProducer<Context>>);

impl std::ops::Deref for Producer {
    type Target = ThreadedProducer<Context>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("taken only by drop")
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let producer = self.0.take();
        std::thread::spawn(move || drop(producer));
    }
}
