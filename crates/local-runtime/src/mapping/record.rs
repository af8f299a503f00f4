//! A Kafka message as it will stand in the event, or why it can't.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use super::stop::StopReason;
use crate::event::kafka::{Envelope, Record, Timestamp, encode_record};

/// How the client's own panic over a header is told.
const BAD_HEADER: &str = "it has a header whose name is not UTF-8 text";

/// What an event may be at the most, and what stands around its records.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) envelope: Envelope,
    pub(super) limit_bytes: usize,
}

/// The record's JSON.
pub(super) fn encode(message: &BorrowedMessage<'_>, frame: &Frame) -> Result<Vec<u8>, StopReason> {
    let headers = match message.headers() {
        Some(headers) => read(headers).ok_or_else(|| StopReason::Unreadable { detail: BAD_HEADER.to_owned() })?,
        None => Vec::new(),
    };
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
    encode_within(&record, frame)
}

fn encode_within(record: &Record<'_>, frame: &Frame) -> Result<Vec<u8>, StopReason> {
    let limit_bytes = frame.limit_bytes;
    let too_large = |json_bytes: usize| {
        let payload_bytes = frame.envelope.bytes_of_one(record.partition, json_bytes);
        (payload_bytes > limit_bytes).then_some(StopReason::TooLarge { payload_bytes, limit_bytes })
    };
    let contents_bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    // Such a record is not written into memory a second time only to see how large it is.
    if contents_bytes > limit_bytes
        && let Some(reason) = too_large(json_bytes(record))
    {
        return Err(reason);
    }
    let mut json = Vec::with_capacity(contents_bytes / 3 * 4 + 256);
    encode_record(record, &mut json);
    match too_large(json.len()) {
        Some(reason) => Err(reason),
        None => Ok(json),
    }
}

/// The length of the record's JSON.
fn json_bytes(record: &Record<'_>) -> usize {
    let mut rest = Vec::new();
    encode_record(&Record { key: None, value: None, ..*record }, &mut rest);
    let contents = [record.key, record.value].into_iter().flatten();
    contents.fold(rest.len(), |sum, bytes| sum - "null".len() + "\"\"".len() + bytes.len().div_ceil(3) * 4)
}

type Header<'a> = (&'a str, Option<&'a [u8]>);

/// The headers; `None` where the client panics over one of them (`BorrowedHeaders` takes every name for UTF-8, which
/// brokers do not check).
fn read<H: Headers>(headers: &H) -> Option<Vec<Header<'_>>> {
    let all = || headers.iter().map(|header| (header.key, header.value)).collect();
    catch_unwind(AssertUnwindSafe(all)).ok()
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Header;

    use super::*;
    use crate::template::Cluster;

    /// Headers of which the second can't be read.
    struct Spoiled;

    impl Headers for Spoiled {
        fn count(&self) -> usize {
            2
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            assert!(index == 0, "the client panics");
            Some(Header { key: "sound", value: Some(b"1") })
        }
    }

    struct Sound;

    impl Headers for Sound {
        fn count(&self) -> usize {
            2
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            Some(Header { key: "sound", value: (index == 0).then_some(b"1") })
        }
    }

    #[test]
    fn a_panic_over_a_header_is_no_end_of_the_mapping() {
        assert_eq!(read(&Spoiled), None);
        assert_eq!(read(&Sound), Some(vec![("sound", Some(&b"1"[..])), ("sound", None)]));
    }

    fn record<'a>(key: Option<&'a [u8]>, value: &'a [u8]) -> Record<'a> {
        Record {
            topic: "t",
            partition: 3,
            offset: 7,
            timestamp: Timestamp::CreateTime(1),
            key,
            value: Some(value),
            headers: &[],
        }
    }

    #[test]
    fn a_record_is_measured_exactly_in_its_event() {
        let cluster = Cluster::SelfManaged { brokers: vec!["b:9092".into()] };
        let envelope = Envelope::new(&cluster, "b:9092", "t");
        let frame = |limit_bytes| Frame { envelope: envelope.clone(), limit_bytes };
        for (key, length) in [(None, 1_000), (Some(&b"key"[..]), 1_001), (Some(&b""[..]), 1_002)] {
            let value = vec![b'v'; length];
            let record = record(key, &value);
            let json = encode_within(&record, &frame(10_000)).unwrap();
            let event = envelope.event([(3, json.as_slice())], 0);
            let measured = |limit_bytes| match encode_within(&record, &frame(limit_bytes)) {
                Err(StopReason::TooLarge { payload_bytes, .. }) => Some(payload_bytes),
                _ => None,
            };
            assert_eq!(measured(event.len()), None);
            assert_eq!(measured(event.len() - 1), Some(event.len()));
            // Not even written.
            assert_eq!(measured(10), Some(event.len()));
        }
    }
}
