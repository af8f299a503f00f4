//! What senders do with files.

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom as _;
use telecom::FileName;

use super::world::{File, World};

pub(super) const HEADER: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time";

/// What a file begins with that zstd has written.
pub(super) const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// Files have so few rows that a sketch knows all of them.
const MOST_ROWS: usize = 14;

/// Makes up names and rows.
#[derive(Default)]
pub(super) struct Sender {
    names: u32,
    rows: u32,
}

/// A text's lines: the header, rows, and the part of a line behind the last line end.
struct Text {
    lines: Vec<String>,
    rest: String,
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("text").replace("\r\n", "\n");
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let rest = lines.pop().unwrap_or_default();
        Self { lines, rest }
    }

    fn to_bytes(&self, end: &str) -> Vec<u8> {
        let mut text: String = self.lines.iter().map(|line| format!("{line}{end}")).collect();
        text += &self.rest;
        text.into_bytes()
    }
}

impl Sender {
    fn name(&mut self) -> FileName {
        self.names += 1;
        FileName::parse(&format!("cdr_voice_20240101_00{:02}{:02}.csv", self.names / 60, self.names % 60))
            .expect("a name")
    }

    /// A row that occurs nowhere else. One that begins with x can't be used.
    fn row(&mut self, rng: &mut SmallRng) -> String {
        self.rows += 1;
        format!("{}{}", if rng.random_bool(0.2) { "x" } else { "r" }, self.rows)
    }

    fn new_rows(&mut self, rng: &mut SmallRng, most: usize) -> Vec<String> {
        (0..rng.random_range(0..=most)).map(|_| self.row(rng)).collect()
    }

    /// One thing happens on the server.
    pub(super) fn act(&mut self, world: &World) {
        let state = &mut *world.state();
        let (now, rng) = (state.now_s, &mut state.rng);
        let existing: Option<FileName> = state.files.keys().copied().choose(rng);
        let new_files = if state.files.len() > 1 { state.habits.new_files } else { 0.25 };
        let existing = existing.filter(|_| !rng.random_bool(new_files));
        let Some(name) = existing else {
            let header = if rng.random_bool(0.1) { "tower_id,x" } else { HEADER };
            let mut lines = vec![header.to_owned()];
            lines.extend(self.new_rows(rng, 5));
            let bytes = Text { lines, rest: String::new() }.to_bytes(if rng.random_bool(0.2) { "\r\n" } else { "\n" });
            let name = self.name();
            state.files.insert(name, File { bytes, mtime: now });
            return;
        };
        let file = state.files[&name].clone();
        if file.bytes.starts_with(ZSTD) {
            return self.act_on_compressed(world_parts(state), name, &file);
        }
        let mut text = Text::of(&file.bytes);
        // What grows keeps its line ends.
        let mut end = if file.bytes.windows(2).any(|pair| pair == b"\r\n") { "\r\n" } else { "\n" };
        // Under its own name, or under another one.
        let mut to = name;
        let (grows, copies) = (rng.random_bool(state.habits.grows), rng.random_bool(state.habits.copies));
        let dice = match (grows, copies) {
            (true, _) => 0,
            (false, true) => rng.random_range(40..64),
            (false, false) => rng.random_range(0..100),
        };
        match dice {
            // It grows, perhaps by half a line.
            0..40 if text.lines.len() < MOST_ROWS => {
                if !text.rest.is_empty() {
                    let rest = std::mem::take(&mut text.rest);
                    text.lines.push(if rng.random_bool(0.7) { rest } else { format!("{rest}z") });
                }
                text.lines.extend(self.new_rows(rng, 3));
                if rng.random_bool(0.3) {
                    text.rest = self.row(rng);
                }
                if text.lines.is_empty() {
                    return;
                }
            }
            // A row is corrected.
            40..46 if text.lines.len() > 1 => {
                let at = rng.random_range(1..text.lines.len());
                text.lines[at] = self.row(rng);
                if rng.random_bool(0.5) {
                    to = self.name();
                }
            }
            // A copy: whole, cut, or with more behind it.
            46..64 => {
                to = self.name();
                let kept = rng.random_range(1..=text.lines.len().max(1));
                if rng.random_bool(0.5) {
                    text.lines.truncate(kept);
                    text.rest.clear();
                }
                if rng.random_bool(0.4) && text.lines.len() < MOST_ROWS {
                    text.rest.clear();
                    text.lines.extend(self.new_rows(rng, 3));
                }
                end = if rng.random_bool(0.3) { "\r\n" } else { "\n" };
            }
            // It is written anew, from its beginning or with other line ends.
            64..70 => {
                let kept = rng.random_range(1..=text.lines.len().max(1));
                text.lines.truncate(kept);
                text.rest.clear();
                end = if rng.random_bool(0.5) { "\r\n" } else { "\n" };
            }
            // It is rotated: its content moves, and it begins anew.
            70..76 => {
                let moved = self.name();
                state.files.insert(moved, file);
                text = Text { lines: vec![HEADER.to_owned()], rest: String::new() };
                text.lines.extend(self.new_rows(rng, 3));
            }
            // It is compressed, and gone.
            76..82 => {
                let packed = FileName::parse(&format!("{name}.zst")).expect("a name");
                let bytes = zstd::encode_all(&file.bytes[..], 1).expect("compressed");
                state.files.insert(packed, File { bytes, mtime: now });
                state.files.remove(&name);
                return;
            }
            82..88 => {
                state.files.remove(&name);
                return;
            }
            // It is only touched, or made anew with other rows.
            88..92 => {}
            92..96 => {
                text = Text { lines: vec![HEADER.to_owned()], rest: String::new() };
                text.lines.extend(self.new_rows(rng, 4));
            }
            _ => return,
        }
        state.files.insert(to, File { bytes: text.to_bytes(end), mtime: now });
    }

    /// A compressed file goes on, or comes whole after it was cut.
    fn act_on_compressed(
        &mut self,
        (files, rng, now): (&mut std::collections::BTreeMap<FileName, File>, &mut SmallRng, u64),
        name: FileName,
        file: &File,
    ) {
        let Ok(bytes) = zstd::decode_all(&file.bytes[..]) else {
            files.remove(&name);
            return;
        };
        let mut text = Text::of(&bytes);
        if text.lines.len() < MOST_ROWS {
            text.rest.clear();
            text.lines.extend(self.new_rows(rng, 3));
        }
        let whole = zstd::encode_all(&text.to_bytes("\n")[..], 1).expect("compressed");
        let bytes = if rng.random_bool(0.3) { whole[..whole.len() / 2].to_vec() } else { whole };
        files.insert(name, File { bytes, mtime: now });
    }
}

fn world_parts(
    state: &mut super::world::State,
) -> (&mut std::collections::BTreeMap<FileName, File>, &mut SmallRng, u64) {
    (&mut state.files, &mut state.rng, state.now_s)
}

/// The rows of a text, and whether it has a header that they can be read by.
pub(super) fn rows_of(stored: &[u8]) -> (bool, Vec<String>) {
    let text = if stored.starts_with(ZSTD) {
        match zstd::decode_all(stored) {
            Ok(text) => text,
            Err(_) => return (false, Vec::new()),
        }
    } else {
        stored.to_vec()
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines =
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|line| !line.is_empty());
    let is_good = lines.next() == Some(HEADER);
    (is_good, lines.map(str::to_owned).collect())
}
