//! A partition: its segments, from the oldest to the one that is written.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::Notify;

use super::batch::{Batch, Header};
use super::producers::Producers;
use super::records::Moment;
use super::segment::{Check, Segment};
use crate::broker::files::{read_if_there, write_atomically};
use crate::broker::refusal::{Answer, Refusal};
use crate::broker::settings::{Limits, TimestampType};

/// Says from which offset on the log is there, once something of it has been deleted.
const START_FILE: &str = "start-offset";

#[derive(Debug)]
pub(in crate::broker) struct Partition {
    pub(in crate::broker) limits: Rc<Limits>,
    folder: PathBuf,
    start_offset: i64,
    /// Oldest first; each has batches.
    full: VecDeque<Segment>,
    /// The one that is written.
    active: Segment,
    producers: Producers,
    /// Fetches that wait for more.
    waiting: Vec<Weak<Notify>>,
}

/// What became of a batch.
#[derive(Debug, PartialEq)]
pub(in crate::broker) struct Appended {
    pub(in crate::broker) base_offset: i64,
    /// When it was appended, if that is the time of its records; else -1.
    pub(in crate::broker) append_time: i64,
}

/// What a fetch may have of a partition.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Slice {
    pub(in crate::broker) offset: i64,
    pub(in crate::broker) bytes_max: usize,
    /// One batch, even if it is larger.
    pub(in crate::broker) one_at_least: bool,
}

impl Partition {
    /// Opens a partition's folder, made if it is missing, and cuts off what a crash left unfinished.
    pub(in crate::broker) fn open(folder: PathBuf, limits: Rc<Limits>, now_ms: i64) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let offsets = segment_offsets(&folder)?;
        let kept =
            read_if_there(&folder.join(START_FILE))?.map(|text| text.parse()).transpose().map_err(io::Error::other)?;
        let start_offset = kept.or(offsets.first().copied()).unwrap_or(0);
        let mut producers = Producers::default();
        let mut full = VecDeque::new();
        for &offset in &offsets {
            let check = if offsets.last() == Some(&offset) { Check::Checksums } else { Check::Headers };
            let segment = Segment::open(&folder, offset, check, |header| producers.note(header, now_ms))?;
            // What a deletion did not come to, and a file without a batch.
            if segment.end_offset <= start_offset || segment.size == 0 {
                segment.remove()?;
            } else {
                full.push_back(segment);
            }
        }
        let active = full.pop_back().unwrap_or_else(|| Segment::new(&folder, start_offset));
        Ok(Self { limits, folder, start_offset, full, active, producers, waiting: Vec::new() })
    }

    pub(in crate::broker) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset of the next record.
    pub(in crate::broker) fn end_offset(&self) -> i64 {
        self.active.end_offset
    }

    pub(in crate::broker) fn size(&self) -> u64 {
        self.segments().map(|segment| segment.size).sum()
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.full.iter().chain([&self.active])
    }

    /// Adds a client's batch, or finds it where it was added before.
    pub(in crate::broker) fn append(&mut self, batch: &Batch, now_ms: i64) -> Answer<Appended> {
        check_size(batch.header(), &self.limits)?;
        batch.check()?;
        check_timestamps(batch, &self.limits, now_ms)?;
        if let Some(stored) = self.producers.check(batch.header())? {
            return Ok(Appended { base_offset: stored.base_offset, append_time: stored.max_timestamp });
        }
        let append_time = (self.limits.timestamp_type == TimestampType::LogAppendTime).then_some(now_ms);
        let stamped = batch.stamp(self.end_offset(), append_time);
        if self.is_full(&stamped.header) {
            self.roll();
        }
        self.active.append(&stamped, batch.records())?;
        self.producers.note(&stamped.header, now_ms);
        self.wake();
        Ok(Appended { base_offset: stamped.header.base_offset, append_time: append_time.unwrap_or(-1) })
    }

    fn is_full(&self, next: &Header) -> bool {
        let (active, limits) = (&self.active, &self.limits);
        let is_old = active.began.is_some_and(|began| next.max_timestamp.saturating_sub(began) > limits.segment_ms);
        active.size > 0 && (active.size + next.size as u64 > limits.segment_bytes || is_old)
    }

    fn roll(&mut self) {
        let next = Segment::new(&self.folder, self.active.end_offset);
        self.full.push_back(std::mem::replace(&mut self.active, next));
    }

    /// Wakes those who wait for more: something has come, or the partition goes.
    pub(in crate::broker) fn wake(&mut self) {
        for waiter in self.waiting.drain(..).filter_map(|waiter| waiter.upgrade()) {
            waiter.notify_one();
        }
    }

    /// Has somebody woken when something comes.
    pub(in crate::broker) fn wait(&mut self, waiter: &Rc<Notify>) {
        self.waiting.retain(|waiter| waiter.strong_count() > 0);
        self.waiting.push(Rc::downgrade(waiter));
    }

    /// Whole batches from an offset on; none at the end.
    pub(in crate::broker) fn read(&self, slice: Slice) -> Answer<Bytes> {
        let Slice { offset, bytes_max, one_at_least } = slice;
        if offset < self.start_offset || offset > self.end_offset() {
            return Err(ResponseError::OffsetOutOfRange.into());
        }
        if offset == self.end_offset() {
            return Ok(Bytes::new());
        }
        let segment = self.full.partition_point(|segment| segment.end_offset <= offset);
        Ok(self.full.get(segment).unwrap_or(&self.active).read(offset, bytes_max, one_at_least)?)
    }

    /// The first record that is not earlier than the time.
    pub(in crate::broker) fn first_since(&self, timestamp: i64) -> io::Result<Option<Moment>> {
        for segment in self.segments() {
            if let Some(moment) = segment.first_since(self.start_offset, timestamp)? {
                return Ok(Some(moment));
            }
        }
        Ok(None)
    }

    /// The first record that has the latest time of all.
    pub(in crate::broker) fn latest(&self) -> io::Result<Option<Moment>> {
        let latest = self.segments().filter_map(|segment| segment.latest).max();
        latest.map_or(Ok(None), |timestamp| self.first_since(timestamp))
    }

    /// Deletes what is below the offset.
    pub(in crate::broker) fn delete_before(&mut self, offset: i64) -> Answer<()> {
        if offset < 0 || offset > self.end_offset() {
            return Err(ResponseError::OffsetOutOfRange.into());
        }
        if offset <= self.start_offset {
            return Ok(());
        }
        // First the promise, then the deed: after a crash in between, opening does the rest.
        write_atomically(&self.folder.join(START_FILE), offset.to_string().as_bytes())?;
        self.start_offset = offset;
        if self.end_offset() == offset && self.active.size > 0 {
            self.roll();
        }
        while self.full.front().is_some_and(|oldest| oldest.end_offset <= offset)
            && let Some(oldest) = self.full.pop_front()
        {
            oldest.remove()?;
        }
        Ok(())
    }

    /// Deletes whole segments that are too old or too many.
    pub(in crate::broker) fn retain(&mut self, now_ms: i64) -> Answer<()> {
        let limits = &self.limits;
        self.producers.forget_silent(now_ms);
        let mut surplus = self.size().saturating_sub(limits.retention_bytes);
        let mut keep_from = self.start_offset;
        for segment in self.segments() {
            let is_surplus = segment.size <= surplus;
            let is_old = segment.latest.is_some_and(|latest| now_ms.saturating_sub(latest) > limits.retention_ms);
            if segment.size == 0 || !(is_surplus || is_old) {
                break;
            }
            surplus = surplus.saturating_sub(segment.size);
            keep_from = segment.end_offset;
        }
        self.delete_before(keep_from)
    }
}

