//! What should count: the decisions one by one, as sets of rows.

use std::collections::{BTreeMap, BTreeSet};

use lake::names::{self, NAMED_DIGESTS, PieceKey, VersionKey};
use lake::registers::{ConflictReason, Decision, Entry, EntryState, FileRegister, HeadRegister};

use super::sender::{ZSTD, rows_of};
use super::world::State;

/// Goes along with the decisions.
pub(super) struct Oracle<'a> {
    state: &'a State,
    /// Whether each file that shares most of its rows with another one must have been seen: not where two polls may decide at
    /// the same moment.
    is_strict: bool,
    /// Every row that ever counted, once for each time: files that continue one another share it.
    nodes: Vec<Node>,
    lives: BTreeMap<VersionKey, Life>,
    now: u64,
    /// Whether what is decided now arrived late.
    is_late: bool,
}

struct Node {
    text: String,
    /// Whose row it is.
    version: VersionKey,
    counts: bool,
    born: u64,
    /// A person has decided that it counts, or the request arrived late: perhaps while a poll was deciding about another file.
    is_aside: bool,
}

/// Files are compared for somewhat longer, by days.
const COMPARED_WITHIN_S: u64 = 33 * 86_400;

/// A version that counts or has counted.
#[derive(Clone, Default)]
struct Life {
    rows: Vec<String>,
    nodes: Vec<usize>,
    /// Rows at the end of each piece.
    ends: Vec<usize>,
    is_over: bool,
}

impl Life {
    /// How many of the first rows of `rows` are this one's.
    fn shared(&self, rows: &[String]) -> usize {
        let common = self.rows.iter().zip(rows).take_while(|(one, other)| one == other).count();
        if common == rows.len() || common == self.rows.len() {
            return common;
        }
        self.ends.iter().copied().filter(|end| *end <= common).max().unwrap_or(0)
    }
}

impl<'a> Oracle<'a> {
    pub(super) fn new(state: &'a State, is_strict: bool) -> Self {
        Self { state, is_strict, nodes: Vec::new(), lives: BTreeMap::new(), now: 0, is_late: false }
    }

    /// The rows that should count, each as often as it should.
    pub(super) fn expected(mut self) -> Result<Vec<String>, String> {
        let mut before = BTreeMap::<&str, &HeadRegister>::new();
        let none = HeadRegister::default();
        for decided in &self.state.decisions {
            (self.now, self.is_late) = (decided.at, decided.is_late);
            let old = before.insert(&decided.key, &decided.register).unwrap_or(&none);
            self.follow(old, &decided.register)?;
        }
        let counting = self.nodes.into_iter().filter(|node| node.counts && !node.text.starts_with('x'));
        let mut expected: Vec<String> = counting.map(|node| node.text).collect();
        expected.sort();
        Ok(expected)
    }

    fn follow(&mut self, old: &HeadRegister, new: &HeadRegister) -> Result<(), String> {
        for entry in &new.entries {
            let before = old.entry(&entry.version);
            if let (EntryState::Withdrawn { taken_back, .. }, true) =
                (&entry.state, before.is_some_and(|before| before.state == EntryState::Counted))
                && !taken_back.is_empty()
            {
                self.withdraw(&entry.version);
            }
            let is_decided = before.is_none_or(|before| {
                before.last_piece != entry.last_piece || before.last.decision != entry.last.decision
            });
            if is_decided {
                let mut gone = old.entries.iter().map(|before| before.version);
                let place = gone.find(|version| new.entry(version).is_none());
                self.decided(before, entry, place, new)?;
            }
        }
        for entry in &new.entries {
            self.check_state(entry)?;
        }
        Ok(())
    }

    fn withdraw(&mut self, version: &VersionKey) {
        let nodes = self.lives.get(version).map_or_else(Vec::new, |life| life.nodes.clone());
        nodes.into_iter().for_each(|node| self.nodes[node].counts = false);
    }

