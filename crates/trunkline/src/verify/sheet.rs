//! A file's header and rows: lines that are not blank. Shares nothing with the pipeline.

use std::ops::Range;

use super::decode::{Decoded, Ending, decode};
use super::rows::{columns, names_a_known_column};

/// A file as people would read it.
#[derive(Debug)]
pub(super) struct Sheet {
    /// The content: the decoded text without a byte order mark, each line ended by one LF.
    content: Vec<u8>,
    /// The names in the header; none where rows can't be read by it.
    pub(super) columns: Option<Vec<String>>,
    /// Where in the content the rows are.
    rows: Vec<Range<usize>>,
    pub(super) ending: Ending,
    /// Whether the last line of a plain file lacks its end, so that it may be half a line.
    pub(super) is_open: bool,
}

impl Sheet {
    /// Reads a file from its stored bytes.
    pub(super) fn read(stored: &[u8], record_type: &str) -> Self {
        let Decoded { text, ending, is_plain } = decode(stored);
        let (text, is_foreign) = match foreign(&text) {
            Some(lines) => (lines, true),
            None => (text, false),
        };
        let is_open = is_plain && !is_foreign && text.last().is_some_and(|byte| *byte != b'\n');
        let content = with_lf(&text);
        let (mut header, mut rows, mut start) = (None, Vec::new(), 0);
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let place = start..start + line.len() - 1;
            start += line.len();
            let line = &content[place.clone()];
            if line.is_empty() || (header.is_none() && is_separator_line(line)) {
                continue;
            }
            if header.is_none() {
                let names = columns(line, record_type).filter(|_| !is_foreign);
                let is_row = names.is_none() && !names_a_known_column(line);
                header = Some(names);
                if !is_row {
                    continue;
                }
            }
            rows.push(place);
        }
        Self { content, columns: header.flatten(), rows, ending, is_open }
    }

    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.rows.iter().map(|row| &self.content[row.clone()])
    }

    /// Whether rows of it may be usable.
    pub(super) fn is_readable(&self) -> bool {
        self.columns.is_some() && self.ending == Ending::Whole
    }

    /// The content up to its first row: contents that share rows from their beginning have the same. None of a file
    /// whose rows can't be used.
    pub(super) fn head(&self) -> Option<&[u8]> {
        let first = self.rows.first().filter(|_| self.is_readable())?;
        Some(&self.content[..=first.end])
    }

    /// Whether another content is the beginning of this one.
    pub(super) fn begins_with(&self, other: &Self) -> bool {
        self.content.starts_with(&other.content)
    }

    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

/// `sep=,`, which a spreadsheet writes before the header.
fn is_separator_line(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    line.len() == 5 && line[..4].eq_ignore_ascii_case(b"sep=")
}

/// The lines of a text in UTF-16, or of one whose lines end with CR alone, as a text with LF. Its rows are counted, and
/// can't be used.
fn foreign(text: &[u8]) -> Option<Vec<u8>> {
    match text {
        [0xff, 0xfe, rest @ ..] => return Some(utf_16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => return Some(utf_16(rest, u16::from_be_bytes)),
        _ => {}
    }
    let first_end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let is_cr_alone = text[first_end] == b'\r' && text.get(first_end + 1).is_some_and(|next| *next != b'\n');
    is_cr_alone.then(|| text.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect())
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    // Half a character, where a file is cut, is none.
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    text.map(|c| if c == '\r' { '\n' } else { c }).collect::<String>().into_bytes()
}

/// Without a byte order mark, with one LF at the end of each line.
fn with_lf(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut content = Vec::with_capacity(text.len() + 1);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        content.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        content.push(b'\n');
    }
    content
}
