//! Hashing a content, and its stored bytes beside it.

use crate::decode::Stored;
use crate::digest::{Digest, Hasher};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Hashes a text without its byte order mark, and with LF at the end of each line. As long as that is what is stored,
/// it is hashed once.
#[derive(Debug)]
pub(crate) struct ContentHasher {
    content: Hasher,
    /// Of the stored bytes, since they are others than the content.
    stored: Option<Hasher>,
    /// The text's beginning, as long as it may become a byte order mark.
    beginning: Option<Vec<u8>>,
    /// The line end of the last line before may follow.
    skips_line_end: bool,
    /// A CR that may be the first half of a line end.
    has_cr: bool,
    last: Option<u8>,
}

pub(crate) struct Hashed {
    /// Of the stored bytes.
    pub(crate) sha256: Digest,
    /// Of the content.
    pub(crate) content: Hasher,
    /// Whether the last line lacked its end, and was given one.
    pub(crate) is_line_open: bool,
}

impl ContentHasher {
    /// Of a file from its beginning.
    pub(crate) fn new(stored: Stored) -> Self {
        Self {
            content: Hasher::default(),
            stored: stored.is_compressed().then(Hasher::default),
            beginning: Some(Vec::new()),
            skips_line_end: false,
            has_cr: false,
            last: None,
        }
    }

    /// Of a plain file's later piece.
    pub(crate) fn continuing(content: Hasher, is_line_open: bool) -> Self {
        let new = Self::new(Stored::Plain);
        Self { content, stored: Some(Hasher::default()), beginning: None, skips_line_end: is_line_open, ..new }
    }

    /// The next stored bytes; their text is given behind them.
    pub(crate) fn stored(&mut self, bytes: &[u8]) {
        if let Some(stored) = &mut self.stored {
            stored.update(bytes);
        }
    }

    /// The next bytes of the text.
    pub(crate) fn text(&mut self, text: &[u8]) {
        let Some(beginning) = &mut self.beginning else { return self.lines(text) };
        beginning.extend_from_slice(text);
        if beginning.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(beginning) {
            return;
        }
        let beginning = self.beginning.take().unwrap_or_default();
        self.lines_from_beginning(&beginning);
    }

    fn lines_from_beginning(&mut self, text: &[u8]) {
        match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => {
                self.part(text);
                self.lines(rest);
            }
            None => self.lines(text),
        }
    }

    /// From here on the content differs from the stored bytes; `rest` is stored already.
    fn part(&mut self, rest: &[u8]) {
        if self.stored.is_none() {
            let mut stored = self.content.clone();
            stored.update(rest);
            self.stored = Some(stored);
        }
    }

    fn lines(&mut self, mut text: &[u8]) {
        if self.has_cr {
            match text.first() {
                None => return,
                Some(b'\n') => {
                    self.part(&[b"\r", text].concat());
                    if std::mem::take(&mut self.skips_line_end) {
                        text = &text[1..];
                    }
                }
                Some(_) => self.add(b"\r"),
            }
            self.has_cr = false;
        } else if self.skips_line_end && text.first() == Some(&b'\n') {
            text = &text[1..];
            self.skips_line_end = false;
        }
        self.skips_line_end &= text.is_empty() || text.first() == Some(&b'\r');
        while let Some(at) = memchr::memchr(b'\r', text) {
            let (before, rest) = text.split_at(at);
            match rest {
                [_] => {
                    self.add(before);
                    self.has_cr = true;
                    return;
                }
                [_, b'\n', ..] => {
                    self.add(before);
                    self.part(rest);
                    text = if std::mem::take(&mut self.skips_line_end) { &rest[2..] } else { &rest[1..] };
                }
                _ => {
                    self.add(&text[..=at]);
                    text = &rest[1..];
                }
            }
            self.skips_line_end = false;
        }
        self.add(text);
    }

    fn add(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
        self.last = bytes.last().copied().or(self.last);
    }

    pub(crate) fn finish(mut self) -> Hashed {
        if let Some(beginning) = self.beginning.take() {
            self.lines_from_beginning(&beginning);
        }
        // A CR before a text's end is the half of a line end.
        if self.has_cr {
            self.part(b"\r");
        }
        let lacks_end = !self.skips_line_end && (self.has_cr || self.last.is_some_and(|last| last != b'\n'));
        if lacks_end {
            self.part(b"");
            self.content.update(b"\n");
        }
        // Where the end of a line before was to come first, it still is.
        let is_line_open = lacks_end || self.skips_line_end;
        let sha256 = self.stored.unwrap_or_else(|| self.content.clone()).finish();
        Hashed { sha256, content: self.content, is_line_open }
    }
}
