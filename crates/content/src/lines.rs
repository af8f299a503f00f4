//! Text into lines.

use telecom::csv::MAX_ROW_BYTES;

/// How much of a longer line is kept: enough to see that the row is too long, with or without a CR at its end. Even, so
/// that characters of two bytes are not cut.
const KEPT_BYTES: usize = MAX_ROW_BYTES + 2;

/// How lines end. The text's beginning decides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnds {
    /// Not seen yet.
    #[default]
    Unknown,
    /// LF, perhaps behind a CR.
    Lf,
    /// CR alone: the first line holds one in its middle.
    Cr,
    /// LF or CR in UTF-16, as the text's byte order mark says.
    Utf16 {
        /// Whether the more significant byte comes first.
        is_big_endian: bool,
    },
}

/// Splits a stream into lines with bounded memory. Bytes go in by [`push`](Self::push), lines come out by
/// [`advance`](Self::advance) and [`line`](Self::line).
#[derive(Debug, Default)]
pub struct Lines {
    ends: LineEnds,
    buffer: Vec<u8>,
    /// Where in the buffer the line after the current one begins.
    next: usize,
    /// Up to where there is no line end in the buffer.
    searched: usize,
    /// Bytes of the line at `next` that were not kept.
    skipped: u64,
    current: Span,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    end: usize,
    from_byte: u64,
    to_byte: u64,
}

/// One line, without its LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The whole line, or the first bytes of one that is too long to be a row.
    pub bytes: &'a [u8],
    /// Where it begins in the stream.
    pub from_byte: u64,
    /// Where the next one begins.
    pub to_byte: u64,
}

impl Lines {
    /// Lines of the middle of a text, whose lines end with LF.
    #[must_use]
    pub fn continued() -> Self {
        Self { ends: LineEnds::Lf, ..Self::default() }
    }

    /// What ends a line.
    #[must_use]
    pub fn ends(&self) -> LineEnds {
        self.ends
    }

    /// Appends bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        // The current line has been seen: make room.
        self.buffer.drain(..self.next);
        self.searched -= self.next;
        self.next = 0;
        (self.current.start, self.current.end) = (0, 0);
        self.buffer.extend_from_slice(bytes);
    }

    /// Goes on to the next line; `false` when its end has not been pushed yet.
    pub fn advance(&mut self) -> bool {
        if self.ends == LineEnds::Unknown {
            self.ends = LineEnds::of(&self.buffer, false);
        }
        if self.ends == LineEnds::Unknown {
            return false;
        }
        match self.find_end() {
            Some((end, next)) => {
                self.take(end, next);
                true
            }
            None => {
                self.forget_what_is_too_long();
                false
            }
        }
    }

    /// At the stream's end: moves to a last line without a line end; `false` if there is none.
    pub fn advance_last(&mut self) -> bool {
        if self.ends == LineEnds::Unknown {
            self.ends = LineEnds::of(&self.buffer, true);
            if self.advance() {
                return true;
            }
        }
        let (end, is_line) = (self.buffer.len(), self.buffer.len() > self.next);
        self.take(end, end);
        is_line
    }

    /// The current line.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        let Span { start, end, from_byte, to_byte } = self.current;
        Line { bytes: &self.buffer[start..end], from_byte, to_byte }
    }

    /// Where the line after the current one begins in the stream.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.current.to_byte
    }

    /// Where the next line ends, and where the one behind it begins.
    fn find_end(&self) -> Option<(usize, usize)> {
        let rest = &self.buffer[self.searched..];
        match self.ends {
            LineEnds::Unknown => None,
            LineEnds::Lf => memchr::memchr(b'\n', rest).map(|at| (self.searched + at, self.searched + at + 1)),
            // A CR and an LF are two ends with a blank line between them: blank lines are not counted.
            LineEnds::Cr => memchr::memchr2(b'\r', b'\n', rest).map(|at| (self.searched + at, self.searched + at + 1)),
            LineEnds::Utf16 { is_big_endian } => {
                let is_end =
                    |pair: &[u8]| matches!((pair, is_big_endian), ([0, 10 | 13], true) | ([10 | 13, 0], false));
                let at = rest.chunks_exact(2).position(is_end)? * 2;
                Some((self.searched + at, self.searched + at + 2))
            }
        }
    }

    fn forget_what_is_too_long(&mut self) {
        let len = self.buffer.len() - self.next;
        // Half a character of two bytes stays.
        let half = if matches!(self.ends, LineEnds::Utf16 { .. }) { len % 2 } else { 0 };
        let too_many = (len - half).saturating_sub(KEPT_BYTES);
        if too_many > 0 {
            let kept = self.next + KEPT_BYTES;
            self.buffer.drain(kept..kept + too_many);
            self.skipped += too_many as u64;
        }
        self.searched = self.buffer.len() - half;
    }

    fn take(&mut self, end: usize, next: usize) {
        let from_byte = self.current.to_byte;
        let to_byte = from_byte + self.skipped + (next - self.next) as u64;
        self.current = Span { start: self.next, end: end.min(self.next + KEPT_BYTES), from_byte, to_byte };
        (self.next, self.searched, self.skipped) = (next, next, 0);
    }
}

