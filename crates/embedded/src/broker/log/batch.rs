//! A batch of records, of which the broker reads the header only: it stores and sends batches as they came.

use bytes::{Buf, Bytes};
use kafka_protocol::ResponseError;

use crate::broker::refusal::{Answer, Refusal};

/// What lies before a batch's records.
pub(super) const HEADER_BYTES: usize = 61;

/// The bytes that a batch's length does not count: its offset, and the length itself.
const UNCOUNTED_BYTES: usize = 12;

/// What the checksum covers begins here: after offset, length, leader epoch, magic and the checksum.
const CHECKED_FROM: usize = 21;

const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

/// The only format that Kafka 4 takes.
const MAGIC: i8 = 2;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// Kafka's number for zstd, the last of the codecs.
const ZSTD: i16 = 4;

/// Clients of earlier versions of Produce can't read zstd.
const ZSTD_SINCE: i16 = 7;

/// A batch without a producer id comes from a producer that is not idempotent.
const NO_PRODUCER: i64 = -1;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) base_offset: i64,
    /// Of the whole batch.
    pub(super) size: usize,
    magic: i8,
    crc: u32,
    attributes: i16,
    last_offset_delta: i32,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    count: i32,
}

impl Header {
    /// Nothing when the bytes are too few, or no batch that the broker could have written.
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES {
            return None;
        }
        let base_offset = bytes.get_i64();
        let size = usize::try_from(bytes.get_i32()).ok()? + UNCOUNTED_BYTES;
        let _leader_epoch = bytes.get_i32();
        let header = Self {
            base_offset,
            size,
            magic: bytes.get_i8(),
            crc: bytes.get_u32(),
            attributes: bytes.get_i16(),
            last_offset_delta: bytes.get_i32(),
            base_timestamp: bytes.get_i64(),
            max_timestamp: bytes.get_i64(),
            producer_id: bytes.get_i64(),
            producer_epoch: bytes.get_i16(),
            base_sequence: bytes.get_i32(),
            count: bytes.get_i32(),
        };
        (size >= HEADER_BYTES).then_some(header)
    }

    /// Whether it is a batch of ours that may follow the offset.
    pub(super) fn continues(&self, next_offset: i64) -> bool {
        self.magic == MAGIC && self.last_offset_delta >= 0 && self.base_offset >= next_offset
    }

    pub(super) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The idempotent producer, if it is one.
    pub(super) fn producer(&self) -> Option<i64> {
        (self.producer_id != NO_PRODUCER).then_some(self.producer_id)
    }

    /// Sequence numbers begin anew after the largest.
    pub(super) fn last_sequence(&self) -> i32 {
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(last % (i64::from(i32::MAX) + 1)).unwrap_or_default()
    }

    pub(super) fn codec(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    /// When it was appended, if that is the time of its records.
    pub(super) fn append_time(&self) -> Option<i64> {
        (self.attributes & LOG_APPEND_TIME != 0).then_some(self.max_timestamp)
    }

    /// Whether the batch, header included, is what was written.
    pub(super) fn is_intact(&self, batch: &[u8]) -> bool {
        batch.len() == self.size && crc32c::crc32c(&batch[CHECKED_FROM..]) == self.crc
    }
}

/// A batch of a client's, checked.
#[derive(Debug)]
pub(in crate::broker) struct Batch {
    header: Header,
    bytes: Bytes,
}

/// A batch's header as it is stored.
pub(super) struct Stamped {
    pub(super) header: Header,
    pub(super) head: [u8; HEADER_BYTES],
}

impl Batch {
    /// What a client wants to append, which is one batch.
    pub(in crate::broker) fn from_client(records: Option<Bytes>, version: i16) -> Answer<Self> {
        let invalid = |what: &str| {
            let message = format!("Produce requests with version {version} {what}");
            Refusal::new(ResponseError::InvalidRecord, message)
        };
        let bytes = records.unwrap_or_default();
        let header = Header::parse(&bytes).filter(|header| header.size <= bytes.len());
        let header = header.ok_or_else(|| invalid("must have at least one record batch"))?;
        if header.magic != MAGIC {
            return Err(invalid("are only allowed to contain record batches with magic version 2"));
        }
        if header.codec() == ZSTD && version < ZSTD_SINCE {
            let message =
                format!("Produce requests with version {version} are not allowed to use ZStandard compression");
            return Err(Refusal::new(ResponseError::UnsupportedCompressionType, message));
        }
        if header.size != bytes.len() {
            return Err(invalid("are only allowed to contain exactly one record batch"));
        }
        Ok(Self { header, bytes })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Refuses a batch that its readers could not use.
    pub(super) fn check(&self) -> Answer<()> {
        let Header { base_offset, attributes, last_offset_delta, count, crc, .. } = self.header;
        let invalid = |what: String| Err(Refusal::new(ResponseError::InvalidRecord, what));
        if base_offset != 0 {
            return invalid(format!("The baseOffset of the record batch should be 0, but it is {base_offset}"));
        }
        if !self.header.is_intact(&self.bytes) {
            return Err(Refusal::new(ResponseError::CorruptMessage, format!("Record is corrupt (stored crc = {crc})")));
        }
        if attributes & CONTROL != 0 {
            return invalid("Clients are not allowed to write control records".to_owned());
        }
        if attributes & TRANSACTIONAL != 0 {
            return Err(Refusal::new(ResponseError::InvalidTxnState, "This broker has no transactions"));
        }
        if count <= 0 || last_offset_delta != count - 1 {
            return invalid(format!("{count} records can't have a last offset delta of {last_offset_delta}"));
        }
        if self.header.codec() > ZSTD {
            return invalid(format!("Unknown compression type id: {}", self.header.codec()));
        }
        Ok(())
    }

    /// Its header at its place in the log. Neither offset nor leader epoch is part of the checksum.
    pub(super) fn stamp(&self, base_offset: i64, append_time: Option<i64>) -> Stamped {
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&self.bytes[..HEADER_BYTES]);
        head[..8].copy_from_slice(&base_offset.to_be_bytes());
        head[12..16].copy_from_slice(&super::LEADER_EPOCH.to_be_bytes());
        let mut header = Header { base_offset, ..self.header };
        if let Some(now) = append_time {
            header.attributes |= LOG_APPEND_TIME;
            header.max_timestamp = now;
            head[ATTRIBUTES_AT..][..2].copy_from_slice(&header.attributes.to_be_bytes());
            head[MAX_TIMESTAMP_AT..][..8].copy_from_slice(&now.to_be_bytes());
            header.crc = crc32c::crc32c_append(crc32c::crc32c(&head[CHECKED_FROM..]), self.records());
            head[CRC_AT..][..4].copy_from_slice(&header.crc.to_be_bytes());
        }
        Stamped { header, head }
    }

    /// What follows the header.
    pub(super) fn records(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }
}
