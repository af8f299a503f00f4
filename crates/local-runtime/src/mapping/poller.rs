//! The mapping's loop: gather, invoke, commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use super::SourceConfig;
use super::batch::{Batch, Encoded, Gatherer, Limits};
use super::consumer::{self, KafkaConsumer};
use super::look;
use super::partitions::Partitions;
use super::record::{self, Frame};
use super::status::{MappingStatus, Shared};
use super::stop::StopReason;
use super::topic_ids::TopicIds;
use super::upkeep::{Timers, Trouble};
use crate::event::kafka::Envelope;
use crate::invoke::{Call, InvokeError, Invoker};

/// A failed batch is repeated after this time, then after twice that, …
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// … and at most after this.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// While the next batch is full and the last one has been with its function for this long, the partitions are paused,
/// so that polling goes on and the group does not wait for us. Pausing drops what was fetched: not for short
/// invocations.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// The thread is woken for whatever happens; this bounds what a missed wake-up could cost.
const MAX_PARK: Duration = Duration::from_millis(500);
/// Records between two looks at the rest of the world.
const POLLS_A_STEP: usize = 1_000;

/// A Kafka event source mapping that is driven step by step, by its own thread or by a test.
pub struct EventSource {
    pub(super) source: SourceConfig,
    invoker: Arc<dyn Invoker>,
    runtime: tokio::runtime::Handle,
    pub(super) shared: Arc<Shared>,
    pub(super) topic_ids: Arc<TopicIds>,
    /// The topic that is read; `None` while that is not known.
    pub(super) topic_id: Option<String>,
    /// `None` when the client's settings are refused.
    pub(super) consumer: Option<KafkaConsumer>,
    frame: Frame,
    pub(super) gatherer: Gatherer,
    pub(super) partitions: Partitions,
    /// Partitions from this number on came while the mapping was running; `None` before its start.
    pub(super) new_from: Option<i32>,
    pub(super) flight: Option<Flight>,
    /// Processed and not yet committed: offset and assignment by partition.
    pub(super) processed: BTreeMap<i32, (i64, u64)>,
    pub(super) timers: Timers,
    pub(super) is_paused: bool,
    pub(super) trouble: Trouble,
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

/// The batch that is with the function, or waits to go there again.
pub(super) struct Flight {
    pub(super) batch: Batch,
    began: Instant,
    attempt: u32,
    stage: Stage,
}

enum Stage {
    Invoked(oneshot::Receiver<Result<Bytes, InvokeError>>),
    RetryAt(Instant),
}

/// What one poll has brought.
enum Polled {
    Gathered,
    Passed,
    Undeliverable { partition: i32, offset: i64, reason: StopReason },
    Error(KafkaError),
    Nothing,
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
        let topic_ids = Arc::new(TopicIds::new(&source));
        Self::with(source, invoker, tokio::runtime::Handle::current(), shared, topic_ids)
    }

    pub(super) fn with(
        source: SourceConfig,
        invoker: Arc<dyn Invoker>,
        runtime: tokio::runtime::Handle,
        shared: Arc<Shared>,
        topic_ids: Arc<TopicIds>,
    ) -> Self {
        let mapping = &source.mapping;
        let envelope = Envelope::new(&mapping.cluster, &source.brokers, &mapping.topic);
        let limit_bytes = source.max_payload_bytes;
        let limits = Limits { records: mapping.batch_size, window: mapping.window, payload_bytes: limit_bytes };
        let mut opened = Self {
            frame: Frame { envelope: envelope.clone(), limit_bytes },
            gatherer: Gatherer::new(limits, envelope),
            source,
            invoker,
            runtime,
            shared,
            topic_ids,
            topic_id: None,
            consumer: None,
            partitions: Partitions::default(),
            new_from: None,
            flight: None,
            processed: BTreeMap::new(),
            timers: Timers::default(),
            is_paused: false,
            trouble: Trouble::default(),
        };
        opened.connect();
        opened
    }

    /// A new client, in the place of the one before.
    pub(super) fn connect(&mut self) {
        let opened = consumer::open(&self.source, Arc::clone(&self.shared));
        self.consumer = opened
            .inspect_err(|error| {
                tracing::error!(kafka.topic = %self.source.mapping.topic, %error, "the mapping can't start");
                self.shared.stopped(format!("the Kafka client refuses its settings: {error}"));
            })
            .ok();
    }

