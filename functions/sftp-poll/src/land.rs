//! Bytes from the server into the lake.

use bytes::Bytes;
use content::{Block, Mark, Survey, Surveyed};
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use lake::Put;
use lake::names::{self, PieceKey};
use lake::registers::{Stat, Version};
use telecom::FileName;

use crate::miss::Miss;
use crate::ports::{Chunks, Objects, Server};
use crate::rules::Rules;
use crate::whole_lines::WholeLines;

/// What is to come into the lake.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) piece: PieceKey,
    /// As the file was listed.
    pub(crate) stat: Stat,
    /// It has lain still for so long that its last line is whole, also without a line end.
    pub(crate) takes_last_line: bool,
    /// What it is a later piece of.
    pub(crate) grown: Option<Box<Version>>,
}

/// A piece that lies in the lake.
#[derive(Clone, Debug)]
pub(crate) struct Landing {
    pub(crate) piece: PieceKey,
    /// As the file was then.
    pub(crate) stat: Stat,
    pub(crate) surveyed: Surveyed,
    /// Copied now, or by an earlier invocation.
    pub(crate) is_new: bool,
}

/// Brings a piece into the lake; finds the copy that an earlier invocation, or one at this moment, has made.
pub(crate) async fn land<R: Rules>(
    objects: &impl Objects,
    server: &impl Server,
    wanted: &Wanted,
) -> Result<Landing, Miss> {
    let key = names::landing(&wanted.piece);
    if let Some(version) = &wanted.grown {
        // A lane never sees a line before those in front of it.
        if R::WAITS_FOR_RESULTS && objects.age(&names::results(&version.last_piece)).await?.is_none() {
            return Err(Miss::Unsettled);
        }
        check_grown::<R>(server, version, wanted.stat.size).await?;
    }
    if objects.age(&key).await?.is_some() {
        return recover(objects, wanted.piece, wanted.grown.as_deref()).await;
    }
    let mut survey = survey(objects, wanted.piece, wanted.grown.as_deref()).await?;
    let chunks = whole::<R>(server, wanted).await?.inspect_ok(|chunk| survey.push(chunk));
    let mut chunks = Box::pin(chunks.peekable());
    // Where there is nothing to take yet, nothing is noted either.
    if let Some(Err(_)) = chunks.as_mut().peek().await {
        return Err(chunks.next().await.and_then(Result::err).unwrap_or(Miss::Unsettled));
    }
    if R::NOTES_FIRST {
        objects.put(&names::unannounced(&wanted.piece), Bytes::new()).await?;
    }
    match objects.put_chunks(&key, chunks.boxed(), wanted.stat.mtime).await? {
        Put::Created => {
            let (piece, stat) = (wanted.piece, wanted.stat);
            Ok(Landing { piece, stat, surveyed: survey.finish(), is_new: true })
        }
        // Another poll was faster, or the first answer to this put was lost: the object says what has landed.
        Put::Exists => recover(objects, wanted.piece, wanted.grown.as_deref()).await,
    }
}

/// What is known of a piece that lies in the lake, from the object itself.
pub(crate) async fn recover(objects: &impl Objects, piece: PieceKey, grown: Option<&Version>) -> Result<Landing, Miss> {
    let stored = objects.read(&names::landing(&piece)).await?.ok_or(Miss::Unsettled)?;
    let stat = Stat { size: piece.from_byte() + stored.bytes, mtime: stored.mtime };
    let survey = survey(objects, piece, grown).await?;
    let surveyed = fill(survey, stored.chunks).await?.finish();
    Ok(Landing { piece, stat, surveyed, is_new: false })
}

async fn survey(objects: &impl Objects, piece: PieceKey, grown: Option<&Version>) -> Result<Survey, Miss> {
    let record_type = piece.name().record_type();
    let Some(version) = grown else { return Ok(Survey::new(record_type)) };
    if let Some(survey) = version.mark.as_ref().and_then(|mark| Survey::continuing(record_type, mark)) {
        return Ok(survey);
    }
    let mark = mark_again(objects, version).await?;
    Survey::continuing(record_type, &mark).ok_or(Miss::Unsettled)
}

/// The mark at the end of a version's pieces, read once more: another version of the program has kept it otherwise.
async fn mark_again(objects: &impl Objects, version: &Version) -> Result<Mark, Miss> {
    let record_type = version.key.name().record_type();
    let mut survey = Survey::new(record_type);
    let mut mark = None;
    for piece in pieces(objects, version.last_piece).await? {
        let stored = objects.read(&names::landing(&piece)).await?.ok_or(Miss::Unsettled)?;
        let surveyed = fill(survey, stored.chunks).await?.finish();
        survey = Survey::continuing(record_type, &surveyed.mark).ok_or(Miss::Unsettled)?;
        mark = Some(surveyed.mark);
    }
    mark.ok_or(Miss::Unsettled)
}

