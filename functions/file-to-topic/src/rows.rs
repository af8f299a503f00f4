use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::decode::Decoder;
use crate::lines::{Line, Lines};

/// A file's lines, read as a stream; the file is never held.
pub(crate) struct Rows {
    stored: BoxStream<'static, Result<Bytes, lake::Error>>,
    chunk: Bytes,
    decoder: Decoder,
    lines: Lines,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// Nothing behind what has been decoded can be.
    Damaged,
    /// Every byte has been decoded.
    Ended,
}

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// A line, perhaps a blank one.
    Line(Line<'a>),
    /// The compressed bytes are damaged or end early; what had been decoded of the next line.
    Damage(Line<'a>),
    /// That was the last line.
    End,
}

impl Rows {
    pub(crate) fn new(stored: BoxStream<'static, Result<Bytes, lake::Error>>) -> Self {
        Self { stored, chunk: Bytes::new(), decoder: Decoder::new(), lines: Lines::default(), state: State::Reading }
    }

    /// Where the next line begins, in bytes of the decompressed stream.
    pub(crate) fn position(&self) -> u64 {
        self.lines.line().to_byte
    }

    /// Goes on to the next line. Gives way to other tasks now and then, so a loop over it never starves the runtime.
    ///
    /// # Errors
    /// When the lake fails.
    pub(crate) async fn next(&mut self) -> Result<Next<'_>, lake::Error> {
        tokio::task::coop::consume_budget().await;
        while !self.lines.advance() {
            match self.state {
                State::Reading => self.read().await?,
                State::Damaged => {
                    self.state = State::Ended;
                    self.lines.advance_last();
                    return Ok(Next::Damage(self.lines.line()));
                }
                State::Ended => {
                    let is_line = self.lines.advance_last();
                    return Ok(if is_line { Next::Line(self.lines.line()) } else { Next::End });
                }
            }
        }
        Ok(Next::Line(self.lines.line()))
    }

    /// Whether the file is compressed.
    ///
    /// # Errors
    /// When the lake fails.
    pub(crate) async fn is_compressed(&mut self) -> Result<bool, lake::Error> {
        loop {
            match self.decoder.is_compressed() {
                None if self.state == State::Reading => self.read().await?,
                known => return Ok(known.unwrap_or_default()),
            }
        }
    }

    /// Reads all that is left, and says whether it could be decoded to its end.
    ///
    /// # Errors
    /// When the lake fails.
    pub(crate) async fn read_to_end(&mut self) -> Result<bool, lake::Error> {
        loop {
            match self.next().await? {
                Next::Line(_) => {}
                Next::Damage(_) => return Ok(false),
                Next::End => return Ok(true),
            }
        }
    }

    async fn read(&mut self) -> Result<(), lake::Error> {
        if self.chunk.is_empty() {
            match self.stored.next().await.transpose()? {
                Some(chunk) => self.chunk = chunk,
                None => {
                    let finished = self.decoder.finish(&mut self.lines);
                    self.state = if finished.is_ok() { State::Ended } else { State::Damaged };
                    return Ok(());
                }
            }
        }
        match self.decoder.decode(&self.chunk, &mut self.lines) {
            Ok(decoded) => self.chunk.advance(decoded),
            Err(_) => self.state = State::Damaged,
        }
        Ok(())
    }
}
