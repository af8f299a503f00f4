//! What an announcement asks for: one piece, or all pieces of a version one behind the other.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use kafka_sink::{Session, SinkError};
use lake::names::{self, PieceKey};
use lake::registers::Piece;
use lake::{Action, Announcement, FileResult, REPUBLISH_WITHIN};
use lambda_boot::Deadline;
use telecom::RecordRules;

use crate::piece::{Sent, send};
use crate::unusable::Unusable;
use crate::{Deps, HAND_OVER_MARGIN};

/// What came of an announcement. What follows from it is to wait until Kafka has acknowledged the rows.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A piece was published to its end.
    Published(PieceKey, FileResult),
    /// It was done before, or is done now with nothing to follow.
    Done,
    /// The time was up: this is the announcement of the rest.
    Rest(Announcement),
}

/// Why an announcement did not get on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It will never do.
    #[error(transparent)]
    Unusable(Unusable),
    /// The same event is to be delivered again.
    #[error(transparent)]
    Retry(anyhow::Error),
}

impl From<lake::Error> for Failure {
    fn from(error: lake::Error) -> Self {
        Self::Retry(error.into())
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::Retry(error.into())
    }
}

/// Does what an announcement asks for.
pub(crate) async fn run(
    deps: &Deps,
    session: &mut Session,
    announced: Announcement,
    deadline: Deadline,
) -> Result<Outcome, Failure> {
    let Some(piece) = announced.piece() else {
        return Err(Failure::Unusable(Unusable::NotAPiece { key: announced.key }));
    };
    if announced.action == Action::Withdraw || announced.to_line.is_some() {
        return run_all(deps, session, announced, piece, deadline).await;
    }
    let published = age(deps, &names::results(&piece)).await?;
    let mut announced = announced;
    match published {
        // A row is published only as long as it is not known to be, or for some time after.
        Some(_) if !announced.again => return Ok(Outcome::Done),
        Some(age) => check_age(&announced.key, age)?,
        None => {}
    }
    if let Some(twin) = announced.twin.take()
        && age(deps, &names::results(&twin.piece)).await?.is_some_and(|age| age > REPUBLISH_WITHIN)
    {
        announced.continued = u64::MAX;
    }
    Ok(match send(deps, session, announced, deadline).await? {
        Sent::Whole(announced) => {
            Outcome::Published(piece, announced.into_result(RecordRules::of(&deps.settings.zone)))
        }
        Sent::Part(rest) => Outcome::Rest(rest),
    })
}

/// Goes through the pieces of a version that are published already: takes their rows back, or publishes them again.
async fn run_all(
    deps: &Deps,
    session: &mut Session,
    mut announced: Announcement,
    mut piece: PieceKey,
    deadline: Deadline,
) -> Result<Outcome, Failure> {
    loop {
        if let Some(rows) = begin(deps, &mut announced, &piece).await? {
            announced.from_line = rows;
        } else {
            announced = match send(deps, session, announced, deadline).await? {
                Sent::Whole(announced) => announced,
                Sent::Part(rest) => return Ok(Outcome::Rest(rest)),
            };
            conclude(deps, session, &announced, &piece).await?;
        }
        let first_line = announced.first_line + announced.from_line;
        if announced.to_line.is_some_and(|to_line| first_line >= to_line) {
            return Ok(Outcome::Done);
        }
        let Some(next) = next_piece(deps, &piece).await? else { return Ok(Outcome::Done) };
        announced = next_announcement(announced, &next, first_line);
        piece = next;
        if deadline.is_within(HAND_OVER_MARGIN) {
            return Ok(Outcome::Rest(announced));
        }
    }
}

/// Looks at what became of a piece when it was published, before any of its rows is sent. The number of its rows where
/// there is nothing to do any more.
async fn begin(deps: &Deps, announced: &mut Announcement, piece: &PieceKey) -> Result<Option<u64>, Failure> {
    if announced.from_byte > 0 {
        return Ok(None);
    }
    let key = names::results(piece);
    let refuse = |unusable: Unusable| Err(Failure::Unusable(unusable));
    let (Some(result), Some(age)) = (deps.lake.get_json::<FileResult>(&key).await?, age(deps, &key).await?) else {
        return refuse(Unusable::NotPublished { key: announced.key.clone() });
    };
    check_age(&announced.key, age)?;
    if announced.action == Action::Withdraw {
        if deps.lake.head(&names::withdrawal(piece)).await?.is_some() {
            return Ok(Some(result.rows));
        }
        if result.rules != Some(RecordRules::of(&deps.settings.zone)) {
            return refuse(Unusable::OtherRules { key: announced.key.clone() });
        }
        // What another file holds is taken back under its id.
        announced.continued = 0;
    } else {
        (announced.source_id, announced.continued) = (result.source_id, result.continued);
    }
    (announced.sha256, announced.bytes) = (result.sha256, result.bytes);
    Ok(None)
}

/// Once Kafka has a piece's rows, a withdrawal of them is done.
async fn conclude(
    deps: &Deps,
    session: &mut Session,
    announced: &Announcement,
    piece: &PieceKey,
) -> Result<(), Failure> {
    if announced.action != Action::Withdraw {
        return Ok(());
    }
    session.flush(None).await?;
    let result = announced.clone().into_result(RecordRules::of(&deps.settings.zone));
    deps.lake.put_json_if_absent(&names::withdrawal(piece), &result).await?;
    tracing::info!(
        file.name = announced.name.as_str(),
        file.piece = %piece,
        rows = result.rows,
        withdrawn = result.accepted,
        "rows taken back"
    );
    Ok(())
}

/// The piece by which the version grew next.
async fn next_piece(deps: &Deps, piece: &PieceKey) -> Result<Option<PieceKey>, lake::Error> {
    let prefix = names::later_pieces(&piece.version());
    let after = (!piece.is_first()).then(|| names::landing(piece));
    let mut listed = deps.lake.list_after(&prefix, after.as_deref());
    Ok(listed.try_next().await?.and_then(|object| PieceKey::of_object(&object.key)))
}

/// The same work for the next piece.
fn next_announcement(announced: Announcement, next: &PieceKey, first_line: u64) -> Announcement {
    let Announcement { source_id, sha256, action, again, to_line, taken_back, .. } = announced;
    let piece = Piece { sha256, bytes: 0, first_line, continued: 0, twin: None };
    Announcement { action, again, to_line, taken_back, ..Announcement::of_piece(next, source_id, &piece) }
}

/// How long ago an object was put, by the store's clock; `None` where there is none.
async fn age(deps: &Deps, key: &str) -> Result<Option<Duration>, lake::Error> {
    let head = deps.lake.head(key).await?;
    Ok(head.map(|head| SystemTime::now().duration_since(head.last_modified).unwrap_or_default()))
}

fn check_age(key: &str, age: Duration) -> Result<(), Failure> {
    if age <= REPUBLISH_WITHIN {
        return Ok(());
    }
    let days = REPUBLISH_WITHIN.as_secs() / 86_400;
    Err(Failure::Unusable(Unusable::TooOld { key: key.to_owned(), days }))
}