/// The pieces of a version up to one of them.
pub(crate) async fn pieces(objects: &impl Objects, last: PieceKey) -> Result<Vec<PieceKey>, Miss> {
    let mut pieces = vec![last.version().piece()];
    if last.is_first() {
        return Ok(pieces);
    }
    let mut listed = objects.list(&names::later_pieces(&last.version()), None);
    while let Some(key) = listed.try_next().await? {
        pieces.extend(PieceKey::of_object(&key).filter(|piece| piece.from_byte() <= last.from_byte()));
    }
    Ok(pieces)
}

async fn fill<E>(mut survey: Survey, mut chunks: Chunks<'_, E>) -> Result<Survey, E> {
    while let Some(chunk) = chunks.try_next().await? {
        survey.push(&chunk);
    }
    Ok(survey)
}

/// The lines of a file's new part that are whole. They end well only if the file is still what it was.
async fn whole<'a, R: Rules>(server: &'a impl Server, wanted: &'a Wanted) -> Result<Chunks<'a, Miss>, Miss> {
    let name = wanted.piece.name();
    let from_byte = wanted.piece.from_byte();
    let chunks = server.read(name, from_byte..wanted.stat.size).await?;
    let lines = match R::HOLDS_BACK {
        true if from_byte == 0 => Some(WholeLines::of_file()),
        true => Some(WholeLines::of_piece()),
        false => None,
    };
    let lines = stream::try_unfold((chunks, lines, true), move |(mut chunks, mut lines, goes_on)| async move {
        let (passed, goes_on) = match (chunks.try_next().await?, &mut lines) {
            _ if !goes_on => return Ok::<_, Miss>(None),
            (Some(chunk), None) => ([Bytes::new(), chunk], true),
            (Some(chunk), Some(lines)) => (lines.push(chunk), true),
            (None, None) => return Ok(None),
            (None, Some(lines)) => ([Bytes::new(), lines.finish(wanted.takes_last_line)?], false),
        };
        Ok(Some((stream::iter(passed.map(Ok)), (chunks, lines, goes_on))))
    });
    let unchanged = stream::once(async move {
        // A last line is whole where nobody has written to the file since.
        let must_be_still = wanted.grown.is_none() || wanted.takes_last_line;
        if must_be_still && server.stat_of_read(name).await? != Some(wanted.stat) {
            return Err(Miss::Unsettled);
        }
        if let Some(version) = &wanted.grown {
            check_grown::<R>(server, version, wanted.stat.size).await?;
        }
        Ok(Bytes::new())
    });
    let lines = lines.try_flatten().chain(unchanged);
    Ok(lines.try_filter(|chunk| futures::future::ready(!chunk.is_empty())).boxed())
}

/// Whether a file still is what was taken of it, and more.
async fn check_grown<R: Rules>(server: &impl Server, version: &Version, size: u64) -> Result<(), Miss> {
    if !R::CHECKS_BLOCKS {
        return Ok(());
    }
    let name = version.key.name();
    if server.stat(name).await?.is_none_or(|now| now.size < size) {
        return Err(Miss::Unsettled);
    }
    if let Some(block) = version.first_block {
        let beginning = read(server, name, 0, block.bytes.into()).await?;
        if Block::of(&beginning) != block {
            return Err(Miss::Rewritten);
        }
    }
    let blocks: u64 = version.last_blocks.iter().map(|block| u64::from(block.bytes)).sum();
    let is_line_open = version.mark.as_ref().is_some_and(|mark| mark.is_line_open);
    // Of a line that was taken without its end, only the end may follow.
    let behind = u64::from(is_line_open && size > version.bytes);
    let end = read(server, name, version.bytes - blocks, version.bytes + behind).await?;
    let mut rest = &end[..];
    for block in &version.last_blocks {
        let (bytes, others) = rest.split_at(block.bytes as usize);
        if Block::of(bytes) != *block {
            return Err(Miss::Rewritten);
        }
        rest = others;
    }
    match rest {
        [] | [b'\n' | b'\r'] => Ok(()),
        _ => Err(Miss::Rewritten),
    }
}

async fn read(server: &impl Server, name: FileName, from: u64, to: u64) -> Result<Vec<u8>, Miss> {
    let chunks: Vec<Bytes> = server.read(name, from..to).await?.try_collect().await?;
    Ok(chunks.concat())
}

/// The digest of a file's content, without taking it. For one that may only have been touched.
pub(crate) async fn look(server: &impl Server, name: FileName, stat: Stat) -> Result<Surveyed, Miss> {
    let chunks = server.read(name, 0..stat.size).await?;
    let surveyed = fill(Survey::new(name.record_type()), chunks).await?.finish();
    match server.stat(name).await? {
        Some(now) if now == stat => Ok(surveyed),
        _ => Err(Miss::Unsettled),
    }
}
