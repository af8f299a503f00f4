//! What is known of a file, collected while its bytes are read.

use telecom::{FileFault, RecordType};

use crate::content::{ContentHasher, Hashed};
use crate::decode::Stored;
use crate::digest::Digest;
use crate::lines::LineEnds;
use crate::mark::{Block, Head, HeadHasher, Mark};
use crate::sketch::Sketch;
use crate::table::{Step, Table};

/// How much of a file's beginning and end is compared before it is believed to have only grown.
pub const BLOCK_BYTES: usize = 64 << 10;

/// Looks at all stored bytes of a file, or of a later piece of a plain one, in bounded memory.
#[derive(Debug)]
pub struct Survey {
    table: Table,
    /// `None` until enough bytes have been read to see how they are stored.
    content: Option<ContentHasher>,
    head: HeadHasher,
    /// Of the rows of this piece.
    sketch: Sketch,
    bytes: u64,
    first_block: Vec<u8>,
    last_block: Vec<u8>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// How the bytes are stored.
    pub stored: Stored,
    /// Of the stored bytes of this piece.
    pub sha256: Digest,
    /// Their number.
    pub bytes: u64,
    /// Where the content ends.
    pub mark: Mark,
    /// Its digest up to there.
    pub digest: Digest,
    /// What files begin with that share rows with it; `None` where there is no row to share, or none that can be used.
    pub head: Option<Head>,
    /// Of the rows of this piece.
    pub sketch: Sketch,
    /// Why no row can be used. A later piece has its header elsewhere, and no fault here.
    pub fault: Option<FileFault>,
    /// Whether the file may grow by further lines: it is plain, its lines end with LF, and its header has been met.
    pub is_appendable: bool,
    /// The stored bytes' beginning.
    pub first_block: Block,
    /// Their end.
    pub last_block: Block,
}

impl Survey {
    /// Of a file from its beginning.
    #[must_use]
    pub fn new(record_type: RecordType) -> Self {
        Self {
            table: Table::new(record_type),
            content: None,
            head: HeadHasher::Empty,
            sketch: Sketch::default(),
            bytes: 0,
            first_block: Vec::new(),
            last_block: Vec::new(),
        }
    }

    /// Of a later piece; `None` where the mark was kept by another version of the program, and the pieces before are to
    /// be read again.
    #[must_use]
    pub fn continuing(record_type: RecordType, mark: &Mark) -> Option<Self> {
        Some(Self {
            table: Table::continued(record_type, mark.rows),
            content: Some(ContentHasher::continuing(mark.state.hasher()?, mark.is_line_open)),
            head: HeadHasher::continuing(mark)?,
            ..Self::new(record_type)
        })
    }

    /// The next stored bytes.
    pub fn push(&mut self, stored: &[u8]) {
        self.bytes += stored.len() as u64;
        let room = BLOCK_BYTES - self.first_block.len();
        self.first_block.extend_from_slice(&stored[..stored.len().min(room)]);
        keep_end(&mut self.last_block, stored);
        if self.content.is_some() {
            self.survey(stored);
        } else if self.first_block.len() >= Stored::MAGIC_BYTES {
            self.begin(stored);
        }
    }

    /// Enough bytes are there to see how they are stored. All bytes before the newest are in the first block.
    fn begin(&mut self, newest: &[u8]) {
        self.content = Some(ContentHasher::new(Stored::of(&self.first_block)));
        let before = self.bytes as usize - newest.len();
        let before = self.first_block[..before].to_vec();
        self.survey(&before);
        self.survey(newest);
    }

    fn survey(&mut self, mut stored: &[u8]) {
        let Some(content) = &mut self.content else { return };
        content.stored(stored);
        while !stored.is_empty() {
            let taken = self.table.push_and_show(stored, &mut |text| content.text(text));
            stored = &stored[taken..];
            look(&mut self.table, &mut self.head, &mut self.sketch);
        }
    }

    /// There are no more bytes.
    #[must_use]
    pub fn finish(mut self) -> Surveyed {
        if self.content.is_none() {
            self.begin(&[]);
        }
        let Self { mut table, content, mut head, mut sketch, bytes, first_block, last_block } = self;
        let mut content = content.unwrap_or_else(|| ContentHasher::new(Stored::Plain));
        table.finish_and_show(&mut |text| content.text(text));
        look(&mut table, &mut head, &mut sketch);
        let stored = table.stored().unwrap_or(Stored::Plain);
        let fault = table.fault();
        let is_text = !matches!(table.line_ends(), LineEnds::Cr | LineEnds::Utf16 { .. });
        let Hashed { sha256, content, is_line_open } = content.finish();
        let (head, header) = head.finish();
        // Under a header that no row can be read by, no row will ever be shared.
        let (head, header) = if fault.is_none() { (head, header) } else { (None, None) };
        Surveyed {
            stored,
            sha256,
            bytes,
            mark: Mark { rows: table.rows(), state: content.state(), is_line_open, header },
            digest: content.finish(),
            head,
            sketch,
            is_appendable: stored == Stored::Plain && is_text && table.has_header(),
            first_block: Block::of(&first_block),
            last_block: Block::of(&last_block),
            fault,
        }
    }
}

/// Takes the lines that are whole.
fn look(table: &mut Table, head: &mut HeadHasher, sketch: &mut Sketch) {
    loop {
        match table.advance() {
            Step::Header => head.header(without_end(table.line().bytes)),
            Step::Row => {
                let row = without_end(table.line().bytes);
                head.row(row);
                sketch.add(row);
            }
            Step::More | Step::End => return,
        }
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Keeps the last [`BLOCK_BYTES`] of what has gone by.
fn keep_end(block: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(BLOCK_BYTES)..];
    let surplus = (block.len() + bytes.len()).saturating_sub(BLOCK_BYTES);
    block.drain(..surplus);
    block.extend_from_slice(bytes);
}
