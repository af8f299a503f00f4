//! The mapping's loop: gather, invoke, commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::SourceConfig;
use super::batch::{Batch, Encoded, Gatherer, Limits};
use super::consumer::{self, Change, KafkaConsumer};
use super::status::{MappingState, MappingStatus, PartitionStatus, Shared};
use super::trouble;
use crate::event::kafka::{Envelope, Record, Timestamp, encode_record};
use crate::invoke::{Call, InvokeError, Invoker};

/// A failed batch is repeated after this time, then after twice that, …
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// … and at most after this.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// While the next batch is full and the last one has been with its function for this long, the partitions are paused, so
/// that polling goes on and the group does not wait for us. Pausing drops what was fetched: not for short invocations.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// The thread is woken for whatever happens; this bounds what a missed wake-up could cost.
const MAX_PARK: Duration = Duration::from_millis(500);
/// The same trouble with the broker is logged once in this time.
const REPEAT_LOG_AFTER: Duration = Duration::from_secs(30);
/// A commit that the broker has refused is tried again after this time.
const COMMIT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Records between two looks at the rest of the world.
const POLLS_A_STEP: usize = 1_000;

/// A Kafka event source mapping that is driven step by step, by its own thread or by a test.
pub struct EventSource {
    source: SourceConfig,
    invoker: Arc<dyn Invoker>,
    runtime: tokio::runtime::Handle,
    shared: Arc<Shared>,
    /// `None` when the client's settings are refused.
    consumer: Option<KafkaConsumer>,
    gatherer: Gatherer,
    assigned: BTreeMap<i32, Assigned>,
    assignments: u64,
    flight: Option<Flight>,
    /// Processed and not yet committed: offset and assignment by partition.
    processed: BTreeMap<i32, (i64, u64)>,
    commit_again_at: Option<Instant>,
    is_paused: bool,
    trouble: Option<(String, Instant)>,
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A batch of so many records was processed and committed.
    Committed(usize),
    /// An invocation failed; the batch will be repeated.
    Failed,
    /// A batch of so many records went to the function.
    Invoked(usize),
    /// Records were gathered; there may be more.
    Gathered,
    /// Nothing to do before this moment, unless the thread is woken.
    Idle(Instant),
    /// The mapping can't go on.
    Stopped,
}

struct Assigned {
    assignment: u64,
    next_offset: Option<i64>,
}

/// The batch that is with the function, or waits to go there again.
struct Flight {
    batch: Batch,
    began: Instant,
    attempt: u32,
    stage: Stage,
}

enum Stage {
    Invoked(oneshot::Receiver<Result<Bytes, InvokeError>>),
    RetryAt(Instant),
}

