//! A piece that lies in the lake is registered, decided and announced. Each step may be repeated, by anybody.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use bytes::Bytes;
use content::Sketch;
use futures::TryStreamExt as _;
use lake::names::{self, NamedSketch, PieceKey};
use lake::registers::{
    Conflict, ConflictNote, ConflictReason, Decision, Entry, FileRegister, HeadRegister, Held, Piece, Version,
};
use lake::{Action, Announcement, Swap};
use telecom::{FileName, RecordRules};

use crate::compare::{Content, sketch_behind};
use crate::decide::{Decided, Deciding, end_of};
use crate::index::{Index, day};
use crate::known::{Brief, is_later_drop};
use crate::land::{Landing, recover};
use crate::miss::Miss;
use crate::ports::Objects;
use crate::registers::{Read, Standing, json, read_file, read_head, standing, version_of};
use crate::rules::Rules;

/// Versions that a register keeps: a file that is compressed anew every hour has a new one each time.
const VERSIONS: usize = 200;
/// Blocks of a file's end that are kept: together at least one piece, and not more than is read for them.
const END_BLOCKS: usize = 16;

/// What deciding needs.
pub(crate) struct Work<'a, O, R: Rules> {
    pub(crate) objects: &'a O,
    pub(crate) index: &'a Index,
    /// Seconds since 1970.
    pub(crate) now_s: u64,
    /// How rows are read today.
    pub(crate) reading: &'a RecordRules,
    pub(crate) rules: PhantomData<R>,
}

/// What has come of a piece.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) then: Then,
    /// What is to be remembered of the file; nothing where its register is to be read again.
    pub(crate) newest: Option<Brief>,
}

/// What is left to do for a piece.
#[derive(Debug)]
pub(crate) enum Then {
    /// To announce it; then [`Work::announced`].
    Announce(Box<Announcement>),
    /// To wait for a person.
    Wait,
    /// To go on with what somebody has decided: it takes the place of what it waited for.
    Replace(Box<FileRegister>),
    Nothing,
}