    /// A file of which no row counts any more is over; any other goes on.
    fn check_state(&mut self, entry: &Entry) -> Result<(), String> {
        let Some(life) = self.lives.get_mut(&entry.version) else { return Ok(()) };
        let counts = life.nodes.iter().any(|node| self.nodes[*node].counts);
        let is_withdrawn = matches!(entry.state, EntryState::Withdrawn { .. });
        life.is_over |= is_withdrawn;
        if is_withdrawn && counts {
            return Err(format!("{} is withdrawn, and some of its rows count", entry.version));
        }
        Ok(())
    }

    fn decided(
        &mut self,
        before: Option<&Entry>,
        entry: &Entry,
        takes_place_of: Option<VersionKey>,
        register: &HeadRegister,
    ) -> Result<(), String> {
        let rows = self.content(&entry.last_piece)?;
        self.check_whole_lines(&entry.last_piece)?;
        let waited = before.and_then(|before| before.last.decision.conflict());
        let taken = takes_place_of.and_then(|version| self.lives.remove(&version));
        let own = self.lives.remove(&entry.version).or(taken).unwrap_or_default();
        let replaces = |other: &Entry| matches!(&other.state, EntryState::Withdrawn { by, .. } if *by == entry.version);
        let life = match &entry.last.decision {
            Decision::Counted => {
                // Of several that are as good, the one that the decision names, perhaps by an earlier version.
                let is_named = |version: &VersionKey| {
                    let mut named = entry.held.iter().map(|held| held.version);
                    (named.clone().any(|named| named.name() == version.name()), named.any(|named| named == *version))
                };
                let mut others: Vec<(&VersionKey, &Life)> =
                    self.lives.iter().filter(|(_, life)| !life.is_over).collect();
                others.sort_by_key(|(version, _)| is_named(version));
                let others: Vec<&Life> = others.into_iter().map(|(_, life)| life).collect();
                let (known, nodes) = match waited.map(|conflict| conflict.reason) {
                    _ if register.entries.iter().any(replaces) || waited.is_some() && self.is_replacing(entry) => {
                        self.known_and_counting(&own, &others, &rows)
                    }
                    Some(ConflictReason::Withdrawn) => (own.rows.len(), own.nodes.clone()),
                    _ => known(&own, &others, &rows),
                };
                let said = match entry.last.twin {
                    Some(_) => rows.len() as u64,
                    None => entry.last.first_line + entry.last.continued,
                };
                if said != known as u64 {
                    return Err(format!(
                        "{} is said to continue {said} of {} rows, and continues {known}: {rows:?}",
                        entry.last_piece,
                        rows.len()
                    ));
                }
                if waited.is_none() && own.rows.is_empty() {
                    self.check_not_replaced(entry, &rows)?;
                }
                if self.is_strict && waited.is_none() {
                    self.check_conflict_missed(entry, &rows[known..])?;
                }
                self.live(entry, own, rows, (known, nodes), waited.is_some())
            }
            Decision::Dropped if !own.rows.is_empty() => {
                let known = (own.rows.len(), own.nodes.clone());
                self.live(entry, own, rows, known, true)
            }
            Decision::Waiting(conflict) => {
                self.check_conflict(entry, conflict.reason, &conflict.with, &rows, own.rows.len())?;
                own
            }
            _ => own,
        };
        if !life.rows.is_empty() {
            self.lives.insert(entry.version, life);
        }
        Ok(())
    }

    /// Whether somebody's decision is that a version takes another's place, whose entry lies elsewhere.
    fn is_replacing(&self, entry: &Entry) -> bool {
        let withdrawn_by =
            |other: &Entry| matches!(&other.state, EntryState::Withdrawn { by, .. } if *by == entry.version);
        self.state.decisions.iter().any(|decided| decided.register.entries.iter().any(withdrawn_by))
    }

