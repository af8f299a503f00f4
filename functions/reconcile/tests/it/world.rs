//! The function's surroundings, of one test's own.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_sink::{Sink, admin};
use lake::Lake;
use lambda_boot::{Deadline, Vars};
use reconcile::{Config, Deps, Report, handle};
use stream::{Epoch, Lane, Topic, Topics};
use telecom::{Action, Day, FileName, Msisdn, Source, SourceId, Totals, UsageEvent, UsageKind};
use usage_store::{Counted, LaneBatch, LaneMemory, LaneRecord, RecordRules, SourcedUsage, Store};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Topics of one partition each, what has been counted of them, and the time.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) lake: Lake,
    pub(crate) now: SystemTime,
    pub(crate) topics: Topics,
    pub(crate) epoch: Epoch,
    deps: Deps,
    sink: Sink,
    next_offsets: [i64; 2],
}

impl World {
    pub(crate) async fn new(store_url: &str) -> Self {
        let bucket = test_support::object_store().await;
        let topics = ["cdr-data", "cdr-voice"].map(test_support::topic);
        let vars: Vars = [
            ("KAFKA_BROKERS", test_support::broker().await),
            ("USAGE_STORE", store_url),
            ("CDR_DATA_TOPIC", &topics[0]),
            ("CDR_VOICE_TOPIC", &topics[1]),
            ("LAKE_BUCKET", &bucket.bucket),
            ("AWS_ENDPOINT_URL_S3", &bucket.endpoint),
            ("AWS_REGION", &bucket.region),
            ("AWS_ACCESS_KEY_ID", &bucket.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose()),
        ]
        .into_iter()
        .collect();
        let config = Config::from_vars(&vars).unwrap();
        admin::create_topics(&config.kafka, &topics.each_ref().map(|topic| (topic.as_str(), 1))).await.unwrap();
        let store = Store::connect(store_url).unwrap();
        store.init().await.unwrap();
        for topic in &topics {
            store.add_lanes(1, topic, 1).await.unwrap();
        }
        Self {
            store,
            lake: Lake::connect(&config.lake),
            now: SystemTime::now(),
            deps: Deps::connect(&config).unwrap(),
            sink: Sink::new(&config.kafka).unwrap(),
            topics: config.topics,
            epoch: config.epoch,
            next_offsets: [0; 2],
        }
    }

    /// A night falls: the function runs, and the next day begins.
    pub(crate) async fn night(&mut self) -> Report {
        let report = handle(&self.deps, self.now, Deadline::NONE).await.unwrap();
        self.now += DAY;
        report
    }

    pub(crate) async fn nights(&mut self, nights: usize) -> Report {
        let mut sum = Report::default();
        for _ in 0..nights {
            let night = self.night().await;
            sum.expired += night.expired;
            sum.waiting = night.waiting;
            sum.entries += night.entries;
        }
        sum
    }

    /// Rows of a file come to the topics. What is in them is for the counters; here their places are enough.
    pub(crate) async fn publish(&self, index: usize, rows: u64) {
        let mut session = self.sink.session().unwrap();
        for _ in 0..rows {
            session.send(&self.topics[Topic::CALL_RECORDS[index]], b"27821234567", b"{}").await.unwrap();
        }
        session.flush(None).await.unwrap();
    }

    /// Rows of a file are published, and counted.
    pub(crate) async fn bring(&mut self, index: usize, file: &File, lines: std::ops::RangeInclusive<u64>) -> Counted {
        self.publish(index, lines.clone().count() as u64).await;
        self.count(index, file, lines).await
    }

    /// Rows that were published are counted.
    pub(crate) async fn count(&mut self, index: usize, file: &File, lines: std::ops::RangeInclusive<u64>) -> Counted {
        let since_1970 = self.now.duration_since(UNIX_EPOCH).unwrap();
        let first = self.next_offsets[index];
        let record = |(offset, line)| {
            let usage = Some(SourcedUsage {
                event: event(),
                source: Some(Source { id: file.id, line, file: Some(file.name) }),
                action: Action::Count,
                tower: None,
            });
            LaneRecord { offset, timestamp_ms: since_1970.as_millis() as i64, usage }
        };
        let records: Vec<_> = (first..).zip(lines).map(record).collect();
        self.next_offsets[index] = first + records.len() as i64;
        let lane = Lane { epoch: 1, topic: self.topics[Topic::CALL_RECORDS[index]].to_owned(), partition: 0 };
        let batch = LaneBatch::new(lane, RecordRules::default(), records).unwrap();
        self.store.count(&mut LaneMemory::default(), &batch).await.unwrap()
    }

    /// Events that are counted.
    pub(crate) async fn events(&self) -> u64 {
        let usage = self.store.usage_of(event().msisdn, Day::MIN, Day::MAX).await.unwrap();
        usage.iter().map(|daily| daily.totals.events).sum()
    }

    pub(crate) async fn put(&self, key: &str, json: &str) {
        self.lake.put(key, json.to_owned().into_bytes().into()).await.unwrap();
    }
}

/// A file and its id.
#[derive(Clone, Copy)]
pub(crate) struct File {
    pub(crate) name: FileName,
    pub(crate) id: SourceId,
}

impl File {
    /// The file number so and so.
    pub(crate) fn new(number: u64) -> Self {
        let (hour, minute, second) = (number / 3600 % 24, number / 60 % 60, number % 60);
        let name = FileName::parse(&format!("cdr_data_20240101_{hour:02}{minute:02}{second:02}.csv")).unwrap();
        // Over all of the table's parts.
        Self { name, id: SourceId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()) }
    }
}

fn event() -> UsageEvent {
    UsageEvent {
        msisdn: Msisdn::from_u64(27_821_234_567).unwrap(),
        day: Day::from_civil(2024, 1, 1).unwrap(),
        kind: UsageKind::DataVideo,
        totals: Totals { up_bytes: 1, down_bytes: 2, seconds: 0, events: 1 },
    }
}

/// How many rows the tables have.
pub(crate) type Rows = BTreeMap<&'static str, i64>;