/// Wakes the mapping's thread when the invocation has ended, in whatever way.
struct WakeOnDrop(Thread);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl EventSource {
    /// A mapping that the calling thread will drive; invocations run on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn open(source: SourceConfig, invoker: Arc<dyn Invoker>) -> Self {
        let shared = Arc::new(Shared::new(&source.mapping));
        Self::with(source, invoker, tokio::runtime::Handle::current(), shared)
    }

    pub(super) fn with(
        source: SourceConfig,
        invoker: Arc<dyn Invoker>,
        runtime: tokio::runtime::Handle,
        shared: Arc<Shared>,
    ) -> Self {
        let mapping = &source.mapping;
        let envelope = Envelope::new(&mapping.cluster, &source.brokers, &mapping.topic);
        let limits =
            Limits { records: mapping.batch_size, window: mapping.window, payload_bytes: source.max_payload_bytes };
        let consumer = consumer::open(&source, Arc::clone(&shared))
            .inspect_err(|error| {
                tracing::error!(kafka.topic = %mapping.topic, %error, "the mapping can't start");
                shared.stopped(format!("the Kafka client refuses its settings: {error}"));
            })
            .ok();
        Self {
            gatherer: Gatherer::new(limits, envelope),
            source,
            invoker,
            runtime,
            shared,
            consumer,
            assigned: BTreeMap::new(),
            assignments: 0,
            flight: None,
            processed: BTreeMap::new(),
            commit_again_at: None,
            is_paused: false,
            trouble: None,
        }
    }

    /// The mapping's progress.
    #[must_use]
    pub fn status(&self) -> MappingStatus {
        self.shared.status()
    }

    /// Steps until the mapping is told to stop, then gives the batch that is with the function `grace` to come back.
    pub(super) fn run(mut self, grace: Duration) {
        while !self.shared.is_stopping() {
            match self.step() {
                Progress::Idle(until) => std::thread::park_timeout(until.saturating_duration_since(Instant::now())),
                Progress::Stopped => return,
                _ => {}
            }
        }
        let deadline = Instant::now() + grace;
        while self.is_invoking() && Instant::now() < deadline {
            if self.land().is_none() {
                std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
        if self.commit_again_at.is_some() {
            self.commit();
        }
        self.shared.stopped("the runtime has ended".into());
    }

    fn is_invoking(&self) -> bool {
        matches!(&self.flight, Some(Flight { stage: Stage::Invoked(_), .. }))
    }

    /// Does the next piece of work, without waiting.
    pub fn step(&mut self) -> Progress {
        if let Some(progress) = self.land() {
            return progress;
        }
        if self.commit_again_at.is_some_and(|at| at <= Instant::now()) {
            self.commit();
        }
        if let Some(progress) = self.take_off() {
            return progress;
        }
        self.poll()
    }

    /// Looks whether the invocation has ended; if so, commits or plans the repetition.
    fn land(&mut self) -> Option<Progress> {
        let Some(Flight { stage: Stage::Invoked(answer), .. }) = &mut self.flight else { return None };
        let outcome = match answer.try_recv() {
            Ok(outcome) => outcome,
            Err(oneshot::error::TryRecvError::Empty) => return None,
            Err(oneshot::error::TryRecvError::Closed) => Err(InvokeError::Failed("the invocation was dropped".into())),
        };
        let mut flight = self.flight.take()?;
        let mapping = &self.source.mapping;
        match outcome {
            Ok(_) => {
                let records = flight.batch.records();
                tracing::debug!(
                    function.name = %mapping.function, kafka.topic = %mapping.topic, batch.records = records,
                    duration_ms = millis(flight.began.elapsed()), "a batch was processed"
                );
                self.processed.extend(flight.batch.commits().map(|(partition, offset, a)| (partition, (offset, a))));
                self.commit();
                self.shared.succeeded(records);
                Some(Progress::Committed(records))
            }
            Err(error) => {
                let backoff = FIRST_BACKOFF.saturating_mul(1 << flight.attempt.min(16)).min(MAX_BACKOFF);
                flight.attempt += 1;
                tracing::warn!(
                    function.name = %mapping.function, kafka.topic = %mapping.topic,
                    batch.records = flight.batch.records(), attempt = flight.attempt, backoff_ms = millis(backoff),
                    duration_ms = millis(flight.began.elapsed()), %error, "an invocation failed; its batch is repeated"
                );
                self.shared.failed(error.to_string());
                flight.stage = Stage::RetryAt(Instant::now() + backoff);
                self.flight = Some(flight);
                Some(Progress::Failed)
            }
        }
    }

    /// Invokes the function, when a batch is due.
    fn take_off(&mut self) -> Option<Progress> {
        let now = Instant::now();
        let (batch, attempt) = match self.flight.take() {
            Some(Flight { mut batch, attempt, stage: Stage::RetryAt(at), .. }) if at <= now => {
                let assigned = &self.assigned;
                batch.retain(self.gatherer.envelope(), |partition, assignment| {
                    is_current(assigned, partition, assignment)
                });
                if batch.is_empty() {
                    return None;
                }
                (batch, attempt)
            }
            Some(flight) => {
                self.flight = Some(flight);
                return None;
            }
            None if self.gatherer.due().is_some_and(|due| due <= now) => {
                if let Some(record) = self.gatherer.too_large() {
                    let why = format!(
                        "the record at {}-{}@{} makes an event of {} bytes, above the limit of {}: \
                         it can't be delivered, and the records behind it wait",
                        self.source.mapping.topic,
                        record.partition,
                        record.offset,
                        record.payload_bytes,
                        self.source.max_payload_bytes
                    );
                    tracing::error!(function.name = %self.source.mapping.function, "{why}");
                    self.shared.stopped(why);
                    self.consumer = None;
                    return Some(Progress::Stopped);
                }
                (self.gatherer.take(now), 0)
            }
            None => return None,
        };
        let records = batch.records();
        let mapping = &self.source.mapping;
        let call = Call::new(&mapping.function, batch.event(self.gatherer.envelope()), mapping.timeout);
        let (send, answer) = oneshot::channel();
        let (invoker, wake) = (Arc::clone(&self.invoker), WakeOnDrop(std::thread::current()));
        self.runtime.spawn(async move {
            let outcome = invoker.invoke(call).await;
            // The mapping may have ended meanwhile: then nobody waits for the answer.
            if send.send(outcome).is_err() {
                tracing::debug!("an answer came after its mapping had ended");
            }
            drop(wake);
        });
        self.flight = Some(Flight { batch, began: now, attempt, stage: Stage::Invoked(answer) });
        Some(Progress::Invoked(records))
    }

    /// Polls what the gatherer has room for, and what the group has to say.
    fn poll(&mut self) -> Progress {
        let was_full = self.gatherer.is_full();
        self.set_paused(was_full);
        if was_full && !self.is_paused {
            return self.idle();
        }
        let mut gathered = false;
        for _ in 0..POLLS_A_STEP {
            let Some(consumer) = &self.consumer else { return Progress::Stopped };
            let polled = consumer.poll(Duration::ZERO);
            match polled {
                Some(Ok(message)) => {
                    let now = Instant::now();
                    if let Some(record) = accept(&mut self.assigned, &message) {
                        self.gatherer.push(record, now);
                        gathered = true;
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let why = format!("the Kafka client has ended: {code}");
                    tracing::error!(kafka.topic = %self.source.mapping.topic, "{why}");
                    self.shared.stopped(why);
                    return Progress::Stopped;
                }
                Some(Err(error)) => self.note(&error),
                None => {
                    let changes = consumer.context().take_changes();
                    let is_hung_up = self.assignments == 0 && consumer.context().has_complaint();
                    self.apply(changes);
                    // While connecting, a broker that hangs up is logged and no error of `poll`, unless all did it at once.
                    if is_hung_up && self.trouble.is_none() {
                        self.note(&KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure));
                    }
                    break;
                }
            }
            if self.gatherer.is_full() && !self.is_paused {
                break;
            }
        }
        if gathered { Progress::Gathered } else { self.idle() }
    }

    fn idle(&self) -> Progress {
        let now = Instant::now();
        let next = match &self.flight {
            Some(Flight { stage: Stage::RetryAt(at), .. }) => Some(*at),
            // The window does not matter while a batch is with the function.
            Some(_) => None,
            None => self.gatherer.due(),
        };
        let next = [next, self.commit_again_at].into_iter().flatten().min();
        Progress::Idle(next.map_or(now + MAX_PARK, |next| next.min(now + MAX_PARK)))
    }

    fn set_paused(&mut self, is_full: bool) {
        let is_slow =
            self.flight.as_ref().is_some_and(|flight| flight.began.elapsed() > PAUSE_AFTER || flight.attempt > 0);
        let wanted = is_full && is_slow;
        let Some(consumer) = self.consumer.as_ref().filter(|_| wanted != self.is_paused) else { return };
        let outcome = consumer.assignment().and_then(|partitions| match wanted {
            true => consumer.pause(&partitions),
            false => consumer.resume(&partitions),
        });
        match outcome {
            Ok(()) => self.is_paused = wanted,
            Err(error) => tracing::warn!(kafka.topic = %self.source.mapping.topic, %error, "pausing failed"),
        }
    }

    /// What a rebalance means for the records at hand.
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Assigned(partitions) => self.assign(partitions),
                Change::Revoked(partitions) => self.revoke(&partitions),
            }
        }
    }

    fn assign(&mut self, partitions: Vec<PartitionStatus>) {
        self.assignments += 1;
        // What was paused was resumed when it was revoked.
        self.is_paused = false;
        for found in &partitions {
            let assigned = Assigned { assignment: self.assignments, next_offset: None };
            self.assigned.insert(found.partition, assigned);
        }
        let mapping = &self.source.mapping;
        let ids: Vec<_> = partitions.iter().map(|found| found.partition).collect();
        tracing::info!(
            function.name = %mapping.function, kafka.topic = %mapping.topic, kafka.group = %mapping.group,
            kafka.partitions = ?ids, "partitions were assigned"
        );
        if !ids.is_empty() {
            self.trouble = None;
            self.shared.set_state(MappingState::Running);
        } else if self.trouble.is_none() {
            let why = "no partitions: other members of the group have them, or there are none yet";
            self.shared.set_state(MappingState::Waiting(why.into()));
        }
        self.shared.set_partitions(partitions);
    }

    fn revoke(&mut self, partitions: &[i32]) {
        self.assigned.retain(|partition, _| !partitions.contains(partition));
        // What is with the function can't be called back: it is not committed, nor repeated.
        let assigned = &self.assigned;
        self.gatherer.retain(|partition, assignment| is_current(assigned, partition, assignment), Instant::now());
        tracing::info!(kafka.topic = %self.source.mapping.topic, kafka.partitions = ?partitions, "partitions were revoked");
        self.shared.set_state(MappingState::Waiting("the group is rebalancing".into()));
        self.shared.set_partitions(Vec::new());
    }

    /// Commits what has been processed, save partitions that have gone since their records were gathered.
    fn commit(&mut self) {
        self.commit_again_at = None;
        let assigned = &self.assigned;
        self.processed.retain(|partition, (_, assignment)| is_current(assigned, *partition, *assignment));
        let Some(consumer) = self.consumer.as_ref().filter(|_| !self.processed.is_empty()) else { return };
        let topic = &self.source.mapping.topic;
        let mut offsets = TopicPartitionList::new();
        let outcome = self
            .processed
            .iter()
            .try_for_each(|(partition, (offset, _))| {
                offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            })
            .and_then(|()| consumer.commit(&offsets, CommitMode::Sync));
        match outcome {
            Ok(()) => {
                for (partition, (offset, _)) in std::mem::take(&mut self.processed) {
                    self.shared.committed(partition, offset);
                }
            }
            // At least once: if these partitions go before a commit succeeds, their next owner repeats the records.
            Err(error) => {
                tracing::warn!(kafka.topic = %topic, %error, "a commit failed and is tried again");
                self.commit_again_at = Some(Instant::now() + COMMIT_RETRY_AFTER);
            }
        }
    }

    /// Trouble with broker or topic: said once, and waited out.
    fn note(&mut self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let is_recent = self.trouble.as_ref().is_some_and(|(_, at)| at.elapsed() <= REPEAT_LOG_AFTER);
        // That all brokers are down follows what is wrong with each, and says less.
        if code == Some(RDKafkaErrorCode::AllBrokersDown) && is_recent {
            return;
        }
        let mapping = &self.source.mapping;
        let complaint = self.consumer.as_ref().map(|consumer| consumer.context().complaint()).unwrap_or_default();
        let why = trouble::describe(error, &complaint, &self.source.brokers, &mapping.topic);
        let is_news = self.trouble.as_ref().is_none_or(|(last, _)| *last != why) || !is_recent;
        if is_news {
            tracing::warn!(function.name = %mapping.function, kafka.topic = %mapping.topic, complaint, "{why}");
            self.trouble = Some((why.clone(), Instant::now()));
        }
        // With partitions at hand the client recovers by itself.
        if self.assigned.is_empty() {
            self.shared.set_state(MappingState::Waiting(why));
        }
    }
}

