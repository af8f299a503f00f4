//! Finds the objects of a topic for which no chunk has been planned.

use std::collections::BTreeMap;

use ::stream::Lane;
use futures::{StreamExt, TryStreamExt, stream};
use lake::bronze::by_hour::{self, Object};
use lake::bronze::{self, Segment};

use crate::Deps;
use crate::chunk::Planned;

/// Objects by hour that are looked at in parallel: requests wait for the store, not for this machine.
const LOOKS_IN_FLIGHT: usize = 32;
/// Lanes that are listed in parallel.
const LISTINGS_IN_FLIGHT: usize = 8;
/// A page of a listing has this many names.
const NAMES_AT_ONCE: usize = 1_000;

/// Segments by partition.
pub(crate) type Looked = BTreeMap<i32, Vec<Segment>>;

/// A topic, and how far it has been planned.
pub(crate) struct Look<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) topic: &'a str,
    pub(crate) planned: &'a BTreeMap<i32, Planned>,
}

impl Look<'_> {
    /// The objects that reach beyond what is planned, at most `most` of a lane, and the unknown objects by hour.
    ///
    /// # Errors
    /// When the lake or the database fail.
    pub(crate) async fn at(&self, most: usize) -> anyhow::Result<Looked> {
        let mut found = self.by_offset(most).await?;
        // Listed after those by offset: an older version put its objects before them, so the listing has all of them.
        if self.is_by_hour_due(&found).await? {
            let by_hour = self.by_hour(most).await?;
            if by_hour.values().map(Vec::len).sum::<usize>() >= most {
                return Ok(by_hour);
            }
            for (partition, segments) in by_hour {
                found.entry(partition).or_default().extend(segments);
            }
        }
        Ok(found)
    }

    async fn by_offset(&self, most: usize) -> anyhow::Result<Looked> {
        let Deps { lake, epoch, .. } = self.deps;
        let lanes = bronze::partitions(lake, *epoch, self.topic).await?.into_iter().map(|partition| async move {
            let lane = Lane { epoch: *epoch, topic: self.topic.to_owned(), partition };
            let next = self.planned.get(&partition).map_or(0, |planned| planned.next);
            anyhow::Ok((partition, bronze::segments(lake, &lane, next, most).await?))
        });
        let found: Vec<_> = stream::iter(lanes).buffer_unordered(LISTINGS_IN_FLIGHT).try_collect().await?;
        Ok(found.into_iter().filter(|(_, segments)| !segments.is_empty()).collect())
    }

    /// Whether the older versions' objects have to be listed. A new one may lie anywhere, so the whole listing is read
    /// each time: for a day from the first run of this version on, as an older version may still write; and later if
    /// something is missing before an object.
    async fn is_by_hour_due(&self, found: &Looked) -> anyhow::Result<bool> {
        const BEGIN: &str = "insert into ops.topics_by_hour (epoch, topic) values ($1, $2) on conflict do nothing";
        const IS_DUE: &str = "select looked_until > now() from ops.topics_by_hour where epoch = $1 and topic = $2";
        let Deps { lake, epoch, pool, .. } = self.deps;
        if !by_hour::is_there(lake, *epoch, self.topic).await? {
            return Ok(false);
        }
        let epoch = i64::from(*epoch);
        pool.query(BEGIN, &[&epoch, &self.topic]).await?;
        let rows = pool.query(IS_DUE, &[&epoch, &self.topic]).await?;
        let is_due = rows.first().is_some_and(|row| row.get(0));
        Ok(is_due || found.iter().any(|(partition, segments)| self.is_open(*partition, segments)))
    }

    /// Whether objects by hour may fill the gap between what is planned and these segments.
    fn is_open(&self, partition: i32, segments: &[Segment]) -> bool {
        let planned = self.planned.get(&partition).copied().unwrap_or_default();
        !planned.is_by_offset && segments.first().is_some_and(|segment| segment.first > planned.next)
    }

    async fn by_hour(&self, most: usize) -> anyhow::Result<Looked> {
        let Deps { lake, epoch, .. } = self.deps;
        let mut pages = by_hour::objects(lake, *epoch, self.topic).try_ready_chunks(NAMES_AT_ONCE);
        let mut unknown: Vec<Object> = Vec::new();
        while let Some(page) = pages.try_next().await.map_err(|error| error.1)? {
            unknown.extend(self.unknown(page).await?);
            if unknown.len() >= most {
                unknown.truncate(most);
                break;
            }
        }
        let mut found = Looked::new();
        let mut looks = stream::iter(unknown).map(|object| object.look(lake)).buffered(LOOKS_IN_FLIGHT);
        while let Some(segment) = looks.try_next().await? {
            found.entry(segment.partition).or_default().push(segment);
        }
        Ok(found)
    }

    /// The objects that are not in `ops.loaded_objects`.
    async fn unknown(&self, objects: Vec<Object>) -> anyhow::Result<Vec<Object>> {
        const SQL: &str = include_str!("sql/unknown_objects.sql");
        let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
        let rows = self.deps.pool.query(SQL, &[&keys]).await?;
        let places: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let is_unknown = |place: &i64| places.binary_search(place).is_ok();
        Ok((1..).zip(objects).filter(|(place, _)| is_unknown(place)).map(|(_, object)| object).collect())
    }
}
