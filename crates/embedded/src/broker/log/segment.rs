//! One file of a log: batches, one after the other, as clients get them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::batch::{HEADER_BYTES, Header, Stamped};
use super::records::{self, Moment};

/// How far apart the batches are whose places are remembered.
const INDEX_INTERVAL_BYTES: u64 = 16 << 10;

/// A segment's file opens when it is used, so that a thousand partitions need no thousand open files.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    /// The offset of the next record.
    pub(super) end_offset: i64,
    pub(super) size: u64,
    /// The latest time of a record.
    pub(super) latest: Option<i64>,
    /// The time of the first batch.
    pub(super) began: Option<i64>,
    index: Vec<Entry>,
}

/// The place of a batch.
#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    position: u64,
    /// Of all batches before it.
    latest: Option<i64>,
}

/// What an open reads of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Check {
    /// The headers.
    Headers,
    /// Everything, against its checksums: a crash may have torn the last batches.
    Checksums,
}

impl Segment {
    /// A segment whose file comes with its first batch.
    pub(super) fn new(folder: &Path, base_offset: i64) -> Self {
        Self {
            path: folder.join(format!("{base_offset:020}.log")),
            end_offset: base_offset,
            size: 0,
            latest: None,
            began: None,
            index: Vec::new(),
        }
    }

    /// Reads a segment anew, tells of each batch, and cuts off what is no whole batch.
    pub(super) fn open(
        folder: &Path,
        base_offset: i64,
        check: Check,
        mut visit: impl FnMut(&Header),
    ) -> io::Result<Self> {
        let mut segment = Self::new(folder, base_offset);
        let file = OpenOptions::new().read(true).write(true).open(&segment.path)?;
        let length = file.metadata()?.len();
        let mut batch = Vec::new();
        while let Some(header) = read_header(&file, segment.size)? {
            let fits = segment.size + header.size as u64 <= length;
            if !fits || !header.continues(segment.end_offset) {
                break;
            }
            if check == Check::Checksums {
                batch.resize(header.size, 0);
                file.read_exact_at(&mut batch, segment.size)?;
                if !header.is_intact(&batch) {
                    break;
                }
            }
            segment.note(&header);
            visit(&header);
        }
        if segment.size < length {
            let (kept, cut) = (segment.size, length - segment.size);
            tracing::warn!(path = %segment.path.display(), kept_bytes = kept, cut_bytes = cut, "a torn end was cut off");
            file.set_len(segment.size)?;
        }
        Ok(segment)
    }

    /// Adds a batch; after an error the segment is as before.
    pub(super) fn append(&mut self, stamped: &Stamped, records: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        let written = file
            .write_all_at(&stamped.head, self.size)
            .and_then(|()| file.write_all_at(records, self.size + HEADER_BYTES as u64));
        if written.is_err() {
            file.set_len(self.size)?;
        }
        written?;
        self.note(&stamped.header);
        Ok(())
    }

    fn note(&mut self, header: &Header) {
        let is_far = self.index.last().is_none_or(|last| self.size - last.position >= INDEX_INTERVAL_BYTES);
        if is_far {
            self.index.push(Entry { offset: header.base_offset, position: self.size, latest: self.latest });
        }
        self.latest = self.latest.max(Some(header.max_timestamp));
        self.began.get_or_insert(header.max_timestamp);
        self.size += header.size as u64;
        self.end_offset = header.last_offset() + 1;
    }

    /// Whole batches from the one that holds the offset on: at most so many bytes, but one batch if it must be.
    pub(super) fn read(&self, offset: i64, bytes_max: usize, one_at_least: bool) -> io::Result<Bytes> {
        let entry = self.index.partition_point(|entry| entry.offset <= offset);
        let file = File::open(&self.path)?;
        let is_wanted = |header: &Header| header.last_offset() >= offset;
        let Some((first, position)) = self.seek(&file, self.position_before(entry), is_wanted)? else {
            return Ok(Bytes::new());
        };
        let bytes_max = if one_at_least { bytes_max.max(first.size) } else { bytes_max };
        let rest = usize::try_from(self.size - position).unwrap_or(usize::MAX);
        let mut bytes = vec![0; bytes_max.min(rest)];
        file.read_exact_at(&mut bytes, position)?;
        bytes.truncate(whole_batches(&bytes));
        Ok(bytes.into())
    }

    /// The first record at or above the offset that is not earlier than the time.
    pub(super) fn first_since(&self, start_offset: i64, timestamp: i64) -> io::Result<Option<Moment>> {
        if self.latest < Some(timestamp) || self.end_offset <= start_offset {
            return Ok(None);
        }
        let file = File::open(&self.path)?;
        let entry = self.index.partition_point(|entry| entry.latest < Some(timestamp));
        let mut position = self.position_before(entry);
        let is_candidate = |header: &Header| header.max_timestamp >= timestamp && header.last_offset() >= start_offset;
        while let Some((header, at)) = self.seek(&file, position, is_candidate)? {
            let mut records = vec![0; header.size - HEADER_BYTES];
            file.read_exact_at(&mut records, at + HEADER_BYTES as u64)?;
            let wanted = |moment: &Moment| moment.timestamp >= timestamp && moment.offset >= start_offset;
            if let Some(moment) = records::first(&header, &records, wanted)? {
                return Ok(Some(moment));
            }
            position = at + header.size as u64;
        }
        Ok(None)
    }

    /// Where the batch of the index begins that is before this one.
    fn position_before(&self, entry: usize) -> u64 {
        entry.checked_sub(1).map_or(0, |before| self.index[before].position)
    }

    /// The first batch from a position on that is wanted, and its position.
    fn seek(
        &self,
        file: &File,
        mut position: u64,
        is_wanted: impl Fn(&Header) -> bool,
    ) -> io::Result<Option<(Header, u64)>> {
        while position < self.size {
            let header = read_header(file, position)?.ok_or(io::ErrorKind::InvalidData)?;
            if is_wanted(&header) {
                return Ok(Some((header, position)));
            }
            position += header.size as u64;
        }
        Ok(None)
    }

    /// Removes its file.
    pub(super) fn remove(&self) -> io::Result<()> {
        if self.size == 0 { Ok(()) } else { std::fs::remove_file(&self.path) }
    }
}

/// Nothing at the end of the file, or where no header is.
fn read_header(file: &File, position: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    match file.read_exact_at(&mut bytes, position) {
        Ok(()) => Ok(Header::parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many of the bytes are whole batches.
fn whole_batches(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(header) = Header::parse(&bytes[whole..])
        && whole + header.size <= bytes.len()
    {
        whole += header.size;
    }
    whole
}
