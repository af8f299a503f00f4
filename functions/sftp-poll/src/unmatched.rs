//! The files that nobody takes, noted in the lake for the dashboard, as long as there are any.

use lake::Lake;
use lake::names::UNMATCHED;
use lake::registers::UnmatchedNote;
use tokio::sync::Mutex;

/// Names that are noted; of more there is the number.
const NAMES: usize = 1_000;

/// What the lake's note says, as far as this process knows; nothing before it has looked.
#[derive(Debug, Default)]
pub(crate) struct Unmatched(Mutex<Option<Noted>>);

/// How many files, and the first of their names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Noted {
    files: u64,
    names: Vec<String>,
}

impl Unmatched {
    /// Brings the note to what lies there. `unmatched` is in any order.
    pub(crate) async fn note(&self, lake: &Lake, unmatched: &[String], now_s: u64) -> Result<(), lake::Error> {
        let mut names = unmatched.to_vec();
        names.sort_unstable();
        names.truncate(NAMES);
        let found = Noted { files: unmatched.len() as u64, names };
        let mut noted = self.0.lock().await;
        if noted.is_none() {
            *noted = Some(read(lake).await?);
        }
        if noted.as_ref() == Some(&found) {
            return Ok(());
        }
        // What is there if this fails is not known.
        *noted = None;
        write(lake, &found, now_s).await?;
        *noted = Some(found);
        Ok(())
    }
}

async fn read(lake: &Lake) -> Result<Noted, lake::Error> {
    match lake.get_json::<UnmatchedNote>(UNMATCHED).await {
        Ok(note) => Ok(note.map_or_else(Noted::default, |note| Noted { files: note.files, names: note.names })),
        Err(error) if error.is_transient() => Err(error),
        // It is written anew.
        Err(_) => Ok(Noted { files: u64::MAX, names: Vec::new() }),
    }
}

async fn write(lake: &Lake, found: &Noted, noted_at: u64) -> Result<(), lake::Error> {
    if found.files == 0 {
        return lake.delete(UNMATCHED).await;
    }
    let note = UnmatchedNote { files: found.files, names: found.names.clone(), noted_at };
    lake.put_json(UNMATCHED, &note).await
}