    fn live(
        &mut self,
        entry: &Entry,
        own: Life,
        rows: Vec<String>,
        (known, mut nodes): (usize, Vec<usize>),
        by_person: bool,
    ) -> Life {
        for text in &rows[known..] {
            nodes.push(self.nodes.len());
            self.nodes.push(Node {
                text: text.clone(),
                version: entry.version,
                counts: entry.last.decision == Decision::Counted,
                born: self.now,
                is_aside: by_person || self.is_late,
            });
        }
        let mut ends = own.ends;
        ends.push(rows.len());
        Life { rows, nodes, ends, is_over: false }
    }

    /// What replaces another file counts all its rows that do not count already.
    fn known_and_counting(&self, own: &Life, others: &[&Life], rows: &[String]) -> (usize, Vec<usize>) {
        let (mut known, mut nodes) = (own.rows.len(), own.nodes.clone());
        for other in others {
            let shared = other.shared(rows);
            let counting = other.nodes[..shared].iter().skip(known).take_while(|node| self.nodes[**node].counts);
            let more: Vec<usize> = counting.copied().collect();
            known += more.len();
            nodes.extend(more);
        }
        (known, nodes)
    }

    /// The rows of a version up to the end of a piece.
    fn content(&self, last: &PieceKey) -> Result<Vec<String>, String> {
        let first = names::landing(&last.version().piece());
        let mut stored = self.state.objects.get(&first).ok_or(format!("{first} is not there"))?.bytes.to_vec();
        for (key, object) in self.state.objects.range(names::later_pieces(&last.version())..) {
            match PieceKey::of_object(key) {
                Some(piece) if piece.version() == last.version() && piece <= *last => {
                    stored.extend_from_slice(&object.bytes);
                }
                _ => break,
            }
        }
        Ok(rows_of(&stored).1)
    }

    /// A last line without its end is taken only of a file that has lain still.
    fn check_whole_lines(&self, piece: &PieceKey) -> Result<(), String> {
        let landing = names::landing(piece);
        let object = self.state.objects.get(&landing).ok_or_else(|| format!("{landing} is not there"))?;
        let is_plain = !object.bytes.starts_with(ZSTD);
        let has_lain = object.put_at().saturating_sub(object.mtime()) >= super::PATIENCE.last_line_s;
        match is_plain && !object.bytes.ends_with(b"\n") && !has_lain {
            true => Err(format!("{piece} ends with a line that may be half of one")),
            false => Ok(()),
        }
    }

    /// What begins like content that was replaced does not just count.
    fn check_not_replaced(&self, entry: &Entry, rows: &[String]) -> Result<(), String> {
        let replaced = self.lives.iter().filter(|(_, life)| life.is_over && !life.rows.is_empty());
        let begins_alike = |life: &Life| life.rows.iter().zip(rows).all(|(one, other)| one == other);
        match replaced.into_iter().find(|(_, life)| !rows.is_empty() && begins_alike(life)) {
            Some((version, _)) => {
                Err(format!("{} counts, and begins like {version}, which was replaced", entry.last_piece))
            }
            None => Ok(()),
        }
    }

    /// A file waits for a reason.
    fn check_conflict(
        &self,
        entry: &Entry,
        reason: ConflictReason,
        with: &VersionKey,
        rows: &[String],
        known: usize,
    ) -> Result<(), String> {
        let justified = match reason {
            ConflictReason::Changed => with.name() == entry.version.name() && *with != entry.version,
            ConflictReason::Withdrawn => {
                self.lives.values().any(|life| life.is_over && life.shared(rows) > 0) || self.is_over(&entry.version)
            }
            ConflictReason::Shares => {
                let others: BTreeSet<&String> = self.lives.values().flat_map(|life| &life.rows).collect();
                rows[known..].iter().any(|row| others.contains(row))
            }
        };
        if justified { Ok(()) } else { Err(format!("{} waits for {with} ({reason:?}) without need", entry.version)) }
    }

    fn is_over(&self, version: &VersionKey) -> bool {
        self.lives.get(version).is_none_or(|life| life.is_over)
    }

