//! Published records into the lake.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::TryStreamExt as _;
use kafka_batch::encode;
use lake::bronze;
use stream::Lane;
use test_support::Sandbox;

use crate::file_to_topic::publish;
use crate::records::Reader;
use crate::report::{Line, grouped};
use crate::world::{Counters, Kafka, World};
use crate::{Bench, DATA_FILE, MANY_SUBSCRIBERS};

/// `BatchSize` of the template. The service would cut these batches: they are larger than its 6 MB.
const BATCH_RECORDS: u64 = 10_000;
const BATCHES: u64 = 40;
const RECORDS: u64 = BATCHES * BATCH_RECORDS;

/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Full batches of data records, then all of them once more.
pub(crate) async fn keep(bench: &mut Bench) -> anyhow::Result<()> {
    let world = World::new(Kafka::Embedded, Counters::Postgres).await?;
    publish(bench, &world, DATA_FILE, RECORDS, MANY_SUBSCRIBERS, "").await?;
    let mut function = Sandbox::start(&bench.binary("lake-writer"), world.vars.iter().cloned()).await?;
    for what in ["new", "again"] {
        let topic = Reader::new(&world.brokers, "cdr-data")?;
        let (mut bytes, mut seconds) = (0, 0.0);
        for _ in 0..BATCHES {
            let event = encode(&topic.batch(BATCH_RECORDS).await?);
            bytes += event.len() as u64;
            let began = Instant::now();
            function.invoke(event, TIMEOUT).await?;
            seconds += began.elapsed().as_secs_f64();
        }
        bench.add(Line {
            function: "lake-writer",
            input: format!("{what}, batches of {}", grouped(BATCH_RECORDS)),
            items: RECORDS,
            unit: "records",
            bytes,
            seconds,
            peak_bytes: function.peak_memory_bytes()?,
        });
    }
    function.stop().await?;
    let mut kept = 0;
    for partition in bronze::partitions(&world.lake, 1, "cdr-data").await? {
        let lane = Lane { epoch: 1, topic: "cdr-data".to_owned(), partition };
        let segments = bronze::segments(&world.lake, &lane, 0, usize::MAX).await?;
        let records = bronze::read_range(&world.lake, &segments, 0..i64::MAX);
        kept += records.try_fold(0, async |sum, records| Ok(sum + records.len() as u64)).await?;
    }
    ensure!(kept == RECORDS, "the lake has {kept} of {RECORDS} records");
    Ok(())
}
