//! A log file that stays small.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Appends to a file. One that is full becomes `NAME.1`, in place of the one before, and the file begins anew.
pub(crate) struct Rotating {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl Rotating {
    pub(crate) fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, bytes_max })
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        std::fs::rename(&self.path, before)?;
        *self = Self::open(&self.path, self.bytes_max)?;
        Ok(())
    }
}

impl Write for Rotating {
    /// A line comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.begin_anew()?;
        }
        let written = self.file.write(line)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_room_for_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.jsonl");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a log");
        let mut log = Rotating::open(&path, 10).expect("a log");
        log.write_all(b"one\ntwo\n").expect("written");
        assert_eq!(read("log.jsonl"), "one\ntwo\n");
        log.write_all(b"three\n").expect("written");
        assert_eq!((read("log.jsonl"), read("log.jsonl.1")), ("three\n".to_owned(), "one\ntwo\n".to_owned()));
        // Another process goes on with it, and a line that is too long is written all the same.
        let mut log = Rotating::open(&path, 10).expect("a log");
        log.write_all(b"a line of its own\n").expect("written");
        log.write_all(b"end\n").expect("written");
        assert_eq!((read("log.jsonl"), read("log.jsonl.1")), ("end\n".to_owned(), "a line of its own\n".to_owned()));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}