    /// A file that shares most of its own rows with others does not just count.
    fn check_conflict_missed(&self, entry: &Entry, own_rows: &[String]) -> Result<(), String> {
        let mut rows_of = BTreeMap::<VersionKey, usize>::new();
        self.nodes.iter().for_each(|node| *rows_of.entry(node.version).or_default() += 1);
        let is_seen = |node: &&Node| {
            let was_there = !node.is_aside || node.born + super::INVOCATION_S < self.now;
            let is_young = node.born + COMPARED_WITHIN_S > self.now;
            // Of a file with many rows, single ones may not be among those by which it is found.
            node.counts && was_there && is_young && rows_of[&node.version] <= NAMED_DIGESTS
        };
        let counting: BTreeSet<&String> = self.nodes.iter().filter(is_seen).map(|node| &node.text).collect();
        let shared = own_rows.iter().filter(|row| !row.starts_with('x') && counting.contains(row)).count();
        if shared * 2 > own_rows.len() {
            return Err(format!("{} counts {shared} of {} rows for the second time", entry.last_piece, own_rows.len()));
        }
        Ok(())
    }
}

/// How many of the first rows are known, and which they are.
fn known(own: &Life, others: &[&Life], rows: &[String]) -> (usize, Vec<usize>) {
    let best = others.iter().max_by_key(|other| other.shared(rows));
    let shared = best.map_or(0, |other| other.shared(rows));
    if shared <= own.rows.len() {
        return (own.rows.len(), own.nodes.clone());
    }
    let mut nodes = own.nodes.clone();
    nodes.extend(best.into_iter().flat_map(|other| other.nodes[own.rows.len()..shared].iter().copied()));
    (shared, nodes)
}

/// Whether all that lies on the server has been taken, and all that was taken has been published.
pub(super) fn check_all_done(state: &State) -> Result<(), String> {
    let registers: Vec<FileRegister> = state
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(names::FILES))
        .map(|(_, object)| serde_json::from_slice(&object.bytes).expect("a register"))
        .collect();
    for (name, file) in &state.files {
        let register = registers.iter().find(|register| register.name == *name);
        let newest = register.and_then(FileRegister::newest).ok_or(format!("{name} has not landed"))?;
        // What somebody has dropped goes on only as another version.
        let waits = newest.decision.conflict().is_some() || newest.decision == Decision::Dropped;
        if newest.bytes != file.bytes.len() as u64 && !waits {
            return Err(format!("{name} has {} bytes, and {} were taken", file.bytes.len(), newest.bytes));
        }
    }
    for register in &registers {
        let waits = register.waiting().is_some();
        if waits != state.objects.contains_key(&names::conflict(&register.name)) {
            return Err(format!("{} waits: {waits}, and its note says otherwise", register.name));
        }
        for version in &register.versions {
            if matches!(version.decision, Decision::Landed | Decision::Replacing(_)) {
                return Err(format!("{} is not decided: {:?}", version.key, version.decision));
            }
            let is_published = state.objects.contains_key(&names::results(&version.last_piece));
            if matches!(version.decision, Decision::Counted | Decision::Dropped) && !is_published {
                return Err(format!("{} is not published", version.last_piece));
            }
        }
    }
    let versions = || registers.iter().flat_map(|register| &register.versions);
    let waits = |piece: PieceKey| {
        versions().any(|version| version.last_piece == piece && version.decision.conflict().is_some())
    };
    let notes = state.objects.keys().filter(|key| key.starts_with(names::UNANNOUNCED));
    for note in notes {
        // Of a piece that waits it stays, for whatever is decided; and where nothing has landed.
        let piece = PieceKey::of_object(note).ok_or_else(|| format!("{note} is no piece's"))?;
        if state.objects.contains_key(&names::landing(&piece)) && !waits(piece) {
            return Err(format!("{note} is left"));
        }
    }
    Ok(())
}
