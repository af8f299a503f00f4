use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use super::Users;

/// A file with the users, which may be written anew or replaced at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersFile {
    /// Where it is.
    pub path: PathBuf,
}

/// What tells one state of the file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(file: Metadata) -> Self {
        Self { inode: file.ino(), bytes: file.len(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

impl UsersFile {
    pub(super) fn stamp(&self) -> anyhow::Result<Stamp> {
        fs::metadata(&self.path).map(Stamp::from).with_context(|| self.unreadable())
    }

    /// The users that the file holds now.
    ///
    /// # Errors
    /// When the file can't be read, or holds something else.
    pub fn read(&self) -> anyhow::Result<Users> {
        let users = fs::read_to_string(&self.path).with_context(|| self.unreadable())?;
        Users::parse(&users).with_context(|| format!("{} holds no users", self.path.display()))
    }

    fn unreadable(&self) -> String {
        format!("the users can't be read from {}", self.path.display())
    }
}
