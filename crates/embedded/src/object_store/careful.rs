//! Adds what `s3s-fs` lacks for concurrent and crashing clients: conditional puts of which only one wins, and atomic
//! puts.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use hyper::http::Extensions;
use hyper::{HeaderMap, Method, Uri};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::RwLock;
use uuid::Uuid;

use super::layout::{Object, beside, internal, is_plain, remove};
use super::listing;
use crate::folder::make_folder;

/// Keys are spread over this many locks: puts of different keys rarely wait for one another.
const LOCKS: usize = 64;

/// Where puts are staged. No bucket's name begins with a dot, so no client can reach it.
const STAGED: &str = ".staged";

/// A file system of objects with atomic puts:
///
/// - A put is **staged** first: another `s3s-fs` writes it into a folder that each start empties. If the client goes
///   away meanwhile (its request is dropped at an await), nothing was put.
/// - A complete staged put is **committed** without an await: a note records what belongs where; then the metadata, the
///   checksums and, last, the bytes are moved. After a kill, the next start moves the rest. So an object is never
///   visible without its metadata, and never disappears again.
/// - A put's key is locked from the check of its condition to the end of its commit.
pub(super) struct Careful {
    objects: FileSystem,
    staging: FileSystem,
    folders: Folders,
    next: AtomicU64,
    locks: [RwLock<()>; LOCKS],
    hash: RandomState,
}

impl Careful {
    /// Opens the store in this folder, and finishes the commits that a kill interrupted.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let folders = Folders::open(folder)?;
        let files = |path: &Path| {
            FileSystem::new(path)
                .map_err(|error| anyhow::anyhow!("can't open the folder {}: {error:?}", path.display()))
        };
        Ok(Self {
            objects: files(&folders.objects)?,
            staging: files(&folders.staging)?,
            folders,
            next: AtomicU64::new(0),
            locks: std::array::from_fn(|_| RwLock::new(())),
            hash: RandomState::new(),
        })
    }

    /// Where the buckets are.
    pub(super) fn objects_folder(&self) -> &Path {
        &self.folders.objects
    }

    fn lock(&self, object: &Object) -> &RwLock<()> {
        &self.locks[usize::try_from(self.hash.hash_one(&object.path)).unwrap_or_default() % LOCKS]
    }

    /// The place of an object that is to be put.
    fn target(&self, bucket: &str, key: &str) -> S3Result<Object> {
        let object = Object::of(&self.folders.objects, bucket, key)?;
        self.bucket(bucket)?;
        Ok(object)
    }

    /// A bucket's folder.
    fn bucket(&self, name: &str) -> S3Result<PathBuf> {
        let folder = self.folders.objects.join(name);
        if !is_plain(name) || !folder.is_dir() {
            return Err(s3_error!(NoSuchBucket));
        }
        Ok(folder)
    }

    fn stage(&self) -> S3Result<Staged> {
        Staged::new(&self.folders.staging, self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn put(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = &mut request.input;
        let target = self.target(&input.bucket, &input.key)?;
        let condition = Condition::of(input.if_match.take(), input.if_none_match.take())?;
        let staged = self.stage()?;
        let bucket = std::mem::replace(&mut input.bucket, STAGED.to_owned());
        let key = std::mem::replace(&mut input.key, staged.key.clone());
        let answer = self.staging.put_object(request).await?;
        let _held = self.lock(&target).write().await;
        self.check(&condition, &target, &bucket, &key).await?;
        self.folders.commit(&staged, &target)?;
        Ok(answer)
    }

    async fn create_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.target(&request.input.bucket, &request.input.key)?;
        self.staging.create_multipart_upload(request).await
    }

    async fn complete(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = &mut request.input;
        let target = self.target(&input.bucket, &input.key)?;
        let condition = Condition::of(input.if_match.take(), input.if_none_match.take())?;
        // Locked from here on, so that an upload whose condition fails is still there to be aborted.
        let _held = self.lock(&target).write().await;
        self.check(&condition, &target, &input.bucket, &input.key).await?;
        let staged = self.stage()?;
        let bucket = std::mem::replace(&mut input.bucket, STAGED.to_owned());
        let key = std::mem::replace(&mut input.key, staged.key.clone());
        self.folders.adopt(&staged, &bucket, &key, &input.upload_id)?;
        let mut output = self.staging.complete_multipart_upload(request).await?.output;
        if let Some(rest) = output.future.take() {
            output = rest.await?;
        }
        self.folders.commit(&staged, &target)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput { bucket: Some(bucket), key: Some(key), ..output }))
    }

    /// Checks a put's condition against the object that is there. The caller holds the key's lock.
    async fn check(&self, condition: &Condition, target: &Object, bucket: &str, key: &str) -> S3Result<()> {
        match condition {
            Condition::None => Ok(()),
            Condition::New if target.path.exists() => Err(s3_error!(PreconditionFailed, "Object already exists")),
            Condition::New => Ok(()),
            Condition::Is(_) if !target.path.exists() => Err(s3_error!(NoSuchKey)),
            Condition::Is(tag) => {
                let head = self.objects.head_object(head_request(bucket, key)?).await?;
                let is_same = head.output.e_tag.is_some_and(|found| found.strong_cmp(tag));
                if is_same { Ok(()) } else { Err(s3_error!(PreconditionFailed, "the object is another one by now")) }
            }
        }
    }

    async fn list(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let bucket = self.bucket(&request.input.bucket)?;
        let page = tokio::task::spawn_blocking(move || listing::list(&bucket, request.input));
        Ok(S3Response::new(page.await.map_err(|error| s3_error!(error, InternalError))??))
    }
}

