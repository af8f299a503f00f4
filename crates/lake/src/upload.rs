use std::pin::Pin;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt, future};

use crate::store::{owned, settle};
use crate::{Digest, Error, Hasher, Lake, Metadata, Put};

/// A part of a large object: two are in memory at once. The service's smallest is 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// The service's limit; together 78 GiB, far beyond a delivered file.
const PARTS: i32 = 10_000;

/// What a streamed put has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whether the object is new. If it is not, the other fields describe the stream, not the existing object.
    pub put: Put,
    /// Of the stream's bytes.
    pub sha256: Digest,
    /// The stream's length.
    pub bytes: u64,
}

/// Why a streamed put left no object.
#[derive(Debug, thiserror::Error)]
pub enum PutError<E> {
    /// The stream failed.
    #[error(transparent)]
    Source(E),
    /// The store failed.
    #[error(transparent)]
    Lake(#[from] Error),
}

impl Lake {
    /// Puts a stream of unknown length unless the name is taken, in bounded memory (16 MiB). The object appears whole
    /// after the stream's end or, where the stream or the store fails, not at all.
    ///
    /// # Errors
    /// The stream's, or the store's.
    pub async fn put_stream_if_absent<S, E>(
        &self,
        key: &str,
        stream: S,
        metadata: Metadata<'_>,
    ) -> Result<Stored, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let (mut sha256, mut length) = (Hasher::default(), 0);
        let stream = stream.inspect_ok(|bytes| {
            sha256.update(bytes);
            length += bytes.len() as u64;
        });
        let put = self.put_bytes_if_absent(key, stream, metadata).await?;
        Ok(Stored { put, sha256: sha256.finish(), bytes: length })
    }

    /// The same for who looks at the bytes itself.
    ///
    /// # Errors
    /// The stream's, or the store's.
    pub async fn put_bytes_if_absent<S, E>(
        &self,
        key: &str,
        stream: S,
        metadata: Metadata<'_>,
    ) -> Result<Put, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let mut parts = Parts { stream: Box::pin(stream), pending: Bytes::new() };
        let first = parts.next().await.map_err(PutError::Source)?;
        if first.last {
            return Ok(self.put_if_absent(key, first.bytes, metadata).await?);
        }
        self.put_parts(key, first, &mut parts, metadata).await
    }

    async fn put_parts<S, E>(
        &self,
        key: &str,
        first: Part,
        parts: &mut Parts<S>,
        metadata: Metadata<'_>,
    ) -> Result<Put, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let create = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        let created = create
            .set_metadata(Some(owned(metadata)))
            .send()
            .await
            .map_err(|error| Error::from_sdk(format!("beginning to put {key}"), error))?;
        let upload = Upload { lake: self, key, id: created.upload_id.unwrap_or_default() };
        let result = upload.run(first, parts).await;
        if result.is_err() {
            upload.abort().await;
        }
        result
    }
}

/// A multipart upload that has begun.
struct Upload<'a> {
    lake: &'a Lake,
    key: &'a str,
    id: String,
}

impl Upload<'_> {
    /// Sends each part while the next one is being read.
    async fn run<S, E>(&self, first: Part, parts: &mut Parts<S>) -> Result<Put, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let mut completed = Vec::new();
        let mut current = first;
        for number in 1..=PARTS {
            if current.last {
                completed.push(self.send(number, current.bytes).await?);
                return Ok(self.complete(completed).await?);
            }
            let (sent, next) = future::join(self.send(number, current.bytes), parts.next()).await;
            completed.push(sent?);
            current = next.map_err(PutError::Source)?;
        }
        Err(PutError::Lake(Error::Permanent {
            doing: format!("putting {}", self.key),
            why: format!("the file is longer than {PARTS} parts of {PART_BYTES} bytes"),
            advice: "deliver it in smaller files",
        }))
    }

    async fn send(&self, number: i32, bytes: Bytes) -> Result<CompletedPart, Error> {
        let part = self.lake.client.upload_part().bucket(&self.lake.bucket).key(self.key).upload_id(&self.id);
        let sent = part
            .part_number(number)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| Error::from_sdk(format!("putting part {number} of {}", self.key), error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .build())
    }

    async fn complete(&self, parts: Vec<CompletedPart>) -> Result<Put, Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let completed = settle(|| {
            self.lake
                .client
                .complete_multipart_upload()
                .bucket(&self.lake.bucket)
                .key(self.key)
                .upload_id(&self.id)
                .if_none_match("*")
                .multipart_upload(parts.clone())
                .send()
        })
        .await;
        match completed {
            Ok(Put::Created) => Ok(Put::Created),
            Ok(Put::Exists) => {
                self.abort().await;
                Ok(Put::Exists)
            }
            // The attempt before this one succeeded, and its answer was lost.
            Err(error) if error.code() == Some("NoSuchUpload") && self.lake.head(self.key).await?.is_some() => {
                Ok(Put::Exists)
            }
            Err(error) => Err(Error::from_sdk(format!("completing {}", self.key), error)),
        }
    }

    /// Frees the parts' space. Where this fails, or the process ends first, the bucket's rule for incomplete uploads
    /// does it.
    async fn abort(&self) {
        let abort = self.lake.client.abort_multipart_upload().bucket(&self.lake.bucket).key(self.key);
        if let Err(error) = abort.upload_id(&self.id).send().await
            && error.code() != Some("NoSuchUpload")
        {
            let error = Error::from_sdk("aborting an upload", error);
            tracing::warn!(lake.key = self.key, %error, "the parts of an aborted upload were left behind");
        }
    }
}

/// A stream, cut into parts.
struct Parts<S> {
    stream: Pin<Box<S>>,
    /// Read, and not yet in a part.
    pending: Bytes,
}

/// All parts but the last have the full length; the last one is empty only if it is the first.
struct Part {
    bytes: Bytes,
    last: bool,
}

impl<S, E> Parts<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    async fn next(&mut self) -> Result<Part, E> {
        let mut part = BytesMut::new();
        loop {
            let room = PART_BYTES - part.len();
            if !self.pending.is_empty() && room == 0 {
                return Ok(Part { bytes: part.freeze(), last: false });
            }
            part.extend_from_slice(&self.pending.split_to(room.min(self.pending.len())));
            if self.pending.is_empty() {
                match self.stream.try_next().await? {
                    Some(bytes) => self.pending = bytes,
                    None => return Ok(Part { bytes: part.freeze(), last: true }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts chunks of the given lengths into parts; shows the parts' lengths.
    async fn cut(chunks: &[usize]) -> Vec<usize> {
        let stream =
            futures::StreamExt::map(futures::stream::iter(chunks), |&len| Ok::<_, ()>(Bytes::from(vec![7; len])));
        let mut parts = Parts { stream: Box::pin(stream), pending: Bytes::new() };
        let mut lengths = Vec::new();
        loop {
            let part = parts.next().await.unwrap();
            lengths.push(part.bytes.len());
            if part.last {
                return lengths;
            }
        }
    }

    #[tokio::test]
    async fn all_parts_but_the_last_are_full() {
        assert_eq!(cut(&[]).await, [0]);
        assert_eq!(cut(&[0, 5, 0, 6]).await, [11]);
        assert_eq!(cut(&[PART_BYTES]).await, [PART_BYTES]);
        assert_eq!(cut(&[PART_BYTES - 1, 2]).await, [PART_BYTES, 1]);
        assert_eq!(cut(&[2 * PART_BYTES, 0]).await, [PART_BYTES; 2]);
    }
}
