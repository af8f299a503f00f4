use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation as _, OutBuffer};

use crate::lines::Lines;

/// Compressed bytes are decoded in blocks of this size, cut at the same places of the file in every delivery: then a
/// damaged file ends at the same row every time. Small, because a block of zstd can be 30,000 times its size.
const BLOCK_BYTES: usize = 512;

/// The largest zstd window: `zstd -19` needs 8 MiB, `--ultra` and `--long` would not fit a function of 128 MB.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// zstd's own recommendation for its output.
const ZSTD_OUTPUT_BYTES: usize = 128 << 10;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Turns a file's stored bytes into its text. How they are compressed is seen from their beginning, whatever the name
/// says: no CSV begins like that.
pub(crate) struct Decoder {
    form: Form,
    /// The beginning of the next block.
    block: Vec<u8>,
}

enum Form {
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd { decoder: ZstdDecoder<'static>, output: Vec<u8>, between_frames: bool },
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { form: Form::Unknown, block: Vec::with_capacity(BLOCK_BYTES) }
    }

    /// Whether the file is compressed; `None` before that has been seen.
    pub(crate) fn is_compressed(&self) -> Option<bool> {
        match self.form {
            Form::Unknown => None,
            Form::Plain => Some(false),
            Form::Gzip(_) | Form::Zstd { .. } => Some(true),
        }
    }

    /// Decodes some bytes of `input` and returns how many; call again until all of it is done.
    ///
    /// # Errors
    /// When the compressed bytes are damaged; nothing behind can be read.
    pub(crate) fn decode(&mut self, input: &[u8], lines: &mut Lines) -> io::Result<usize> {
        if matches!(self.form, Form::Plain) {
            lines.push(input);
            return Ok(input.len());
        }
        let taken = input.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&input[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.decode_block(lines)?;
        }
        Ok(taken)
    }

    /// At the file's end: decodes what is left.
    ///
    /// # Errors
    /// When the compressed bytes are damaged or end early.
    pub(crate) fn finish(&mut self, lines: &mut Lines) -> io::Result<()> {
        self.decode_block(lines)?;
        match &mut self.form {
            Form::Unknown | Form::Plain => Ok(()),
            Form::Gzip(decoder) => {
                let finished = decoder.try_finish();
                lines.push(decoder.get_ref());
                finished
            }
            Form::Zstd { between_frames: true, .. } => Ok(()),
            Form::Zstd { .. } => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn decode_block(&mut self, lines: &mut Lines) -> io::Result<()> {
        if matches!(self.form, Form::Unknown) {
            self.form = Form::of(&self.block)?;
        }
        match &mut self.form {
            Form::Unknown | Form::Plain => lines.push(&self.block),
            Form::Gzip(decoder) => {
                let written = decoder.write_all(&self.block);
                lines.push(decoder.get_ref());
                decoder.get_mut().clear();
                written?;
            }
            Form::Zstd { decoder, output, between_frames } => {
                let mut input = InBuffer::around(&self.block);
                loop {
                    let mut room = OutBuffer::around(&mut output[..]);
                    let hint = decoder.run(&mut input, &mut room)?;
                    let written = room.pos();
                    lines.push(&output[..written]);
                    // At a frame's end there is nothing left inside the decoder.
                    let is_drained = hint == 0 || written < output.len();
                    if self.block.is_empty() || (input.pos() == self.block.len() && is_drained) {
                        *between_frames = hint == 0;
                        break;
                    }
                }
            }
        }
        self.block.clear();
        Ok(())
    }
}

impl Form {
    fn of(beginning: &[u8]) -> io::Result<Self> {
        if beginning.starts_with(GZIP_MAGIC) {
            return Ok(Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))));
        }
        if beginning.starts_with(ZSTD_MAGIC) {
            let mut decoder = ZstdDecoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
            return Ok(Self::Zstd { decoder, output: vec![0; ZSTD_OUTPUT_BYTES], between_frames: false });
        }
        Ok(Self::Plain)
    }
}