/// The condition of a put.
enum Condition {
    None,
    /// `If-None-Match: *`.
    New,
    /// `If-Match` with the tag of the object that must be there.
    Is(ETag),
}

impl Condition {
    fn of(if_match: Option<IfMatch>, if_none_match: Option<IfNoneMatch>) -> S3Result<Self> {
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::None),
            (None, Some(condition)) if condition.is_any() => Ok(Self::New),
            (Some(ETagCondition::ETag(tag)), None) => Ok(Self::Is(tag)),
            _ => Err(s3_error!(NotImplemented, "a put's condition is If-None-Match: * or If-Match with one tag")),
        }
    }
}

/// A request that the store sends to itself.
fn head_request(bucket: &str, key: &str) -> S3Result<S3Request<HeadObjectInput>> {
    let input = HeadObjectInput::builder().bucket(bucket.to_owned()).key(key.to_owned()).build();
    Ok(S3Request {
        input: input.map_err(|error| s3_error!(error, InternalError))?,
        method: Method::HEAD,
        uri: Uri::default(),
        headers: HeaderMap::default(),
        extensions: Extensions::default(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    })
}

/// The store's folders.
struct Folders {
    objects: PathBuf,
    /// Puts that are not committed yet.
    staging: PathBuf,
    /// The notes of commits in progress.
    commits: PathBuf,
}

impl Folders {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let [objects, staging, commits] = ["objects", "staging", "commits"].map(|name| folder.join(name));
        for folder in [&objects, &staging, &commits] {
            make_folder(folder)?;
        }
        let folders = Self { objects, staging, commits };
        for note in fs::read_dir(&folders.commits).context("can't list unfinished puts")? {
            let note = note?.path();
            folders.finish(&note).with_context(|| format!("can't finish the put of {}", note.display()))?;
        }
        fs::remove_dir_all(&folders.staging).context("can't remove unfinished puts")?;
        make_folder(&folders.staging)?;
        Ok(folders)
    }

    /// Makes a staged object visible to clients. The caller holds the key's lock.
    fn commit(&self, staged: &Staged, target: &Object) -> S3Result<()> {
        // After the note, only renames are left, which hardly fail.
        if target.path.is_dir() {
            return Err(s3_error!(InvalidArgument, "this store keeps objects as files: other keys lie below this one"));
        }
        target.path.parent().map_or(Ok(()), fs::create_dir_all).map_err(internal)?;
        let note = self.note(staged, target).map_err(internal)?;
        let moved = staged.object.move_to(target);
        // Also after a failure: otherwise the next start would move it over a later put.
        remove(&note).and(moved).map_err(internal)
    }

    /// Records atomically what is to be moved where.
    fn note(&self, staged: &Staged, target: &Object) -> std::io::Result<PathBuf> {
        let (draft, note) = (self.staging.join(format!("note-{}", staged.key)), self.commits.join(&staged.key));
        fs::write(&draft, &target.name)?;
        fs::rename(draft, &note)?;
        Ok(note)
    }

    /// Completes an interrupted commit.
    fn finish(&self, note: &Path) -> anyhow::Result<()> {
        let name = fs::read_to_string(note)?;
        let (bucket, key) = name.split_once('\n').context("the note is malformed")?;
        let staged = note.file_name().and_then(|name| name.to_str()).context("the note's name is malformed")?;
        Object::of(&self.staging, STAGED, staged)?.move_to(&Object::of(&self.objects, bucket, key)?)?;
        fs::remove_file(note)?;
        Ok(())
    }

    /// Gives the staged object the metadata with which its multipart upload began.
    fn adopt(&self, staged: &Staged, bucket: &str, key: &str, upload: &str) -> S3Result<()> {
        let upload = Uuid::parse_str(upload).map_err(|error| s3_error!(error, NoSuchUpload))?;
        let kind = format!("upload-{upload}.metadata");
        let (from, to) = (beside(&self.staging, bucket, key, &kind), beside(&self.staging, STAGED, &staged.key, &kind));
        match fs::rename(from, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(s3_error!(NoSuchUpload)),
            moved => moved.map_err(internal),
        }
    }
}

/// A put that is not committed yet. Dropping it removes what was not committed.
struct Staged {
    key: String,
    object: Object,
}

impl Staged {
    fn new(staging: &Path, number: u64) -> S3Result<Self> {
        let key = number.to_string();
        Ok(Self { object: Object::of(staging, STAGED, &key)?, key })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for path in self.object.files() {
            if let Err(error) = remove(path) {
                let path = path.display();
                tracing::warn!(%path, %error, "a part of an unfinished put is left until the next start");
            }
        }
    }
}

