//! What comes behind: `file-to-topic` publishes what was announced, and a plain count follows.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use file_to_topic::Settings;
use kafka_batch::PartitionBatch;
use lambda_boot::{Deadline, Vars};
use serde::Deserialize;
use stream::{Record, Topic};

use crate::Fixture;

const LANES: i32 = 3;

/// A record of a call, or one that takes it back.
#[derive(Deserialize)]
struct Call {
    #[serde(rename = "_source_id")]
    source_id: String,
    #[serde(rename = "_source_line")]
    line: u64,
    #[serde(rename = "_action")]
    action: Option<String>,
    #[serde(rename = "call_duration_sec")]
    seconds: String,
}

/// How far a file is counted in a lane.
#[derive(Default)]
struct Lane {
    last_line: u64,
    withdrawn_line: u64,
}

/// What the counters make of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Of all calls that count.
    pub(crate) seconds: u64,
    /// Calls that came again.
    pub(crate) duplicates: u64,
    /// Calls that were taken back.
    pub(crate) withdrawn: u64,
}

impl Fixture {
    /// The function on this lake, with topics that are named after that of the announcements.
    async fn file_to_topic(&self) -> file_to_topic::Deps {
        let landed_files = &self.config.settings.topics[Topic::LandedFiles];
        let [cdr_data, cdr_voice] = ["data", "voice"].map(|kind| format!("{landed_files}-{kind}"));
        let topics = [(cdr_data.as_str(), LANES), (&cdr_voice, LANES)];
        kafka_sink::admin::create_topics(&self.config.kafka, &topics).await.unwrap();
        let vars =
            [("LANDED_FILES_TOPIC", landed_files), ("CDR_DATA_TOPIC", &cdr_data), ("CDR_VOICE_TOPIC", &cdr_voice)];
        let topics = vars.into_iter().collect::<Vars>().read().unwrap();
        let settings = Settings { topics, zone: self.config.settings.zone.clone() };
        let (kafka, lake) = (self.config.kafka.clone(), self.config.lake.clone());
        file_to_topic::Deps::connect(&file_to_topic::Config { kafka, lake, settings }).await.unwrap()
    }

    /// Publishes what was announced since the last time.
    pub(crate) async fn publish(&self) {
        let deps = self.file_to_topic().await;
        let announcements = self.announcements().await;
        for announcement in &announcements[self.handled.load(Ordering::Relaxed)..] {
            let value = Some(serde_json::to_vec(announcement).unwrap());
            let record = Record { offset: 0, timestamp_ms: 0, key: None, value, headers: Vec::new() };
            let topic = self.config.settings.topics[Topic::LandedFiles].to_owned();
            let batch = PartitionBatch { topic, partition: 0, records: vec![record] };
            file_to_topic::handle(&deps, vec![batch], Deadline::NONE).await.unwrap();
        }
        self.handled.store(announcements.len(), Ordering::Relaxed);
    }

    /// Counts the voice calls that were published, as the counters do: each row of a file once, in each lane by its number.
    pub(crate) async fn counted(&self) -> Counted {
        self.publish().await;
        let mut counted = Counted::default();
        let mut lanes = BTreeMap::<(i32, String), Lane>::new();
        let topic = format!("{}-voice", &self.config.settings.topics[Topic::LandedFiles]);
        for record in test_support::records(self.config.kafka.client(), &topic).await {
            let call: Call = serde_json::from_slice(record.value()).unwrap();
            let seconds: u64 = call.seconds.parse().unwrap();
            let lane = lanes.entry((record.partition, call.source_id)).or_default();
            match call.action.as_deref() {
                None if call.line > lane.last_line => {
                    lane.last_line = call.line;
                    counted.seconds += seconds;
                }
                None => counted.duplicates += 1,
                Some("withdraw") if call.line > lane.withdrawn_line => {
                    assert!(call.line <= lane.last_line, "row {} was taken back before it was counted", call.line);
                    lane.withdrawn_line = call.line;
                    counted.withdrawn += 1;
                    counted.seconds -= seconds;
                }
                Some("withdraw") => {}
                Some(action) => panic!("{action} is no action"),
            }
        }
        counted
    }

    /// The records on the topic `rejected`, as they were written.
    pub(crate) async fn rejected(&self) -> usize {
        self.publish().await;
        test_support::records(self.config.kafka.client(), self.config.kafka.rejected_topic()).await.len()
    }
}
