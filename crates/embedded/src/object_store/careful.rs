//! What `s3s-fs` lacks for concurrent and crashing clients: a conditional put that only one of many can win, and puts
//! that happen wholly or not at all.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::RwLock;

/// Keys are spread over this many locks: puts of different keys rarely wait for one another.
const LOCKS: usize = 64;

/// A file system of objects, with these rules on top:
///
/// - A put holds its key's lock from the check of its condition to its end.
/// - `s3s-fs` writes an object's bytes, its metadata and its checksums one after another. A note on disk says which put
///   is under way, so the next start can undo one that was cut short: it was never acknowledged.
pub(super) struct Careful {
    files: FileSystem,
    objects: PathBuf,
    unfinished: PathBuf,
    next_note: AtomicU64,
    locks: [RwLock<()>; LOCKS],
    hash: RandomState,
}

impl Careful {
    pub(super) fn open(objects: &Path, unfinished: &Path) -> anyhow::Result<Self> {
        for note in std::fs::read_dir(unfinished).context("can't list unfinished puts")? {
            let path = note?.path();
            undo(objects, &std::fs::read_to_string(&path)?)
                .with_context(|| format!("can't undo {}", path.display()))?;
            std::fs::remove_file(&path)?;
        }
        let files = FileSystem::new(objects)
            .map_err(|error| anyhow::anyhow!("can't open the objects in {}: {error:?}", objects.display()))?;
        Ok(Self {
            files,
            objects: objects.to_owned(),
            unfinished: unfinished.to_owned(),
            next_note: AtomicU64::new(0),
            locks: std::array::from_fn(|_| RwLock::new(())),
            hash: RandomState::new(),
        })
    }

    fn lock(&self, object: &Object) -> &RwLock<()> {
        &self.locks[usize::try_from(self.hash.hash_one(&object.path)).unwrap_or_default() % LOCKS]
    }

    async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let object = Object::of(&self.objects, &request.input.bucket, &request.input.key)?;
        let _held = self.lock(&object).write().await;
        let existed = object.check(request.input.if_none_match.as_ref())?;
        if !existed {
            // A deleted object leaves its metadata behind.
            object.forget()?;
        }
        let note = self.note(&object, existed)?;
        let outcome = self.files.put_object(request).await;
        if outcome.is_err() && !existed {
            object.forget()?;
        }
        remove(&note)?;
        outcome
    }

    async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let object = Object::of(&self.objects, &request.input.bucket, &request.input.key)?;
        let _held = self.lock(&object).write().await;
        let existed = object.check(request.input.if_none_match.as_ref())?;
        if !existed {
            object.forget()?;
        } else if request.input.if_match.is_none() {
            // The checksums of the old bytes would be taken over.
            remove(&object.checksums)?;
        }
        self.files.complete_multipart_upload(request).await
    }

    /// Writes down that a put is under way.
    fn note(&self, object: &Object, existed: bool) -> S3Result<PathBuf> {
        let path = self.unfinished.join(self.next_note.fetch_add(1, Ordering::Relaxed).to_string());
        let kind = if existed { OVERWRITES } else { CREATES };
        std::fs::write(&path, format!("{kind}\n{}", object.name)).map_err(internal)?;
        Ok(path)
    }
}

const CREATES: &str = "creates";
const OVERWRITES: &str = "overwrites";

/// Undoes a put that was cut short: a new object goes; of an overwritten one the old or the new bytes stay, whichever
/// are there, without the checksums that may belong to the others.
fn undo(objects: &Path, note: &str) -> anyhow::Result<()> {
    let mut lines = note.splitn(3, '\n');
    let (Some(kind), Some(bucket), Some(key)) = (lines.next(), lines.next(), lines.next()) else {
        // Killed while it was writing the note: the put had not begun.
        return Ok(());
    };
    let object = Object::of(objects, bucket, key)?;
    match kind {
        CREATES => object.forget()?,
        _ => remove(&object.checksums)?,
    }
    Ok(())
}

/// Where `s3s-fs` keeps an object.
struct Object {
    /// How a note names it.
    name: String,
    path: PathBuf,
    metadata: PathBuf,
    checksums: PathBuf,
}

impl Object {
    fn of(objects: &Path, bucket: &str, key: &str) -> S3Result<Self> {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if !is_plain(bucket) || bucket.contains('/') || !key.trim_end_matches('/').split('/').all(is_plain) {
            return Err(s3_error!(InvalidArgument, "this store keeps objects as files: the key is not a path"));
        }
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let beside = |kind| objects.join(format!(".bucket-{}.object-{}.{kind}.json", encode(bucket), encode(key)));
        Ok(Self {
            name: format!("{bucket}\n{key}"),
            path: objects.join(bucket).join(key),
            metadata: beside("metadata"),
            checksums: beside("internal"),
        })
    }

    /// Whether the object exists; an error when it does and must not.
    fn check(&self, if_none_match: Option<&IfNoneMatch>) -> S3Result<bool> {
        let exists = self.path.exists();
        if exists && if_none_match.is_some_and(IfNoneMatch::is_any) {
            return Err(s3_error!(PreconditionFailed, "Object already exists"));
        }
        Ok(exists)
    }

    fn forget(&self) -> S3Result<()> {
        remove(&self.path)?;
        remove(&self.metadata)?;
        remove(&self.checksums)
    }
}

/// Removes a file that may be missing.
fn remove(path: &Path) -> S3Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(internal(error)),
        _ => Ok(()),
    }
}

fn internal(error: std::io::Error) -> s3s::S3Error {
    s3_error!(error, InternalError)
}

/// The operations that the store has; any other answers NotImplemented.
macro_rules! operations {
    (
        held { $($get:ident($get_input:ident) -> $get_output:ident,)* }
        plain { $($name:ident($input:ident) -> $output:ident,)* }
    ) => {
        #[async_trait::async_trait]
        impl S3 for Careful {
            async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
                self.put(request).await
            }

            async fn complete_multipart_upload(
                &self,
                request: S3Request<CompleteMultipartUploadInput>,
            ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
                self.complete(request).await
            }

            $(async fn $get(&self, request: S3Request<$get_input>) -> S3Result<S3Response<$get_output>> {
                let object = Object::of(&self.objects, &request.input.bucket, &request.input.key)?;
                // Not between the bytes and the metadata of a put.
                let _held = self.lock(&object).read().await;
                self.files.$get(request).await
            })*

            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.files.$name(request).await
            })*
        }
    };
}

operations! {
    held {
    get_object(GetObjectInput) -> GetObjectOutput,
    head_object(HeadObjectInput) -> HeadObjectOutput,
    }
    plain {
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput,
    create_bucket(CreateBucketInput) -> CreateBucketOutput,
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput,
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput,
    delete_object(DeleteObjectInput) -> DeleteObjectOutput,
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput,
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput,
    head_bucket(HeadBucketInput) -> HeadBucketOutput,
    list_buckets(ListBucketsInput) -> ListBucketsOutput,
    list_objects(ListObjectsInput) -> ListObjectsOutput,
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output,
    list_parts(ListPartsInput) -> ListPartsOutput,
    upload_part(UploadPartInput) -> UploadPartOutput,
    }
}
