use std::time::Duration;

use anyhow::{Context, bail, ensure};
use lake::names::{self, PieceKey};
use lake::registers::{Decision, Version};
use lake::{Announcement, FileResult, REPUBLISH_WITHIN};
use telecom::FileName;

use crate::miss::Miss;
use crate::poll::error_of;
use crate::ports::{Objects, Topic};
use crate::registers::{read_file, read_json};

/// Announces a landed file again, for rows that did not get through. Rows that did are recognised.
pub(crate) async fn reprocess(objects: &impl Objects, topic: &mut impl Topic, name: FileName) -> anyhow::Result<u64> {
    let register = read_file(objects, name).await.map_err(error_of)?.value;
    let counted = |version: &&Version| version.decision == Decision::Counted;
    let version = register.versions.iter().rev().find(counted);
    let version = version.with_context(|| match register.newest() {
        None => format!(
            "{name} can't be reprocessed: it has not landed; a file that lies on the SFTP server lands by itself"
        ),
        Some(version) => format!("{name} can't be reprocessed: nothing of it counts ({:?})", version.decision),
    })?;
    ensure!(
        version.piece.twin.is_none(),
        "{name} can't be reprocessed: its rows are those of another file that had the same content; reprocess that one, whose \
         rows have the source id {}",
        version.piece.twin.map_or(version.source_id, |twin| twin.source_id)
    );
    let announcements = announcements(objects, version).await?;
    topic.announce(&announcements).await?;
    tracing::info!(
        file.name = name.as_str(),
        file.version = %version.key,
        file.source_id = %version.source_id,
        "file announced again"
    );
    Ok(announcements.len() as u64)
}

async fn announcements(objects: &impl Objects, version: &Version) -> anyhow::Result<Vec<Announcement>> {
    let last = &version.last_piece;
    let announced = Announcement::of_piece(last, version.source_id, &version.piece);
    let Some(age) = age(objects, last).await? else {
        // It has not been published yet: its announcement may be lost, or may be on its way.
        ensure_young(version, last.version().piece(), objects).await?;
        return Ok(vec![announced]);
    };
    check_age(version.key.name(), age)?;
    if last.is_first() {
        return Ok(vec![Announcement { again: true, ..announced }]);
    }
    ensure_young(version, last.version().piece(), objects).await?;
    let first = last.version().piece();
    let key = names::results(&first);
    let result: FileResult =
        read_json(objects, key).await.map_err(error_of)?.context("the first piece has no results")?;
    let piece = lake::registers::Piece {
        sha256: result.sha256,
        bytes: result.bytes,
        first_line: 0,
        continued: result.continued,
        twin: None,
    };
    let run = Announcement::of_piece(&first, version.source_id, &piece);
    Ok(vec![Announcement { again: true, to_line: Some(version.rows), ..run }])
}

async fn ensure_young(version: &Version, first: PieceKey, objects: &impl Objects) -> anyhow::Result<()> {
    match age(objects, &first).await? {
        Some(age) => check_age(version.key.name(), age),
        None if first == version.last_piece => Ok(()),
        None => bail!("the first piece of {} has no results", version.key),
    }
}

async fn age(objects: &impl Objects, piece: &PieceKey) -> anyhow::Result<Option<Duration>> {
    objects.age(&names::results(piece)).await.map_err(|error| error_of(Miss::from(error)))
}

fn check_age(name: FileName, age: Duration) -> anyhow::Result<()> {
    ensure!(
        age <= REPUBLISH_WITHIN,
        "{name} can't be reprocessed: it was published more than {} days ago, too long for the counters to know which of its \
         rows they have; deliver the missing rows, and no others, as a new file under a new name",
        REPUBLISH_WITHIN.as_secs() / 86_400,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_file_whose_rows_would_be_refused_is_refused() {
        let name = FileName::parse("cdr_data_20240101_120000.csv").unwrap();
        check_age(name, REPUBLISH_WITHIN).unwrap();
        let error = check_age(name, REPUBLISH_WITHIN + Duration::from_secs(1)).unwrap_err();
        expect!["cdr_data_20240101_120000.csv can't be reprocessed: it was published more than 27 days ago, too long for the counters to know which of its rows they have; deliver the missing rows, and no others, as a new file under a new name"].assert_eq(&error.to_string());
    }
}