impl<O: Objects, R: Rules> Work<'_, O, R> {
    /// Brings a piece that lies in the lake as far as to its announcement.
    pub(crate) async fn bring(&self, piece: PieceKey, landing: Option<Landing>) -> Result<Brought, Miss> {
        let mut landing = landing;
        loop {
            let mut read = read_file(self.objects, piece.name()).await?;
            match standing(&read.value, &piece) {
                Standing::Past => {
                    self.announced(&piece).await?;
                    return Ok(Brought { then: Then::Nothing, newest: None });
                }
                Standing::Last(version) if version.decision != Decision::Landed => {
                    if !self.adopt_decision(&mut read, &piece).await? {
                        return self.finish(read.value, &piece).await;
                    }
                    read.swap(self.objects).await?;
                    continue;
                }
                Standing::Last(_) => {}
                Standing::New => {
                    let landed = self.landed(&read.value, &piece, landing.take()).await?;
                    landing = Some(landed.clone());
                    register(&mut read.value, &piece, landed, self.now_s)?;
                    // Two versions of a name don't decide without knowing of one another. The first one has none to know of.
                    if read.exists() {
                        read.swap(self.objects).await?;
                        continue;
                    }
                }
            }
            let (entry, sketch) = self.decide(&read.value, &piece).await?;
            let before = version_of(&read.value, &piece.version())?.sketch_key.clone();
            apply(&mut read.value, &piece, entry.as_ref(), sketch, self.now_s)?;
            if read.swap(self.objects).await? == Swap::Swapped {
                let after = version_of(&read.value, &piece.version())?.sketch_key.clone();
                let brought = self.finish(read.value, &piece).await?;
                if let Some(before) = before.filter(|before| after.as_ref() != Some(before)) {
                    self.objects.delete(&before).await?;
                }
                return Ok(brought);
            }
        }
    }

    async fn landed(
        &self,
        register: &FileRegister,
        piece: &PieceKey,
        landing: Option<Landing>,
    ) -> Result<Landing, Miss> {
        match landing {
            Some(landing) => Ok(landing),
            None => recover(self.objects, *piece, register.version(&piece.version())).await,
        }
    }

    /// Decides what a registered piece counts. `None` where no row of it can be used.
    async fn decide(&self, register: &FileRegister, piece: &PieceKey) -> Result<(Option<Entry>, Sketch), Miss> {
        let version = version_of(register, &piece.version())?;
        let Some(head) = version.head else { return Ok((None, Sketch::default())) };
        loop {
            let mut read = read_head(self.objects, &head).await?;
            match read.value.entry(&version.key) {
                Some(entry) if entry.last_piece == *piece => {
                    let sketch = self.sketch(version, entry).await?;
                    return Ok((Some(entry.clone()), sketch));
                }
                // Somebody else has decided it, and is further on.
                Some(entry) if entry.last_piece > *piece => return Err(Miss::Unsettled),
                _ => {}
            }
            let deciding = Deciding { work: self, register, version, heads: &read.value };
            let decided = deciding.decide().await?;
            if let Some(done) = self.write(&mut read, decided).await? {
                return Ok(done);
            }
        }
    }

    /// Writes a decision; `None` where it is to be thought over, because somebody else has decided something meanwhile.
    pub(crate) async fn write(
        &self,
        read: &mut Read<HeadRegister>,
        decided: Decided,
    ) -> Result<Option<(Option<Entry>, Sketch)>, Miss> {
        let Decided { entry, takes_place_of, sketch } = decided;
        enter(&mut read.value, entry.clone(), takes_place_of);
        let swapped = match R::SWAPS_HEADS {
            true => read.swap(self.objects).await?,
            false => read.overwrite(self.objects).await?,
        };
        if swapped == Swap::Lost {
            return Ok(None);
        }
        match entry.last.decision {
            Decision::Counted => self.index.add(entry.version, &sketch),
            _ => self.index.forget(&entry.version),
        }
        Ok(Some((Some(entry), sketch)))
    }

    /// The sketch of the rows that a decided piece brought itself.
    async fn sketch(&self, version: &Version, entry: &Entry) -> Result<Sketch, Miss> {
        if entry.last.decision != Decision::Counted || entry.last.twin.is_some() {
            return Ok(Sketch::default());
        }
        let known = entry.last.first_line + entry.last.continued;
        match &version.waiting_sketch {
            Some(sketch) if entry.last.continued == 0 => Ok(sketch.clone()),
            _ => {
                let content = Content { last_piece: entry.last_piece, end: end_of(version), before: None };
                sketch_behind(self.objects, &content, known).await
            }
        }
    }

    /// Takes over what a person has decided in the register of all files that begin alike; whether that is news.
    async fn adopt_decision(&self, read: &mut Read<FileRegister>, piece: &PieceKey) -> Result<bool, Miss> {
        let version = version_of(&read.value, &piece.version())?;
        let (Decision::Waiting(_) | Decision::Replacing(_), Some(head)) = (&version.decision, version.head) else {
            return Ok(false);
        };
        let heads = read_head(self.objects, &head).await?.value;
        let entry = heads.entry(&version.key).filter(|entry| entry.last_piece == *piece);
        // Held on to for a replacement, it goes on with that, also where somebody has given it up meanwhile.
        let is_news = |entry: &&Entry| match entry.last.decision {
            Decision::Waiting(_) => false,
            Decision::Replacing(_) => matches!(version.decision, Decision::Waiting(_)),
            _ => true,
        };
        let Some(entry) = entry.filter(is_news) else { return Ok(false) };
        let sketch = self.sketch(version, entry).await?;
        apply(&mut read.value, piece, Some(entry), sketch, self.now_s)?;
        Ok(true)
    }

    /// What follows from a decision.
    async fn finish(&self, register: FileRegister, piece: &PieceKey) -> Result<Brought, Miss> {
        let newest = register.newest().map(Brief::of);
        let version = version_of(&register, &piece.version())?;
        let announcement = || Announcement::of_piece(piece, version.source_id, &version.piece);
        let then = match &version.decision {
            Decision::Counted => {
                if let Some(key) = &version.sketch_key {
                    self.put_sketch(version, key).await?;
                }
                self.forget_conflict(&register).await?;
                Then::Announce(Box::new(announcement()))
            }
            Decision::Dropped => {
                self.forget_conflict(&register).await?;
                Then::Announce(Box::new(Announcement { action: Action::Drop, ..announcement() }))
            }
            Decision::Waiting(conflict) => {
                // Its note stays, so that whatever is decided is carried out.
                if register.waiting().is_some_and(|waiting| waiting.key == version.key) {
                    self.note_conflict(version, conflict).await?;
                }
                Then::Wait
            }
            Decision::Replacing(_) => Then::Replace(Box::new(register)),
            Decision::Landed | Decision::Withdrawn { .. } | Decision::Superseded { .. } => {
                self.announced(piece).await?;
                Then::Nothing
            }
        };
        Ok(Brought { then, newest })
    }

    pub(crate) async fn put_sketch(&self, version: &Version, key: &str) -> Result<(), Miss> {
        self.objects.put(key, Bytes::new()).await?;
        // Whoever has listed that day before does not look at it again.
        let today = NamedSketch::of(version.key.name(), &version.sketch).key(&day(self.now_s));
        if today != key {
            self.objects.put(&today, Bytes::new()).await?;
        }
        self.index.add(version.key, &version.sketch);
        Ok(())
    }

    /// Nothing is left to do for a piece.
    pub(crate) async fn announced(&self, piece: &PieceKey) -> Result<(), Miss> {
        Ok(self.objects.delete(&names::unannounced(piece)).await?)
    }

    /// The files that wait for a person. A note that says so of another file is one that came late, and is removed.
    pub(crate) async fn waiting(&self) -> Result<BTreeSet<FileName>, Miss> {
        let mut waiting = BTreeSet::new();
        let keys: Vec<String> = self.objects.list(names::CONFLICTS, None).try_collect().await?;
        for key in keys {
            let name = key.strip_prefix(names::CONFLICTS).and_then(|name| name.strip_suffix(".json"));
            let Some(name) = name.and_then(|name| FileName::parse(name).ok()) else { continue };
            if read_file(self.objects, name).await?.value.waiting().is_some() {
                waiting.insert(name);
            } else {
                self.objects.delete(&key).await?;
            }
        }
        Ok(waiting)
    }

    async fn note_conflict(&self, version: &Version, conflict: &Conflict) -> Result<(), Miss> {
        let key = names::conflict(&version.key.name());
        let note = ConflictNote {
            name: version.key.name(),
            version: version.key,
            piece: version.last_piece,
            with: conflict.with.name(),
            with_version: conflict.with,
            reason: conflict.reason,
            rows: version.rows - version.piece.first_line,
            shared_rows: conflict.shared_rows,
            landed_at: version.landed_at,
        };
        let json = json(&key, &note)?;
        match self.objects.get(&key).await? {
            Some((found, _)) if found == json => Ok(()),
            _ => Ok(self.objects.put(&key, json).await?),
        }
    }

    async fn forget_conflict(&self, register: &FileRegister) -> Result<(), Miss> {
        // Most files never had one.
        let may_have_one = register.versions.len() > 1
            || register.versions.iter().any(|version| version.last_piece.from_byte() > 0 || version.was_waiting);
        if may_have_one && register.waiting().is_none() {
            self.objects.delete(&names::conflict(&register.name)).await?;
        }
        Ok(())
    }
}

