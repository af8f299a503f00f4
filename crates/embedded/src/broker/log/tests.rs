//! The log against a plain model of it: what was appended is read again, whatever was cut, deleted or torn.

use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use proptest::prelude::*;

use super::batch::Header;
use super::partition::Appended;
use super::{Batch, Moment, Partition, Slice};
use crate::broker::settings::{Limits, Settings, Values};

const NOW: i64 = 1_700_000_000_000;

const NOBODY: Sender = Sender { id: -1, epoch: -1, sequence: -1 };

/// What a batch says of its producer.
#[derive(Clone, Copy, Debug)]
struct Sender {
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl Sender {
    fn at(sequence: i32) -> Self {
        Self { id: 7, epoch: 0, sequence }
    }
}

/// The records of a batch: how many, how large, and from when, each a second later than the one before.
fn records(count: usize, size: usize, timestamp: i64, sender: Sender) -> Vec<Record> {
    let record = |index: usize| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: sender.id,
        producer_epoch: sender.epoch,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        sequence: if sender.id < 0 { index as i32 - 1 } else { sender.sequence + index as i32 },
        timestamp: timestamp + 1000 * index as i64,
        key: index.is_multiple_of(2).then(|| Bytes::from(format!("key {index}"))),
        value: (index % 3 != 2).then(|| Bytes::from(vec![b'x'; size])),
        headers: [("h".to_owned().into(), None)].into_iter().collect(),
    };
    (0..count).map(record).collect()
}

fn encoded(records: &[Record], codec: Compression) -> Bytes {
    let options = RecordEncodeOptions { version: 2, compression: codec };
    let mut bytes = BytesMut::new();
    let compress = |plain: &mut BytesMut, out: &mut BytesMut, codec: Compression| {
        out.extend_from_slice(&compressed(plain, codec));
        Ok(())
    };
    RecordBatchEncoder::encode_with_custom_compression(&mut bytes, records, &options, Some(compress)).unwrap();
    bytes.freeze()
}

fn compressed(plain: &[u8], codec: Compression) -> Vec<u8> {
    use std::io::Write;
    match codec {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(plain).unwrap();
            gzip.finish().unwrap()
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        Compression::Lz4 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(plain).unwrap();
            lz4.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(plain, 1).unwrap(),
    }
}

fn batch(count: usize, size: usize, timestamp: i64, sender: Sender) -> Bytes {
    encoded(&records(count, size, timestamp, sender), Compression::None)
}

fn limits(configs: &[(&str, &str)]) -> Limits {
    let configs: Values = configs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Settings::new(&[]).unwrap().limits(&configs)
}

fn open(folder: &Path) -> Partition {
    open_with(folder, limits(&[]))
}

fn open_with(folder: &Path, limits: Limits) -> Partition {
    Partition::open(folder.join("0"), Rc::new(limits), NOW).unwrap()
}

fn append(partition: &mut Partition, bytes: &Bytes) -> Result<i64, ResponseError> {
    let batch = Batch::from_client(Some(bytes.clone()), 9).unwrap();
    partition.append(&batch, NOW).map(|appended| appended.base_offset).map_err(|refusal| refusal.error)
}

/// All batches from an offset on, read in pieces: base offset, records.
fn read_from(partition: &Partition, mut offset: i64, bytes_max: usize) -> Vec<(i64, Bytes)> {
    let mut batches = Vec::new();
    while offset < partition.end_offset() {
        let mut bytes = partition.read(Slice { offset, bytes_max, one_at_least: true }).unwrap();
        assert!(!bytes.is_empty(), "nothing at {offset}, before the end {}", partition.end_offset());
        while !bytes.is_empty() {
            let header = Header::parse(&bytes).unwrap();
            let whole = bytes.split_to(header.size);
            assert!(header.is_intact(&whole), "{header:?}");
            offset = header.last_offset() + 1;
            batches.push((header.base_offset, whole.slice(61..)));
        }
    }
    batches
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: usize,
        size: usize,
    },
    Reopen,
    /// The process died while it wrote: this much of the next batch is in the file.
    Tear {
        part: f64,
    },
    DeleteBefore {
        part: f64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..20_usize, 0..3000_usize).prop_map(|(count, size)| Step::Append { count, size }),
        1 => Just(Step::Reopen),
        2 => (0.0..1.0).prop_map(|part| Step::Tear { part }),
        1 => (0.0..1.0).prop_map(|part| Step::DeleteBefore { part }),
    ]
}

