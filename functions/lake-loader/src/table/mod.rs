//! The tables that are loaded: one definition gives both the table of PostgreSQL and the folder of Parquet objects.

mod definitions;
mod sql;

use stream::{Topic, Topics};

pub use definitions::{CDR_DATA, CDR_DATA_WITHDRAWN, CDR_VOICE, CDR_VOICE_WITHDRAWN, MESSAGES, REJECTED};

/// A topic that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadedTopic {
    /// Data sessions.
    CdrData,
    /// Voice and video calls.
    CdrVoice,
    /// Messages of customers and agents.
    Messages,
    /// What could not be used.
    Rejected,
}

impl LoadedTopic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CdrData, Self::CdrVoice, Self::Messages, Self::Rejected];

    /// Its name in audits and logs: that of its folder of silver objects.
    pub const fn as_str(self) -> &'static str {
        self.table().silver
    }

    /// The topic.
    pub const fn topic(self) -> Topic {
        match self {
            Self::CdrData => Topic::CdrData,
            Self::CdrVoice => Topic::CdrVoice,
            Self::Messages => Topic::ChatMessages,
            Self::Rejected => Topic::Rejected,
        }
    }

    /// All of them, each with its name.
    pub fn named(topics: &Topics) -> [(Self, &str); Self::ALL.len()] {
        Self::ALL.map(|loaded| (loaded, &topics[loaded.topic()]))
    }

    /// The table of its records.
    pub const fn table(self) -> &'static Table {
        match self {
            Self::CdrData => &CDR_DATA,
            Self::CdrVoice => &CDR_VOICE,
            Self::Messages => &MESSAGES,
            Self::Rejected => &REJECTED,
        }
    }

    /// The table of its withdrawn rows, if its rows can be taken back.
    pub const fn withdrawn_table(self) -> Option<&'static Table> {
        match self {
            Self::CdrData => Some(&CDR_DATA_WITHDRAWN),
            Self::CdrVoice => Some(&CDR_VOICE_WITHDRAWN),
            Self::Messages | Self::Rejected => None,
        }
    }

    /// All tables that it fills.
    pub fn tables(self) -> impl Iterator<Item = &'static Table> {
        std::iter::once(self.table()).chain(self.withdrawn_table())
    }
}

/// A table, and the folder of the lake with the same rows.
#[derive(Debug)]
pub struct Table {
    /// Its schema in PostgreSQL.
    pub schema: &'static str,
    /// Its name in PostgreSQL.
    pub name: &'static str,
    /// Its folder below `silver/`.
    pub silver: &'static str,
    /// What a row is.
    pub comment: &'static str,
    /// In the order of the table.
    pub columns: &'static [Column],
    /// The primary key.
    pub key: &'static [&'static str],
    /// Further indexes, each by its columns.
    pub indexes: &'static [&'static [&'static str]],
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether a row may lack it.
    pub is_nullable: bool,
    /// Where its values come from.
    pub origin: Origin,
    /// What it says, for those who read the table.
    pub comment: &'static str,
}

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text`
    Text,
    /// `bytea`
    Bytes,
    /// `boolean`
    Boolean,
    /// `integer`, 32 bits
    Integer,
    /// `bigint`, 64 bits
    BigInt,
    /// `timestamp`: what the operator's clocks showed, to the microsecond
    CivilTime,
    /// `timestamptz`: a moment, to the microsecond
    Moment,
}

/// Where a column's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The record and its place in the topic: the same whenever it is loaded, and also in the silver objects.
    Record,
    /// The chunk's batch id. Only in PostgreSQL.
    Batch,
    /// Of a row that was withdrawn, the batch id of the chunk that had brought it. Only in PostgreSQL.
    RowBatch,
    /// The time of loading. Only in PostgreSQL.
    LoadedAt,
}

impl Table {
    /// Its name with its schema, as people write it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The columns that a record alone decides: those of the silver objects.
    pub fn record_columns(&self) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().filter(|column| column.origin == Origin::Record)
    }
}
