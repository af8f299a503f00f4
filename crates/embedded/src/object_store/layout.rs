//! Where `s3s-fs` keeps its objects.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::{S3Result, s3_error};

/// Where `s3s-fs` keeps an object.
pub(super) struct Object {
    /// Bucket and key, on a line each.
    pub(super) name: String,
    metadata: PathBuf,
    checksums: PathBuf,
    /// Its bytes.
    pub(super) path: PathBuf,
}

impl Object {
    pub(super) fn of(folder: &Path, bucket: &str, key: &str) -> S3Result<Self> {
        if !is_plain(bucket) || !key.split('/').all(is_plain) {
            return Err(s3_error!(InvalidArgument, "this store keeps objects as files: the key is not a path"));
        }
        Ok(Self {
            name: format!("{bucket}\n{key}"),
            metadata: beside(folder, bucket, key, "metadata"),
            checksums: beside(folder, bucket, key, "internal"),
            path: folder.join(bucket).join(key),
        })
    }

    /// Its files. The bytes come last: once they are there, the object is.
    pub(super) fn files(&self) -> [&Path; 3] {
        [&self.metadata, &self.checksums, &self.path]
    }

    /// Moves the files that are there; one that is missing has been moved before.
    pub(super) fn move_to(&self, target: &Self) -> std::io::Result<()> {
        for (from, to) in self.files().into_iter().zip(target.files()) {
            match fs::rename(from, to) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The name of a file that `s3s-fs` keeps beside an object.
pub(super) fn beside(folder: &Path, bucket: &str, key: &str, kind: &str) -> PathBuf {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    folder.join(format!(".bucket-{}.object-{}.{kind}.json", encode(bucket), encode(key)))
}

/// Whether this is the name of a single file or folder.
pub(super) fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('/')
}

/// Removes a file that may be missing.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An error of the file system, as S3 reports it.
pub(super) fn internal(error: std::io::Error) -> s3s::S3Error {
    s3_error!(error, InternalError)
}
