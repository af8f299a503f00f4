//! What is in a topic, and how far a group is with it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

/// A broker may be on its way back.
const PATIENCE: Duration = Duration::from_mins(1);

/// A record as it was read back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "a record's parts are well known")]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl Record {
    /// The key's text.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn key(&self) -> &str {
        text(self.key.as_deref().expect("a record with a key"))
    }

    /// The value's bytes.
    ///
    /// # Panics
    /// When it is a tombstone.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        self.value.as_deref().expect("a record with a value")
    }

    /// The value's text.
    ///
    /// # Panics
    /// As [`value`](Self::value), and when it is no text.
    #[must_use]
    pub fn value_text(&self) -> &str {
        text(self.value())
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// Everything that is in a topic now, by partition and offset. Brokers may come and go meanwhile.
///
/// # Panics
/// When the topic is not there, or can't be read within a minute.
pub async fn records(client: ClientConfig, topic: &str) -> Vec<Record> {
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || read(client, &topic)).await.expect("the reader panicked")
}

fn read(mut client: ClientConfig, topic: &str) -> Vec<Record> {
    // It closes only when its last fetch has come back.
    client.set("group.id", "reader").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = client.create().expect("a consumer");
    let began = Instant::now();
    let metadata = insist(began, || consumer.fetch_metadata(Some(topic), PATIENCE));
    let metadata = &metadata.topics()[0];
    assert_eq!(metadata.error(), None, "topic {topic}");
    let mut from = TopicPartitionList::new();
    let mut missing = 0;
    for partition in metadata.partitions() {
        let (low, high) = insist(began, || consumer.fetch_watermarks(topic, partition.id(), PATIENCE));
        missing += high - low;
        from.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a partition");
    }
    consumer.assign(&from).expect("an assignment");
    let mut records = Vec::new();
    while missing > 0 {
        assert!(began.elapsed() < PATIENCE, "{missing} records of topic {topic} did not come");
        // It may return early: with nothing, or with the news that a broker is gone, from which the client recovers.
        if let Some(Ok(message)) = consumer.poll(PATIENCE) {
            records.push(Record {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
            });
            missing -= 1;
        }
    }
    records.sort_unstable();
    records
}

/// Commits a group's next offset of each partition that has one.
///
/// # Panics
/// When it is refused.
pub async fn commit(mut client: ClientConfig, group: &str, topic: &str, offsets: &[Option<i64>]) {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        if let Some(offset) = *offset {
            list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        }
    }
    client.set("group.id", group);
    let commit = move || client.create::<BaseConsumer>()?.commit(&list, CommitMode::Sync);
    tokio::task::spawn_blocking(commit).await.expect("no panic").expect("a commit");
}

/// Asks until there is an answer.
fn insist<T>(began: Instant, ask: impl Fn() -> KafkaResult<T>) -> T {
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    }
}
