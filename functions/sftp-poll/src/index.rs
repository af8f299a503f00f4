//! Which files share rows, by a few digests of each: a listing of the lake, kept in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use content::{Head, Share, Sketch};
use futures::TryStreamExt as _;
use lake::names::{NAMED_DIGESTS, NamedSketch, SKETCHES, VersionKey};
use lake::registers::{Conflict, ConflictReason, Decision, Version};
use telecom::{Day, FileName};

use crate::decide::{has_counting, may_count};
use crate::miss::Miss;
use crate::ports::Objects;
use crate::registers::read_file;

/// For so many days a file is compared with those that came before.
const DAYS: i32 = 35;

/// The files of the last weeks.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the day under which their sketches lie.
    days: BTreeMap<String, Vec<Named>>,
    /// What this process has decided since it last listed them: a poll's files are compared with one another.
    fresh: HashMap<VersionKey, Sketch>,
    /// Those of them that it is about to decide: what they begin with.
    deciding: HashMap<VersionKey, Option<Head>>,
}

/// As an object's name says it: 100 bytes, as there are many.
#[derive(Clone, Copy, Debug)]
struct Named {
    name: FileName,
    digests: [u32; NAMED_DIGESTS],
    len: u8,
}

impl Named {
    fn of(sketch: &NamedSketch) -> Self {
        let mut digests = [0; NAMED_DIGESTS];
        let len = sketch.digests.len().min(NAMED_DIGESTS);
        digests[..len].copy_from_slice(&sketch.digests[..len]);
        Self { name: sketch.name, digests, len: len as u8 }
    }

    fn shares(&self, sorted: &[u32]) -> bool {
        self.digests[..usize::from(self.len)].iter().any(|digest| sorted.binary_search(digest).is_ok())
    }
}

/// The day of a time in seconds since 1970, as it is written.
pub(crate) fn day(now_s: u64) -> String {
    days_before(now_s, 0)
}

fn days_before(now_s: u64, days: i32) -> String {
    let today = i32::try_from(now_s / 86_400).unwrap_or(i32::MAX);
    Day::from_epoch_days(today.saturating_sub(days)).unwrap_or(Day::MIN).to_string()
}

impl Index {
    /// Lists what has come since the last time: all of the last weeks at first, then the days since. What is older is removed.
    pub(crate) async fn refresh(&self, objects: &impl Objects, now_s: u64) -> Result<(), Miss> {
        let oldest = days_before(now_s, DAYS);
        // A day is listed until another one has been met behind it.
        let from = self.state().days.keys().next_back().filter(|day| **day >= oldest).cloned();
        let after = from.as_ref().map(|day| format!("{SKETCHES}{day}"));
        let mut listed = objects.list(SKETCHES, after.as_deref());
        let mut days = BTreeMap::<String, Vec<Named>>::new();
        let mut old = Vec::new();
        while let Some(key) = listed.try_next().await? {
            match NamedSketch::parse(&key) {
                Some((day, _)) if day < oldest.as_str() => old.push(key),
                Some((day, sketch)) => days.entry(day.to_owned()).or_default().push(Named::of(&sketch)),
                None => {}
            }
        }
        drop(listed);
        {
            let state = &mut *self.state();
            state.days.retain(|day, _| *day >= oldest);
            state.days.append(&mut days);
            state.fresh.clear();
            state.deciding.clear();
        }
        for key in old {
            objects.delete(&key).await?;
        }
        Ok(())
    }

    /// A file has brought these rows.
    pub(crate) fn add(&self, version: VersionKey, sketch: &Sketch) {
        let state = &mut *self.state();
        state.deciding.remove(&version);
        if !sketch.is_empty() {
            state.fresh.entry(version).or_default().merge(sketch);
        }
    }

    /// Whether a file is being decided at this moment that begins like this version: the version may continue it.
    pub(crate) fn is_being_decided(&self, other: &VersionKey, version: &Version) -> bool {
        version.head.is_some() && self.state().deciding.get(other) == Some(&version.head)
    }

    /// A file brings nothing after all.
    pub(crate) fn forget(&self, version: &VersionKey) {
        let state = &mut *self.state();
        state.fresh.remove(version);
        state.deciding.remove(version);
    }

    /// Whether a version shares more than half of its rows behind `known` with files that count, and with which of them
    /// most. `sketch` is that of these rows.
    pub(crate) async fn shares(
        &self,
        objects: &impl Objects,
        version: &Version,
        sketch: &Sketch,
        known: u64,
    ) -> Result<Option<Conflict>, Miss> {
        let own_rows = version.rows - known;
        let mut shared = 0;
        let mut most: Option<(u64, VersionKey)> = None;
        for (other, share) in self.candidates(objects, version, sketch).await? {
            let rows = share.of(own_rows);
            shared += rows;
            if most.is_none_or(|(most, _)| rows > most) {
                most = Some((rows, other));
            }
        }
        Ok(most.filter(|_| shared * 2 > own_rows).map(|(_, with)| Conflict {
            with,
            reason: ConflictReason::Shares,
            shared_rows: shared.min(own_rows),
        }))
    }

    /// The other versions that share rows, and which part of them.
    async fn candidates(
        &self,
        objects: &impl Objects,
        version: &Version,
        sketch: &Sketch,
    ) -> Result<Vec<(VersionKey, Share)>, Miss> {
        let (mut found, names) = self.known(version, sketch);
        for name in names {
            let register = read_file(objects, name).await?.value;
            for other in &register.versions {
                let share = sketch.share_in(&other.sketch);
                let is_other = other.key != version.key && !found.iter().any(|(key, _)| *key == other.key);
                if is_other && share.shared > 0 && counts(objects, other).await? {
                    found.push((other.key, share));
                }
            }
        }
        Ok(found)
    }

    /// What this process has decided itself, and the names of the others.
    fn known(&self, version: &Version, sketch: &Sketch) -> (Vec<(VersionKey, Share)>, Vec<FileName>) {
        let digests: Vec<u32> = sketch.digests().iter().map(|digest| (digest >> 32) as u32).collect();
        let state = &mut *self.state();
        let fresh = state.fresh.iter().filter(|(key, _)| **key != version.key);
        let fresh = fresh.map(|(key, other)| (*key, sketch.share_in(other))).filter(|(_, share)| share.shared > 0);
        let record_type = version.key.name().record_type();
        let named = state.days.values().flatten().filter(|named| named.name.record_type() == record_type);
        let mut names: Vec<_> = named.filter(|named| named.shares(&digests)).map(|named| named.name).collect();
        names.sort_unstable();
        names.dedup();
        let fresh: Vec<_> = fresh.collect();
        // Files that are decided at the same moment are to see one another.
        if fresh.is_empty() && names.is_empty() && !sketch.is_empty() {
            state.fresh.entry(version.key).or_default().merge(sketch);
            state.deciding.insert(version.key, version.head);
        }
        (fresh, names)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether any row of a version counts. What is not published yet will.
async fn counts(objects: &impl Objects, version: &Version) -> Result<bool, Miss> {
    if version.decision != Decision::Counted {
        return Ok(may_count(version));
    }
    match has_counting(objects, version).await {
        Err(Miss::Unsettled) => Ok(true),
        accepted => accepted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_they_are_ordered() {
        assert_eq!(day(1_709_251_199), "2024-02-29");
        assert_eq!(days_before(1_709_251_200, 1), "2024-02-29");
        assert_eq!(days_before(0, DAYS), "1970-01-01");
    }
}
