//! The demo's folder: the user's, or a temporary one that goes away with the demo.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use embedded::{Data, TemporaryFolder};

/// PostgreSQL's own user has to pass through when we are root.
const PASSABLE: u32 = 0o711;

pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(TemporaryFolder),
}

impl Folder {
    pub(super) fn open(kept: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = kept else {
            return TemporaryFolder::create().map(Self::Temporary);
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(PASSABLE)
            .create(path)
            .and_then(|()| path.canonicalize())
            .map(Self::Kept)
            .with_context(|| format!("can't make the folder {}", path.display()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Where the services keep their data. Without a folder that outlives the demo, nothing is forced to disk.
    pub(super) fn data(&self) -> Data {
        match self {
            Self::Kept(path) => Data::Kept(path.clone()),
            Self::Temporary(_) => Data::Temporary,
        }
    }

    /// Writes a file that only its owner can read.
    pub(super) fn write_private(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }
}

/// The names of a folder's files.
pub(super) fn file_names(folder: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect())
        .with_context(|| format!("can't list {}", folder.display()))
}

/// Whoever waits for the file reads it whole or not at all.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("can't write {}", path.display()))
}
