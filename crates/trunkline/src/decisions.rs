//! What people decide about records that can't be delivered: `trunkline skip` writes it to the topic `rejected`, the
//! running mappings are told.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kafka_sink::{Config, Rejections};
use local_runtime::Mappings;

use crate::skip::UNDELIVERABLE;

/// Between two looks whether a partition stands still, or a decision has come.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long ago a decision may have been made that still holds: for a mapping that comes to the record later than
/// others did, and for one that was started again.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(1);
/// The brokers' answer, when reading begins.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// One read of what has come since the last one.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// Topic, partition and offset of a record.
type Place = (String, i32, i64);

/// The topic `rejected`, which is read only while a partition stands still.
#[derive(Default)]
struct Reading {
    rejections: Option<Rejections>,
    skipped: BTreeSet<Place>,
}

/// Tells the mappings of decisions, for ever.
pub(crate) async fn follow(mappings: Mappings, kafka: Config) {
    let mut reading = Reading::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let stops = stops(&mappings);
        if stops.is_empty() {
            reading = Reading::default();
            continue;
        }
        let kafka = kafka.clone();
        let read = tokio::task::spawn_blocking(move || {
            let outcome = reading.read(&kafka);
            (reading, outcome)
        });
        match read.await {
            Ok((read, outcome)) => {
                reading = read;
                if let Err(error) = outcome {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "it is not known whether a record is to be skipped; reading again");
                }
            }
            Err(error) => {
                tracing::error!(%error, "reading the rejected records ended badly; beginning again");
                reading = Reading::default();
            }
        }
        for (topic, partition, offset) in stops.intersection(&reading.skipped) {
            mappings.skip(topic, *partition, *offset);
        }
    }
}

fn stops(mappings: &Mappings) -> BTreeSet<Place> {
    let mut stops = BTreeSet::new();
    for mapping in mappings.status().mappings {
        for partition in &mapping.partitions {
            stops.extend(partition.stop.as_ref().map(|stop| (mapping.topic.clone(), partition.partition, stop.offset)));
        }
    }
    stops
}

impl Reading {
    /// Reads what has come.
    fn read(&mut self, kafka: &Config) -> anyhow::Result<()> {
        let rejections = match &mut self.rejections {
            Some(rejections) => rejections,
            none => {
                let since = (Timestamp::now() - LOOK_BACK).as_millisecond();
                none.insert(Rejections::since(kafka, since, OPEN_WITHIN)?)
            }
        };
        // The key of a topic's record; that of a file's row has one slash.
        let is_of_topic = |key: &str| key.matches('/').count() == 2;
        while let Some(rejected) = rejections.next(READ_WITHIN, is_of_topic)? {
            if let Some(place) = rejected.kafka.filter(|_| rejected.reason == UNDELIVERABLE) {
                self.skipped.insert((place.topic.into_owned(), place.partition, place.offset));
            }
        }
        Ok(())
    }
}
