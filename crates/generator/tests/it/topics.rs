use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use generator::{DATA_TOPIC, Destination, Options, VOICE_TOPIC, run};
use indicatif::ProgressBar;
use kafka_sink::{Config, Sink};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use telecom::{RecordType, Zone};

use crate::small;

const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(30);

/// How often each of a topic's records is there.
async fn read(config: &Config, topic: &'static str, record_type: RecordType) -> BTreeMap<Vec<u8>, usize> {
    let client = config.client();
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = { client }.set("group.id", "reader").create().unwrap();
        let zone = Zone::default();
        let mut records = BTreeMap::new();
        let mut all = TopicPartitionList::new();
        let mut count = 0;
        for partition in 0..PARTITIONS {
            count += consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap().1;
            all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        for _ in 0..count {
            let message = next(&consumer);
            let value = message.payload().unwrap();
            let record = telecom::json::parse(value, record_type, &zone).unwrap();
            assert_eq!(message.key().unwrap(), record.event.msisdn.to_string().as_bytes());
            *records.entry(value.to_vec()).or_default() += 1;
        }
        records
    })
    .await
    .unwrap()
}

/// The next message; an event that is none ends a poll early.
fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    let begun = Instant::now();
    loop {
        if let Some(message) = consumer.poll(PATIENCE) {
            return message.unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "no message in time");
    }
}

/// A run that finds its index gone sends everything again; one that finds it sends nothing. Nothing is ever missing.
#[tokio::test]
async fn topics_get_every_record_at_least_once() {
    let config = Config::plaintext(test_support::broker().await);
    kafka_sink::admin::create_topics(&config, &[(DATA_TOPIC, PARTITIONS), (VOICE_TOPIC, PARTITIONS)]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options { seconds: 1_500, ..small(&folder) };
    let destination = Destination::topics(Sink::new(&config).unwrap());
    for times in [1, 1, 2] {
        if times == 2 {
            std::fs::remove_file(&options.index).unwrap();
        }
        run(&options, &destination, &ProgressBar::hidden()).await.unwrap();
        for (topic, record_type) in [(DATA_TOPIC, RecordType::Data), (VOICE_TOPIC, RecordType::Voice)] {
            let records = read(&config, topic, record_type).await;
            assert_eq!(records.len(), 1_500);
            assert!(records.values().all(|&found| found == times));
        }
    }
}
