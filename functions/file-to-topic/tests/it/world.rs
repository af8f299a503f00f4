use bytes::Bytes;
use file_to_topic::{Config, Deps, handle};
use kafka_batch::PartitionBatch;
use kafka_sink::{Rejected, admin};
use lake::{Announcement, Digest, Lake};
use lambda_boot::{Deadline, Vars};
use stream::{Record, Topic};
use telecom::FileName;

pub(crate) const PARTITIONS: i32 = 3;

/// A lake and topics of a test's own, and the function on them.
pub(crate) struct World {
    pub(crate) vars: Vars,
    pub(crate) config: Config,
    pub(crate) deps: Deps,
    pub(crate) lake: Lake,
}

impl World {
    pub(crate) async fn new() -> Self {
        let store = test_support::object_store().await;
        let [data, voice, landed, rejected] =
            ["cdr-data", "cdr-voice", "landed-files", "rejected"].map(test_support::topic);
        let vars: Vars = [
            ("KAFKA_BROKERS", test_support::broker().await),
            ("CDR_DATA_TOPIC", &data),
            ("CDR_VOICE_TOPIC", &voice),
            ("LANDED_FILES_TOPIC", &landed),
            ("REJECTED_TOPIC", &rejected),
            ("LAKE_BUCKET", &store.bucket),
            ("AWS_ENDPOINT_URL_S3", &store.endpoint),
            ("AWS_REGION", &store.region),
            ("AWS_ACCESS_KEY_ID", &store.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", store.secret_access_key.expose()),
        ]
        .into_iter()
        .collect();
        let config = Config::from_vars(&vars).unwrap();
        let topics = [&data, &voice, &landed, &rejected].map(|topic| (topic.as_str(), PARTITIONS));
        admin::create_topics(&config.kafka, &topics).await.unwrap();
        Self { deps: Deps::connect(&config).await.unwrap(), lake: Lake::connect(&config.lake), vars, config }
    }

    /// Puts a file into the lake, as `sftp-poll` does.
    pub(crate) async fn land(&self, name: &str, bytes: &[u8]) -> Announcement {
        let name = FileName::parse(name).unwrap();
        let announcement = Announcement::new(name, Digest::of(bytes), bytes.len() as u64);
        self.lake.put_if_absent(&announcement.key, Bytes::copy_from_slice(bytes), &[]).await.unwrap();
        announcement
    }

    /// The event in which this message comes.
    pub(crate) fn event(&self, value: Option<Vec<u8>>) -> Vec<PartitionBatch> {
        let topic = self.config.settings.topics[Topic::LandedFiles].to_owned();
        let record = Record { offset: 7, timestamp_ms: 0, key: None, value, headers: Vec::new() };
        vec![PartitionBatch { topic, partition: 2, records: vec![record] }]
    }

    pub(crate) async fn deliver(&self, announcement: &Announcement) -> anyhow::Result<()> {
        let event = self.event(Some(serde_json::to_vec(announcement).unwrap()));
        handle(&self.deps, event, Deadline::NONE).await
    }

    /// What became of a file or a later piece, by its key.
    pub(crate) async fn results(&self, piece: &str) -> Option<serde_json::Value> {
        self.lake.get_json(&lake::names::results(&piece.parse().unwrap())).await.unwrap()
    }

    pub(crate) async fn rejected(&self) -> Vec<Rejected<'static>> {
        let messages = self.read(self.config.kafka.rejected_topic()).await;
        let rejected = |message: &test_support::Record| {
            let rejected = Rejected::from_json(message.value()).unwrap();
            assert_eq!(rejected.key(), message.key());
            rejected
        };
        messages.iter().map(rejected).collect()
    }

    /// Everything in a topic, by partition and offset.
    pub(crate) async fn read(&self, topic: &str) -> Vec<test_support::Record> {
        test_support::records(self.config.kafka.client(), topic).await
    }
}
