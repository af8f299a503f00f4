use telecom::csv::MAX_ROW_BYTES;

/// What is kept of a longer line: enough to see that the row is too long, with or without a CR at its end.
const KEPT_BYTES: usize = MAX_ROW_BYTES + 2;

/// Splits a stream into lines with bounded memory. Bytes go in by [`push`](Self::push), lines come out by
/// [`advance`](Self::advance) and [`line`](Self::line).
#[derive(Debug, Default)]
pub(crate) struct Lines {
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
pub(crate) struct Line<'a> {
    /// The whole line, or the first bytes of one that is too long to be a row.
    pub(crate) bytes: &'a [u8],
    /// Where it begins in the stream.
    pub(crate) from_byte: u64,
    /// Where the next one begins.
    pub(crate) to_byte: u64,
}

impl Lines {
    /// Appends bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // The current line has been seen: make room.
        self.buffer.drain(..self.next);
        self.searched -= self.next;
        self.next = 0;
        (self.current.start, self.current.end) = (0, 0);
        self.buffer.extend_from_slice(bytes);
    }

    /// Goes on to the next line; `false` when its end has not been pushed yet.
    pub(crate) fn advance(&mut self) -> bool {
        match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            Some(at) => {
                let end = self.searched + at;
                self.take(end, end + 1);
                true
            }
            None => {
                let kept = self.buffer.len().min(self.next + KEPT_BYTES);
                self.skipped += (self.buffer.len() - kept) as u64;
                self.buffer.truncate(kept);
                self.searched = kept;
                false
            }
        }
    }

    /// At the stream's end: goes on to a last line that has no line end; `false` when there is none.
    pub(crate) fn advance_last(&mut self) -> bool {
        let (end, is_line) = (self.buffer.len(), self.buffer.len() > self.next);
        self.take(end, end);
        is_line
    }

    /// The current line.
    pub(crate) fn line(&self) -> Line<'_> {
        let Span { start, end, from_byte, to_byte } = self.current;
        Line { bytes: &self.buffer[start..end], from_byte, to_byte }
    }

    fn take(&mut self, end: usize, next: usize) {
        let from_byte = self.current.to_byte;
        let to_byte = from_byte + self.skipped + (next - self.next) as u64;
        self.current = Span { start: self.next, end: end.min(self.next + KEPT_BYTES), from_byte, to_byte };
        (self.next, self.searched, self.skipped) = (next, next, 0);
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
        if lines.advance_last() {
            keep(lines.line());
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

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_pieces(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), Just(b'\r')], 0..200),
            pieces in proptest::collection::vec(1_usize..40, 1..10),
        ) {
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
