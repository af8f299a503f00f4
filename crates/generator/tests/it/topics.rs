use std::collections::BTreeMap;

use generator::{DATA_TOPIC, Destination, Folder, Options, Topics, VOICE_TOPIC, run};
use indicatif::ProgressBar;
use kafka_sink::Config;
use telecom::{RecordType, Zone};

use crate::small;

const PARTITIONS: i32 = 3;

/// How often each of a topic's records is there.
async fn read(config: &Config, topic: &str, record_type: RecordType) -> BTreeMap<Vec<u8>, usize> {
    let zone = Zone::default();
    let mut records = BTreeMap::new();
    for found in test_support::records(config.client(), topic).await {
        let record = telecom::json::parse(found.value(), record_type, &zone).unwrap();
        assert_eq!(found.key(), record.event.msisdn.to_string());
        *records.entry(found.value().to_vec()).or_default() += 1;
    }
    records
}

/// A run that finds its index gone sends everything again; one that finds it sends nothing. Nothing is ever missing.
#[tokio::test]
async fn topics_get_every_record_at_least_once() {
    let config = Config::plaintext(test_support::broker().await);
    kafka_sink::admin::create_topics(&config, &[(DATA_TOPIC, PARTITIONS), (VOICE_TOPIC, PARTITIONS)]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options { seconds: 1_500, ..small(&folder) };
    let files = folder.path().join("files");
    let mut destination = Destination::topics(Topics::new(&config).unwrap());
    // In one run, as the generator of docs/from-the-documents.md does it.
    destination.files.push(Box::new(Folder::create(&files).await.unwrap()));
    for times in [1, 1, 2] {
        if times == 2 {
            std::fs::remove_file(&options.index).unwrap();
        }
        run(&options, &destination, &ProgressBar::hidden()).await.unwrap();
        assert_eq!(std::fs::read_dir(&files).unwrap().count(), 4);
        for (topic, record_type) in [(DATA_TOPIC, RecordType::Data), (VOICE_TOPIC, RecordType::Voice)] {
            let records = read(&config, topic, record_type).await;
            assert_eq!(records.len(), 1_500);
            assert!(records.values().all(|&found| found == times));
        }
    }
}