/// What should be in the log.
#[derive(Debug, Default)]
struct Model {
    start: i64,
    /// Offsets and the records' bytes.
    batches: Vec<(Range<i64>, Bytes)>,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |(offsets, _)| offsets.end)
    }

    fn check(&self, partition: &Partition, bytes_max: usize) {
        assert_eq!((partition.start_offset(), partition.end_offset()), (self.start, self.end()));
        for from in [self.start, (self.start + self.end()) / 2, self.end()] {
            let expected: Vec<_> = self.batches.iter().filter(|(offsets, _)| offsets.end > from).collect();
            let expected: Vec<_> = expected.iter().map(|(offsets, bytes)| (offsets.start, bytes.clone())).collect();
            assert_eq!(read_from(partition, from, bytes_max), expected, "from {from}");
        }
        for outside in [self.start - 1, self.end() + 1] {
            let slice = Slice { offset: outside, bytes_max, one_at_least: true };
            assert_eq!(partition.read(slice).unwrap_err().error, ResponseError::OffsetOutOfRange);
        }
    }
}

/// Writes the beginning of a batch behind the last one, as a killed process leaves it.
fn tear(folder: &Path, batch: &Bytes, part: f64, end: i64) {
    let mut files: Vec<_> = std::fs::read_dir(folder.join("0")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    let file = files.pop().unwrap_or_else(|| folder.join("0").join(format!("{end:020}.log")));
    let mut torn = batch[..(batch.len() as f64 * part) as usize].to_vec();
    let base = torn.len().min(8);
    torn[..base].copy_from_slice(&end.to_be_bytes()[..base]);
    let mut bytes = std::fs::read(&file).unwrap_or_default();
    bytes.extend(torn);
    std::fs::write(&file, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_was_appended_is_there_whatever_happens(
        steps in proptest::collection::vec(step(), 1..40),
        segment_bytes in 4_000_u64..60_000,
        bytes_max in 0_usize..100_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let open = |folder: &Path| open_with(folder, Limits { segment_bytes, ..limits(&[]) });
        let mut partition = open(folder.path());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append { count, size } => {
                    let bytes = batch(count, size, NOW, NOBODY);
                    if bytes.len() as u64 > segment_bytes {
                        prop_assert_eq!(append(&mut partition, &bytes), Err(ResponseError::RecordListTooLarge));
                        continue;
                    }
                    let base = append(&mut partition, &bytes).unwrap();
                    prop_assert_eq!(base, model.end());
                    model.batches.push((base..base + count as i64, bytes.slice(61..)));
                }
                Step::Reopen => partition = open(folder.path()),
                Step::Tear { part } => {
                    tear(folder.path(), &batch(3, 200, NOW, NOBODY), part, model.end());
                    partition = open(folder.path());
                }
                Step::DeleteBefore { part } => {
                    let offset = model.start + ((model.end() - model.start) as f64 * part) as i64;
                    partition.delete_before(offset).unwrap();
                    model.start = offset;
                }
            }
            model.check(&partition, bytes_max);
        }
    }

    #[test]
    fn a_byte_that_was_changed_in_the_last_segment_ends_the_log_there(at in 0.0..1.0, bit in 0..8_u8) {
        let folder = tempfile::tempdir().unwrap();
        let mut partition = open(folder.path());
        let bytes = batch(5, 100, NOW, NOBODY);
        for _ in 0..20 {
            append(&mut partition, &bytes).unwrap();
        }
        drop(partition);
        let file = folder.path().join("0/00000000000000000000.log");
        let mut stored = std::fs::read(&file).unwrap();
        let at = (stored.len() as f64 * at) as usize;
        stored[at] ^= 1 << bit;
        std::fs::write(&file, &stored).unwrap();

        let partition = open(folder.path());
        let whole_before = (at / bytes.len()) as i64 * 5;
        // The leader's epoch is not part of the checksum, and offset and length only by their consequences.
        prop_assert!(partition.end_offset() >= whole_before);
        let read = read_from(&partition, 0, 1 << 20);
        prop_assert!(read.iter().take(at / bytes.len()).all(|(_, records)| *records == bytes.slice(61..)));
        prop_assert!(read.iter().all(|(_, records)| *records == bytes.slice(61..)));
    }
}

