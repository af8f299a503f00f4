//! What a mapping tells about itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Invocations that succeeded.
    pub batches: u64,
    /// The records in them.
    pub records: u64,
    /// Invocations that failed; each is repeated.
    pub failures: u64,
    /// The partitions that this mapping has now, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// What a mapping is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingState {
    /// Waiting for the broker, the topic or its partitions; why.
    Waiting(String),
    /// Partitions are assigned and records flow.
    Running,
    /// The same batch is repeated; the last error.
    Failing(String),
    /// It has ended, or can't go on; why.
    Stopped(String),
}

/// One partition's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: i32,
    /// The next offset to be processed: everything before it is committed, or lies before the starting position.
    pub position: Option<i64>,
    /// The end of the partition, as last heard from the broker.
    pub end: Option<i64>,
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
pub(super) struct Shared {
    is_stopping: AtomicBool,
    status: Mutex<MappingStatus>,
}

impl Shared {
    pub(super) fn new(mapping: &Mapping) -> Self {
        let status = MappingStatus {
            function: mapping.function.clone(),
            topic: mapping.topic.clone(),
            group: mapping.group.clone(),
            state: MappingState::Waiting("connecting".into()),
            batches: 0,
            records: 0,
            failures: 0,
            partitions: Vec::new(),
        };
        Self { is_stopping: AtomicBool::new(false), status: Mutex::new(status) }
    }

    pub(super) fn status(&self) -> MappingStatus {
        self.lock().clone()
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub(super) fn set_state(&self, state: MappingState) {
        self.lock().state = state;
    }

    pub(super) fn stopped(&self, why: String) {
        self.set_state(MappingState::Stopped(why));
    }

    pub(super) fn succeeded(&self, records: usize) {
        let mut status = self.lock();
        status.batches += 1;
        status.records += u64::try_from(records).unwrap_or(u64::MAX);
        status.state = MappingState::Running;
    }

    pub(super) fn failed(&self, why: String) {
        let mut status = self.lock();
        status.failures += 1;
        status.state = MappingState::Failing(why);
    }

    /// The partitions that are assigned now, with where they begin and end.
    pub(super) fn set_partitions(&self, partitions: Vec<PartitionStatus>) {
        self.lock().partitions = partitions;
    }

    pub(super) fn committed(&self, partition: i32, offset: i64) {
        let mut status = self.lock();
        if let Some(found) = status.partitions.iter_mut().find(|found| found.partition == partition) {
            found.position = Some(offset);
            found.end = found.end.max(Some(offset));
        }
    }

    /// The partitions' ends, from the client's statistics.
    pub(super) fn ends(&self, ends: &BTreeMap<i32, i64>) {
        let mut status = self.lock();
        for found in &mut status.partitions {
            found.end = found.end.max(ends.get(&found.partition).copied());
        }
    }

    fn lock(&self) -> MutexGuard<'_, MappingStatus> {
        // Every writer leaves a whole status behind.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
