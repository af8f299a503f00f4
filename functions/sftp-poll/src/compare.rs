//! Two files that begin alike, row by row.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};
use content::{Sketch, Step, Table};
use futures::TryStreamExt as _;
use lake::names::{self, PieceKey};
use lake::registers::{Entry, Extent, PieceEnd};

use crate::land::pieces;
use crate::miss::Miss;
use crate::ports::{Chunks, Objects};

/// A file that is compared: its pieces up to one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    pub(crate) last_piece: PieceKey,
    pub(crate) end: Extent,
    /// The end of the piece before, up to which another file may be known to be the same.
    pub(crate) before: Option<PieceEnd>,
}

/// What two files have in common from their beginning, seen from the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It begins with all rows of the other one.
    Continues,
    /// The other one begins with all its rows.
    Begins,
    /// Both have the same rows.
    Equals,
    /// It begins with the rows that the other one had at the end of a piece, and then they part.
    Forks { rows: u64 },
    /// They part before the other one's first piece ends.
    Parts,
}

impl Relation {
    /// How many of the first one's rows are the other one's.
    pub(crate) fn shared(self, own: u64, other: u64) -> u64 {
        match self {
            Self::Continues => other,
            Self::Begins | Self::Equals => own,
            Self::Forks { rows } => rows,
            Self::Parts => 0,
        }
    }
}

/// How a file stands to an entry that begins like it. Nothing is read where the digests tell.
pub(crate) async fn relation(objects: &impl Objects, own: &Content, entry: &Entry) -> Result<Relation, Miss> {
    let other = Extent { rows: entry.rows, digest: entry.digest };
    if own.end == other {
        return Ok(Relation::Equals);
    }
    let (from, mut last_end) = common_end(own, entry);
    let mut own_rows = Rows::open(objects, own.last_piece, from.as_ref().map(|(own, _)| own)).await?;
    let mut other_rows = Rows::open(objects, entry.last_piece, from.as_ref().map(|(_, other)| other)).await?;
    let mut common = own_rows.number();
    loop {
        // Rows of a piece that waits are none of the entry's.
        let other_has = other_rows.number() < entry.rows && other_rows.next().await?;
        let own_has = own_rows.number() < own.end.rows && own_rows.next().await?;
        match (own_has, other_has) {
            (false, false) => return Ok(Relation::Equals),
            (true, false) => return Ok(Relation::Continues),
            (false, true) => return Ok(Relation::Begins),
            (true, true) if own_rows.row() != other_rows.row() => break,
            (true, true) => common = own_rows.number(),
        }
        if other_rows.is_last_of_piece().await? {
            last_end = other_rows.number();
        }
    }
    // Where a later version has taken its place, it has had ends that are none of a piece any more.
    let ends = entry.ends.iter().map(|end| end.extent.rows).filter(|rows| *rows <= common);
    last_end = ends.fold(last_end, u64::max);
    Ok(if last_end > 0 { Relation::Forks { rows: last_end } } else { Relation::Parts })
}

/// Up to where both are known to be the same, and the rows up to there.
fn common_end(own: &Content, entry: &Entry) -> (Option<(PieceEnd, PieceEnd)>, u64) {
    let Some(before) = own.before.filter(|before| before.next_byte.is_some()) else { return (None, 0) };
    match entry.ends.iter().find(|end| end.extent == before.extent && end.next_byte.is_some()) {
        Some(end) => (Some((before, *end)), before.extent.rows),
        None => (None, 0),
    }
}

/// The rows of a version, over all its pieces.
struct Rows<'a, O> {
    objects: &'a O,
    pieces: VecDeque<PieceKey>,
    table: Table,
    chunks: Option<Chunks<'static, lake::Error>>,
    chunk: Bytes,
    /// The next row has been read already, to see whether the one before is the last of its piece.
    peeked: bool,
    row: Vec<u8>,
    number: u64,
    record_type: telecom::RecordType,
}

impl<'a, O: Objects> Rows<'a, O> {
    async fn open(objects: &'a O, last: PieceKey, from: Option<&PieceEnd>) -> Result<Self, Miss> {
        let record_type = last.name().record_type();
        let mut pieces: VecDeque<_> = pieces(objects, last).await?.into();
        let (mut number, mut table) = (0, Table::new(record_type));
        if let Some(end) = from {
            pieces.retain(|piece| end.next_byte.is_some_and(|next_byte| piece.from_byte() >= next_byte));
            number = end.extent.rows;
            table = Table::continued(record_type, number);
        }
        let (chunk, row) = (Bytes::new(), Vec::new());
        Ok(Self { objects, pieces, table, chunks: None, chunk, peeked: false, row, number, record_type })
    }

    /// The current row's number; 0 before the first one.
    fn number(&self) -> u64 {
        self.number
    }

    fn row(&self) -> &[u8] {
        &self.row
    }

    /// Goes on to the next row; `false` where there is none.
    async fn next(&mut self) -> Result<bool, Miss> {
        if !std::mem::take(&mut self.peeked) {
            while !self.advance().await? {
                let Some(piece) = self.pieces.pop_front() else { return Ok(false) };
                self.begin(piece).await?;
            }
        }
        let line = self.table.line().bytes;
        self.row.clear();
        self.row.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        self.number = self.table.rows();
        Ok(true)
    }

    /// Whether the current row is the last one of its piece.
    async fn is_last_of_piece(&mut self) -> Result<bool, Miss> {
        if !self.peeked {
            self.peeked = self.advance().await?;
        }
        Ok(!self.peeked)
    }

    async fn begin(&mut self, piece: PieceKey) -> Result<(), Miss> {
        let stored = self.objects.read(&names::landing(&piece)).await?.ok_or(Miss::Unsettled)?;
        self.chunks = Some(stored.chunks);
        if !piece.is_first() {
            self.table = Table::continued(self.record_type, self.number);
        }
        Ok(())
    }

    /// Goes on within the piece; `false` at its end.
    async fn advance(&mut self) -> Result<bool, Miss> {
        let Some(chunks) = &mut self.chunks else { return Ok(false) };
        loop {
            match self.table.advance() {
                Step::Row => return Ok(true),
                Step::Header => {}
                Step::End => {
                    self.chunks = None;
                    return Ok(false);
                }
                Step::More if self.chunk.is_empty() => match chunks.try_next().await? {
                    Some(chunk) => self.chunk = chunk,
                    None => self.table.finish(),
                },
                Step::More => {
                    let taken = self.table.push(&self.chunk);
                    self.chunk.advance(taken);
                }
            }
        }
    }
}

/// The sketch of a file's rows behind one of them.
pub(crate) async fn sketch_behind(objects: &impl Objects, own: &Content, row: u64) -> Result<Sketch, Miss> {
    let from = own.before.filter(|before| before.next_byte.is_some() && before.extent.rows <= row);
    let mut rows = Rows::open(objects, own.last_piece, from.as_ref()).await?;
    let mut sketch = Sketch::default();
    while rows.next().await? {
        if rows.number() > row {
            sketch.add(rows.row());
        }
    }
    Ok(sketch)
}