/// The supported operations; any other one answers NotImplemented.
macro_rules! operations {
    (
        held { $($get:ident($get_input:ident) -> $get_output:ident,)* }
        objects { $($name:ident($input:ident) -> $output:ident,)* }
        staging { $($part:ident($part_input:ident) -> $part_output:ident,)* }
    ) => {
        #[async_trait::async_trait]
        impl S3 for Careful {
            async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
                self.put(request).await
            }

            async fn create_multipart_upload(
                &self,
                request: S3Request<CreateMultipartUploadInput>,
            ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
                self.create_upload(request).await
            }

            async fn complete_multipart_upload(
                &self,
                request: S3Request<CompleteMultipartUploadInput>,
            ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
                self.complete(request).await
            }

            async fn list_objects_v2(
                &self,
                request: S3Request<ListObjectsV2Input>,
            ) -> S3Result<S3Response<ListObjectsV2Output>> {
                self.list(request).await
            }

            $(async fn $get(&self, request: S3Request<$get_input>) -> S3Result<S3Response<$get_output>> {
                let object = Object::of(&self.folders.objects, &request.input.bucket, &request.input.key)?;
                // Not in the middle of a commit.
                let _held = self.lock(&object).read().await;
                self.objects.$get(request).await
            })*

            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.objects.$name(request).await
            })*

            $(async fn $part(&self, request: S3Request<$part_input>) -> S3Result<S3Response<$part_output>> {
                self.staging.$part(request).await
            })*
        }
    };
}

operations! {
    held {
        get_object(GetObjectInput) -> GetObjectOutput,
        head_object(HeadObjectInput) -> HeadObjectOutput,
    }
    objects {
        create_bucket(CreateBucketInput) -> CreateBucketOutput,
        delete_bucket(DeleteBucketInput) -> DeleteBucketOutput,
        delete_object(DeleteObjectInput) -> DeleteObjectOutput,
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput,
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput,
        head_bucket(HeadBucketInput) -> HeadBucketOutput,
        list_buckets(ListBucketsInput) -> ListBucketsOutput,
        list_objects(ListObjectsInput) -> ListObjectsOutput,
    }
    staging {
        abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput,
        list_parts(ListPartsInput) -> ListPartsOutput,
        upload_part(UploadPartInput) -> UploadPartOutput,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of an object's files, where there are any.
    fn contents(object: &Object) -> [Option<String>; 3] {
        object.files().map(|path| fs::read_to_string(path).ok())
    }

    /// A kill in the middle of a commit, after this many of its moves.
    fn killed_after(moves: usize, existed: bool) {
        let folder = tempfile::tempdir().unwrap();
        let store = Careful::open(folder.path()).unwrap();
        let target = Object::of(&store.folders.objects, "lake", "a/b").unwrap();
        fs::create_dir_all(target.path.parent().unwrap()).unwrap();
        if existed {
            target.files().iter().for_each(|path| fs::write(path, "old").unwrap());
        }
        let staged = store.stage().unwrap();
        fs::create_dir_all(staged.object.path.parent().unwrap()).unwrap();
        staged.object.files().iter().for_each(|path| fs::write(path, "new").unwrap());
        store.folders.note(&staged, &target).unwrap();
        for (from, to) in staged.object.files().iter().zip(target.files()).take(moves) {
            fs::rename(from, to).unwrap();
        }
        std::mem::forget(staged);
        drop(store);

        for _ in 0..2 {
            let store = Careful::open(folder.path()).unwrap();
            assert_eq!(contents(&target), [(); 3].map(|()| Some("new".to_owned())), "{moves} moves");
            let left = [&store.folders.commits, &store.folders.staging].map(|path| fs::read_dir(path).unwrap().count());
            assert_eq!(left, [0, 0]);
        }
    }

    #[test]
    fn a_commit_that_was_killed_is_finished_by_the_next_start() {
        for moves in 0..=3 {
            killed_after(moves, false);
            killed_after(moves, true);
        }
    }

    #[test]
    fn what_was_not_committed_is_gone_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Careful::open(folder.path()).unwrap();
        let target = Object::of(&store.folders.objects, "lake", "a").unwrap();
        fs::create_dir_all(target.path.parent().unwrap()).unwrap();
        target.files().iter().for_each(|path| fs::write(path, "old").unwrap());
        let staged = store.stage().unwrap();
        fs::create_dir_all(staged.object.path.parent().unwrap()).unwrap();
        fs::write(&staged.object.path, "new").unwrap();
        // Killed before the note was in its place.
        fs::write(store.folders.staging.join("note-0"), "lak").unwrap();
        std::mem::forget(staged);
        drop(store);

        let store = Careful::open(folder.path()).unwrap();
        assert_eq!(contents(&target), [(); 3].map(|()| Some("old".to_owned())));
        assert_eq!(fs::read_dir(&store.folders.staging).unwrap().count(), 0);
    }
}
