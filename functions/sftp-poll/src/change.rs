use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use lake::{Digest, Hasher, names};
use serde::{Deserialize, Serialize};
use telecom::SourceId;

use crate::copy::{Copier, Miss, digest};
use crate::folder::Delivered;
use crate::known::Marker;

/// The object `changed/<name>/<bytes>-<mtime>.json`: this later version of the file has been dealt with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    sha256: Digest,
    source_id: SourceId,
    bytes: u64,
    mtime: u64,
    /// Where the version is kept; nothing where its bytes are those that landed first.
    key: Option<String>,
}

/// Keeps a file that is no longer what was announced, beside the first version. Whether it was really another one, and
/// new to us. It is read twice, as its name in the lake has its digest in it: such files are rare.
pub(crate) async fn keep(copier: &Copier, file: &Delivered, first: &Marker) -> Result<bool, Miss> {
    let room = copier.begin(file.stat.size).await?;
    let name = file.name.as_str();
    let note = names::changed(name, file.stat.size, file.stat.mtime);
    if copier.lake.head(&note).await?.is_some() {
        return Ok(false);
    }
    let sha256 = digest(copier.whole(file).await?).await?;
    let key = (sha256 != first.sha256).then(|| names::landing_version(name, &sha256));
    if let Some(key) = &key {
        copier.lake.put_stream_if_absent(key, of_digest(copier.whole(file).await?, sha256), &[]).await?;
        tracing::warn!(
            file.name = name,
            file.bytes = file.stat.size,
            file.source_id = %sha256.source_id(),
            first.bytes = first.bytes,
            first.source_id = %first.source_id,
            lake.key = key,
            "a file changed after it had landed: the new version is kept beside the first one, and not counted"
        );
    }
    drop(room);
    let changed = key.is_some();
    let change = Change { sha256, source_id: sha256.source_id(), bytes: file.stat.size, mtime: file.stat.mtime, key };
    copier.lake.put_json_if_absent(&note, &change).await?;
    Ok(changed)
}

/// Ends a stream well only if its bytes have this digest.
fn of_digest(bytes: BoxStream<'_, Result<Bytes, Miss>>, sha256: Digest) -> BoxStream<'_, Result<Bytes, Miss>> {
    let checked = stream::try_unfold((bytes, Some(Hasher::default())), move |(mut bytes, hasher)| async move {
        let Some(mut hasher) = hasher else { return Ok(None) };
        match bytes.next().await.transpose()? {
            Some(chunk) => {
                hasher.update(&chunk);
                Ok(Some((chunk, (bytes, Some(hasher)))))
            }
            None if hasher.finish() == sha256 => Ok(None),
            None => Err(Miss::Unsettled),
        }
    });
    checked.boxed()
}