/// Adds a piece that has landed to its file's register.
fn register(register: &mut FileRegister, piece: &PieceKey, landing: Landing, now_s: u64) -> Result<(), Miss> {
    let Landing { stat, surveyed, .. } = landing;
    let known = register.versions.iter().position(|version| version.key == piece.version());
    let bytes = piece.from_byte() + surveyed.bytes;
    let facts = Piece { sha256: surveyed.sha256, bytes: surveyed.bytes, first_line: 0, continued: 0, twin: None };
    let Some(at) = known else {
        if !piece.is_first() {
            return Err(Miss::File(anyhow::anyhow!(
                "{piece} has no piece before it: has somebody removed {}?",
                names::file(&register.name)
            )));
        }
        register.versions.push(Version {
            key: piece.version(),
            stat,
            bytes,
            last_piece: *piece,
            piece: facts,
            decision: Decision::Landed,
            rows: surveyed.mark.rows,
            digest: Some(surveyed.digest),
            mark: Some(surveyed.mark),
            head: surveyed.head,
            is_appendable: surveyed.is_appendable,
            first_block: Some(surveyed.first_block),
            last_blocks: vec![surveyed.last_block],
            source_id: surveyed.digest.source_id(),
            sketch: Sketch::default(),
            waiting_sketch: Some(surveyed.sketch),
            was_waiting: false,
            sketch_key: None,
            landed_at: now_s,
        });
        forget_old(register);
        return Ok(());
    };
    let version = &mut register.versions[at];
    if version.bytes != piece.from_byte() {
        return Err(Miss::File(anyhow::anyhow!(
            "{piece} does not go on where the piece before it ends, at {}",
            version.bytes
        )));
    }
    let by = match version.decision {
        // What has been given up goes on: a person has to look.
        Decision::Superseded { by } => Some(by),
        _ => None,
    };
    version.piece = Piece { first_line: version.rows, ..facts };
    version.decision = match by {
        Some(with) => Decision::Waiting(Conflict { with, reason: ConflictReason::Changed, shared_rows: 0 }),
        None => Decision::Landed,
    };
    (version.stat, version.bytes, version.last_piece, version.landed_at) = (stat, bytes, *piece, now_s);
    (version.rows, version.digest) = (surveyed.mark.rows, Some(surveyed.digest));
    version.mark = Some(surveyed.mark);
    version.head = version.head.or(surveyed.head);
    version.last_blocks.push(surveyed.last_block);
    keep_end(&mut version.last_blocks);
    version.waiting_sketch = Some(surveyed.sketch);
    Ok(())
}

