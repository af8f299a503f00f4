//! Numbers for idempotent producers, none of them given twice.

use std::io;
use std::path::PathBuf;

use super::files::{read_if_there, write_atomically};

/// So many are written down as given before the first of them is.
const BLOCK: i64 = 1000;

#[derive(Debug)]
pub(super) struct ProducerIds {
    file: PathBuf,
    next: i64,
    block_end: i64,
}

impl ProducerIds {
    pub(super) fn open(file: PathBuf) -> io::Result<Self> {
        let next = read_if_there(&file)?.map_or(Ok(0), |text| text.parse()).map_err(io::Error::other)?;
        Ok(Self { file, next, block_end: next })
    }

    pub(super) fn next(&mut self) -> io::Result<i64> {
        if self.next == self.block_end {
            let block_end = self.block_end + BLOCK;
            write_atomically(&self.file, block_end.to_string().as_bytes())?;
            self.block_end = block_end;
        }
        let next = self.next;
        self.next += 1;
        Ok(next)
    }
}
