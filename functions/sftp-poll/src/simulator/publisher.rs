//! A model of what comes behind: files are published, and their rows counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lake::names::{self, PieceKey, VersionKey};
use lake::{Action, Announcement, FileResult, REPUBLISH_WITHIN};
use rand::RngExt as _;
use telecom::{RecordRules, SourceId};

use super::sender::rows_of;
use super::world::{State, World};

/// Partitions of `landed-files`, and lanes of records.
const PARTITIONS: usize = 2;

#[derive(Default)]
pub(super) struct Publisher {
    partitions: [VecDeque<Announcement>; PARTITIONS],
    /// Invocations that were given up and go on.
    zombies: Vec<VecDeque<Record>>,
    pub(super) counters: Counters,
}

/// A record of a row, or one that takes it back.
#[derive(Clone)]
struct Record {
    id: SourceId,
    line: u64,
    text: String,
    withdraws: bool,
}

/// What is counted.
#[derive(Default)]
pub(super) struct Counters {
    lanes: BTreeMap<(usize, SourceId), Lane>,
    /// Every row that was ever counted.
    seen: BTreeMap<(SourceId, u64), String>,
    pub(super) live: BTreeMap<(SourceId, u64), String>,
}

#[derive(Default)]
struct Lane {
    last_line: u64,
    withdrawn_line: u64,
}

impl Counters {
    fn take(&mut self, record: Record) -> Result<(), String> {
        let Record { id, line, text, withdraws } = record;
        let number = text.bytes().map(usize::from).sum::<usize>() % PARTITIONS;
        let lane = self.lanes.entry((number, id)).or_default();
        let seen = self.seen.get(&(id, line));
        if seen.is_some_and(|seen| *seen != text) {
            return Err(format!("{text} passes for {seen:?}, row {line} of {id}"));
        }
        if withdraws {
            if line > lane.withdrawn_line && line <= lane.last_line {
                lane.withdrawn_line = line;
                self.live.remove(&(id, line)).ok_or(format!("{text} was taken back, and not counted"))?;
            } else if line > lane.last_line {
                return Err(format!("{text}, row {line} of {id}, is taken back before it was counted"));
            }
        } else if line > lane.last_line {
            lane.last_line = line;
            self.seen.insert((id, line), text.clone());
            self.live.insert((id, line), text);
        } else if seen.is_none() {
            return Err(format!("{text}, row {line} of {id}, comes behind row {}: it is lost", lane.last_line));
        }
        Ok(())
    }
}

fn piece_of(state: &State, piece: &PieceKey) -> Option<Vec<u8>> {
    state.objects.get(&names::landing(piece)).map(|object| object.bytes.to_vec())
}

/// The rows of a piece, and whether they can be read.
fn rows(state: &State, piece: &PieceKey) -> Option<(bool, Vec<String>)> {
    let stored = piece_of(state, piece)?;
    if piece.is_first() {
        return Some(rows_of(&stored));
    }
    let (is_good, _) = rows_of(&piece_of(state, &piece.version().piece())?);
    let with_header = [super::sender::HEADER.as_bytes(), b"\n", &stored].concat();
    Some((is_good, rows_of(&with_header).1))
}

fn results(state: &State, piece: &PieceKey) -> Option<FileResult> {
    let object = state.objects.get(&names::results(piece))?;
    serde_json::from_slice(&object.bytes).ok()
}

fn age(state: &State, key: &str) -> Option<Duration> {
    let object = state.objects.get(key)?;
    Some(Duration::from_secs(state.now_s - object.put_at()))
}

/// What has come of a delivery.
enum End {
    /// It is acknowledged, perhaps with the announcement of a rest.
    Done(Option<Box<Announcement>>),
    /// It comes again.
    Crashed,
}

impl Publisher {
    pub(super) fn is_idle(&self, world: &World) -> bool {
        world.state().topic.is_empty() && self.partitions.iter().all(VecDeque::is_empty) && self.zombies.is_empty()
    }

    /// One announcement is worked on, or a zombie goes on.
    pub(super) fn step(&mut self, world: &World) -> Result<(), String> {
        let state = &mut *world.state();
        while let Some(announcement) = state.topic.pop_front() {
            let number = announcement.name.as_str().bytes().map(usize::from).sum::<usize>() % PARTITIONS;
            self.partitions[number].push_back(announcement);
        }
        if !self.zombies.is_empty() && (state.calm || state.rng.random_bool(0.2)) {
            let at = state.rng.random_range(..self.zombies.len());
            for record in self.zombies.swap_remove(at) {
                self.counters.take(record)?;
            }
            return Ok(());
        }
        let number = state.rng.random_range(..PARTITIONS);
        let number = if self.partitions[number].is_empty() { PARTITIONS - 1 - number } else { number };
        let Some(announcement) = self.partitions[number].front().cloned() else { return Ok(()) };
        match self.run(state, announcement)? {
            End::Crashed => {}
            End::Done(rest) => {
                self.partitions[number].pop_front();
                self.partitions[number].extend(rest.map(|rest| *rest));
            }
        }
        Ok(())
    }

    fn run(&mut self, state: &mut State, announced: Announcement) -> Result<End, String> {
        let piece = announced.piece().ok_or("not a piece")?;
        if announced.action == Action::Withdraw || announced.to_line.is_some() {
            return self.run_all(state, announced, piece);
        }
        if !announced.again && results(state, &piece).is_some() {
            return Ok(End::Done(None));
        }
        self.publish(state, announced, &piece)
    }

