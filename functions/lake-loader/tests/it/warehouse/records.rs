//! What a small operator's topics hold: call records in files with faults, some delivered twice, and messages.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use generator::{Destination, FileSink, Options, Put, chat};
use lake_loader::table::LoadedTopic;
use stream::{Lane, Record};
use telecom::csv::{Header, Provenance, Scratch};
use telecom::{Action, FileName, Msisdn, RecordType, SourceId, Zone};

/// Two hours before midnight and two after it.
const START: jiff::civil::DateTime = jiff::civil::DateTime::constant(2024, 1, 1, 22, 0, 0, 0);
const SECONDS: u64 = 4 * 3600;
/// Few, so that many are at one tower three times in a row.
pub(super) const SUBSCRIBERS: u32 = 300;
const FAULTS: f64 = 0.03;
pub(super) const PARTITIONS: i32 = 2;
pub(super) const EPOCH: u32 = 1;

/// At 49 rand a gigabyte 0.245, 0.735 and 1.225 rand: half a cent has to go to the even side.
const HALF_CENTS: [(&str, u64); 3] =
    [("27600000001", 5_000_000), ("27600000002", 15_000_000), ("27600000003", 25_000_000)];

/// The records of all topics, in two parts: the second has what comes later, and what belongs before that and comes
/// late.
pub(super) async fn records() -> [Records; 2] {
    let mut parts = [const { Records(BTreeMap::new()) }; 2];
    let mut log = Log::default();
    for (msisdn, down_bytes) in HALF_CENTS {
        let json = format!(
            r#"{{"msisdn":"{msisdn}","tower_id":1,"up_bytes":0,"down_bytes":{down_bytes},"data_type":"video","event_datetime":"2024-01-01 23:30:00"}}"#
        );
        log.append(&mut parts[0], LoadedTopic::CdrData, msisdn, json.into_bytes());
    }
    let files = files().await;
    let half = files.len() / 2;
    // Each fifth file of the first half is late.
    let is_late = |index: usize| index >= half || index % 5 == 4;
    // Some files are taken back: before the models have seen them, after that, and late.
    let is_back_soon = |index: usize| index.is_multiple_of(2) && !is_late(index);
    for late in [false, true] {
        let part = &mut parts[usize::from(late)];
        for (_, (name, content)) in files.iter().enumerate().filter(|(index, _)| is_late(*index) == late) {
            log.file(part, name, content, Action::Count);
        }
        let back = files.iter().enumerate().filter(|(index, _)| index % 7 == 3 && is_back_soon(*index) != late);
        for (_, (name, content)) in back {
            log.file(part, name, content, Action::Withdraw);
        }
    }
    let options = chat::Options {
        count: 900,
        rooms: 90,
        subscribers: SUBSCRIBERS,
        start: START,
        faults: FAULTS,
        ..Default::default()
    };
    let lines: Vec<_> = chat::lines(&options).unwrap().filter(|line| line.kind != chat::Kind::Unusable).collect();
    for (index, line) in lines.iter().enumerate() {
        let message = telecom::Message::parse(&line.json, &Zone::default()).unwrap();
        log.append(
            &mut parts[usize::from(index > lines.len() / 2)],
            LoadedTopic::Messages,
            &message.room_id,
            line.json.clone(),
        );
    }
    parts
}

/// Records by topic and partition.
#[derive(Default)]
pub(super) struct Records(pub(super) BTreeMap<(LoadedTopic, i32), Vec<Record>>);

impl Records {
    pub(super) fn lanes(&self) -> impl Iterator<Item = (LoadedTopic, Lane, &[Record])> {
        self.0.iter().map(|(&(stream, partition), records)| {
            (stream, Lane { epoch: EPOCH, topic: stream.topic().default_name().to_owned(), partition }, &records[..])
        })
    }
}

/// How far each partition has come.
#[derive(Default)]
struct Log(BTreeMap<(LoadedTopic, i32), i64>);

/// Kafka's time of the first record.
const PUBLISHED_MS: i64 = 1_704_146_400_000;

impl Log {
    fn append(&mut self, to: &mut Records, stream: LoadedTopic, key: &str, value: Vec<u8>) {
        let partition = i32::try_from(hash(key) % PARTITIONS.unsigned_abs() as u64).unwrap();
        let offset = self.0.entry((stream, partition)).or_default();
        to.0.entry((stream, partition)).or_default().push(Record {
            offset: *offset,
            timestamp_ms: PUBLISHED_MS + *offset,
            key: Some(key.into()),
            value: Some(value),
            headers: Vec::new(),
        });
        *offset += 1;
    }

    /// Publishes a file's usable rows, as `file-to-topic` does, or what takes them back.
    fn file(&mut self, to: &mut Records, name: &str, content: &[u8], action: Action) {
        let name = FileName::parse(name).unwrap();
        let stream = match name.record_type() {
            RecordType::Data => LoadedTopic::CdrData,
            RecordType::Voice => LoadedTopic::CdrVoice,
        };
        let mut lines = content.split(|&byte| byte == b'\n').filter(|line| !telecom::csv::is_blank(line));
        let header = lines.next().and_then(|line| Header::parse(line, name.record_type()).ok());
        // A bad header, or a compressed file, which is not what this is about.
        let Some(header) = header else { return };
        let provenance = Provenance::new(name, SourceId(hash(content).to_be_bytes()), SystemTime::UNIX_EPOCH);
        let mut scratch = Scratch::default();
        for (line, number) in lines.zip(1..) {
            if let Ok(row) = header.parse_row(line, &Zone::default(), &mut scratch) {
                let mut json = Vec::new();
                row.write_json(&mut json, &provenance, number);
                if action == Action::Withdraw {
                    json.pop();
                    json.extend_from_slice(br#","_action":"withdraw"}"#);
                }
                self.append(to, stream, &row.msisdn().digits(), json);
            }
        }
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Every subscriber who has call records.
pub(super) fn subscribers<'a>(parts: impl IntoIterator<Item = &'a Records>) -> Vec<Msisdn> {
    let calls = parts.into_iter().flat_map(Records::lanes).filter(|(stream, ..)| *stream != LoadedTopic::Messages);
    let keys = calls.flat_map(|(.., records)| records).filter_map(|record| record.key.as_deref());
    let mut subscribers: Vec<_> = keys.map(|key| Msisdn::parse(str::from_utf8(key).unwrap()).unwrap()).collect();
    subscribers.sort_unstable();
    subscribers.dedup();
    subscribers
}

async fn files() -> Vec<(String, Bytes)> {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        seconds: SECONDS,
        subscribers: SUBSCRIBERS,
        start: START,
        faults: FAULTS,
        index: folder.path().join("index"),
        manifest: folder.path().join("manifest"),
        ..Options::default()
    };
    let files = Files::default();
    let destination = Destination::files(files.clone());
    generator::run(&options, &destination, &generator::progress_bar()).await.unwrap();
    std::mem::take(&mut files.0.lock().unwrap())
}

#[derive(Clone, Default)]
struct Files(Arc<Mutex<Vec<(String, Bytes)>>>);

impl FileSink for Files {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> Put<'a> {
        self.0.lock().unwrap().push((name.to_owned(), content));
        Box::pin(async { Ok(()) })
    }
}
