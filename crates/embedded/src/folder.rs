use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Where a service keeps its data.
#[derive(Clone, Debug)]
pub enum Data {
    /// In this folder, made if it is missing; the next start goes on with it.
    Kept(PathBuf),
    /// In a folder of its own that goes away with the service; nothing is forced to disk.
    Temporary,
}

/// Only the owner may look into the data: it is about people.
const OWNER_ONLY: u32 = 0o700;

/// A [`Data`] that exists.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    temporary: Option<TemporaryFolder>,
}

impl Folder {
    pub(crate) fn open(data: Data) -> anyhow::Result<Self> {
        match data {
            Data::Temporary => {
                let temporary = TemporaryFolder::create()?;
                Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) })
            }
            Data::Kept(path) => {
                make_folder(&path)?;
                // Absolute, so that it means the same to child processes and to a program that changes its directory.
                let path = path.canonicalize().with_context(|| format!("can't open the folder {}", path.display()))?;
                Ok(Self { path, temporary: None })
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}

/// Makes a folder (and its parents) that only its owner may open; one that exists stays as it is.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(OWNER_ONLY)
        .create(path)
        .with_context(|| format!("can't make the folder {}", path.display()))
}

/// A folder that is removed when this value is dropped, and also when the process is killed with -9: a small `sh` waits
/// at the other end of a pipe and removes the folder at its end of file.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
    remover: Child,
}

/// What the `sh` runs: `read` returns at the pipe's end. A process that is just ending may still write, so it tries again.
const REMOVE_AT_EOF: &str = r#"read -r _; for _ in 1 2 3 4 5; do rm -rf -- "$1" 2>/dev/null && exit; sleep 1; done"#;

impl TemporaryFolder {
    /// Makes one in the system's folder for temporary files.
    ///
    /// # Errors
    /// When the folder can't be made or `sh` can't be started.
    pub fn create() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("trunkline-")
            .permissions(Permissions::from_mode(OWNER_ONLY))
            .tempdir()
            .context("can't make a temporary folder")?;
        let remover = Command::new("sh")
            .args(["-c", REMOVE_AT_EOF, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to the terminal's process group: this one must outlive it.
            .process_group(0)
            .spawn()
            .context("can't start `sh`, which removes temporary folders")?;
        Ok(Self { path: folder.keep(), remover })
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Child::wait closes the pipe first, which is the signal to remove.
        if let Err(error) = self.remover.wait() {
            tracing::warn!(path = %self.path.display(), %error, "a temporary folder may be left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Data, Folder};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_temporary_folder_goes_away_with_what_is_in_it() {
        let folder = Folder::open(Data::Temporary).unwrap();
        let path = folder.path().to_owned();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::write(path.join("a/b/c"), "x").unwrap();
        assert!(folder.is_temporary());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_kept_folder_is_made_for_its_owner_only_and_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x/y");
        drop(Folder::open(Data::Kept(path.clone())).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_in_the_way_is_named_in_the_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = Folder::open(Data::Kept(path.join("x"))).unwrap_err();
        assert!(format!("{error:#}").contains("file/x"), "{error:#}");
    }
}
