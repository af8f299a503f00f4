//! Published records into counters, those of the subscribers and those of the towers.

use std::time::{Duration, Instant};

use anyhow::ensure;
use kafka_batch::encode;
use test_support::Sandbox;

use crate::Bench;
use crate::records::Reader;
use crate::report::{Line, grouped};
use crate::world::{Counters, World};

/// The service's largest `BatchSize`. The service would cut these batches: they are larger than its 6 MB.
const BATCH_RECORDS: u64 = 10_000;

/// Enough for the function to remember as many rows of the lanes as it ever does.
const BATCHES: u64 = 80;

/// What a topic must have: batches are of data and of voice in turn.
pub(crate) const TOPIC_ROWS: u64 = BATCHES * BATCH_RECORDS / 2;

/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Has full batches counted of what has been published. The first finds nothing remembered.
pub(crate) async fn count(
    bench: &mut Bench,
    world: &World,
    counters: Counters,
    subscribers: u32,
) -> anyhow::Result<()> {
    let mut function = Sandbox::start(&bench.binary("batch-aggregator"), world.vars.iter().cloned()).await?;
    let topics = [Reader::new(&world.brokers, "cdr-data")?, Reader::new(&world.brokers, "cdr-voice")?];
    let mut topics = topics.iter().cycle();
    for (batches, which) in [(1, "the first"), (BATCHES - 1, "the others")] {
        let (mut bytes, mut seconds) = (0, 0.0);
        for topic in topics.by_ref().take(batches as usize) {
            let event = encode(&topic.batch(BATCH_RECORDS).await?);
            bytes += event.len() as u64;
            let began = Instant::now();
            function.invoke(event, TIMEOUT).await?;
            seconds += began.elapsed().as_secs_f64();
        }
        bench.add(Line {
            function: "batch-aggregator",
            input: format!("{}, {} subscribers, {which}", counters.name(), grouped(subscribers.into())),
            items: batches * BATCH_RECORDS,
            unit: "records",
            bytes,
            seconds,
            peak_bytes: function.peak_memory_bytes()?,
        });
    }
    function.stop().await?;
    let counted: u64 = world.store.lanes().await?.iter().map(|(_, progress)| progress.records).sum();
    ensure!(counted == BATCHES * BATCH_RECORDS, "only {counted} records were counted");
    Ok(())
}
