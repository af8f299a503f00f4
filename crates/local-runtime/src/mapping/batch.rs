//! Gathering records into batches: pure, and exact about the event's size.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::event::kafka::Envelope;

/// What ends the gathering of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Records.
    pub(crate) records: usize,
    /// Since the first record.
    pub(crate) window: Duration,
    /// The event's JSON.
    pub(crate) payload_bytes: usize,
}

/// One record as it will stand in the event.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Which assignment of the partition it came under.
    pub(crate) assignment: u64,
    pub(crate) json: Vec<u8>,
}

/// Records of one or more partitions, each partition's in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    partitions: BTreeMap<i32, Part>,
    records: usize,
    bytes: usize,
    began: Option<Instant>,
}

#[derive(Debug)]
struct Part {
    assignment: u64,
    records: usize,
    next_offset: i64,
    json: Vec<u8>,
}

/// Gathers the next batch while the last one is with the function. Records that did not fit wait behind it.
#[derive(Debug)]
pub(crate) struct Gatherer {
    limits: Limits,
    envelope: Envelope,
    batch: Batch,
    waiting: VecDeque<Encoded>,
}

impl Gatherer {
    pub(crate) fn new(limits: Limits, envelope: Envelope) -> Self {
        Self { limits, envelope, batch: Batch::default(), waiting: VecDeque::new() }
    }

    /// Takes the next record of its partition.
    pub(crate) fn push(&mut self, record: Encoded, now: Instant) {
        if !self.waiting.is_empty() || !self.fits(&record) {
            self.waiting.push_back(record);
            return;
        }
        self.add(&record, now);
    }

    fn added_bytes(&self, record: &Encoded) -> usize {
        match self.batch.partitions.get(&record.partition) {
            Some(_) => b",".len() + record.json.len(),
            None => self.envelope.partition_bytes(record.partition) + record.json.len(),
        }
    }

    /// An empty batch takes any record: none comes here that is too large for an event even alone.
    fn fits(&self, record: &Encoded) -> bool {
        let of_another_assignment =
            self.batch.partitions.get(&record.partition).is_some_and(|part| part.assignment != record.assignment);
        // The first partition has no comma before it.
        let payload_bytes = self.envelope.bytes() + self.batch.bytes + self.added_bytes(record) - 1;
        self.batch.records == 0
            || (self.batch.records < self.limits.records
                && payload_bytes <= self.limits.payload_bytes
                && !of_another_assignment)
    }

    fn add(&mut self, record: &Encoded, now: Instant) {
        self.batch.bytes += self.added_bytes(record);
        self.batch.records += 1;
        self.batch.began.get_or_insert(now);
        let part = self.batch.partitions.entry(record.partition).or_insert_with(|| Part {
            assignment: record.assignment,
            records: 0,
            next_offset: record.offset,
            json: Vec::new(),
        });
        if part.records > 0 {
            part.json.push(b',');
        }
        part.json.extend_from_slice(&record.json);
        part.records += 1;
        part.next_offset = record.offset + 1;
    }

    /// Whether no more records should be polled for now.
    pub(crate) fn is_full(&self) -> bool {
        self.batch.records >= self.limits.records || !self.waiting.is_empty()
    }

    /// When the batch should go to the function; `None` while it is empty.
    pub(crate) fn due(&self) -> Option<Instant> {
        let began = self.batch.began?;
        Some(if self.is_full() { began } else { began + self.limits.window })
    }

    /// Whether it holds a record of this partition that came under this assignment.
    pub(crate) fn has(&self, partition: i32, assignment: u64) -> bool {
        self.batch.has(partition, assignment)
            || self.waiting.iter().any(|record| record.partition == partition && record.assignment == assignment)
    }

    /// Takes what has been gathered and begins the next batch with the records that wait.
    pub(crate) fn take(&mut self, now: Instant) -> Batch {
        let batch = std::mem::take(&mut self.batch);
        self.refill(now);
        batch
    }

    fn refill(&mut self, now: Instant) {
        while let Some(record) = self.waiting.pop_front() {
            if !self.fits(&record) {
                self.waiting.push_front(record);
                break;
            }
            self.add(&record, now);
        }
    }

    /// Forgets the records that `keep` (partition, assignment) refuses.
    pub(crate) fn retain(&mut self, keep: impl Fn(i32, u64) -> bool, now: Instant) {
        self.batch.retain(&self.envelope, &keep);
        self.waiting.retain(|record| keep(record.partition, record.assignment));
        self.refill(now);
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Whether it holds a record of this partition that came under this assignment.
    pub(crate) fn has(&self, partition: i32, assignment: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|part| part.assignment == assignment)
    }

    /// The event's exact size.
    fn payload_bytes(&self, envelope: &Envelope) -> usize {
        // The first partition has no comma before it.
        envelope.bytes() + self.bytes.saturating_sub(1)
    }

    /// The event.
    pub(crate) fn event(&self, envelope: &Envelope) -> Bytes {
        let partitions = self.partitions.iter().map(|(partition, part)| (*partition, part.json.as_slice()));
        envelope.event(partitions, self.payload_bytes(envelope))
    }

