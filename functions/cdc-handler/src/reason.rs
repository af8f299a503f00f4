/// Why a message can't be used. `Display` explains it to people, without the message's content; [`code`](Self::code) is
/// for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
    #[error("{0} is not text, or text that no database can hold")]
    BadText(&'static str),
    #[error("{0} is not a whole number")]
    BadNumber(&'static str),
    #[error("{0} is not a time")]
    BadTime(&'static str),
}

impl Reason {
    /// The stable name under which rejections are counted and filtered.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::NotAnEnvelope => "not_an_envelope",
            Self::UnknownOperation => "unknown_operation",
            Self::WrongTable => "wrong_table",
            Self::BadSource => "bad_source",
            Self::NoRow => "no_row",
            Self::NoKey(_) => "no_key",
            Self::BadKey(_) => "bad_key",
            Self::BadText(_) => "bad_text",
            Self::BadNumber(_) => "bad_number",
            Self::BadTime(_) => "bad_time",
        }
    }
}
