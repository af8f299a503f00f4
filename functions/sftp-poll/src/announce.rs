use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use kafka_sink::Session;
use lake::{Announcement, names};
use lambda_boot::Deadline;
use telecom::FileName;

use crate::Deps;
use crate::copy::{Landed, recover};

/// Left for the markers once Kafka has answered.
const MARKER_MARGIN: Duration = Duration::from_secs(3);
/// Markers on their way at once.
const MARKERS_IN_FLIGHT: usize = 16;

/// Announces landed files in the given order and, once Kafka has them all, marks them as announced. Where it ends in
/// between, they are announced again later: the topic's readers know a file by its source id.
pub(crate) async fn announce(
    deps: &Deps,
    session: &mut Session,
    landed: &[Landed],
    deadline: Deadline,
) -> anyhow::Result<()> {
    for Landed { name, marker, .. } in landed {
        let announcement = Announcement::new(*name, marker.sha256, marker.bytes);
        let json = serde_json::to_vec(&announcement)?;
        session.send(&deps.settings.landed_files, name.as_str().as_bytes(), &json).await?;
    }
    let within = deadline.remaining().map(|left| left.saturating_sub(MARKER_MARGIN));
    session.flush(within).await.context("landed files could not be announced")?;

    let marks = stream::iter(landed.to_vec()).map(|Landed { name, marker, .. }| {
        let lake = deps.lake.clone();
        async move {
            lake.put_json_if_absent(&names::announced(name.as_str()), &marker).await?;
            lake.delete(&names::unannounced(name.as_str())).await?;
            Ok::<_, lake::Error>((name, marker))
        }
    });
    let mut marks = marks.buffer_unordered(MARKERS_IN_FLIGHT);
    while let Some((name, marker)) = marks.try_next().await? {
        deps.known.announced(name, marker);
    }
    Ok(())
}

/// Files that landed and were not announced, and that are not ready on the server to be met again: in chronological
/// order. Notes that have done their work are removed.
pub(crate) async fn left_behind(
    deps: &Deps,
    present: &HashSet<FileName>,
    ready: &HashSet<FileName>,
) -> Result<Vec<Landed>, lake::Error> {
    let mut left = Vec::new();
    let mut notes = deps.lake.list(names::UNANNOUNCED);
    while let Some(note) = notes.try_next().await? {
        let Some(name) = note.key.strip_prefix(names::UNANNOUNCED).and_then(|name| FileName::parse(name).ok()) else {
            continue;
        };
        let announced = deps.known.is_announced(name)
            || !ready.contains(&name) && deps.lake.head(&names::announced(name.as_str())).await?.is_some();
        if announced {
            deps.lake.delete(&note.key).await?;
        } else if !ready.contains(&name) {
            match recover(&deps.lake, name).await? {
                Some(marker) => left.push(Landed { name, marker, copied: false }),
                None if present.contains(&name) => {}
                // Taken from the server before it could be copied.
                None => deps.lake.delete(&note.key).await?,
            }
        }
    }
    left.sort_by_key(|landed| landed.name);
    Ok(left)
}