#[test]
fn a_batch_that_comes_again_is_stored_once_and_a_gap_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut partition = open(folder.path());
    let sent: Vec<Bytes> = (0..7).map(|n| batch(10, 5, NOW, Sender::at(10 * n))).collect();
    for round in 0..2 {
        for (base, bytes) in (0..).step_by(10).zip(&sent[..5]) {
            assert_eq!(append(&mut partition, bytes), Ok(base), "round {round}");
        }
        assert_eq!(append(&mut partition, &sent[6]), Err(ResponseError::OutOfOrderSequenceNumber));
        // It is known again from the log.
        partition = open(folder.path());
    }
    assert_eq!(append(&mut partition, &sent[5]), Ok(50));
    // It came before the last five.
    assert_eq!(append(&mut partition, &sent[0]), Err(ResponseError::OutOfOrderSequenceNumber));
    let later = Sender { epoch: 1, ..Sender::at(0) };
    assert_eq!(append(&mut partition, &batch(1, 5, NOW, later)), Ok(60));
    assert_eq!(append(&mut partition, &sent[6]), Err(ResponseError::InvalidProducerEpoch));
    let other = Sender { id: 8, ..Sender::at(123) };
    assert_eq!(append(&mut partition, &batch(1, 5, NOW, other)), Ok(61), "a producer nothing is known of");
}

#[test]
fn sequence_numbers_begin_anew_after_the_largest() {
    let folder = tempfile::tempdir().unwrap();
    let mut partition = open(folder.path());
    assert_eq!(append(&mut partition, &batch(2, 5, NOW, Sender::at(i32::MAX - 1))), Ok(0));
    assert_eq!(append(&mut partition, &batch(2, 5, NOW, Sender::at(0))), Ok(2));
    assert_eq!(append(&mut partition, &batch(2, 5, NOW, Sender::at(2))), Ok(4));
}

#[test]
fn times_are_found_in_batches_of_all_codecs() {
    for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let folder = tempfile::tempdir().unwrap();
        let mut partition = open_with(folder.path(), Limits { segment_bytes: 3000, ..limits(&[]) });
        for n in 0..40 {
            append(&mut partition, &encoded(&records(10, 50, 10_000 * n, NOBODY), codec)).unwrap();
        }
        for timestamp in [0, 1, 999, 1000, 1001, 123_456, 399_000] {
            let offset = (timestamp + 999) / 1000;
            let expected = Moment { timestamp: 1000 * offset, offset };
            assert_eq!(partition.first_since(timestamp).unwrap(), Some(expected), "{codec:?} {timestamp}");
        }
        assert_eq!(partition.first_since(399_001).unwrap(), None);
        assert_eq!(partition.latest().unwrap(), Some(Moment { timestamp: 399_000, offset: 399 }));
        partition.delete_before(155).unwrap();
        assert_eq!(partition.first_since(0).unwrap(), Some(Moment { timestamp: 155_000, offset: 155 }), "{codec:?}");
    }
}

