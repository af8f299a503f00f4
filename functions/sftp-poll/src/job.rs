//! One file of a poll: from the server to its decision.

use lake::Swap;
use lake::names::{PieceKey, VersionKey};

use crate::folder::{Delivered, Plan};
use crate::known::Brief;
use crate::land::{Landing, Wanted, land, look};
use crate::miss::Miss;
use crate::ports::{Objects, Server};
use crate::registers::read_file;
use crate::rules::Rules;
use crate::work::{Brought, Then, Work};

/// What has come of a file.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) brought: Brought,
    pub(crate) landed: Option<Landed>,
}

/// What has come into the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Landed {
    pub(crate) piece: PieceKey,
    /// Copied now, or by an earlier invocation.
    pub(crate) is_new: bool,
}

impl<O: Objects, R: Rules> Work<'_, O, R> {
    /// Takes what is to be taken of a file, and decides about it.
    pub(crate) async fn take(&self, server: &impl Server, file: &Delivered, plan: Plan) -> Result<Done, Miss> {
        let landing = match plan {
            Plan::Land => Some(self.land_first(server, file).await?),
            Plan::Grow => match self.land_piece(server, file).await {
                // It is another file by now, which is taken when it has settled.
                Err(Miss::Rewritten) if file.is_settled => self.land_again(server, file).await?,
                landed => Some(landed?),
            },
            Plan::LandAgain => self.land_again(server, file).await?,
            Plan::Settle | Plan::WaitForLine | Plan::Nothing => None,
        };
        let Some(landing) = landing else { return self.touched(file).await };
        let landed = Landed { piece: landing.piece, is_new: landing.is_new };
        let brought = self.bring(landing.piece, Some(landing)).await?;
        Ok(Done { brought, landed: Some(landed) })
    }

    async fn land_first(&self, server: &impl Server, file: &Delivered) -> Result<Landing, Miss> {
        self.land_version(server, file, VersionKey::first(file.name)).await
    }

    async fn land_version(&self, server: &impl Server, file: &Delivered, version: VersionKey) -> Result<Landing, Miss> {
        let wanted = Wanted { piece: version.piece(), stat: file.stat, takes_last_line: file.is_still, grown: None };
        land::<R>(self.objects, server, &wanted).await
    }

    /// Another version than the one that is known, unless the file was only touched.
    async fn land_again(&self, server: &impl Server, file: &Delivered) -> Result<Option<Landing>, Miss> {
        let register = read_file(self.objects, file.name).await?.value;
        let Some(newest) = register.newest() else { return self.land_first(server, file).await.map(Some) };
        if newest.stat.size == file.stat.size {
            let surveyed = look(server, file.name, file.stat).await?;
            // Of a file that landed long before there were registers, only the stored bytes are known.
            let has_same_bytes = newest.last_piece.is_first() && surveyed.sha256 == newest.piece.sha256;
            let is_same = has_same_bytes || Some(surveyed.digest) == newest.digest;
            // Behind what was taken there may be an unfinished line, which is no part of the content yet.
            if newest.bytes == file.stat.size && is_same {
                return Ok(None);
            }
        }
        // What came back as it once was is another version again.
        let mut keys = (file.stat.mtime..).map(|mtime| VersionKey::later(file.name, mtime, file.stat.size));
        let key = keys.find(|key| register.version(key).is_none()).ok_or(Miss::Unsettled)?;
        self.land_version(server, file, key).await.map(Some)
    }

    /// What a file has grown by.
    async fn land_piece(&self, server: &impl Server, file: &Delivered) -> Result<Landing, Miss> {
        let register = read_file(self.objects, file.name).await?.value;
        let grown = register.newest().filter(|newest| Brief::of(newest).may_grow).ok_or(Miss::Unsettled)?;
        if grown.bytes >= file.stat.size {
            // Somebody else has taken it.
            return Err(Miss::Unsettled);
        }
        let wanted = Wanted {
            piece: grown.key.piece_from(grown.bytes),
            stat: file.stat,
            takes_last_line: file.is_still,
            grown: Some(Box::new(grown.clone())),
        };
        land::<R>(self.objects, server, &wanted).await
    }

    /// The file is what was taken of it, with another time: that is noted, so that it is not read again.
    async fn touched(&self, file: &Delivered) -> Result<Done, Miss> {
        loop {
            let mut read = read_file(self.objects, file.name).await?;
            let Some(newest) = read.value.versions.last_mut() else { return Err(Miss::Unsettled) };
            newest.stat = file.stat;
            let brief = Brief::of(newest);
            if read.swap(self.objects).await? == Swap::Swapped {
                let brought = Brought { then: Then::Nothing, newest: Some(brief) };
                return Ok(Done { brought, landed: None });
            }
        }
    }
}

/// How many bytes are to be read of a file at most.
pub(crate) fn bytes_to_read(file: &Delivered, known: Option<Brief>) -> u64 {
    file.stat.size.saturating_sub(known.filter(|known| known.may_grow).map_or(0, |known| known.bytes))
}
