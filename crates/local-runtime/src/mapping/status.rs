//! What a mapping tells about itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use jiff::Timestamp;

use super::partitions::Partitions;
use super::stop::Stop;
use crate::template::Mapping;

/// A mapping's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingStatus {
    /// The function.
    pub function: String,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// What it is doing.
    pub state: MappingState,
    /// Since when it has been doing that.
    pub since: Timestamp,
    /// When its thread was last seen at work, which it is several times a second, whatever its function and the brokers do.
    pub last_step: Timestamp,
    /// Invocations that succeeded.
    pub batches: u64,
    /// The records in them.
    pub records: u64,
    /// Invocations that failed; each is repeated.
    pub failures: u64,
    /// Offsets that were deleted before they could be read.
    pub lost_offsets: u64,
    /// The partitions that this mapping has now, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// What a mapping is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingState {
    /// Waiting for the broker, the topic or its partitions; why.
    Waiting(String),
    /// It has no partitions: other members of the group have them all.
    Spare,
    /// Partitions are assigned and records flow.
    Running,
    /// The same batch is repeated; the last error.
    Failing(String),
    /// It has ended, or can't go on; why.
    Stopped(String),
}

/// One partition's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: i32,
    /// The next offset to be processed: everything before it is committed, or lies before the starting position.
    pub position: Option<i64>,
    /// The end of the partition that can be read, as last heard from the broker.
    pub end: Option<i64>,
    /// Where it stands still, and why.
    pub stop: Option<Stop>,
}

impl MappingStatus {
    /// Records that are there and not yet processed and committed; `None` while that is not known.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        if self.partitions.is_empty() {
            return None;
        }
        self.partitions.iter().map(PartitionStatus::lag).sum()
    }
}

impl PartitionStatus {
    /// As [`MappingStatus::lag`].
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        Some(u64::try_from(self.end? - self.position?).unwrap_or_default())
    }
}

/// Between a mapping's thread and those who watch it.
pub(crate) struct Shared {
    is_stopping: AtomicBool,
    thread: OnceLock<Thread>,
    status: Mutex<MappingStatus>,
    leaderless: Mutex<Vec<i32>>,
    /// Partition and offset of records that somebody has decided to do without.
    skips: Mutex<Vec<(i32, i64)>>,
}

impl Shared {
    pub(crate) fn new(mapping: &Mapping) -> Self {
        let status = MappingStatus {
            function: mapping.function.clone(),
            topic: mapping.topic.clone(),
            group: mapping.group.clone(),
            state: MappingState::Waiting("connecting".into()),
            since: Timestamp::now(),
            last_step: Timestamp::now(),
            batches: 0,
            records: 0,
            failures: 0,
            lost_offsets: 0,
            partitions: Vec::new(),
        };
        Self {
            is_stopping: AtomicBool::new(false),
            thread: OnceLock::new(),
            status: Mutex::new(status),
            leaderless: Mutex::default(),
            skips: Mutex::default(),
        }
    }

    pub(crate) fn status(&self) -> MappingStatus {
        self.lock().clone()
    }

    pub(crate) fn is_of(&self, topic: &str) -> bool {
        self.lock().topic == topic
    }

    /// The thread to wake when something is told.
    pub(super) fn set_thread(&self, thread: Thread) {
        // A mapping's thread is started once.
        self.thread.get_or_init(|| thread);
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Lets a partition that stands still at this offset go on behind it.
    pub(crate) fn skip(&self, partition: i32, offset: i64) {
        self.skips.lock().unwrap_or_else(PoisonError::into_inner).push((partition, offset));
        self.wake();
    }

    pub(super) fn take_skips(&self) -> Vec<(i32, i64)> {
        std::mem::take(&mut *self.skips.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The mapping's thread is at work.
    pub(super) fn stepped(&self) {
        self.lock().last_step = Timestamp::now();
    }

    pub(super) fn set_state(&self, state: MappingState) {
        set_state(&mut self.lock(), state);
    }

    pub(super) fn stopped(&self, why: String) {
        self.set_state(MappingState::Stopped(why));
    }

    pub(super) fn succeeded(&self, records: usize) {
        let mut status = self.lock();
        status.batches += 1;
        status.records += u64::try_from(records).unwrap_or(u64::MAX);
        set_state(&mut status, MappingState::Running);
    }

    pub(super) fn failed(&self, why: String) {
        let mut status = self.lock();
        status.failures += 1;
        set_state(&mut status, MappingState::Failing(why));
    }

    pub(super) fn lost(&self, offsets: u64) {
        self.lock().lost_offsets += offsets;
    }

    /// The partitions that are assigned now, and how far they are.
    pub(super) fn set_partitions(&self, partitions: &Partitions) {
        let mut status = self.lock();
        let ends: BTreeMap<i32, Option<i64>> =
            status.partitions.iter().map(|known| (known.partition, known.end)).collect();
        status.partitions = partitions
            .positions()
            .map(|(partition, position, stop)| PartitionStatus {
                partition,
                position,
                end: ends.get(&partition).copied().flatten().max(position),
                stop: stop.cloned(),
            })
            .collect();
    }

    pub(super) fn ends(&self, ends: &BTreeMap<i32, i64>) {
        for found in &mut self.lock().partitions {
            found.end = found.end.max(ends.get(&found.partition).copied());
        }
    }

    /// The client's statistics: the partitions' ends, and those without a leader.
    pub(super) fn heard(&self, ends: &BTreeMap<i32, i64>, leaderless: Vec<i32>) {
        self.ends(ends);
        *self.leaderless.lock().unwrap_or_else(PoisonError::into_inner) = leaderless;
    }

    /// The partitions that no broker leads, as last heard.
    pub(super) fn leaderless(&self) -> Vec<i32> {
        self.leaderless.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, MappingStatus> {
        // Every writer leaves a whole status behind.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `since` tells how long it has been in this state, whatever the words are.
fn set_state(status: &mut MappingStatus, state: MappingState) {
    if std::mem::discriminant(&status.state) != std::mem::discriminant(&state) {
        status.since = Timestamp::now();
    }
    status.state = state;
}
