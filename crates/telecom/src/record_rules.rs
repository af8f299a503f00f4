use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{RULES, Zone};

/// By what records are read: a record may be another subscriber's, another day's or none under other ones. A store
/// counts by one, and by another only from where everything before has been counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRules {
    /// [`RULES`] of the program that reads them.
    pub number: u32,
    /// The zone in which days are billed.
    pub zone: String,
}

impl RecordRules {
    /// Those of this program, in a zone.
    #[must_use]
    pub fn of(zone: &Zone) -> Self {
        Self { number: RULES, zone: zone.to_string() }
    }
}

/// Those of this program, in the default zone.
impl Default for RecordRules {
    fn default() -> Self {
        Self::of(&Zone::default())
    }
}

impl fmt::Display for RecordRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules {} in {}", self.number, self.zone)
    }
}
