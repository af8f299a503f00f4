//! What counts of a piece that lies in the lake. The decision falls when the register of all files that begin alike is
//! swapped; everything here can be done any number of times before.

use content::Sketch;
use lake::names::{self, PieceKey, VersionKey};
use lake::registers::{
    Conflict, ConflictReason, Decision, Entry, EntryState, Extent, FileRegister, HeadRegister, Held, PieceDecision,
    PieceEnd, Version,
};
use lake::{FileResult, Swap, Twin};

use crate::compare::{Content, Relation, relation, sketch_behind};
use crate::land::pieces;
use crate::miss::Miss;
use crate::ports::Objects;
use crate::registers::{read_head, read_json};
use crate::rules::Rules;
use crate::work::Work;

/// The ends of pieces that an entry remembers: another file that grows beside it is compared from the last one on.
const ENDS: usize = 16;

/// What was decided: how the entry of the version is to be, and what of the file's earlier versions it ends.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) entry: Entry,
    /// The entry whose place it takes, of an earlier version that it goes on from.
    pub(crate) takes_place_of: Option<VersionKey>,
    /// Of the rows of the piece that are its own.
    pub(crate) sketch: Sketch,
}

/// The rows at a version's beginning that are known already.
#[derive(Debug, Default)]
struct Known {
    rows: u64,
    held: Vec<Held>,
}

/// One decision in the making.
pub(crate) struct Deciding<'a, O, R: Rules> {
    pub(crate) work: &'a Work<'a, O, R>,
    pub(crate) register: &'a FileRegister,
    pub(crate) version: &'a Version,
    pub(crate) heads: &'a HeadRegister,
}

/// The other entries that count or have counted, and how the version stands to them.
type Relations<'a> = Vec<(&'a Entry, Relation)>;

impl<'a, O: Objects, R: Rules> Deciding<'a, O, R> {
    /// Decides by the rules.
    pub(crate) async fn decide(&self) -> Result<Decided, Miss> {
        // A replacement that was begun comes to its end first.
        if self.earlier().any(|earlier| matches!(earlier.decision, Decision::Replacing(_))) {
            return Err(Miss::Unsettled);
        }
        let relations = self.relations().await?;
        let known = self.known(&relations);
        let conflict = self.withdrawn(&relations);
        if known.rows == self.version.rows && conflict.is_none() {
            return self.count(&relations, known, Sketch::default(), Vec::new()).await;
        }
        let retired = self.retire_waiting().await?;
        if let Some(conflict) = conflict {
            return Ok(self.wait(conflict, retired));
        }
        let others = match self.changed(&relations).await? {
            Ok(others) => others,
            Err(conflict) => return Ok(self.wait(conflict, retired)),
        };
        let sketch = self.own_sketch(&known).await?;
        let shares = self.work.index.shares(self.work.objects, self.version, &sketch, known.rows).await?;
        match shares {
            // What that file comes to decides about this one.
            Some(conflict) if self.work.index.is_being_decided(&conflict.with, self.version) => Err(Miss::Unsettled),
            Some(conflict) => Ok(self.wait(conflict, retired)),
            None => self.count(&relations, known, sketch, [retired, others].concat()).await,
        }
    }

    /// Earlier versions that wait don't any more. Where somebody has decided about one just now, that comes first.
    async fn retire_waiting(&self) -> Result<Vec<VersionKey>, Miss> {
        let mut retired = Vec::new();
        for earlier in self.earlier().filter(|earlier| matches!(earlier.decision, Decision::Waiting(_))) {
            if let Some(head) = &earlier.head {
                self.retire(head, earlier).await?;
            }
            retired.push(earlier.key);
        }
        Ok(retired)
    }

