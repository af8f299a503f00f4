use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use lake::{Digest, Lake, names};
use serde::{Deserialize, Serialize};
use sftp::Stat;
use telecom::{FileName, RecordType, SourceId};

use crate::folder::Delivered;

/// Small objects on their way at once.
const READS_IN_FLIGHT: usize = 16;

/// The object `announced/<name>.json`: this version of the file is in the lake and on the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) sha256: Digest,
    pub(crate) source_id: SourceId,
    pub(crate) bytes: u64,
    /// The file's last change when it was copied, in seconds since 1970.
    pub(crate) mtime: u64,
}

/// The markers of the files in the folder. They never change, so they are read once a process; a poll that finds
/// nothing new asks the lake for nothing.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<FileName, Seen>>);

#[derive(Debug)]
struct Seen {
    marker: Marker,
    /// Later versions that have been dealt with.
    changes: HashSet<(u64, u64)>,
}

/// How a delivered file stands to what has landed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    New,
    Announced,
    /// It is another version than the announced one.
    Changed(Marker),
}

impl Known {
    /// Reads the markers of `files` that are not known yet, and forgets those of other files.
    pub(crate) async fn update(&self, lake: &Lake, files: &[Delivered]) -> Result<(), lake::Error> {
        let unknown: HashSet<FileName> = {
            let mut seen = self.seen();
            let present: HashSet<FileName> = files.iter().map(|file| file.name).collect();
            seen.retain(|name, _| present.contains(name));
            present.into_iter().filter(|name| !seen.contains_key(name)).collect()
        };
        let mut marked = Vec::new();
        for record_type in [RecordType::Data, RecordType::Voice] {
            let names = || unknown.iter().filter(|name| name.record_type() == record_type).map(FileName::as_str);
            let (Some(first), Some(last)) = (names().min(), names().max()) else { continue };
            // Only the part of the listing where these files can be: the lake keeps the markers of years.
            let last = names::announced(last);
            let mut listed = lake.list_after(names::ANNOUNCED, Some(&format!("{}{first}", names::ANNOUNCED)));
            while let Some(object) = listed.try_next().await?.filter(|object| object.key <= last) {
                let name = object.key.strip_prefix(names::ANNOUNCED).and_then(|name| name.strip_suffix(".json"));
                marked.extend(name.and_then(|name| FileName::parse(name).ok()).filter(|name| unknown.contains(name)));
            }
        }
        let reads = stream::iter(marked).map(|name| {
            let lake = lake.clone();
            async move { lake.get_json(&names::announced(name.as_str())).await.map(|marker| (name, marker)) }
        });
        let mut reads = reads.buffer_unordered(READS_IN_FLIGHT);
        while let Some((name, marker)) = reads.try_next().await? {
            if let Some(marker) = marker {
                self.announced(name, marker);
            }
        }
        Ok(())
    }

    pub(crate) fn standing(&self, file: &Delivered) -> Standing {
        let Stat { size, mtime } = file.stat;
        match self.seen().get(&file.name) {
            None => Standing::New,
            Some(Seen { marker, changes }) => {
                if (marker.bytes, marker.mtime) == (size, mtime) || changes.contains(&(size, mtime)) {
                    Standing::Announced
                } else {
                    Standing::Changed(*marker)
                }
            }
        }
    }

    pub(crate) fn is_announced(&self, name: FileName) -> bool {
        self.seen().contains_key(&name)
    }

    pub(crate) fn announced(&self, name: FileName, marker: Marker) {
        self.seen().insert(name, Seen { marker, changes: HashSet::new() });
    }

    pub(crate) fn changed(&self, file: &Delivered) {
        if let Some(seen) = self.seen().get_mut(&file.name) {
            seen.changes.insert((file.stat.size, file.stat.mtime));
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<FileName, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
