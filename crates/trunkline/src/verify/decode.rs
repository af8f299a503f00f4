//! What the stored bytes of a file say: gzip and zstd are undone. Shares nothing with the pipeline.

use std::io::{self, Read};

/// What zstd may need to go back: `zstd --ultra` and `--long` need more than a function has, and count as damage.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// Bytes that are decoded at once.
const BLOCK_BYTES: usize = 128 << 10;

/// How a file ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// All of it is there.
    #[default]
    Whole,
    /// It is compressed, and its end is missing.
    Cut,
    /// It is compressed, and can't be decoded from some place on.
    Corrupt,
}

/// A file's text.
pub(super) struct Decoded {
    pub(super) text: Vec<u8>,
    pub(super) ending: Ending,
    pub(super) is_plain: bool,
}

#[derive(Clone, Copy)]
enum Form {
    Gzip,
    Zstd,
}

/// The text of a file, as far as it can be had. Its bytes say how it is stored, its name does not.
pub(super) fn decode(stored: &[u8]) -> Decoded {
    let form = match stored {
        [0x1f, 0x8b, ..] => Form::Gzip,
        // A frame of data, or one that is to be skipped.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Form::Zstd,
        _ => return Decoded { text: stored.to_vec(), ending: Ending::Whole, is_plain: true },
    };
    let mut text = Vec::new();
    let ending = match unpack(form, stored, BLOCK_BYTES, &mut text) {
        Ok(()) => Ending::Whole,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ending::Cut,
        Err(_) => {
            // A decoder that fails says nothing of what it decoded in the same step: the smallest step loses nothing.
            text.clear();
            unpack(form, stored, 1, &mut text).err().map_or(Ending::Whole, |_| Ending::Corrupt)
        }
    };
    Decoded { text, ending, is_plain: false }
}

fn unpack(form: Form, stored: &[u8], step: usize, text: &mut Vec<u8>) -> io::Result<()> {
    match form {
        Form::Gzip => gunzip(stored, step, text),
        Form::Zstd => {
            let mut frames = zstd::Decoder::with_buffer(stored)?;
            frames.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            drain(&mut frames, step, text)
        }
    }
}

/// Member by member. Zeros behind the last one, as tapes leave them, are nothing.
fn gunzip(stored: &[u8], step: usize, text: &mut Vec<u8>) -> io::Result<()> {
    let mut rest = stored;
    loop {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        drain(&mut member, step, text)?;
        rest = member.into_inner();
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
    }
}

fn drain(from: &mut dyn Read, step: usize, text: &mut Vec<u8>) -> io::Result<()> {
    let mut block = vec![0; step];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            read => text.extend_from_slice(&block[..read]),
        }
    }
}