    /// Per partition the offset to commit, and the assignment under which that is allowed.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (i32, i64, u64)> {
        self.partitions.iter().map(|(partition, part)| (*partition, part.next_offset, part.assignment))
    }

    /// Forgets the partitions that `keep` (partition, assignment) refuses.
    pub(crate) fn retain(&mut self, envelope: &Envelope, keep: impl Fn(i32, u64) -> bool) {
        self.partitions.retain(|partition, part| keep(*partition, part.assignment));
        self.records = self.partitions.values().map(|part| part.records).sum();
        self.bytes = self.partitions.iter().map(|(p, part)| envelope.partition_bytes(*p) + part.json.len()).sum();
        if self.records == 0 {
            self.began = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::event::kafka::{Record, Timestamp, encode_record};
    use crate::template::Cluster;

    fn gatherer(records: usize, payload_bytes: usize) -> Gatherer {
        let envelope = Envelope::new(&Cluster::SelfManaged { brokers: vec![] }, "b:9092", "t");
        Gatherer::new(Limits { records, window: Duration::from_millis(500), payload_bytes }, envelope)
    }

    fn record(partition: i32, offset: i64, assignment: u64, value_bytes: usize) -> Encoded {
        let value = vec![b'v'; value_bytes];
        let mut json = Vec::new();
        let record = Record {
            topic: "t",
            partition,
            offset,
            timestamp: Timestamp::CreateTime(0),
            key: None,
            value: Some(&value),
            headers: &[],
        };
        encode_record(&record, &mut json);
        Encoded { partition, offset, assignment, json }
    }

    fn offsets(batch: &Batch, gatherer: &Gatherer) -> Vec<(i32, i64)> {
        let event: Value = serde_json::from_slice(&batch.event(gatherer.envelope())).unwrap();
        event["records"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|records| records.as_array().unwrap())
            .map(|record| {
                (i32::try_from(record["partition"].as_i64().unwrap()).unwrap(), record["offset"].as_i64().unwrap())
            })
            .collect()
    }

    #[test]
    fn a_batch_ends_at_its_record_count() {
        let now = Instant::now();
        let mut gatherer = gatherer(3, usize::MAX);
        for offset in 0..5 {
            assert_eq!(gatherer.is_full(), offset >= 3);
            gatherer.push(record(0, offset, 1, 1), now);
        }
        assert_eq!(gatherer.due(), Some(now));
        let batch = gatherer.take(now);
        assert_eq!(offsets(&batch, &gatherer), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(batch.commits().collect::<Vec<_>>(), [(0, 3, 1)]);
        assert!(!gatherer.is_full());
        assert_eq!(gatherer.due(), Some(now + Duration::from_millis(500)));
        assert_eq!(offsets(&gatherer.take(now), &gatherer), [(0, 3), (0, 4)]);
        assert_eq!(gatherer.due(), None);
    }

    #[test]
    fn what_is_at_hand_is_known_by_partition_and_assignment() {
        let now = Instant::now();
        let mut gatherer = gatherer(1, usize::MAX);
        gatherer.push(record(0, 6, 1, 10), now);
        gatherer.push(record(1, 7, 2, 10), now);
        assert!(gatherer.has(0, 1) && gatherer.has(1, 2));
        assert!(!gatherer.has(0, 2) && !gatherer.has(2, 1));
        let batch = gatherer.take(now);
        assert!(batch.has(0, 1) && !batch.has(0, 2) && !batch.has(1, 2));
        assert!(!gatherer.has(0, 1) && gatherer.has(1, 2));
    }

    #[test]
    fn revoked_partitions_are_forgotten() {
        let now = Instant::now();
        let mut gatherer = gatherer(3, usize::MAX);
        for offset in 0..3 {
            gatherer.push(record(0, offset, 1, 1), now);
            gatherer.push(record(1, offset, 2, 1), now);
        }
        let mut batch = gatherer.take(now);
        let keep = |partition, assignment| (partition, assignment) == (1, 2);
        batch.retain(gatherer.envelope(), keep);
        assert_eq!(offsets(&batch, &gatherer), [(1, 0)]);
        assert_eq!(batch.payload_bytes(gatherer.envelope()), batch.event(gatherer.envelope()).len());
        gatherer.retain(keep, now);
        assert_eq!(offsets(&gatherer.take(now), &gatherer), [(1, 1), (1, 2)]);
        gatherer.push(record(1, 9, 3, 1), now);
        gatherer.retain(|_, _| false, now);
        assert_eq!(gatherer.due(), None);
    }

    proptest! {
        #[test]
        fn every_record_is_in_exactly_one_batch_within_the_limits(
            sizes in proptest::collection::vec((0..4_i32, 0..400_usize), 0..60),
            max_records in 1..20_usize,
            payload_bytes in 900..3_000_usize,
        ) {
            let now = Instant::now();
            let mut gatherer = gatherer(max_records, payload_bytes);
            let mut pushed = Vec::new();
            let mut found = Vec::new();
            for (offset, (partition, size)) in (0_i64..).zip(sizes) {
                gatherer.push(record(partition, offset, 1, size), now);
                pushed.push((partition, offset));
                while gatherer.is_full() {
                    let batch = gatherer.take(now);
                    let event = batch.event(gatherer.envelope());
                    prop_assert!(event.len() <= payload_bytes, "{} > {}", event.len(), payload_bytes);
                    prop_assert_eq!(event.len(), batch.payload_bytes(gatherer.envelope()));
                    prop_assert!(batch.records() <= max_records);
                    found.extend(offsets(&batch, &gatherer));
                }
            }
            let rest = gatherer.take(now);
            if !rest.is_empty() {
                found.extend(offsets(&rest, &gatherer));
            }
            for partition in 0..4 {
                let of = |all: &[(i32, i64)]| all.iter().filter(|(p, _)| *p == partition).copied().collect::<Vec<_>>();
                prop_assert_eq!(of(&pushed), of(&found));
            }
        }
    }
}
