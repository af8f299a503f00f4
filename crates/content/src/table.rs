//! A file's header and rows.

use telecom::csv::{BadHeader, Header, HeaderFault, is_blank, is_separator_line};
use telecom::{FileFault, RecordType};

use crate::decode::{Damage, Decoder, Stored};
use crate::lines::{Line, LineEnds, Lines};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a file, or a later piece of one, from its stored bytes. Bytes go in by [`push`](Self::push), lines come out by
/// [`advance`](Self::advance) and [`line`](Self::line); nothing is held but one of them.
#[derive(Debug)]
pub struct Table {
    record_type: RecordType,
    decoder: Decoder,
    lines: Lines,
    header: Opening,
    /// Rows before and with the current one.
    rows: u64,
    state: State,
}

#[derive(Debug)]
enum Opening {
    /// No line has been read that is not blank.
    Unread,
    Read(Result<Header, BadHeader>),
    /// It is in an earlier piece.
    Elsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Damaged { needs_too_much: bool },
    Ended,
}

impl State {
    fn damaged(damage: &Damage) -> Self {
        Self::Damaged { needs_too_much: damage.is_window_too_large() }
    }
}

/// What comes next in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The header row is the current [`line`](Table::line).
    Header,
    /// A row is the current line; its number is [`rows`](Table::rows).
    Row,
    /// More bytes are needed.
    More,
    /// That was the last row.
    End,
}

impl Table {
    /// A file from its beginning.
    #[must_use]
    pub fn new(record_type: RecordType) -> Self {
        Self {
            record_type,
            decoder: Decoder::default(),
            lines: Lines::default(),
            header: Opening::Unread,
            rows: 0,
            state: State::Reading,
        }
    }

    /// A plain file's later piece, behind this number of rows.
    #[must_use]
    pub fn continued(record_type: RecordType, rows: u64) -> Self {
        Self {
            decoder: Decoder::plain(),
            lines: Lines::continued(),
            header: Opening::Elsewhere,
            rows,
            ..Self::new(record_type)
        }
    }

    /// Reads the rows by this header instead of the file's own, which is in an earlier piece.
    pub fn set_header(&mut self, header: Result<Header, BadHeader>) {
        self.header = Opening::Read(header);
    }

    /// Takes some of the stored bytes, and says how many. All lines are to be taken before more is pushed.
    pub fn push(&mut self, stored: &[u8]) -> usize {
        self.push_and_show(stored, &mut |_| {})
    }

    /// The same; `show` is given the text.
    pub(crate) fn push_and_show(&mut self, stored: &[u8], show: &mut dyn FnMut(&[u8])) -> usize {
        if self.state != State::Reading {
            return stored.len();
        }
        let lines = &mut self.lines;
        let mut text = |text: &[u8]| {
            lines.push(text);
            show(text);
        };
        match self.decoder.decode(stored, &mut text) {
            Ok(taken) => taken,
            Err(damage) => {
                self.state = State::damaged(&damage);
                stored.len()
            }
        }
    }

    /// Says that there are no more bytes.
    pub fn finish(&mut self) {
        self.finish_and_show(&mut |_| {});
    }

    /// The same; `show` is given the text that was left.
    pub(crate) fn finish_and_show(&mut self, show: &mut dyn FnMut(&[u8])) {
        if self.state != State::Reading {
            return;
        }
        let lines = &mut self.lines;
        let finished = self.decoder.finish(&mut |text| {
            lines.push(text);
            show(text);
        });
        self.state = finished.map_or_else(|damage| State::damaged(&damage), |()| State::Ended);
    }

    /// Goes on to what comes next.
    pub fn advance(&mut self) -> Step {
        loop {
            if !self.lines.advance() {
                match self.state {
                    State::Reading => return Step::More,
                    // The part of a line that was decoded before the damage counts as a line.
                    State::Damaged { .. } | State::Ended if !self.lines.advance_last() => return Step::End,
                    State::Damaged { .. } | State::Ended => {}
                }
            }
            match self.classify() {
                Class::Nothing => {}
                Class::Header => return Step::Header,
                Class::Row => {
                    self.rows += 1;
                    return Step::Row;
                }
            }
        }
    }

