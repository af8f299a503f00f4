//! Stored bytes become text, as the programs that wrote them read them.

use std::io::{self, Write as _};

use flate2::write::GzDecoder;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation as _, OutBuffer};

/// Compressed bytes are decoded in blocks of this size, cut at the same places of the file in every delivery: then a
/// damaged file ends at the same row every time. Small, because a block of zstd can be 30,000 times its size.
const BLOCK_BYTES: usize = 512;

/// The largest zstd window: `zstd -19` needs 8 MiB, `--ultra` and `--long` would not fit a function of 128 MB.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// zstd's own recommendation for its output.
const ZSTD_OUTPUT_BYTES: usize = 128 << 10;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How a file's bytes are stored, as their beginning shows: no CSV begins like a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// As they are.
    Plain,
    /// Members of gzip, one after the other, perhaps with zeros behind the last one.
    Gzip,
    /// Frames of zstd, one after the other; frames that are to be skipped may stand anywhere.
    Zstd,
}

impl Stored {
    /// How many bytes of a file decide it, if the file has that many.
    pub const MAGIC_BYTES: usize = 4;

    /// How a file that begins like this is stored.
    #[must_use]
    pub fn of(beginning: &[u8]) -> Self {
        if beginning.starts_with(GZIP_MAGIC) {
            Self::Gzip
        } else if beginning.starts_with(ZSTD_MAGIC) || is_skippable(beginning) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }

    /// Whether the end of the bytes shows that they are whole.
    #[must_use]
    pub fn is_compressed(self) -> bool {
        self != Self::Plain
    }
}

/// A frame with something else than data in it (RFC 8878, section 3.1.2), as pzstd writes before every one of its own.
fn is_skippable(beginning: &[u8]) -> bool {
    matches!(beginning, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Compressed bytes that can't be decoded, or end early.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Damage(#[from] io::Error);

impl Damage {
    /// Whether the bytes may be sound, but need more memory than there is.
    #[must_use]
    pub fn is_window_too_large(&self) -> bool {
        // The library's only word for it: ZSTD_error_frameParameter_windowTooLarge.
        self.0.to_string().contains("requires too much memory")
    }
}

/// Turns a file's stored bytes into its text.
pub struct Decoder {
    form: Form,
    /// The beginning of the next block.
    block: Vec<u8>,
}

enum Form {
    Unknown,
    Plain,
    Gzip(Gzip),
    Zstd { decoder: ZstdDecoder<'static>, output: Vec<u8>, between_frames: bool },
}

enum Gzip {
    Member(Box<GzDecoder<Vec<u8>>>),
    /// Behind a whole member.
    Between,
    /// Zeros, as tapes and disks leave them behind a file: gzip ignores them.
    Padding,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { form: Form::Unknown, block: Vec::with_capacity(BLOCK_BYTES) }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("stored", &self.stored()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder of bytes that are known to be plain, whatever they begin with: the middle of a file.
    #[must_use]
    pub fn plain() -> Self {
        Self { form: Form::Plain, block: Vec::new() }
    }

    /// How the bytes are stored; `None` before that has been seen.
    #[must_use]
    pub fn stored(&self) -> Option<Stored> {
        match self.form {
            Form::Unknown => None,
            Form::Plain => Some(Stored::Plain),
            Form::Gzip(_) => Some(Stored::Gzip),
            Form::Zstd { .. } => Some(Stored::Zstd),
        }
    }

    /// Decodes some bytes of `input` into `text` and returns how many; call again until all of it is done.
    ///
    /// # Errors
    /// When the compressed bytes are damaged; nothing behind can be read.
    pub fn decode(&mut self, input: &[u8], text: &mut dyn FnMut(&[u8])) -> Result<usize, Damage> {
        if matches!(self.form, Form::Plain) {
            text(input);
            return Ok(input.len());
        }
        let taken = input.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&input[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.decode_block(text)?;
        }
        Ok(taken)
    }

    /// At the file's end: decodes what is left.
    ///
    /// # Errors
    /// When the compressed bytes are damaged or end early.
    pub fn finish(&mut self, text: &mut dyn FnMut(&[u8])) -> Result<(), Damage> {
        self.decode_block(text)?;
        match &mut self.form {
            Form::Unknown | Form::Plain | Form::Gzip(Gzip::Between | Gzip::Padding) => Ok(()),
            Form::Gzip(gzip) => Ok(gzip.end_member(text)?),
            Form::Zstd { between_frames: true, .. } => Ok(()),
            Form::Zstd { .. } => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    fn decode_block(&mut self, text: &mut dyn FnMut(&[u8])) -> Result<(), Damage> {
        // Nothing is not a block: at a file's end it would begin another frame.
        if self.block.is_empty() {
            return Ok(());
        }
        if matches!(self.form, Form::Unknown) {
            self.form = Form::of(&self.block)?;
        }
        match &mut self.form {
            Form::Unknown | Form::Plain => text(&self.block),
            Form::Gzip(gzip) => gzip.decode(&self.block, text)?,
            Form::Zstd { decoder, output, between_frames } => {
                *between_frames = decode_zstd(decoder, &self.block, output, text)?;
            }
        }
        self.block.clear();
        Ok(())
    }
}

impl Form {
    fn of(beginning: &[u8]) -> io::Result<Self> {
        Ok(match Stored::of(beginning) {
            Stored::Plain => Self::Plain,
            Stored::Gzip => Self::Gzip(Gzip::Between),
            Stored::Zstd => {
                let mut decoder = ZstdDecoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                Self::Zstd { decoder, output: vec![0; ZSTD_OUTPUT_BYTES], between_frames: false }
            }
        })
    }
}

impl Gzip {
    fn decode(&mut self, mut block: &[u8], text: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        while let Some(first) = block.first() {
            match self {
                Self::Between if *first == 0 => *self = Self::Padding,
                Self::Between => *self = Self::Member(Box::new(GzDecoder::new(Vec::new()))),
                Self::Padding if block.iter().all(|byte| *byte == 0) => return Ok(()),
                Self::Padding => return Err(io::ErrorKind::InvalidData.into()),
                Self::Member(decoder) => match decoder.write(block)? {
                    0 => self.end_member(text)?,
                    taken => {
                        text(decoder.get_ref());
                        decoder.get_mut().clear();
                        block = &block[taken..];
                    }
                },
            }
        }
        Ok(())
    }

    /// Decodes what the library still holds of a member, and compares its checksum.
    fn end_member(&mut self, text: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        if let Self::Member(decoder) = self {
            let finished = decoder.try_finish();
            text(decoder.get_ref());
            finished?;
        }
        *self = Self::Between;
        Ok(())
    }
}

/// Decodes a block, and says whether a frame ends with it.
fn decode_zstd(
    decoder: &mut ZstdDecoder<'static>,
    block: &[u8],
    output: &mut [u8],
    text: &mut dyn FnMut(&[u8]),
) -> io::Result<bool> {
    let mut input = InBuffer::around(block);
    loop {
        let mut room = OutBuffer::around(&mut *output);
        let hint = decoder.run(&mut input, &mut room)?;
        let written = room.pos();
        text(&output[..written]);
        // At a frame's end there is nothing left inside the decoder.
        let is_drained = hint == 0 || written < output.len();
        if input.pos() == block.len() && is_drained {
            return Ok(hint == 0);
        }
    }
}
