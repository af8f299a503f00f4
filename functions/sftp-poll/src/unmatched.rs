//! The files that nobody takes, noted in the lake for the dashboard, as long as there are any.

use lake::Lake;
use lake::names::UNMATCHED;
use lake::registers::UnmatchedNote;

/// Names that are noted; of more there is the number.
const NAMES: usize = 1_000;

/// Brings the note to what lies there: `unmatched`, in any order. It is read each time, as another process may have written it.
pub(crate) async fn note(lake: &Lake, unmatched: &[String], now_s: u64) -> Result<(), lake::Error> {
    let files = unmatched.len() as u64;
    let mut names = unmatched.to_vec();
    names.sort_unstable();
    names.truncate(NAMES);
    let is_noted = match lake.get_json::<UnmatchedNote>(UNMATCHED).await {
        Ok(None) => files == 0,
        Ok(Some(noted)) => (noted.files, &noted.names) == (files, &names),
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => {
            let error = error.to_string();
            tracing::warn!(lake.key = UNMATCHED, error, "the note can't be read, and is written anew");
            false
        }
    };
    match files {
        _ if is_noted => Ok(()),
        0 => lake.delete(UNMATCHED).await,
        _ => lake.put_json(UNMATCHED, &UnmatchedNote { files, names, noted_at: now_s }).await,
    }
}