    /// The current line, without its LF.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        self.lines.line()
    }

    fn classify(&mut self) -> Class {
        let line = self.lines.line();
        let is_first = line.from_byte == 0 && !matches!(self.header, Opening::Elsewhere);
        if is_without_text(line.bytes, is_first, self.lines.ends()) {
            return Class::Nothing;
        }
        if !matches!(self.header, Opening::Unread) {
            return Class::Row;
        }
        if is_separator_line(without_mark(line.bytes, is_first)) {
            return Class::Nothing;
        }
        let header = read_header(line.bytes, self.lines.ends(), self.record_type);
        let is_header = header.as_ref().map_or_else(BadHeader::is_header, |_| true);
        self.header = Opening::Read(header);
        if is_header { Class::Header } else { Class::Row }
    }

    /// The header by which rows are read; `None` before it has been met, and in a later piece.
    #[must_use]
    pub fn header(&self) -> Option<&Result<Header, BadHeader>> {
        match &self.header {
            Opening::Read(header) => Some(header),
            Opening::Unread | Opening::Elsewhere => None,
        }
    }

    /// Why no row can be used, once the end has been reached.
    #[must_use]
    pub fn fault(&self) -> Option<FileFault> {
        match self.state {
            State::Damaged { needs_too_much: true } => return Some(FileFault::WindowTooLarge),
            State::Damaged { .. } => return Some(FileFault::Damaged),
            State::Reading | State::Ended => {}
        }
        match &self.header {
            Opening::Read(Err(bad)) => Some(FileFault::BadHeader(bad.clone())),
            Opening::Unread => {
                Some(FileFault::BadHeader(BadHeader::of_file(HeaderFault::Missing, "", self.record_type)))
            }
            Opening::Read(Ok(_)) | Opening::Elsewhere => None,
        }
    }

    /// Whether the header has been met, here or in an earlier piece.
    pub(crate) fn has_header(&self) -> bool {
        !matches!(self.header, Opening::Unread)
    }

    /// How the bytes are stored; `None` before that has been seen.
    #[must_use]
    pub fn stored(&self) -> Option<Stored> {
        self.decoder.stored()
    }

    /// What ends a line.
    #[must_use]
    pub fn line_ends(&self) -> LineEnds {
        self.lines.ends()
    }

    /// Whether the compressed bytes are damaged, or end early.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self.state, State::Damaged { .. })
    }

    /// Rows up to the current line, those before a later piece included: the number of the current row.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Where the next line begins, in bytes of the decoded stream.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.lines.position()
    }
}

enum Class {
    /// A blank line, or one of a spreadsheet's own.
    Nothing,
    Header,
    Row,
}

fn without_mark(line: &[u8], is_first: bool) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(line)
}

fn is_without_text(line: &[u8], is_first: bool, ends: LineEnds) -> bool {
    match ends {
        LineEnds::Utf16 { .. } => line.len() < 2 || is_first && line.len() < 4,
        _ => is_blank(without_mark(line, is_first)),
    }
}

fn read_header(line: &[u8], ends: LineEnds, record_type: RecordType) -> Result<Header, BadHeader> {
    match ends {
        LineEnds::Unknown | LineEnds::Lf => Header::parse(line, record_type),
        LineEnds::Cr => {
            let text = String::from_utf8_lossy(without_mark(line, true));
            Err(BadHeader::of_file(HeaderFault::CrLineEnds, &text, record_type))
        }
        LineEnds::Utf16 { is_big_endian } => {
            let unit =
                |pair: &[u8; 2]| if is_big_endian { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
            let units: Vec<u16> = line.as_chunks().0.iter().map(unit).collect();
            let text = String::from_utf16_lossy(&units);
            Err(BadHeader::of_file(HeaderFault::Utf16, text.trim_start_matches('\u{feff}'), record_type))
        }
    }
}
