use crate::table::Kind;

/// Why a message can't be used. `Display` explains it to people, without the message's content; [`code`](Self::code) is
/// for machines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("the message is not JSON")]
    BadJson,
    #[error("the message is not Debezium's envelope (op, source, before, after): let the connector not unwrap it")]
    NotAnEnvelope,
    #[error("the operation is none of r, c, u, d, t and m")]
    UnknownOperation,
    #[error("the change is of another table than its topic says")]
    WrongTable,
    #[error("source has no lsn and time, or a malformed sequence")]
    BadSource,
    #[error("the change has no row")]
    NoRow,
    #[error("the message's key has no {0}")]
    NoKey(&'static str),
    #[error("the message's key has a {0} that is not a whole number")]
    BadKey(&'static str),
    #[error(
        "the message's key has {other}, and the rows here have {key} alone: one would stand for several, or for others"
    )]
    OtherKey { key: &'static str, other: String },
    #[error("the message's key and its row have a different {0}")]
    DifferentKey(&'static str),
    #[error(
        "the row has no {0}: the source has renamed or dropped it, generates it, or the connector leaves it out; where it \
         is to be without, name it in CRM_OPTIONAL_COLUMNS"
    )]
    MissingColumn(String),
    #[error("{0} is not text, or text that no database can hold")]
    BadText(&'static str),
    #[error("{0} is not a whole number")]
    BadNumber(&'static str),
    #[error("{0} is not a time that PostgreSQL has")]
    BadTime(&'static str),
    #[error(
        "{0} is a number, and the message does not say of what: let the converter write schemas, as connector.json does"
    )]
    NoUnit(&'static str),
    #[error(
        "{0} is null, which nanoseconds also are for a time that they can't hold: set time.precision.mode to isostring"
    )]
    NullOrTooLarge(&'static str),
    #[error("{0} is a date from before 1582-10-15, which Debezium's snapshots tell wrong: let an update tell it")]
    OldDate(&'static str),
    #[error("{column} is written as {written}, which can't be read as {kind}: see the settings in connector.json")]
    Written { column: &'static str, kind: Kind, written: String },
}

impl Reason {
    /// The stable name under which rejections are counted and filtered.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::NotAnEnvelope => "not_an_envelope",
            Self::UnknownOperation => "unknown_operation",
            Self::WrongTable => "wrong_table",
            Self::BadSource => "bad_source",
            Self::NoRow => "no_row",
            Self::NoKey(_) => "no_key",
            Self::BadKey(_) | Self::OtherKey { .. } | Self::DifferentKey(_) => "bad_key",
            Self::MissingColumn(_) => "missing_column",
            Self::BadText(_) | Self::Written { kind: Kind::Text, .. } => "bad_text",
            Self::BadNumber(_) | Self::Written { kind: Kind::Integer, .. } => "bad_number",
            Self::BadTime(_)
            | Self::NoUnit(_)
            | Self::NullOrTooLarge(_)
            | Self::OldDate(_)
            | Self::Written { kind: Kind::Time, .. } => "bad_time",
        }
    }
}