    /// The mapping's progress.
    #[must_use]
    pub fn status(&self) -> MappingStatus {
        self.shared.status()
    }

    /// Lets a partition that stands still at this offset go on behind it. Does nothing to one that does not.
    pub fn skip(&self, partition: i32, offset: i64) {
        self.shared.skip(partition, offset);
    }

    /// Steps until the mapping is told to stop, then gives the batch that is with the function `grace` to come back.
    pub(super) fn run(mut self, grace: Duration) {
        while !self.shared.is_stopping() {
            self.shared.stepped();
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
        self.commit();
        self.shared.stopped("the runtime has ended".into());
    }

    fn is_invoking(&self) -> bool {
        matches!(&self.flight, Some(Flight { stage: Stage::Invoked(_), .. }))
    }

    /// Does the next piece of work, without waiting for the function.
    pub fn step(&mut self) -> Progress {
        if let Some(progress) = self.land() {
            return progress;
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
            Err(oneshot::error::TryRecvError::Closed) => {
                Err(InvokeError::failed("Error", "the invocation was dropped"))
            }
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
        let is_due = self.flight.is_none() && self.gatherer.due().is_some_and(|due| due <= now);
        // A client that reads on behind the old topic's offset does not see that they are another one's.
        if is_due && self.is_topic_another(TopicIds::ask) {
            return None;
        }
        let (batch, attempt) = match self.flight.take() {
            Some(Flight { mut batch, attempt, stage: Stage::RetryAt(at), .. }) if at <= now => {
                let partitions = &self.partitions;
                batch.retain(self.gatherer.envelope(), |partition, assignment| {
                    partitions.is_current(partition, assignment)
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
            None if is_due => (self.gatherer.take(now), 0),
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
            match self.poll_once() {
                None => return Progress::Stopped,
                Some(Polled::Gathered) => gathered = true,
                Some(Polled::Passed) => {}
                Some(Polled::Undeliverable { partition, offset, reason }) => {
                    self.stand_still(partition, offset, offset + 1, reason);
                }
                Some(Polled::Error(KafkaError::MessageConsumptionFatal(code))) => {
                    let why = format!("the Kafka client has ended: {code}");
                    tracing::error!(kafka.topic = %self.source.mapping.topic, "{why}");
                    self.shared.stopped(why);
                    return Progress::Stopped;
                }
                Some(Polled::Error(error)) => self.meet(&error),
                Some(Polled::Nothing) => {
                    self.keep_up();
                    break;
                }
            }
            if self.gatherer.is_full() && !self.is_paused {
                break;
            }
        }
        if gathered { Progress::Gathered } else { self.idle() }
    }

    /// `None` without a client.
    fn poll_once(&mut self) -> Option<Polled> {
        let consumer = self.consumer.as_ref()?;
        Some(match consumer.poll(Duration::ZERO) {
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset());
                let Some(taken) = self.partitions.take(partition, offset) else { return Some(Polled::Passed) };
                self.trouble.passed(taken.passed);
                match record::encode(&message, &self.frame) {
                    Ok(json) => {
                        let record = Encoded { partition, offset, assignment: taken.assignment, json };
                        self.gatherer.push(record, Instant::now());
                        Polled::Gathered
                    }
                    Err(reason) => Polled::Undeliverable { partition, offset, reason },
                }
            }
            Some(Err(error)) => Polled::Error(error),
            None => Polled::Nothing,
        })
    }

    /// What an error of the client means.
    fn meet(&mut self, error: &KafkaError) {
        match error {
            KafkaError::PartitionEOF(partition) => {
                if let Some(end) = self.consumer.as_ref().and_then(|consumer| consumer.context().take_end()) {
                    self.reached(*partition, end);
                }
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => self.find_place(),
            KafkaError::MessageConsumption(code) if look::is_unreadable(*code) => self.find_unreadable(error),
            error => self.note(error),
        }
    }

    fn idle(&self) -> Progress {
        let now = Instant::now();
        let next = match &self.flight {
            Some(Flight { stage: Stage::RetryAt(at), .. }) => Some(*at),
            // The window does not matter while a batch is with the function.
            Some(_) => None,
            None => self.gatherer.due(),
        };
        let next = [next, self.timers.next()].into_iter().flatten().min();
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
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
