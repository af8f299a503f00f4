//! The names under which earlier versions put objects:
//! `bronze/epoch=E/topic=T/date=D/hour=H/partition=P/<first offset>.jsonl.zst`.
//!
//! Date and hour are those of the first record's Kafka timestamp, which a producer chooses: a new object may lie
//! anywhere in such a listing, so it has to be read from its beginning. An object's last offset is kept with it.

use futures::TryStreamExt;
use futures::stream::{BoxStream, StreamExt};
use stream::Lane;

use super::name::SUFFIX;
use super::{Hour, Segment, read, topic_prefix};
use crate::{Error, Lake, Listed};

/// The decimal number that is kept with an object: the offset of its last record.
const LAST_OFFSET: &str = "last-offset";

/// An object, as described by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: String,
    /// The hour in it.
    pub hour: Hour,
    partition: i32,
    first: i64,
    bytes: u64,
}

/// Whether a topic has such objects.
///
/// # Errors
/// When the store can't be reached or refuses.
pub async fn is_there(lake: &Lake, epoch: u32, topic: &str) -> Result<bool, Error> {
    Ok(lake.list(&prefix(epoch, topic)).try_next().await?.is_some())
}

/// A topic's objects, hour by hour.
pub fn objects(lake: &Lake, epoch: u32, topic: &str) -> BoxStream<'static, Result<Object, Error>> {
    let below = topic_prefix(epoch, topic);
    let listed = lake.list(&prefix(epoch, topic));
    listed.try_filter_map(move |listed| futures::future::ok(Object::of(&below, listed))).boxed()
}

fn prefix(epoch: u32, topic: &str) -> String {
    format!("{}date=", topic_prefix(epoch, topic))
}

impl Object {
    /// A foreign object in between is skipped, with a warning.
    fn of(below: &str, listed: Listed) -> Option<Self> {
        let parts = || {
            let (hour, rest) = listed.key.strip_prefix(below)?.split_once("/partition=")?;
            let (partition, first) = rest.strip_suffix(SUFFIX)?.split_once('/')?;
            Some((partition.parse().ok()?, hour.parse().ok()?, first.parse().ok()?))
        };
        let Some((partition, hour, first)) = parts() else {
            tracing::warn!(lake.key = listed.key, "this object is none of bronze: it is not read");
            return None;
        };
        Some(Self { key: listed.key, hour, partition, first, bytes: listed.bytes })
    }

    /// Finds out how far it reaches: one request. Copying a bucket may lose the objects' metadata; then the object is
    /// read.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn look(self, lake: &Lake) -> Result<Segment, Error> {
        let Self { key, hour, partition, first, bytes } = self;
        let head = lake.head(&key).await?.ok_or_else(|| Error::NotFound { key: key.clone() })?;
        let kept = head.metadata.get(LAST_OFFSET).and_then(|text| text.parse().ok());
        let last = match kept.filter(|last| *last >= first) {
            Some(last) => last,
            None => read(lake, &key).await?.last().map_or(first, |record| record.offset),
        };
        Ok(Segment { partition, first, last, hour: Some(hour), key, bytes })
    }
}

/// The name of the object that begins with this offset and time: for tests of what older versions have left.
#[must_use]
pub fn key(lane: &Lane, first_offset: i64, first_timestamp_ms: i64) -> String {
    let Lane { epoch, topic, partition } = lane;
    let hour = Hour::of(first_timestamp_ms);
    format!("{}{hour}/partition={partition}/{first_offset:020}{SUFFIX}", topic_prefix(*epoch, topic))
}
