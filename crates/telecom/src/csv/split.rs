//! One line into its fields.

use std::fmt;

use crate::csv::MAX_COLUMNS;
use crate::reason::Reason;

/// Memory that parsing uses again from row to row. Holds nothing between rows that matters.
#[derive(Default)]
pub struct Scratch {
    spans: Vec<Span>,
    /// Fields with doubled quotes, undoubled.
    unquoted: String,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Line,
    Unquoted,
}

/// The fields of one line; at most the first [`MAX_COLUMNS`] of them.
pub(super) struct Fields<'a> {
    line: &'a str,
    scratch: &'a Scratch,
    /// How many there are, also beyond `MAX_COLUMNS`.
    pub(super) count: usize,
}

/// Without the text of the last row, which is personal.
impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, index: usize) -> Option<&'a str> {
        let span = self.scratch.spans.get(index)?;
        let text = match span.place {
            Place::Line => self.line,
            Place::Unquoted => &self.scratch.unquoted,
        };
        text.get(span.start as usize..span.end as usize)
    }
}

impl Scratch {
    /// Splits a line without line end. Lines are short enough for 32-bit positions.
    pub(super) fn split<'a>(&'a mut self, line: &'a str) -> Result<Fields<'a>, Reason> {
        self.spans.clear();
        self.unquoted.clear();
        let count = if memchr::memchr(b'"', line.as_bytes()).is_none() {
            self.split_plain(line)
        } else {
            self.split_quoted(line)?
        };
        Ok(Fields { line, scratch: self, count })
    }

    fn split_plain(&mut self, line: &str) -> usize {
        let mut start = 0;
        let mut count = 0;
        for end in memchr::memchr_iter(b',', line.as_bytes()).chain([line.len()]) {
            self.push(&mut count, start, end, Place::Line);
            start = end + 1;
        }
        count
    }

    fn split_quoted(&mut self, line: &str) -> Result<usize, Reason> {
        let bytes = line.as_bytes();
        let mut count = 0;
        let mut start = 0;
        loop {
            let end = if bytes.get(start) == Some(&b'"') {
                self.quoted_field(line, start, &mut count)?
            } else {
                let end = memchr::memchr(b',', &bytes[start..]).map_or(bytes.len(), |len| start + len);
                if memchr::memchr(b'"', &bytes[start..end]).is_some() {
                    return Err(Reason::BadQuote);
                }
                self.push(&mut count, start, end, Place::Line);
                end
            };
            match bytes.get(end) {
                None => return Ok(count),
                Some(b',') => start = end + 1,
                Some(_) => return Err(Reason::BadQuote),
            }
        }
    }

    /// Reads the field whose opening quote is at `open`; returns where it ends, after its closing quote.
    fn quoted_field(&mut self, line: &str, open: usize, count: &mut usize) -> Result<usize, Reason> {
        let bytes = line.as_bytes();
        let from = self.unquoted.len();
        let mut start = open + 1;
        loop {
            let quote = memchr::memchr(b'"', &bytes[start..]).map(|len| start + len);
            let quote = quote.ok_or(Reason::UnterminatedQuote)?;
            if bytes.get(quote + 1) == Some(&b'"') {
                // The first of the doubled quotes is part of the field.
                self.unquoted.push_str(&line[start..=quote]);
                start = quote + 2;
            } else if start == open + 1 {
                self.push(count, start, quote, Place::Line);
                return Ok(quote + 1);
            } else {
                self.unquoted.push_str(&line[start..quote]);
                self.push(count, from, self.unquoted.len(), Place::Unquoted);
                return Ok(quote + 1);
            }
        }
    }

    fn push(&mut self, count: &mut usize, start: usize, end: usize, place: Place) {
        *count += 1;
        // More fields than a header can have are only counted.
        if self.spans.len() < MAX_COLUMNS {
            self.spans.push(Span { start: start as u32, end: end as u32, place });
        }
    }
}
