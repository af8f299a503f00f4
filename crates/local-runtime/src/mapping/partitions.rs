//! What a mapping knows of its partitions: how far each is gathered and committed, and which stand still. Pure.

use std::collections::BTreeMap;

use super::stop::Stop;

/// Where a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At this offset.
    At(i64),
    /// At the oldest record that is there.
    Oldest,
    /// Behind the newest record.
    End,
}

/// What was found out about a partition's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) partition: i32,
    pub(super) start: Start,
    /// What the group has committed, and that is what `start` is.
    pub(super) committed: Option<i64>,
    /// The group's committed offset is that of a topic that is gone: it is to be replaced as soon as `start` is an
    /// offset.
    pub(super) is_stale: bool,
}

/// The assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    known: BTreeMap<i32, Assigned>,
    assignments: u64,
}

#[derive(Debug)]
struct Assigned {
    assignment: u64,
    start: Option<Start>,
    /// Everything below it was gathered, holds no record, or lies before the start.
    next: Option<i64>,
    committed: Option<i64>,
    is_stale: bool,
    stop: Option<Stop>,
}

/// A record that is the next one of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) assignment: u64,
    /// Offsets before it that hold no record.
    pub(super) passed: u64,
}

/// An offset to commit, and the assignment under which that is allowed.
pub(super) type Commit = (i32, i64, u64);