/// What `max.message.bytes` limits is a batch as it is sent, compressed or not.
fn check_size(header: &Header, limits: &Limits) -> Answer<()> {
    let refuse = |error, limit: u64| Err(Refusal::new(error, format!("{} bytes exceed {limit}", header.size)));
    match header.size as u64 {
        size if size > limits.message_bytes => refuse(ResponseError::MessageTooLarge, limits.message_bytes),
        size if size > limits.segment_bytes => refuse(ResponseError::RecordListTooLarge, limits.segment_bytes),
        _ => Ok(()),
    }
}

/// Clients set the time of their records, within limits.
fn check_timestamps(batch: &Batch, limits: &Limits, now_ms: i64) -> Answer<()> {
    let Header { base_timestamp, max_timestamp, .. } = *batch.header();
    let is_early = |timestamp: i64| timestamp >= 0 && now_ms.saturating_sub(timestamp) > limits.before_ms;
    let is_late = max_timestamp.saturating_sub(now_ms) > limits.after_ms;
    if limits.timestamp_type == TimestampType::CreateTime && (is_early(base_timestamp) || is_late) {
        let message = format!("A timestamp from {base_timestamp} to {max_timestamp} is out of range");
        return Err(Refusal::new(ResponseError::InvalidTimestamp, message));
    }
    Ok(())
}

/// The base offsets of the segments in a folder, in order.
fn segment_offsets(folder: &Path) -> io::Result<Vec<i64>> {
    let mut offsets = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let offset: Option<i64> =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|offset| offset.parse().ok());
        offsets.extend(offset);
    }
    offsets.sort_unstable();
    Ok(offsets)
}
