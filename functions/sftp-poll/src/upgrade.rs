//! Registers of what version 0.1 has left in the lake.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use content::{Digest, Sketch};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use lake::names::{self, NamedSketch, PieceKey, VersionKey};
use lake::registers::{
    Decision, Entry, EntryState, Extent, FileRegister, Held, Piece, PieceDecision, PieceEnd, Stat, Version,
};
use lake::{Lake, Swap};
use serde::Deserialize;
use telecom::{FileName, SourceId};

use crate::format;
use crate::index::day;
use crate::land::{Landing, recover};
use crate::poll::error_of;
use crate::registers::{Read, read_file, read_head};
use crate::rules::{Design, Rules as _};

/// Files that landed longer ago are known by their names alone: the counters have forgotten them as well.
const READ_WITHIN: Duration = Duration::from_hours(35 * 24);
/// Files that are read at once.
const FILES_IN_FLIGHT: usize = 4;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upgraded {
    /// Files that have a register now.
    pub files: u64,
    /// Those whose content was read for it.
    pub read: u64,
}

/// `announced/NAME.json` of version 0.1.
#[derive(Deserialize)]
struct Marker {
    sha256: Digest,
    source_id: SourceId,
    bytes: u64,
    mtime: u64,
}

/// Makes registers of the files that version 0.1 has landed, so that they are recognised: by their ids and, those of the last
/// 35 days, by their content. It may be repeated, and does nothing where the lake has registers. No `sftp-poll` of version 0.1
/// may run meanwhile.
///
/// # Errors
/// When the lake fails, or something else than files lies where they should.
pub async fn upgrade(lake: &Lake) -> anyhow::Result<Upgraded> {
    if format::is_current(lake).await? {
        return Ok(Upgraded::default());
    }
    let names = names_of_files(lake).await?;
    let looked_at = stream::iter(names).map(|name| async move { (name, look(lake, name).await) }.boxed());
    let mut looked_at = looked_at.buffered(FILES_IN_FLIGHT);
    let mut upgraded = Upgraded::default();
    // Read side by side, and entered one behind the other.
    while let Some((name, old)) = looked_at.next().await {
        let doing = || format!("making a register of {name}");
        let Some(old) = old.with_context(doing)? else { continue };
        upgraded.files += 1;
        upgraded.read += u64::from(old.landing.is_some());
        register(lake, old).await.with_context(doing)?;
    }
    format::write(lake).await?;
    Ok(upgraded)
}

/// In the order in which they were read: of files with the same content the first one has brought the rows.
async fn names_of_files(lake: &Lake) -> anyhow::Result<BTreeSet<FileName>> {
    let mut files = BTreeSet::new();
    let mut landed = lake.list(names::LANDING);
    while let Some(object) = landed.try_next().await? {
        // Later versions lie beside the first under names of another form; they did not count.
        let piece = PieceKey::of_object(&object.key);
        files.extend(piece.filter(PieceKey::is_first).map(|piece| piece.name()));
    }
    Ok(files)
}

/// A file of version 0.1.
struct Old {
    /// Where its register is to be.
    read: Read<FileRegister>,
    version: Version,
    /// What was read of it.
    landing: Option<Landing>,
}

/// Looks at a file; `None` where it has a register.
async fn look(lake: &Lake, name: FileName) -> anyhow::Result<Option<Old>> {
    let read = read_file(lake, name).await.map_err(error_of)?;
    if read.exists() {
        return Ok(None);
    }
    let piece = VersionKey::first(name).piece();
    let head = lake.head(&names::landing(&piece)).await?.context("its object has gone")?;
    let age = SystemTime::now().duration_since(head.last_modified).unwrap_or_default();
    let marker: Option<Marker> = lake.get_json(&names::announced(&name)).await?;
    let landed_at = head.last_modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // One that was not announced is announced by the next poll, under the id that it may have been announced with.
    let landing = match &marker {
        Some(_) if age > READ_WITHIN => None,
        _ => Some(recover(lake, piece, None).await.map_err(error_of)?),
    };
    let version = match (&marker, &landing) {
        (Some(marker), _) => named(name, marker, landed_at),
        (None, Some(Landing { stat, surveyed, .. })) => {
            let (sha256, bytes) = (surveyed.sha256, surveyed.bytes);
            let marker = Marker { sha256, source_id: sha256.source_id(), bytes, mtime: stat.mtime };
            named(name, &marker, landed_at)
        }
        (None, None) => anyhow::bail!("{name} has neither a marker nor an object"),
    };
    Ok(Some(Old { read, version, landing }))
}