/// Whether records that came under this assignment are still this mapping's to process and commit.
fn is_current(assigned: &BTreeMap<i32, Assigned>, partition: i32, assignment: u64) -> bool {
    assigned.get(&partition).is_some_and(|found| found.assignment == assignment)
}

/// The message as it will stand in the event; `None` for one that is not of the assignment any more, or repeats.
fn accept(assigned: &mut BTreeMap<i32, Assigned>, message: &BorrowedMessage<'_>) -> Option<Encoded> {
    let found = assigned.get_mut(&message.partition())?;
    if found.next_offset.is_some_and(|next| message.offset() < next) {
        return None;
    }
    found.next_offset = Some(message.offset() + 1);
    let headers: Vec<_> = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value)).collect())
        .unwrap_or_default();
    let record = Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: match message.timestamp() {
            rdkafka::Timestamp::CreateTime(ms) => Timestamp::CreateTime(ms),
            rdkafka::Timestamp::LogAppendTime(ms) => Timestamp::LogAppendTime(ms),
            rdkafka::Timestamp::NotAvailable => Timestamp::None,
        },
        key: message.key(),
        value: message.payload(),
        headers: &headers,
    };
    let bytes = message.key_len() + message.payload_len();
    let mut json = Vec::with_capacity(bytes / 3 * 4 + 256);
    encode_record(&record, &mut json);
    Some(Encoded { partition: record.partition, offset: record.offset, assignment: found.assignment, json })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
