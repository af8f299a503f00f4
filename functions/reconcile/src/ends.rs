use std::time::Duration;

use futures::future::try_join_all;
use usage_store::Lane;

use crate::Stream;

/// How long the log of each lane is: the offset behind its last record. A log that holds nothing any more has length 0, as
/// nothing of it can be counted.
///
/// # Errors
/// When Kafka does not answer within this time, or lacks a topic.
pub async fn log_ends(
    kafka: &kafka_sink::Config,
    stream: &Stream,
    within: Duration,
) -> anyhow::Result<Vec<(Lane, i64)>> {
    let of_topic = async |topic: &String| {
        let extents = kafka_sink::extents(kafka, topic, within).await?;
        let lane = |partition| Lane { epoch: stream.epoch, topic: topic.clone(), partition };
        let end = |extent: &kafka_sink::Extent| if extent.begin < extent.end { extent.end } else { 0 };
        anyhow::Ok(extents.iter().map(|extent| (lane(extent.partition), end(extent))).collect::<Vec<_>>())
    };
    let topics = try_join_all([&stream.cdr_data, &stream.cdr_voice].map(of_topic)).await?;
    Ok(topics.into_iter().flatten().collect())
}
