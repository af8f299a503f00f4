//! What a row becomes: a record, or one that takes a record back.

use std::time::SystemTime;

use lake::{Action, Announcement};
use telecom::csv::{Provenance, Row};

/// Writes the records of a piece's rows, in their order.
pub(crate) enum Records {
    Publish(Provenance),
    Withdraw {
        /// Up to which row of the file, and what its record says; nothing where none is to be taken back.
        taken_back: Vec<(u64, Option<Provenance>)>,
        to_line: u64,
    },
}

impl Records {
    pub(crate) fn of(announced: &Announcement, now: SystemTime) -> Self {
        match announced.action {
            Action::Publish | Action::Drop => Self::Publish(Provenance::new(announced.name, announced.source_id, now)),
            Action::Withdraw => {
                let provenance = |held: &lake::registers::Held| {
                    held.counts.then(|| Provenance::of_withdrawal(held.version.name(), held.source_id, now))
                };
                let taken_back = announced.taken_back.iter().map(|held| (held.to_line, provenance(held))).collect();
                Self::Withdraw { taken_back, to_line: announced.to_line.unwrap_or(u64::MAX) }
            }
        }
    }

    /// Whether this row of the file is behind all that is to be done.
    pub(crate) fn is_beyond(&self, number: u64) -> bool {
        matches!(self, Self::Withdraw { to_line, .. } if number > *to_line)
    }

    /// Writes a row's record; `false` where it becomes none. The numbers only grow.
    pub(crate) fn write(&self, json: &mut Vec<u8>, row: &Row<'_>, number: u64) -> bool {
        let provenance = match self {
            Self::Publish(provenance) => Some(provenance),
            Self::Withdraw { taken_back, .. } => {
                let at = taken_back.partition_point(|(to_line, _)| *to_line < number);
                taken_back.get(at).and_then(|(_, provenance)| provenance.as_ref())
            }
        };
        let Some(provenance) = provenance else { return false };
        json.clear();
        row.write_json(json, provenance, number);
        true
    }
}
