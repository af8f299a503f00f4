//! The function's surroundings, of one test's own, and a topic that is delivered to it.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use kafka_batch::PartitionBatch;
use lake::Lake;
use lake_writer::{Config, Deps, Outcome, handle};
use lambda_boot::{Deadline, Vars};
use rand::{Rng, RngExt};
use stream::{Header, Lane, Record};

pub(crate) const TOPIC: &str = "cdr-data";
pub(crate) const PARTITIONS: usize = 3;
const SHOWN_BYTES: usize = 220;

pub(crate) struct World {
    pub(crate) vars: Vec<(&'static str, String)>,
    pub(crate) deps: Deps,
    pub(crate) lake: Lake,
}

impl World {
    pub(crate) async fn new() -> Self {
        let store = test_support::object_store().await;
        let vars = vec![
            ("LAKE_BUCKET", store.bucket),
            ("AWS_ENDPOINT_URL_S3", store.endpoint),
            ("AWS_REGION", store.region),
            ("AWS_ACCESS_KEY_ID", store.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", store.secret_access_key.expose().to_owned()),
        ];
        let config =
            Config::from_vars(&Vars::from_iter(vars.iter().map(|(name, value)| (*name, value.as_str())))).unwrap();
        Self { deps: Deps::connect(&config), lake: Lake::connect(&config.lake), vars }
    }

    pub(crate) async fn handle(&self, event: Vec<PartitionBatch>) -> Outcome {
        handle(&self.deps, event, Deadline::NONE).await.unwrap()
    }

    pub(crate) async fn objects(&self) -> Vec<String> {
        self.lake.list("").map_ok(|listed| listed.key).try_collect().await.unwrap()
    }

    /// The objects' names and lines, of which only the beginning where they are long.
    pub(crate) async fn shown(&self) -> String {
        let mut shown = String::new();
        for key in self.objects().await {
            writeln!(shown, "{key}").unwrap();
            let bytes = self.lake.get_stream(&key).await.unwrap().into_bytes().await.unwrap();
            for line in String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap().split_terminator('\n') {
                let end = line.ceil_char_boundary(SHOWN_BYTES);
                writeln!(shown, "{}{}", &line[..end], if end < line.len() { "…" } else { "" }).unwrap();
            }
        }
        shown
    }

    /// The lake as files of a folder.
    pub(crate) async fn download(&self, folder: &Path) {
        for key in self.objects().await {
            let path = folder.join(&key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.lake.get_stream(&key).await.unwrap().into_bytes().await.unwrap()).unwrap();
        }
    }

    /// What a reader of the topic's lanes gets.
    pub(crate) async fn read(&self, topic: &str) -> Vec<PartitionBatch> {
        let mut batches = Vec::new();
        for partition in lake::bronze::partitions(&self.lake, 1, topic).await.unwrap() {
            let lane = Lane { epoch: 1, topic: topic.to_owned(), partition };
            let segments = lake::bronze::segments(&self.lake, &lane, 0, usize::MAX).await.unwrap();
            let records = lake::bronze::read_range(&self.lake, &segments, 0..i64::MAX).try_concat().await.unwrap();
            batches.push(PartitionBatch { topic: topic.to_owned(), partition, records });
        }
        batches
    }
}

/// An event of `events/lake-writer`.
pub(crate) fn event(name: &str) -> Vec<u8> {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../events/lake-writer", &format!("{name}.json")].iter().collect();
    std::fs::read(path).unwrap()
}

/// A topic, and how far its mapping has come.
pub(crate) struct Topic {
    log: Vec<PartitionBatch>,
    committed: [usize; PARTITIONS],
}

impl Topic {
    /// `records` in each partition, of any bytes, an hour long; some offsets are missing.
    pub(crate) fn new(records: usize, rng: &mut impl Rng) -> Self {
        let log = (0..PARTITIONS).map(|partition| {
            let mut offset = 0;
            let records = (0..records).map(|index| {
                offset += rng.random_range(1..4);
                let value: [u8; 16] = rng.random();
                Record {
                    offset,
                    timestamp_ms: 1_709_287_200_000 + (index * 3_600_000 / records) as i64,
                    key: rng.random_bool(0.9).then(|| format!("2782{offset:07}").into_bytes()),
                    value: rng.random_bool(0.9).then(|| value.to_vec()),
                    headers: vec![Header { name: "n".to_owned(), value: Some(vec![0xff]) }],
                }
            });
            PartitionBatch { topic: TOPIC.to_owned(), partition: partition as i32, records: records.collect() }
        });
        Self { log: log.collect(), committed: [0; PARTITIONS] }
    }

    pub(crate) fn log(&self) -> &[PartitionBatch] {
        &self.log
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.log.iter().zip(self.committed).all(|(partition, committed)| committed == partition.records.len())
    }

    /// A batch that begins where the mapping has come to, and where each partition's part ends.
    pub(crate) fn next(&self, most: usize, rng: &mut impl Rng) -> (Vec<PartitionBatch>, [usize; PARTITIONS]) {
        let mut ends = self.committed;
        for (end, partition) in ends.iter_mut().zip(&self.log) {
            *end = (*end + rng.random_range(0..=most)).min(partition.records.len());
        }
        let parts = (0..PARTITIONS).map(|partition| self.part(partition, self.committed[partition]..ends[partition]));
        (parts.filter(|part| !part.records.is_empty()).collect(), ends)
    }

    /// What an owner from before may still be about to write: up to where the mapping has come to, and beyond.
    pub(crate) fn late(&self, most: usize, rng: &mut impl Rng) -> Vec<PartitionBatch> {
        let parts = (0..PARTITIONS).map(|partition| {
            let first = self.committed[partition].saturating_sub(rng.random_range(0..=most));
            let end = (first + rng.random_range(0..=most)).min(self.log[partition].records.len());
            self.part(partition, first.min(end)..end)
        });
        parts.filter(|part| !part.records.is_empty()).collect()
    }

    pub(crate) fn commit(&mut self, ends: [usize; PARTITIONS]) {
        self.committed = ends;
    }

    fn part(&self, partition: usize, records: Range<usize>) -> PartitionBatch {
        let PartitionBatch { topic, partition, records: all } = &self.log[partition];
        PartitionBatch { topic: topic.clone(), partition: *partition, records: all[records].to_vec() }
    }
}