/// Makes the register of a file.
async fn register(lake: &Lake, old: Old) -> anyhow::Result<()> {
    let Old { mut read, mut version, landing } = old;
    if let Some(landing) = &landing {
        describe(&mut version, landing);
        enter(lake, &mut version).await?;
    }
    read.value.versions.push(version);
    // Another one that does the same has written the same.
    read.swap(lake).await.map_err(error_of)?;
    Ok(())
}

/// What its marker tells of a file.
fn named(name: FileName, marker: &Marker, landed_at: u64) -> Version {
    let key = VersionKey::first(name);
    Version {
        key,
        stat: Stat { size: marker.bytes, mtime: marker.mtime },
        bytes: marker.bytes,
        last_piece: key.piece(),
        piece: Piece { sha256: marker.sha256, bytes: marker.bytes, first_line: 0, continued: 0, twin: None },
        decision: Decision::Counted,
        rows: 0,
        digest: None,
        mark: None,
        head: None,
        is_appendable: false,
        first_block: None,
        last_blocks: Vec::new(),
        source_id: marker.source_id,
        sketch: Sketch::default(),
        waiting_sketch: None,
        was_waiting: false,
        sketch_key: None,
        landed_at,
    }
}

/// What its content tells of a file.
fn describe(version: &mut Version, landing: &Landing) {
    let surveyed = &landing.surveyed;
    version.rows = surveyed.mark.rows;
    version.digest = Some(surveyed.digest);
    version.mark = Some(surveyed.mark.clone());
    version.head = surveyed.head;
    version.is_appendable = surveyed.is_appendable;
    version.first_block = Some(surveyed.first_block);
    version.last_blocks = vec![surveyed.last_block];
    version.sketch = surveyed.sketch.clone();
}

/// Enters a file among those that begin alike, as counted under its old id.
async fn enter(lake: &Lake, version: &mut Version) -> anyhow::Result<()> {
    let (Some(head), Some(digest)) = (version.head, version.digest) else { return Ok(()) };
    let extent = Extent { rows: version.rows, digest };
    let counted_as = version.source_id;
    loop {
        let mut read = read_head(lake, &head).await.map_err(error_of)?;
        if let Some(entry) = read.value.entry(&version.key) {
            version.source_id = entry.source_id;
            break;
        }
        // Files with the same bytes had the same id. What one of them goes on with is its own.
        let is_taken = |id: SourceId| read.value.entries.iter().any(|entry| entry.source_id == id);
        version.source_id = match is_taken(counted_as) {
            true => Design::source_id(&digest, is_taken),
            false => counted_as,
        };
        let held = Held { source_id: counted_as, version: version.key, to_line: version.rows, counts: true };
        read.value.entries.push(Entry {
            version: version.key,
            rows: version.rows,
            digest,
            source_id: version.source_id,
            first: extent,
            shared: 0,
            held: vec![held],
            state: EntryState::Counted,
            last_piece: version.last_piece,
            last: PieceDecision {
                decision: Decision::Counted,
                first_line: 0,
                continued: 0,
                twin: None,
                supersedes: Vec::new(),
            },
            ends: vec![PieceEnd { extent, next_byte: Some(version.bytes) }],
        });
        if read.swap(lake).await.map_err(error_of)? == Swap::Swapped {
            break;
        }
    }
    if version.source_id != counted_as {
        // It is announced, where it is again, as it was.
        version.piece.twin = Some(lake::Twin { source_id: counted_as, piece: version.last_piece });
        version.sketch = Sketch::default();
    }
    if !version.sketch.is_empty() {
        let key = NamedSketch::of(version.key.name(), &version.sketch).key(&day(version.landed_at));
        lake.put_if_absent(&key, Bytes::new(), &[]).await?;
        version.sketch_key = Some(key);
    }
    Ok(())
}
