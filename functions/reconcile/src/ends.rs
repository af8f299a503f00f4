use std::time::Duration;

use futures::future::try_join_all;
use stream::{Epoch, Lane, Topic, Topics};

/// How long the log of each lane is: the offset behind its last record. A log that holds nothing any more has length 0, as
/// nothing of it can be counted.
///
/// # Errors
/// When Kafka does not answer within this time, or lacks a topic.
pub async fn log_ends(
    kafka: &kafka_sink::Config,
    topics: &Topics,
    epoch: Epoch,
    within: Duration,
) -> anyhow::Result<Vec<(Lane, i64)>> {
    let of_topic = async |topic: Topic| {
        let topic = &topics[topic];
        let extents = kafka_sink::extents(kafka, topic, within).await?;
        let lane = |partition| Lane { epoch: epoch.number, topic: topic.to_owned(), partition };
        let end = |extent: &kafka_sink::Extent| if extent.begin < extent.end { extent.end } else { 0 };
        anyhow::Ok(extents.iter().map(|extent| (lane(extent.partition), end(extent))).collect::<Vec<_>>())
    };
    let ends = try_join_all(Topic::CALL_RECORDS.map(of_topic)).await?;
    Ok(ends.into_iter().flatten().collect())
}
