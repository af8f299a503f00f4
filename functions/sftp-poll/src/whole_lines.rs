//! The lines of a file that are whole.

use bytes::{Bytes, BytesMut};
use content::Stored;
use telecom::csv::MAX_ROW_BYTES;

use crate::miss::Miss;

/// What is held back of a line that is not whole yet: more can't become a row.
const HELD_BYTES: usize = MAX_ROW_BYTES + 2;

/// Holds back what stands behind a plain file's last line end: it may be half a line. Files that are compressed, or have no
/// LF to end their lines, are taken whole.
pub(crate) struct WholeLines {
    form: Form,
    held: BytesMut,
    /// The line that is not whole yet is so long that its beginning has been let through.
    is_spilled: bool,
    has_lf: bool,
    has_cr: bool,
    has_passed: bool,
}

enum Form {
    Unknown,
    Whole,
    Lines,
}

impl WholeLines {
    /// For a file from its beginning.
    pub(crate) fn of_file() -> Self {
        Self {
            form: Form::Unknown,
            held: BytesMut::new(),
            is_spilled: false,
            has_lf: false,
            has_cr: false,
            has_passed: false,
        }
    }

    /// For a plain file's later piece.
    pub(crate) fn of_piece() -> Self {
        Self { form: Form::Lines, has_lf: true, ..Self::of_file() }
    }

    /// Takes the next bytes, and returns what may pass: what was held, and what is new.
    pub(crate) fn push(&mut self, chunk: Bytes) -> [Bytes; 2] {
        let passed = match self.form {
            Form::Unknown => {
                self.held.extend_from_slice(&chunk);
                if self.held.len() < Stored::MAGIC_BYTES {
                    return [Bytes::new(), Bytes::new()];
                }
                let beginning = self.held.split().freeze();
                self.form = Form::of(&beginning);
                return self.push(beginning);
            }
            Form::Whole => [Bytes::new(), chunk],
            Form::Lines => self.push_lines(&chunk),
        };
        self.has_passed |= passed.iter().any(|bytes| !bytes.is_empty());
        passed
    }

    fn push_lines(&mut self, chunk: &Bytes) -> [Bytes; 2] {
        self.has_cr |= !self.has_lf && memchr::memchr(b'\r', chunk).is_some();
        let Some(end) = memchr::memrchr(b'\n', chunk).map(|at| at + 1) else {
            self.held.extend_from_slice(chunk);
            if self.held.len() <= HELD_BYTES {
                return [Bytes::new(), Bytes::new()];
            }
            self.is_spilled = true;
            return [self.held.split().freeze(), Bytes::new()];
        };
        self.has_lf = true;
        let held = self.held.split().freeze();
        self.is_spilled = chunk.len() - end > HELD_BYTES;
        if self.is_spilled {
            return [held, chunk.clone()];
        }
        self.held.extend_from_slice(&chunk[end..]);
        [held, chunk.slice(..end)]
    }

    /// At the file's end: what passes besides. `takes_last_line`: it has lain still for so long that its last line is whole,
    /// also without a line end.
    pub(crate) fn finish(&mut self, takes_last_line: bool) -> Result<Bytes, Miss> {
        if matches!(self.form, Form::Unknown) {
            // Too short to be anything else.
            self.form = Form::of(&self.held);
            let beginning = self.held.split().freeze();
            let [held, passed] = self.push(beginning);
            let rest = self.finish(takes_last_line)?;
            return Ok([held, passed, rest].concat().into());
        }
        let is_unfinished = self.is_spilled || !self.held.is_empty();
        // A text whose lines end otherwise never has a last one that is whole.
        let has_other_ends = !self.has_lf && self.has_cr;
        if takes_last_line || (is_unfinished && has_other_ends) {
            return Ok(self.held.split().freeze());
        }
        if self.is_spilled || !self.has_passed {
            return Err(Miss::UnfinishedLine);
        }
        Ok(Bytes::new())
    }
}

impl Form {
    fn of(beginning: &[u8]) -> Self {
        let is_utf16 = beginning.starts_with(&[0xff, 0xfe]) || beginning.starts_with(&[0xfe, 0xff]);
        if is_utf16 || Stored::of(beginning).is_compressed() { Self::Whole } else { Self::Lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of a text that comes in pieces of this length; `None` where its last line is to be waited for.
    fn passed(mut lines: WholeLines, text: &[u8], piece: usize, takes_last_line: bool) -> Option<Vec<u8>> {
        let mut passed = Vec::new();
        for chunk in text.chunks(piece) {
            lines.push(Bytes::copy_from_slice(chunk)).iter().for_each(|bytes| passed.extend_from_slice(bytes));
        }
        passed.extend_from_slice(&lines.finish(takes_last_line).ok()?);
        Some(passed)
    }

    #[test]
    fn what_stands_behind_the_last_line_end_is_held_back() {
        let long = [b"a\n", &vec![b'x'; 3 * HELD_BYTES][..]].concat();
        for piece in [1, 2, 3, 1000, 1_000_000] {
            let check = |text: &[u8], expected: Option<&[u8]>| {
                let found = passed(WholeLines::of_file(), text, piece, false);
                assert_eq!(found.as_deref(), expected, "{:?} by {piece}", text.escape_ascii().to_string());
                assert_eq!(passed(WholeLines::of_file(), text, piece, true).as_deref(), Some(text));
            };
            check(b"", None);
            check(b"a", None);
            check(b"header", None);
            check(b"a\n", Some(b"a\n"));
            check(b"a\nb", Some(b"a\n"));
            check(b"a\r\nbc\r", Some(b"a\r\n"));
            check(b"\n", Some(b"\n"));
            check(&long, None);
            check(&[&long[..], b"\nb"].concat(), Some(&[&long[..], b"\n"].concat()));
            // No LF, or another form: as a whole.
            check(b"a\rb", Some(b"a\rb"));
            check(b"\xff\xfea\0\n\0b\0", Some(b"\xff\xfea\0\n\0b\0"));
            check(b"\x1f\x8b and more", Some(b"\x1f\x8b and more"));
            check(b"\x1f\x8b", Some(b"\x1f\x8b"));
            // A later piece is plain, whatever it begins with.
            assert_eq!(
                passed(WholeLines::of_piece(), b"\x1f\x8b\nb", piece, false).as_deref(),
                Some(&b"\x1f\x8b\n"[..])
            );
            assert_eq!(passed(WholeLines::of_piece(), b"a\rb", piece, false), None);
        }
    }
}