impl Partitions {
    /// Whether there was any assignment yet, even of no partition.
    pub(super) fn were_assigned(&self) -> bool {
        self.assignments > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes partitions, of which nothing is known.
    pub(super) fn assign(&mut self, partitions: &[i32]) {
        self.assignments += 1;
        for partition in partitions {
            let assigned = Assigned {
                assignment: self.assignments,
                start: None,
                next: None,
                committed: None,
                is_stale: false,
                stop: None,
            };
            self.known.insert(*partition, assigned);
        }
    }

    pub(super) fn revoke(&mut self, partitions: &[i32]) {
        self.known.retain(|partition, _| !partitions.contains(partition));
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Those of which it is not known yet where they begin.
    pub(super) fn without_start(&self) -> Vec<i32> {
        self.known.iter().filter(|(_, found)| found.start.is_none()).map(|(partition, _)| *partition).collect()
    }

    pub(super) fn begin(&mut self, beginning: Beginning) {
        let Beginning { partition, start, committed, is_stale } = beginning;
        let Some(found) = self.known.get_mut(&partition) else { return };
        found.start = Some(start);
        found.next = if let Start::At(offset) = start { Some(offset) } else { None };
        found.committed = committed;
        found.is_stale = is_stale;
    }

    /// Begins a partition anew: what is at hand of it is nobody's any more.
    pub(super) fn begin_anew(&mut self, partition: i32, start: Start) {
        self.assignments += 1;
        let assignment = self.assignments;
        if let Some(found) = self.known.get_mut(&partition) {
            *found = Assigned { assignment, start: None, next: None, committed: None, is_stale: false, stop: None };
        }
        self.begin(Beginning { partition, start, committed: None, is_stale: true });
    }

    /// From where the client has to fetch each partition that has begun.
    pub(super) fn fetch_from(&self) -> impl Iterator<Item = (i32, Start)> {
        self.known.iter().filter_map(|(partition, found)| {
            let start = found.next.map(Start::At).or(found.start)?;
            Some((*partition, start))
        })
    }

    /// The partitions that have begun and do not stand still.
    pub(super) fn running(&self) -> impl Iterator<Item = (i32, Start)> {
        self.fetch_from().filter(|(partition, _)| self.stop(*partition).is_none())
    }

    /// Whether records that came under this assignment are still this mapping's to process and commit.
    pub(super) fn is_current(&self, partition: i32, assignment: u64) -> bool {
        self.known.get(&partition).is_some_and(|found| found.assignment == assignment)
    }

    /// A record has come; `None` when it is not of the assignment any more, repeats, or lies behind where its partition
    /// stands still.
    pub(super) fn take(&mut self, partition: i32, offset: i64) -> Option<Taken> {
        let found = self.known.get_mut(&partition)?;
        if found.start.is_none() || found.stop.is_some() || found.next.is_some_and(|next| offset < next) {
            return None;
        }
        let passed = found.next.map_or(0, |next| u64::try_from(offset - next).unwrap_or_default());
        found.first(offset);
        found.next = Some(offset + 1);
        Some(Taken { assignment: found.assignment, passed })
    }

    /// All of the partition below this offset was handed over, or holds no record.
    pub(super) fn reached(&mut self, partition: i32, end: i64) {
        let Some(found) = self.known.get_mut(&partition) else { return };
        if found.start.is_some() && found.stop.is_none() && found.next.is_none_or(|next| next <= end) {
            found.first(end);
            found.next = Some(end);
        }
    }

    /// What lies below `oldest` was deleted: the partition goes on there. Returns how many offsets were lost.
    pub(super) fn lose(&mut self, partition: i32, oldest: i64) -> Option<u64> {
        let found = self.known.get_mut(&partition).filter(|found| found.stop.is_none())?;
        let lost = found.next.filter(|next| *next < oldest).map(|next| oldest - next)?;
        found.next = Some(oldest);
        u64::try_from(lost).ok()
    }

    /// Lets a partition stand still at a record that can't be delivered.
    pub(super) fn stop_at(&mut self, partition: i32, stop: Stop) {
        if let Some(found) = self.known.get_mut(&partition) {
            found.next = Some(stop.offset);
            found.stop = Some(stop);
        }
    }

    /// Where and why the partition stands still.
    pub(super) fn stop(&self, partition: i32) -> Option<&Stop> {
        self.known.get(&partition)?.stop.as_ref()
    }

    pub(super) fn stops(&self) -> impl Iterator<Item = (i32, &Stop)> {
        self.known.iter().filter_map(|(partition, found)| Some((*partition, found.stop.as_ref()?)))
    }

    /// For each partition the next offset to be processed, where that is known, and its stop.
    pub(super) fn positions(&self) -> impl Iterator<Item = (i32, Option<i64>, Option<&Stop>)> {
        self.known.iter().map(|(partition, found)| {
            let first = if let Some(Start::At(first)) = found.start { Some(first) } else { None };
            (*partition, found.committed.or(first), found.stop.as_ref())
        })
    }

    /// A partition that stands still goes on from this offset; what lies before it will not be delivered.
    pub(super) fn go_on(&mut self, partition: i32, offset: i64) {
        if let Some(found) = self.known.get_mut(&partition) {
            found.stop = None;
            found.next = Some(offset);
        }
    }

    pub(super) fn committed(&mut self, partition: i32, offset: i64) {
        if let Some(found) = self.known.get_mut(&partition) {
            found.committed = Some(offset);
            found.is_stale = false;
        }
    }

    /// What can be committed beside processed records: offsets that a partition has reached and of which nothing is at
    /// hand any more, as `is_at_hand` (partition, assignment) tells.
    pub(super) fn commits(&self, is_at_hand: impl Fn(i32, u64) -> bool) -> Vec<Commit> {
        let mut commits = Vec::new();
        for (partition, found) in &self.known {
            let Some(next) = found.next else { continue };
            let is_ahead = found.is_stale || found.committed.is_none_or(|committed| committed < next);
            if is_ahead && !is_at_hand(*partition, found.assignment) {
                commits.push((*partition, next, found.assignment));
            } else if let (true, Some(Start::At(first))) = (found.is_stale, found.start) {
                commits.push((*partition, first, found.assignment));
            }
        }
        commits
    }
}

impl Assigned {
    /// The first offset that is heard of a partition that began at a logical one is where it has begun.
    fn first(&mut self, offset: i64) {
        if self.next.is_none() {
            self.start = Some(Start::At(offset));
        }
    }
}