/// Keeps as many blocks of the end as are read at once.
fn keep_end(blocks: &mut Vec<content::Block>) {
    let mut bytes = 0;
    let kept = blocks.iter().rev().take(END_BLOCKS).take_while(|block| {
        bytes += block.bytes as usize;
        bytes <= 2 * content::BLOCK_BYTES
    });
    let kept = kept.count().max(1);
    // A block that is not the whole of its piece ends the row of those that lie one behind the other.
    let whole = blocks.iter().rev().take(kept).position(|block| block.bytes as usize == content::BLOCK_BYTES);
    let kept = whole.map_or(kept, |at| at + 1);
    blocks.drain(..blocks.len() - kept);
}

/// Forgets what only a version that goes on needs, and versions that stand for nothing where there are very many.
fn forget_old(register: &mut FileRegister) {
    let is_over = |version: &Version| match version.decision {
        Decision::Superseded { .. } | Decision::Withdrawn { .. } => true,
        Decision::Dropped => !is_later_drop(version),
        _ => false,
    };
    for version in register.versions.iter_mut().filter(|version| is_over(version)) {
        (version.mark, version.first_block, version.waiting_sketch) = (None, None, None);
        version.last_blocks.clear();
    }
    while register.versions.len() > VERSIONS {
        let Some(at) = register.versions.iter().position(is_over) else { return };
        register.versions.remove(at);
    }
}

/// Puts an entry where the version's is, or that of the version whose place it takes: no two have the same id.
fn enter(heads: &mut HeadRegister, entry: Entry, takes_place_of: Option<names::VersionKey>) {
    if takes_place_of.is_some() {
        heads.entries.retain(|other| other.version != entry.version);
    }
    let place = takes_place_of.unwrap_or(entry.version);
    match heads.entry_mut(&place) {
        Some(found) => *found = entry,
        None => heads.entries.push(entry),
    }
}

/// Takes over a decision into a file's register. Without an entry no row of the piece can be used, and it is published to
/// be rejected.
fn apply(
    register: &mut FileRegister,
    piece: &PieceKey,
    entry: Option<&Entry>,
    sketch: Sketch,
    now_s: u64,
) -> Result<(), Miss> {
    let name = register.name;
    let supersedes = entry.map_or_else(Vec::new, |entry| entry.last.supersedes.clone());
    let mut taken_over = Sketch::default();
    for version in register.versions.iter_mut().filter(|version| supersedes.contains(&version.key)) {
        let counted = version.decision == Decision::Counted;
        version.decision = Decision::Superseded { by: piece.version() };
        // Rows that it goes on from still count, under this version's id or their own: they are looked for with it from now on. Those
        // before a piece that waited, and that another version does not go on from, are looked for where they are.
        let holds = |held: &Held| held.counts && held.version == version.key;
        let continues = |entry: &Entry| entry.source_id == version.source_id || entry.held.iter().any(holds);
        if entry.is_some_and(continues) {
            taken_over.merge(&std::mem::take(&mut version.sketch));
        } else if counted {
            // No row of it became a record.
            version.sketch = Sketch::default();
        }
    }
    let missing = || Miss::File(anyhow::anyhow!("the register of {name} has lost {piece}"));
    let version = register.version_mut(&piece.version()).ok_or_else(missing)?;
    version.was_waiting |= version.decision.conflict().is_some();
    let Some(entry) = entry else {
        version.decision = Decision::Counted;
        return Ok(());
    };
    version.decision = entry.last.decision.clone();
    version.source_id = entry.source_id;
    version.piece.continued = entry.last.continued;
    version.piece.twin = entry.last.twin;
    if version.decision == Decision::Counted {
        version.waiting_sketch = None;
        version.sketch.merge(&sketch);
        version.sketch.merge(&taken_over);
        if !(sketch.is_empty() && taken_over.is_empty()) {
            version.sketch_key = Some(NamedSketch::of(name, &version.sketch).key(&day(now_s)));
        }
    }
    forget_old(register);
    Ok(())
}