#[test]
fn the_log_s_own_time_takes_the_place_of_the_clients() {
    let folder = tempfile::tempdir().unwrap();
    let mut partition = open_with(folder.path(), limits(&[("message.timestamp.type", "LogAppendTime")]));
    let batch = Batch::from_client(Some(batch(3, 5, 1000, NOBODY)), 9).unwrap();
    let appended = partition.append(&batch, NOW).unwrap();
    assert_eq!(appended, Appended { base_offset: 0, append_time: NOW });
    assert_eq!(read_from(&partition, 0, 1 << 20).len(), 1, "its checksum is right");
    assert_eq!(partition.latest().unwrap(), Some(Moment { timestamp: NOW, offset: 0 }));
}

#[test]
fn old_and_surplus_segments_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut partition = open_with(folder.path(), Limits { segment_bytes: 3000, ..limits(&[]) });
    let retain = |partition: &mut Partition, configs: &[(&str, &str)]| {
        partition.limits = Rc::new(limits(configs));
        partition.retain(NOW).unwrap();
    };
    for n in 0..30 {
        append(&mut partition, &batch(10, 100, NOW - 1_000_000 + 10_000 * n, NOBODY)).unwrap();
    }
    let size = partition.size();
    retain(&mut partition, &[]);
    assert_eq!(partition.size(), size);
    retain(&mut partition, &[("retention.bytes", "10000")]);
    assert!(partition.size() >= 10_000 && partition.size() < 13_000, "{}", partition.size());
    assert!(partition.start_offset() > 0);
    retain(&mut partition, &[("retention.bytes", "0"), ("cleanup.policy", "compact")]);
    assert!(partition.size() >= 10_000, "only what may be deleted is");
    retain(&mut partition, &[("retention.ms", "1000")]);
    assert_eq!((partition.size(), partition.start_offset(), partition.end_offset()), (0, 300, 300));
    let again = open(folder.path());
    assert_eq!((again.start_offset(), again.end_offset()), (300, 300), "the offsets go on");
}

#[test]
fn what_its_readers_could_not_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut partition = open(folder.path());
    let good = batch(3, 100, NOW, NOBODY);
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = good.to_vec();
        bytes[at..at + to.len()].copy_from_slice(to);
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Bytes::from(bytes)
    };
    let mut torn = good.to_vec();
    torn[70] ^= 1;
    let small = limits(&[("max.message.bytes", "100")]);
    let refused = [
        (ResponseError::MessageTooLarge, good.clone(), small),
        (ResponseError::CorruptMessage, torn.into(), limits(&[])),
        (ResponseError::InvalidRecord, changed(0, &[1]), limits(&[])),
        (ResponseError::InvalidRecord, changed(22, &[0b10_0000]), limits(&[])),
        (ResponseError::InvalidTxnState, changed(22, &[0b1_0000]), limits(&[])),
        (ResponseError::InvalidRecord, changed(22, &[5]), limits(&[])),
        (ResponseError::InvalidRecord, changed(57, &[0, 0, 0, 2]), limits(&[])),
        (ResponseError::InvalidTimestamp, batch(1, 5, NOW + 4_000_000, NOBODY), limits(&[])),
    ];
    for (expected, bytes, limits) in refused {
        partition.limits = Rc::new(limits);
        assert_eq!(append(&mut partition, &bytes), Err(expected));
    }
    for bytes in [Bytes::new(), good.slice(..50), good.slice(..100), changed(16, &[1])] {
        assert_eq!(Batch::from_client(Some(bytes), 9).unwrap_err().error, ResponseError::InvalidRecord);
    }
    let two = Bytes::from([good.to_vec(), good.to_vec()].concat());
    assert_eq!(Batch::from_client(Some(two), 9).unwrap_err().error, ResponseError::InvalidRecord);
    let zstd = encoded(&records(3, 5, NOW, NOBODY), Compression::Zstd);
    assert_eq!(Batch::from_client(Some(zstd), 6).unwrap_err().error, ResponseError::UnsupportedCompressionType);
    assert_eq!(partition.end_offset(), 0);
}
