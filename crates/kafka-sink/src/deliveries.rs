use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::Notify;

use crate::complaint::{Complaint, Kind};

/// How much may wait for acknowledgement, over all sessions of a sink: keys, values and librdkafka's own
/// bookkeeping. It keeps a function that streams a large file far under 128 MB, and is still tens of thousands of
/// records, many round trips' worth.
const BUDGET_BYTES: usize = 16 << 20;

/// Senders that wait for room continue below this, so that senders and acknowledgements don't wake each other for each
/// record.
const LOW_WATER_BYTES: usize = BUDGET_BYTES / 4 * 3;

/// What librdkafka keeps beside a record's key and value (its message structure, allocation overhead).
const RECORD_OVERHEAD_BYTES: usize = 256;

/// Waiting this long without progress is worth a line in the log: a healthy cluster acknowledges in milliseconds.
const QUIET: Duration = Duration::from_secs(2);

/// And then again, while it lasts.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// How long to wait for brokers that hang up: one that is starting behind a proxy recovers, one that speaks another
/// protocol never does.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(10);

/// The complaint to log when librdkafka reports none: it retries such refusals silently.
const UNACKNOWLEDGED: &str =
    "the brokers answer, but acknowledge nothing: are there fewer in-sync replicas than min.insync.replicas?";

/// The records of one session that wait for their acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicU64);

impl Waiting {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take_back_one(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The state that a producer and its sessions share. librdkafka's thread calls it once per record. It only counts, and
/// wakes a waiting task when there is room again, when all of a session's records are acknowledged, or when the
/// producer has failed.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    queued_bytes: AtomicUsize,
    failure: OnceLock<String>,
    progress: Notify,
    /// librdkafka's last complaint, for the log of the session that waits.
    complaint: Mutex<Complaint>,
    brokers: String,
}

impl Deliveries {
    pub(crate) fn new(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), ..Self::default() }
    }

    /// Why this producer is to be discarded.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Ends this producer for everybody; the first reason stays.
    pub(crate) fn fail(&self, reason: impl FnOnce() -> String) {
        self.failure.get_or_init(reason);
        self.progress.notify_waiters();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) >= BUDGET_BYTES
    }

    pub(crate) fn enqueue(&self, key: &[u8], value: &[u8]) {
        self.queued_bytes.fetch_add(cost(key.len(), value.len()), Ordering::Relaxed);
    }

    pub(crate) fn dequeue(&self, key_bytes: usize, value_bytes: usize) {
        let cost = cost(key_bytes, value_bytes);
        let before = self.queued_bytes.fetch_sub(cost, Ordering::AcqRel);
        if before >= LOW_WATER_BYTES && before - cost < LOW_WATER_BYTES {
            self.progress.notify_waiters();
        }
    }

    /// Waits until a full queue has drained to the low-water mark, or the producer has failed.
    pub(crate) async fn room(&self) {
        self.until(|| self.queued_bytes.load(Ordering::Acquire) < LOW_WATER_BYTES).await;
    }

    /// Waits until every record of the session has been acknowledged, or the producer has failed.
    pub(crate) async fn acknowledged(&self, session: &Waiting) {
        self.until(|| session.count() == 0).await;
    }

    fn complain(&self, complaint: Complaint) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = complaint;
    }

    /// What librdkafka last complained about; the error is why waiting longer than this does not help.
    pub(crate) fn complaint(&self, waited: Duration) -> Result<Complaint, String> {
        if let Some(failure) = self.failure() {
            return Err(failure.to_owned());
        }
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if complaint.kind == Kind::HangUp && waited >= HANG_UP_PATIENCE { Err(complaint.text) } else { Ok(complaint) }
    }

    async fn until(&self, done: impl Fn() -> bool) {
        let began = Instant::now();
        let mut patience = QUIET;
        loop {
            // Listen first, look second: a wake-up between the two is not lost.
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            if done() || self.failure().is_some() {
                break;
            }
            if tokio::time::timeout(patience, progress).await.is_err() {
                let complaint = match self.complaint(began.elapsed()) {
                    Ok(complaint) => complaint,
                    Err(refusal) => {
                        self.fail(|| refusal);
                        break;
                    }
                };
                patience = if complaint.kind == Kind::HangUp { HANG_UP_PATIENCE } else { LOG_INTERVAL };
                tracing::warn!(
                    kafka.brokers = self.brokers,
                    complaint = if complaint.text.is_empty() { UNACKNOWLEDGED } else { &complaint.text },
                    waited_ms = began.elapsed().as_millis() as u64,
                    "waiting for Kafka"
                );
            }
        }
        if patience != QUIET && self.failure().is_none() {
            self.complain(Complaint::default());
            tracing::info!(
                kafka.brokers = self.brokers,
                waited_ms = began.elapsed().as_millis() as u64,
                "Kafka answers again"
            );
        }
    }
}

fn cost(key_bytes: usize, value_bytes: usize) -> usize {
    key_bytes + value_bytes + RECORD_OVERHEAD_BYTES
}

/// The context that rdkafka owns: it hands what happens to [`Deliveries`].
pub(crate) struct Context(pub(crate) Arc<Deliveries>);

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, session: Arc<Waiting>) {
        let record = match result {
            Ok(record) => record,
            Err((error, record)) => {
                // Before the count: a session that sees the count at zero must also see the failure.
                self.0.fail(|| describe(error));
                record
            }
        };
        if session.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.progress.notify_waiters();
        }
        self.0.dequeue(record.key_len(), record.payload_len());
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(kafka.facility = facility, message, "librdkafka");
        // librdkafka reports only in its log that a broker has hung up.
        if facility == "FAIL" {
            let hung_up = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
            let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
            self.0.complain(Complaint::new(&hung_up, reason));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let complaint = Complaint::new(&error, reason);
        tracing::debug!(error = %error, reason, "librdkafka");
        if complaint.kind == Kind::Refusal {
            self.0.fail(|| complaint.text);
            return;
        }
        // "All brokers are down" says less than the error of one of them.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.complain(complaint);
        }
    }
}

/// The error and, if known, what to do about it.
pub(crate) fn describe(error: &KafkaError) -> String {
    use RDKafkaErrorCode as Code;
    let advice = match error.rdkafka_error_code() {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            ": does the topic exist? `trunkline init` creates it"
        }
        Some(Code::MessageSizeTooLarge) => ": raise the topic's max.message.bytes",
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            ": allow this user to write to the topic, idempotently"
        }
        _ => "",
    };
    format!("{error}{advice}")
}
