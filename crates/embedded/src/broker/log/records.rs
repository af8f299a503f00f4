//! The records of a batch, read only where somebody asks for a time: which record is it?

use std::io::{BufRead, BufReader, Cursor, Error, Read, Result};

use super::batch::Header;

/// No batch becomes larger than this: what does is not read to its end.
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 30;

/// How Java's snappy begins a stream of blocks; other clients send a bare block.
const SNAPPY_BLOCKS: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

/// A record's place in time and in the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::broker) struct Moment {
    pub(in crate::broker) timestamp: i64,
    pub(in crate::broker) offset: i64,
}

/// The batch's first record that is wanted.
pub(super) fn first(header: &Header, records: &[u8], is_wanted: impl Fn(&Moment) -> bool) -> Result<Option<Moment>> {
    let mut records = BufReader::new(decompress(header.codec(), records)?.take(DECOMPRESSED_BYTES_MAX));
    while !records.fill_buf()?.is_empty() {
        let moment = next_moment(header, &mut records)?;
        if is_wanted(&moment) {
            return Ok(Some(moment));
        }
    }
    Ok(None)
}

/// Reads a record's first fields and passes over the others.
fn next_moment(header: &Header, records: &mut impl BufRead) -> Result<Moment> {
    let length = read_varint(records)?;
    let mut record = records.take(u64::try_from(length).map_err(Error::other)?);
    record.read_exact(&mut [0])?; // attributes
    let timestamp = header.base_timestamp + read_varint(&mut record)?;
    let timestamp = header.append_time().unwrap_or(timestamp);
    let offset = header.base_offset + read_varint(&mut record)?;
    std::io::copy(&mut record, &mut std::io::sink())?;
    Ok(Moment { timestamp, offset })
}

/// A number of at most 64 bits, seven in a byte, the smallest first, its sign in the lowest bit.
fn read_varint(bytes: &mut impl Read) -> Result<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        bytes.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    Err(Error::other("a number of a record has more than 64 bits"))
}

fn decompress(codec: i16, records: &[u8]) -> Result<Box<dyn Read + '_>> {
    Ok(match codec {
        0 => Box::new(records),
        1 => Box::new(flate2::read::MultiGzDecoder::new(records)),
        2 => Box::new(Cursor::new(unsnap(records)?)),
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(records)),
        4 => Box::new(zstd::Decoder::with_buffer(records)?),
        _ => return Err(Error::other(format!("no codec has the number {codec}"))),
    })
}

fn unsnap(records: &[u8]) -> Result<Vec<u8>> {
    let block = |bytes: &[u8]| snap::raw::Decoder::new().decompress_vec(bytes).map_err(Error::other);
    let Some(mut rest) = records.strip_prefix(SNAPPY_BLOCKS) else {
        return block(records);
    };
    let mut all = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (compressed, after) =
            after.split_at_checked(length).ok_or_else(|| Error::other("a block of snappy is cut off"))?;
        all.extend(block(compressed)?);
        rest = after;
    }
    Ok(all)
}