    fn publish(&mut self, state: &mut State, announced: Announcement, piece: &PieceKey) -> Result<End, String> {
        let mut announced = announced;
        if let Some(twin) = announced.twin.take()
            && age(state, &names::results(&twin.piece)).is_some_and(|age| age > REPUBLISH_WITHIN)
        {
            announced.continued = u64::MAX;
        }
        let end = self.send(state, &mut announced, piece)?;
        if matches!(end, End::Done(None)) {
            put_once(state, names::results(piece), &announced);
        }
        Ok(end)
    }

    fn run_all(&mut self, state: &mut State, mut announced: Announcement, first: PieceKey) -> Result<End, String> {
        let mut piece = first;
        loop {
            let Some(result) = results(state, &piece) else { return Err(format!("{piece} has no results")) };
            let is_withdrawal = announced.action == Action::Withdraw;
            let is_done = is_withdrawal && state.objects.contains_key(&names::withdrawal(&piece));
            if is_done && announced.from_line == 0 {
                announced.from_line = result.rows;
            } else {
                if !is_withdrawal && announced.from_line == 0 {
                    (announced.source_id, announced.continued) = (result.source_id, result.continued);
                }
                match self.send(state, &mut announced, &piece)? {
                    End::Done(None) if is_withdrawal => put_once(state, names::withdrawal(&piece), &announced),
                    End::Done(None) => {}
                    end => return Ok(end),
                }
            }
            let first_line = announced.first_line + announced.from_line;
            if announced.to_line.is_some_and(|to_line| first_line >= to_line) {
                return Ok(End::Done(None));
            }
            let Some(next) = next_piece(state, &piece) else { return Ok(End::Done(None)) };
            announced = Announcement {
                key: names::landing(&next),
                first_line,
                from_line: 0,
                accepted: 0,
                rejected: 0,
                reasons: BTreeMap::new(),
                ..announced
            };
            piece = next;
        }
    }

    /// Sends a piece's rows from where the announcement says, and may end early in each way that a function may.
    fn send(&mut self, state: &mut State, announced: &mut Announcement, piece: &PieceKey) -> Result<End, String> {
        let (is_good, rows) = rows(state, piece).ok_or(format!("{piece} is not there"))?;
        for (index, text) in rows.iter().enumerate().skip(announced.from_line as usize) {
            if !state.calm && state.rng.random_bool(state.habits.ends_early) {
                if is_good && state.rng.random_bool(0.3) {
                    self.linger(announced, &rows[index..]);
                }
                return Ok(End::Crashed);
            }
            if !state.calm && state.rng.random_bool(state.habits.ends_early) {
                return Ok(End::Done(Some(Box::new(announced.clone()))));
            }
            let line = announced.first_line + announced.from_line + 1;
            let record = match announced.action {
                Action::Withdraw if announced.to_line.is_some_and(|to_line| line > to_line) => break,
                Action::Withdraw => held_record(announced, line, text),
                Action::Publish if announced.from_line < announced.continued => None,
                Action::Publish => {
                    let id = announced.source_id;
                    Some(Record { id, line, text: text.clone(), withdraws: false })
                }
                Action::Drop => None,
            };
            let is_usable = is_good && !text.starts_with('x');
            match record {
                Some(record) if is_usable => {
                    self.counters.take(record)?;
                    announced.count_accepted();
                }
                Some(_) => announced.count_rejected("unusable"),
                None if announced.action == Action::Drop && announced.from_line >= announced.continued => {
                    announced.count_rejected("dropped");
                }
                None => announced.count_continued(),
            }
        }
        Ok(End::Done(None))
    }

    /// An invocation that was given up has the rest of its rows still on their way.
    fn linger(&mut self, announced: &Announcement, rows: &[String]) {
        let mut records = VecDeque::new();
        for (index, text) in (0..).zip(rows) {
            let from_line = announced.from_line + index;
            let line = announced.first_line + from_line + 1;
            let id = announced.source_id;
            let is_sent = announced.action == Action::Publish && from_line >= announced.continued;
            if is_sent && !text.starts_with('x') {
                records.push_back(Record { id, line, text: text.clone(), withdraws: false });
            }
        }
        self.zombies.push(records);
    }
}

fn held_record(announced: &Announcement, line: u64, text: &str) -> Option<Record> {
    let held = announced.taken_back.iter().find(|held| held.to_line >= line).filter(|held| held.counts)?;
    Some(Record { id: held.source_id, line, text: text.to_owned(), withdraws: true })
}

fn next_piece(state: &State, piece: &PieceKey) -> Option<PieceKey> {
    let version: VersionKey = piece.version();
    let pieces = state.objects.range(names::later_pieces(&version)..);
    let pieces = pieces.map_while(|(key, _)| PieceKey::of_object(key).filter(|next| next.version() == version));
    pieces.into_iter().find(|next| next.from_byte() > piece.from_byte())
}

fn put_once(state: &mut State, key: String, announced: &Announcement) {
    if !state.objects.contains_key(&key) {
        let result = announced.clone().into_result(RecordRules::default());
        state.put(key, serde_json::to_vec(&result).expect("JSON").into(), 0);
    }
}
