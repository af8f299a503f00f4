//! Reading and changing the registers.

use bytes::Bytes;
use content::Head;
use lake::names::{self, PieceKey, VersionKey};
use lake::registers::{FileRegister, HeadRegister, Version};
use lake::{Swap, Tag};
use serde::Serialize;
use serde::de::DeserializeOwned;
use telecom::FileName;

use crate::miss::Miss;
use crate::ports::Objects;

/// A register as it was read, to be swapped.
pub(crate) struct Read<T> {
    key: String,
    pub(crate) value: T,
    tag: Option<Tag>,
}

impl<T: Serialize> Read<T> {
    /// Whether there is one at all.
    pub(crate) fn exists(&self) -> bool {
        self.tag.is_some()
    }

    /// Writes it, unless somebody else has since.
    pub(crate) async fn swap(&self, objects: &impl Objects) -> Result<Swap, Miss> {
        let bytes = json(&self.key, &self.value)?;
        Ok(objects.replace(&self.key, self.tag.as_ref(), bytes).await?)
    }

    /// Writes it, whatever somebody else has written since. Only to show that this may not be.
    pub(crate) async fn overwrite(&self, objects: &impl Objects) -> Result<Swap, Miss> {
        let bytes = json(&self.key, &self.value)?;
        objects.put(&self.key, bytes).await?;
        Ok(Swap::Swapped)
    }
}

pub(crate) fn json<T: Serialize>(key: &str, value: &T) -> Result<Bytes, Miss> {
    let doing = || anyhow::anyhow!("writing {key}");
    Ok(serde_json::to_vec(value).map_err(|error| Miss::Service(anyhow::Error::new(error).context(doing())))?.into())
}

async fn read<T: DeserializeOwned>(
    objects: &impl Objects,
    key: String,
    new: impl FnOnce() -> T,
) -> Result<Read<T>, Miss> {
    let Some((bytes, tag)) = objects.get(&key).await? else { return Ok(Read { key, value: new(), tag: None }) };
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| Miss::File(anyhow::Error::new(error).context(format!("{key} is not a register"))))?;
    Ok(Read { key, value, tag: Some(tag) })
}

/// The register of a file.
pub(crate) async fn read_file(objects: &impl Objects, name: FileName) -> Result<Read<FileRegister>, Miss> {
    read(objects, names::file(&name), || FileRegister::new(name)).await
}

/// The register of all files that begin alike.
pub(crate) async fn read_head(objects: &impl Objects, head: &Head) -> Result<Read<HeadRegister>, Miss> {
    read(objects, names::head(head), HeadRegister::default).await
}

/// Another small object of ours.
pub(crate) async fn read_json<T: DeserializeOwned>(objects: &impl Objects, key: String) -> Result<Option<T>, Miss> {
    let read = read(objects, key, || None).await?;
    Ok(read.value)
}

/// A version that a register must have.
pub(crate) fn version_of<'a>(register: &'a FileRegister, key: &VersionKey) -> Result<&'a Version, Miss> {
    let missing = || Miss::File(anyhow::anyhow!("the register of {} has no version {key}", register.name));
    register.version(key).ok_or_else(missing)
}

/// Where a version's piece stands to what its register knows.
pub(crate) enum Standing<'a> {
    /// It is not registered yet.
    New,
    /// It is the last one.
    Last(&'a Version),
    /// Others have come since: it has been published.
    Past,
}

pub(crate) fn standing<'a>(register: &'a FileRegister, piece: &PieceKey) -> Standing<'a> {
    match register.version(&piece.version()) {
        None => Standing::New,
        Some(version) if version.last_piece == *piece => Standing::Last(version),
        Some(version) if version.last_piece.from_byte() > piece.from_byte() => Standing::Past,
        Some(_) => Standing::New,
    }
}