impl LineEnds {
    /// How lines end in a text that begins like this; unknown while more bytes may decide it.
    fn of(beginning: &[u8], is_whole: bool) -> Self {
        match *beginning {
            [0xff, 0xfe, ..] => return Self::Utf16 { is_big_endian: false },
            [0xfe, 0xff, ..] => return Self::Utf16 { is_big_endian: true },
            [] | [_] if !is_whole => return Self::Unknown,
            _ => {}
        }
        match memchr::memchr2(b'\r', b'\n', beginning).map(|at| &beginning[at..]) {
            Some([b'\r', b'\n', ..] | [b'\n', ..]) => Self::Lf,
            Some([b'\r', _, ..]) => Self::Cr,
            // A CR may be the first half of a line end, and behind the whole text it is as good as one.
            _ if is_whole || beginning.len() > KEPT_BYTES => Self::Lf,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &[u8], pieces: &[usize]) -> Vec<(Vec<u8>, u64, u64)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut keep = |line: Line<'_>| found.push((line.bytes.to_vec(), line.from_byte, line.to_byte));
        let mut rest = text;
        for &piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            lines.push(now);
            while lines.advance() {
                keep(lines.line());
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        while lines.advance_last() {
            keep(lines.line());
            while lines.advance() {
                keep(lines.line());
            }
        }
        found
    }

    #[test]
    fn a_line_too_long_is_cut_and_its_place_known() {
        let long = vec![b'x'; 3 * MAX_ROW_BYTES];
        let text = [b"a\n", &long[..], b"\nb"].concat();
        let end = 2 + long.len() as u64 + 1;
        let expected =
            vec![(b"a".to_vec(), 0, 2), (long[..KEPT_BYTES].to_vec(), 2, end), (b"b".to_vec(), end, end + 1)];
        assert_eq!(split(&text, &[text.len()]), expected);
        assert_eq!(split(&text, &[1000]), expected);
        let unended = [b"a\n", &long[..]].concat();
        assert_eq!(split(&unended, &[777])[1], (long[..KEPT_BYTES].to_vec(), 2, end - 1));
    }

    #[test]
    fn nothing_is_no_line() {
        assert_eq!(split(b"", &[1]), []);
    }

    fn texts(text: &[u8], piece: usize) -> Vec<Vec<u8>> {
        split(text, &[piece]).into_iter().map(|(bytes, ..)| bytes).filter(|bytes| !bytes.is_empty()).collect()
    }

    #[test]
    fn line_ends_of_other_systems() {
        for piece in [1, 2, 3, 100] {
            assert_eq!(texts(b"a\rb\rc", piece), [b"a", b"b", b"c"]);
            assert_eq!(texts(b"a\rb\r\nc\r", piece), [b"a", b"b", b"c"]);
            // A CR elsewhere is part of a line whose end is LF.
            assert_eq!(texts(b"a\nb\rc\n", piece), [&b"a"[..], b"b\rc"]);
            assert_eq!(texts(b"a\r", piece), [b"a\r"]);
            let utf16 = |is_big_endian: bool, text: &str| -> Vec<u8> {
                let bytes = |unit: u16| if is_big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
                text.encode_utf16().flat_map(bytes).collect()
            };
            for is_big_endian in [false, true] {
                // U+0A0D and U+0D0A end no line.
                let text = utf16(is_big_endian, "\u{feff}ab\r\nc\u{a0d}\u{d0a}\n\nd");
                let lines = ["\u{feff}ab", "c\u{a0d}\u{d0a}", "d"].map(|line| utf16(is_big_endian, line));
                assert_eq!(texts(&text, piece), lines);
                let long = utf16(is_big_endian, &format!("\u{feff}a\n{}\nb", "x".repeat(3 * MAX_ROW_BYTES)));
                let found = texts(&long, 997 * piece);
                assert_eq!((found.len(), found[1].len()), (3, KEPT_BYTES));
            }
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_pieces(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), Just(b'\r')], 0..200),
            pieces in proptest::collection::vec(1_usize..40, 1..10),
        ) {
            let text = [b"a\n", &text[..]].concat();
            let found = split(&text, &pieces);
            let mut expected: Vec<_> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            prop_assert_eq!(found.iter().map(|(bytes, ..)| bytes.clone()).collect::<Vec<_>>(), expected);
            let mut at = 0;
            for (bytes, from, to) in found {
                prop_assert_eq!(from, at);
                prop_assert_eq!(&text[from as usize..from as usize + bytes.len()], &bytes[..]);
                at = to;
            }
            prop_assert_eq!(at, text.len() as u64);
        }
    }
}
