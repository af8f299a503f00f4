use std::collections::HashMap;
use std::fs::{self, FileTimes, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use russh_sftp::protocol::{
    Attrs, Data, File, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode, Version,
};
use russh_sftp::server::{Handler, StatusReply};

/// The longest answer to a read: with its header it fits into the clients' usual limit of 256 KiB.
const READ_BYTES: u32 = 255 << 10;
/// Open files and folders of one client.
const HANDLES: usize = 256;
/// Entries in one answer; a name has at most 255 bytes, so they fit into 256 KiB.
const NAMES: usize = 100;
/// OpenSSH's rename that replaces its target in one step.
const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// The file protocol (version 3) on one folder.
pub(super) struct Files {
    root: Root,
    next_handle: u64,
    open: HashMap<String, Open>,
}

enum Open {
    File(Arc<fs::File>),
    Folder(Vec<File>),
}

impl Files {
    /// `root` is canonical.
    pub(super) fn new(root: Arc<Path>) -> Self {
        Self { root: Root(root), next_handle: 0, open: HashMap::new() }
    }

    fn keep(&mut self, id: u32, open: Open) -> Result<Handle, StatusReply> {
        if self.open.len() >= HANDLES {
            return Err(StatusCode::Failure.with_message("too many open files"));
        }
        self.next_handle += 1;
        let handle = self.next_handle.to_string();
        self.open.insert(handle.clone(), open);
        Ok(Handle { id, handle })
    }

    fn file(&self, handle: &str) -> Result<Arc<fs::File>, StatusReply> {
        match self.open.get(handle) {
            Some(Open::File(file)) => Ok(Arc::clone(file)),
            _ => Err(StatusCode::Failure.with_message("no such handle")),
        }
    }

    /// Does something to a path, on a thread where waiting is allowed.
    async fn at<T: Send + 'static>(
        &self,
        path: String,
        act: impl FnOnce(&Root, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StatusReply> {
        let root = self.root.clone();
        blocking(move || act(&root, &path)).await
    }
}

impl Handler for Files {
    type Error = StatusReply;

    fn unimplemented(&self) -> StatusReply {
        StatusCode::OpUnsupported.into()
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Result<Version, StatusReply> {
        let mut version = Version::new();
        version.extensions.insert(POSIX_RENAME.to_owned(), "1".to_owned());
        Ok(version)
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, StatusReply> {
        Ok(Name { id, files: vec![File::dummy(below_root(&path).to_string_lossy())] })
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        _: FileAttributes,
    ) -> Result<Handle, StatusReply> {
        let file = self.at(path, move |root, path| OpenOptions::from(flags).open(root.to_open(path)?)).await?;
        self.keep(id, Open::File(Arc::new(file)))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, StatusReply> {
        let file = self.file(&handle)?;
        let data = blocking(move || {
            let mut data = vec![0; len.min(READ_BYTES) as usize];
            let read = file.read_at(&mut data, offset)?;
            data.truncate(read);
            Ok(data)
        })
        .await?;
        if data.is_empty() { Err(StatusCode::Eof.into()) } else { Ok(Data { id, data }) }
    }

    async fn write(&mut self, id: u32, handle: String, offset: u64, data: Vec<u8>) -> Result<Status, StatusReply> {
        let file = self.file(&handle)?;
        blocking(move || file.write_all_at(&data, offset)).await?;
        Ok(done(id))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, StatusReply> {
        match self.open.remove(&handle) {
            Some(_) => Ok(done(id)),
            None => Err(StatusCode::Failure.with_message("no such handle")),
        }
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusReply> {
        let metadata = self.at(path, |root, path| fs::metadata(root.existing(path)?)).await?;
        Ok(Attrs { id, attrs: attributes(&metadata) })
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, StatusReply> {
        let metadata = self.at(path, |root, path| fs::symlink_metadata(root.itself(path)?)).await?;
        Ok(Attrs { id, attrs: attributes(&metadata) })
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, StatusReply> {
        let file = self.file(&handle)?;
        let metadata = blocking(move || file.metadata()).await?;
        Ok(Attrs { id, attrs: attributes(&metadata) })
    }

    async fn setstat(&mut self, id: u32, path: String, attrs: FileAttributes) -> Result<Status, StatusReply> {
        self.at(path, move |root, path| {
            let path = root.existing(path)?;
            // A length can be set only on a file that is open for writing, a folder can't be open for writing.
            let file = OpenOptions::new().read(attrs.size.is_none()).write(attrs.size.is_some()).open(path)?;
            set(&file, &attrs)
        })
        .await?;
        Ok(done(id))
    }

    async fn fsetstat(&mut self, id: u32, handle: String, attrs: FileAttributes) -> Result<Status, StatusReply> {
        let file = self.file(&handle)?;
        blocking(move || set(&file, &attrs)).await?;
        Ok(done(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusReply> {
        let entries = self
            .at(path, |root, path| {
                let mut entries = Vec::new();
                for entry in fs::read_dir(root.existing(path)?)? {
                    let entry = entry?;
                    match entry.metadata() {
                        Ok(metadata) => {
                            entries.push(File::new(entry.file_name().to_string_lossy(), attributes(&metadata)));
                        }
                        // Removed in the meantime.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(entries)
            })
            .await?;
        self.keep(id, Open::Folder(entries))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusReply> {
        match self.open.get_mut(&handle) {
            Some(Open::Folder(entries)) if entries.is_empty() => Err(StatusCode::Eof.into()),
            Some(Open::Folder(entries)) => Ok(Name { id, files: entries.drain(..entries.len().min(NAMES)).collect() }),
            _ => Err(StatusCode::Failure.with_message("no such handle")),
        }
    }

    async fn remove(&mut self, id: u32, path: String) -> Result<Status, StatusReply> {
        self.at(path, |root, path| fs::remove_file(root.entry(path)?)).await?;
        Ok(done(id))
    }

    async fn mkdir(&mut self, id: u32, path: String, _: FileAttributes) -> Result<Status, StatusReply> {
        self.at(path, |root, path| fs::create_dir(root.entry(path)?)).await?;
        Ok(done(id))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Result<Status, StatusReply> {
        self.at(path, |root, path| fs::remove_dir(root.entry(path)?)).await?;
        Ok(done(id))
    }

    async fn rename(&mut self, id: u32, from: String, to: String) -> Result<Status, StatusReply> {
        self.at(from, move |root, from| {
            let to = root.entry(&to)?;
            // The protocol's rename never replaces.
            if fs::symlink_metadata(&to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(root.entry(from)?, to)
        })
        .await?;
        Ok(done(id))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Result<Packet, StatusReply> {
        if request != POSIX_RENAME {
            return Err(self.unimplemented());
        }
        let bad = || StatusCode::BadMessage.with_message("expected an old and a new path");
        let (from, rest) = text(&data).ok_or_else(bad)?;
        let (to, _) = text(rest).ok_or_else(bad)?;
        self.at(from, move |root, from| fs::rename(root.entry(from)?, root.entry(&to)?)).await?;
        Ok(Packet::Status(done(id)))
    }
}

/// The served folder; its path is canonical.
#[derive(Clone)]
struct Root(Arc<Path>);

impl Root {
    /// A path whose last name exists, all links followed.
    fn existing(&self, path: &str) -> io::Result<PathBuf> {
        self.inside(fs::canonicalize(self.0.join(relative(&below_root(path))))?)
    }

    /// A path whose last name is taken as it is: it may be a link, or not exist yet. Not the served folder itself.
    fn entry(&self, path: &str) -> io::Result<PathBuf> {
        let path = below_root(path);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::PermissionDenied.into());
        };
        Ok(self.inside(fs::canonicalize(self.0.join(relative(folder)))?)?.join(name))
    }

    /// A path whose last name is taken as it is, or the served folder.
    fn itself(&self, path: &str) -> io::Result<PathBuf> {
        if below_root(path).parent().is_none() { Ok(self.0.to_path_buf()) } else { self.entry(path) }
    }

    /// A file to open, or to create.
    fn to_open(&self, path: &str) -> io::Result<PathBuf> {
        match self.existing(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let entry = self.entry(path)?;
                // A link to nowhere would be created where it points to.
                if fs::symlink_metadata(&entry).is_ok() {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                Ok(entry)
            }
            path => path,
        }
    }

    fn inside(&self, path: PathBuf) -> io::Result<PathBuf> {
        if path.starts_with(&self.0) { Ok(path) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

/// A client's path from its root, without `.` and `..`.
fn below_root(path: &str) -> PathBuf {
    let mut resolved = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => {
                resolved.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    resolved
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// A text as the protocol writes it, and what follows.
fn text(data: &[u8]) -> Option<(String, &[u8])> {
    let (len, rest) = data.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

fn attributes(metadata: &Metadata) -> FileAttributes {
    // The library's own conversion calls everything but a folder a regular file.
    FileAttributes { permissions: Some(metadata.mode()), ..FileAttributes::from(metadata) }
}

fn set(file: &fs::File, attributes: &FileAttributes) -> io::Result<()> {
    if let Some(size) = attributes.size {
        file.set_len(size)?;
    }
    if let Some(mode) = attributes.permissions {
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
    }
    if let (Some(accessed), Some(modified)) = (attributes.atime, attributes.mtime) {
        let moment = |seconds: u32| UNIX_EPOCH + Duration::from_secs(seconds.into());
        file.set_times(FileTimes::new().set_accessed(moment(accessed)).set_modified(moment(modified)))?;
    }
    // Owners are left alone: files belong to the server's own user.
    Ok(())
}

fn done(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: StatusCode::Ok.to_string(),
        language_tag: "en-US".to_owned(),
    }
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StatusReply> {
    match tokio::task::spawn_blocking(act).await {
        Ok(result) => result.map_err(|error| {
            let code = match error.kind() {
                io::ErrorKind::NotFound => StatusCode::NoSuchFile,
                io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
                _ => StatusCode::Failure,
            };
            // The kind only: the whole text may show where the folder lies.
            code.with_message(error.kind().to_string())
        }),
        Err(_) => Err(StatusCode::Failure.into()),
    }
}