    async fn retire(&self, head: &content::Head, earlier: &Version) -> Result<(), Miss> {
        loop {
            let mut read = read_head(self.work.objects, head).await?;
            let Some(entry) = read.value.entry_mut(&earlier.key) else { return Ok(()) };
            match &entry.last.decision {
                Decision::Waiting(_) if entry.last_piece == earlier.last_piece => {}
                Decision::Superseded { .. } => return Ok(()),
                _ => return Err(Miss::Unsettled),
            }
            entry.last.decision = Decision::Superseded { by: self.version.key };
            if entry.state == EntryState::Waiting {
                entry.state = EntryState::Dropped;
            }
            if read.swap(self.work.objects).await? == Swap::Swapped {
                return Ok(());
            }
        }
    }

    /// What came under the file's name before.
    fn earlier(&self) -> impl DoubleEndedIterator<Item = &'a Version> {
        let at = self.register.versions.iter().position(|version| version.key == self.version.key);
        self.register.versions[..at.unwrap_or_default()].iter()
    }

    /// Decides that it counts beside what it waited for.
    pub(crate) async fn accept(&self, conflict: &Conflict) -> Result<Decided, Miss> {
        let (relations, known) = match conflict.reason {
            // All of it counts anew.
            ConflictReason::Withdrawn => (Vec::new(), self.before()),
            ConflictReason::Changed | ConflictReason::Shares => {
                let relations = self.relations().await?;
                let known = self.known(&relations);
                (relations, known)
            }
        };
        let sketch = self.own_sketch(&known).await?;
        self.count(&relations, known, sketch, self.continued(&relations)).await
    }

    /// The earlier versions of the name that it goes on from.
    fn continued(&self, relations: &Relations<'_>) -> Vec<VersionKey> {
        let counted = self.earlier().filter(|earlier| earlier.decision == Decision::Counted);
        counted.filter(|earlier| goes_on_from(relations, earlier)).map(|earlier| earlier.key).collect()
    }

    /// Decides that it counts instead of what it waited for, which has been taken back. The inner error says why it can't.
    pub(crate) async fn replace(&self) -> Result<Result<Decided, String>, Miss> {
        let mut known = self.before();
        let relations = self.relations().await?;
        for (entry, relation) in &relations {
            let shared = relation.shared(self.version.rows, entry.rows);
            if entry.state != EntryState::Counted || shared <= known.rows {
                continue;
            }
            // Rows that still count under another name are not counted again.
            let held = clip(&entry.held, known.rows, shared);
            let counting = held.iter().take_while(|held| held.counts).count();
            if held[counting..].iter().any(|held| held.counts) {
                return Ok(Err(format!("{} counts rows behind those that would be taken back", entry.version)));
            }
            if let Some(last) = counting.checked_sub(1).and_then(|last| held.get(last)) {
                known.rows = last.to_line;
                known.held.extend_from_slice(&held[..counting]);
            }
        }
        let sketch = self.own_sketch(&known).await?;
        self.count(&[], known, sketch, self.continued(&relations)).await.map(Ok)
    }

    fn first_line(&self) -> u64 {
        self.version.piece.first_line
    }

    /// The rows of its earlier pieces, also where they were taken back.
    fn before(&self) -> Known {
        let rows = self.first_line();
        let entry = self.heads.entry(&self.version.key).filter(|_| rows > 0);
        Known { rows, held: entry.map_or_else(Vec::new, |entry| clip(&entry.held, 0, rows)) }
    }

    /// The version's own entry, from its earlier pieces.
    fn own(&self) -> Option<&'a Entry> {
        self.heads.entry(&self.version.key).filter(|own| own.state == EntryState::Counted)
    }

    fn end(&self) -> Extent {
        end_of(self.version)
    }

    fn content(&self) -> Content {
        let before = self.own().and_then(|own| own.ends.last().copied());
        Content { last_piece: self.version.last_piece, end: self.end(), before }
    }

    async fn relations(&self) -> Result<Relations<'a>, Miss> {
        let content = self.content();
        let mut relations = Vec::new();
        for entry in self.heads.entries.iter().filter(|entry| entry.version != self.version.key) {
            let may_matter = match entry.state {
                // What it has in common with shorter files was settled with its earlier pieces.
                EntryState::Counted => self.own().is_none_or(|own| entry.rows > own.rows),
                EntryState::Withdrawn { .. } => self.own().is_none(),
                EntryState::Waiting | EntryState::Dropped => false,
            };
            if may_matter {
                relations.push((entry, relation(self.work.objects, &content, entry).await?));
            }
        }
        Ok(relations)
    }

    /// Content that was replaced waits for a person where it comes again, also in part or with more behind it.
    fn withdrawn(&self, relations: &Relations<'_>) -> Option<Conflict> {
        if !R::REMEMBERS_WITHDRAWN {
            return None;
        }
        let own = self.heads.entry(&self.version.key).map(|own| (own, Relation::Continues));
        own.iter().chain(relations).find_map(|(entry, relation)| match (&entry.state, relation) {
            (_, Relation::Parts | Relation::Forks { .. }) => None,
            (EntryState::Withdrawn { by, .. }, relation) => Some(Conflict {
                with: *by,
                reason: ConflictReason::Withdrawn,
                shared_rows: relation.shared(self.version.rows, entry.rows),
            }),
            _ => None,
        })
    }

    /// How many of its first rows are known, and who holds them.
    fn known(&self, relations: &[(&Entry, Relation)]) -> Known {
        let own = self.own();
        let mut known =
            Known { rows: own.map_or(0, |own| own.rows), held: own.map_or_else(Vec::new, |own| own.held.clone()) };
        let (own_rows, own_held) = (known.rows, known.held.clone());
        for (entry, relation) in relations {
            let shared = match R::SHARES_BY_CONTENT {
                true => relation.shared(self.version.rows, entry.rows),
                // As if whatever begins alike went on alike.
                false => entry.rows.min(self.version.rows),
            };
            if entry.state == EntryState::Counted && shared > known.rows {
                known.rows = shared;
                known.held = [own_held.clone(), clip(&entry.held, own_rows, shared)].concat();
            }
        }
        known
    }

    /// A file that comes again under its name with other rows is a conflict, unless nothing was counted of it, or what was
    /// counted stands under another name by now.
    async fn changed(&self, relations: &Relations<'_>) -> Result<Result<Vec<VersionKey>, Conflict>, Miss> {
        let mut supersedes = Vec::new();
        if !self.version.last_piece.is_first() {
            return Ok(Ok(supersedes));
        }
        for earlier in self.earlier().rev() {
            if earlier.decision == Decision::Landed {
                return Err(Miss::Unsettled);
            }
            if !may_count(earlier) {
                continue;
            }
            if goes_on_from(relations, earlier) || !has_counting(self.work.objects, earlier).await? {
                supersedes.push(earlier.key);
            } else if !self.has_moved(earlier).await? {
                let shared = self.version.waiting_sketch.as_ref().map(|sketch| sketch.share_in(&earlier.sketch));
                let shared_rows = shared.unwrap_or_default().of(self.version.rows);
                let reason = ConflictReason::Changed;
                return Ok(Err(Conflict { with: earlier.key, reason, shared_rows }));
            }
        }
        Ok(Ok(supersedes))
    }

    /// Whether all rows of an earlier version stand under another name by now, as where a sender rotates its files.
    async fn has_moved(&self, earlier: &Version) -> Result<bool, Miss> {
        let Some(head) = &earlier.head else { return Ok(false) };
        let heads = read_head(self.work.objects, head).await?.value;
        let content = Content { last_piece: earlier.last_piece, end: end_of(earlier), before: None };
        for entry in &heads.entries {
            if entry.version.name() != self.register.name
                && entry.state == EntryState::Counted
                && matches!(relation(self.work.objects, &content, entry).await?, Relation::Begins | Relation::Equals)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn own_sketch(&self, known: &Known) -> Result<Sketch, Miss> {
        match &self.version.waiting_sketch {
            Some(sketch) if known.rows == self.first_line() => Ok(sketch.clone()),
            _ => sketch_behind(self.work.objects, &self.content(), known.rows).await,
        }
    }

    fn wait(&self, conflict: Conflict, supersedes: Vec<VersionKey>) -> Decided {
        let last = PieceDecision {
            decision: Decision::Waiting(conflict),
            first_line: self.first_line(),
            continued: 0,
            twin: None,
            supersedes,
        };
        let entry = match self.heads.entry(&self.version.key) {
            Some(own) => Entry { last_piece: self.version.last_piece, last, ..own.clone() },
            None => Entry { state: EntryState::Waiting, ..self.entry(last, Vec::new(), 0) },
        };
        Decided { entry, takes_place_of: None, sketch: Sketch::default() }
    }

    async fn count(
        &self,
        relations: &[(&Entry, Relation)],
        known: Known,
        sketch: Sketch,
        supersedes: Vec<VersionKey>,
    ) -> Result<Decided, Miss> {
        // An earlier version under this name that it goes on from is itself.
        let goes_on = |(entry, relation): &&(&Entry, Relation)| {
            entry.version.name() == self.register.name
                && entry.state == EntryState::Counted
                && *relation == Relation::Continues
                && entry.rows == known.rows
        };
        let earlier = relations.iter().find(goes_on).map(|(entry, _)| *entry).filter(|_| self.own().is_none());
        if let Some(earlier) = earlier {
            self.check_published(earlier).await?;
        }
        let own_rows = known.rows < self.version.rows;
        let lost = || {
            Miss::File(anyhow::anyhow!("{}: the rows before this piece are in no register", self.version.last_piece))
        };
        let (mut continued, mut twin) = (known.rows.checked_sub(self.first_line()).ok_or_else(lost)?, None);
        // A later piece begins in the middle of the twin's rows: those before it may still be on their way.
        let may_be_twin = !own_rows && self.version.last_piece.is_first();
        if let Some((found, rows)) = self.twin(relations).filter(|_| may_be_twin) {
            // Its rows are the twin's, and published so.
            (continued, twin) = (rows, Some(found));
        }
        let decision = Decision::Counted;
        let last = PieceDecision { decision, first_line: self.first_line(), continued, twin, supersedes };
        let mut entry = match (self.own(), earlier) {
            (Some(own), _) => Entry { last, ..own.clone() },
            (None, Some(earlier)) => {
                Entry { last, version: self.version.key, ends: ends_of(earlier), ..earlier.clone() }
            }
            (None, None) => self.entry(last, Vec::new(), known.rows),
        };
        entry.state = EntryState::Counted;
        entry.held = known.held;
        if own_rows {
            hold(
                &mut entry.held,
                Held {
                    source_id: entry.source_id,
                    version: self.version.key,
                    to_line: self.version.rows,
                    counts: true,
                },
            );
        }
        let end = self.end();
        (entry.rows, entry.digest, entry.last_piece) = (end.rows, end.digest, self.version.last_piece);
        entry.ends.push(PieceEnd { extent: end, next_byte: Some(self.version.bytes) });
        entry.ends.drain(..entry.ends.len().saturating_sub(ENDS));
        Ok(Decided { entry, takes_place_of: earlier.map(|earlier| earlier.version), sketch })
    }

    /// What goes on under the id of an earlier version comes when that one is published: a lane never sees a line before those in
    /// front of it.
    async fn check_published(&self, earlier: &Entry) -> Result<(), Miss> {
        if !R::WAITS_FOR_RESULTS {
            return Ok(());
        }
        let last = last_published(self.work.objects, earlier).await?;
        self.work.objects.age(&names::results(&last)).await?.map(drop).ok_or(Miss::Unsettled)
    }

    fn entry(&self, last: PieceDecision, held: Vec<Held>, shared: u64) -> Entry {
        let end = self.end();
        let is_taken = |id| {
            let of_others = |entry: &Entry| entry.source_id == id && entry.version != self.version.key;
            self.heads.entries.iter().any(of_others)
        };
        Entry {
            version: self.version.key,
            rows: end.rows,
            digest: end.digest,
            source_id: match R::IDS_NEED_A_ROW {
                true => R::source_id(&end.digest, is_taken),
                false => self.version.source_id,
            },
            first: end,
            shared,
            held,
            state: EntryState::Counted,
            last_piece: self.version.last_piece,
            last,
            ends: Vec::new(),
        }
    }

    /// Another file that had the very same content when it was first decided, and how many of its rows are others'.
    fn twin(&self, relations: &[(&Entry, Relation)]) -> Option<(Twin, u64)> {
        let is_twin = |entry: &Entry| {
            entry.state == EntryState::Counted
                && entry.first == self.end()
                && entry.version.name() != self.register.name
        };
        let (entry, _) = relations.iter().find(|(entry, _)| is_twin(entry))?;
        let held = clip(&entry.held, 0, self.version.rows);
        if !held.iter().all(|held| held.counts) {
            return None;
        }
        let (last, before) = held.split_last()?;
        let continued = before.last().map_or(0, |before| before.to_line);
        let twin = Twin { source_id: last.source_id, piece: last.version.piece() };
        Some((twin, if R::TWINS_CONTINUE { continued } else { 0 }))
    }
}

/// The ends of an earlier version's pieces: the one that takes its place has other pieces.
fn ends_of(earlier: &Entry) -> Vec<PieceEnd> {
    earlier.ends.iter().map(|end| PieceEnd { next_byte: None, ..*end }).collect()
}

pub(crate) fn end_of(version: &Version) -> Extent {
    Extent { rows: version.rows, digest: version.digest.unwrap_or(content::Digest([0; 32])) }
}

/// Whether a version goes on from an earlier one of its name, which counts.
fn goes_on_from(relations: &Relations<'_>, earlier: &Version) -> bool {
    relations.iter().any(|(entry, relation)| {
        entry.version == earlier.key && entry.state == EntryState::Counted && *relation == Relation::Continues
    })
}

/// Whether rows of a version may count: of one whose last piece does not, those of the pieces before, unless another version has
/// taken them over.
pub(crate) fn may_count(version: &Version) -> bool {
    match version.decision {
        Decision::Counted => true,
        Decision::Withdrawn { .. } => false,
        _ => version.piece.first_line > 0 && !version.sketch.is_empty(),
    }
}

/// The last piece of an entry that is published, or will be: not one that waited and was given up. What becomes of one that
/// waits is not known yet.
pub(crate) async fn last_published(objects: &impl Objects, entry: &Entry) -> Result<PieceKey, Miss> {
    match entry.last.decision {
        Decision::Landed | Decision::Waiting(_) | Decision::Replacing(_) => Err(Miss::Unsettled),
        _ => last_held(objects, entry).await,
    }
}

/// The last piece of an entry whose rows are among those that it holds.
pub(crate) async fn last_held(objects: &impl Objects, entry: &Entry) -> Result<PieceKey, Miss> {
    if entry.holds_last_piece() {
        return Ok(entry.last_piece);
    }
    Ok(entry.last_held(&pieces(objects, entry.last_piece).await?))
}

/// Whether any row of a version became a record, or goes on with what another version has brought.
pub(crate) async fn has_counting(objects: &impl Objects, version: &Version) -> Result<bool, Miss> {
    let is_given_up =
        matches!(version.decision, Decision::Waiting(_) | Decision::Replacing(_) | Decision::Superseded { .. });
    for piece in pieces(objects, version.last_piece).await? {
        let Some(result) = read_json::<FileResult>(objects, names::results(&piece)).await? else {
            // What was not published when it was given up never will be.
            if is_given_up {
                continue;
            }
            return Err(Miss::Unsettled);
        };
        if result.accepted + result.continued > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is held of the rows behind `from` up to `to`.
pub(crate) fn clip(held: &[Held], from: u64, to: u64) -> Vec<Held> {
    let mut clipped = Vec::new();
    for held in held.iter().filter(|held| held.to_line > from) {
        clipped.push(Held { to_line: held.to_line.min(to), ..*held });
        if held.to_line >= to {
            break;
        }
    }
    clipped
}

/// Adds rows to what is held.
pub(crate) fn hold(held: &mut Vec<Held>, rows: Held) {
    match held.last_mut() {
        Some(last) if last.source_id == rows.source_id && last.counts == rows.counts => last.to_line = rows.to_line,
        _ => held.push(rows),
    }
}
