//! Why a record cannot be used.

use crate::column::Column;
use crate::csv::BadHeader;
use crate::time::TimeFault;

/// Why a record was rejected. `Display` explains it to people, without the record's content; [`code`](Self::code) is
/// for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The row is longer than [`MAX_ROW_BYTES`](crate::csv::MAX_ROW_BYTES).
    #[error("the row is longer than {} bytes", crate::csv::MAX_ROW_BYTES)]
    RowTooLong,
    /// The row or message is not UTF-8.
    #[error("the record is not valid UTF-8")]
    InvalidUtf8,
    /// The row or a field has a control character other than a tab.
    #[error("the record contains a control character")]
    ControlCharacter,
    /// A quoted field is not closed on its line.
    #[error("a quoted field has no closing quote on its line")]
    UnterminatedQuote,
    /// A quote stands where RFC 4180 has none.
    #[error("a quote stands inside an unquoted field, or text follows a closing quote")]
    BadQuote,
    /// The row has more or fewer fields than the header.
    #[error("the row has {found} fields where the header has {expected}")]
    WrongFieldCount {
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// The message has no value.
    #[error("the message has no value")]
    NoValue,
    /// The message is not one JSON object with each field once and text or numbers in the columns.
    #[error("the message is not a JSON object whose columns are text or numbers, each once")]
    BadJson,
    /// The message's `_record_type` is not the topic's.
    #[error("_record_type is not that of the topic")]
    WrongRecordType,
    /// `_source_id` or `_source_line` is malformed, one is there without the other, or neither where a row is
    /// withdrawn.
    #[error("_source_id and _source_line do not name a row of a file")]
    BadSource,
    /// The message's `_action` is not known.
    #[error("_action is unknown: a record without it is counted, one with \"withdraw\" is taken back")]
    UnknownAction,
    /// The message lacks a column that is needed.
    #[error("{0} is missing")]
    MissingColumn(Column),
    /// A field is longer than [`MAX_FIELD_BYTES`](crate::MAX_FIELD_BYTES).
    #[error("{0} is longer than {max} bytes", max = crate::MAX_FIELD_BYTES)]
    FieldTooLong(Column),
    /// The text is not a subscriber number.
    #[error("msisdn: {why}", why = crate::InvalidMsisdn)]
    BadMsisdn,
    /// A field that should be a whole number is not.
    #[error("{0} is not a whole number")]
    BadNumber(Column),
    /// An amount is below zero.
    #[error("{0} is negative")]
    Negative(Column),
    /// An amount is absurd.
    #[error("{0} is larger than any real record's")]
    TooLarge(Column),
    /// `data_type` or `call_type` has no known value.
    #[error("{0} is unknown")]
    UnknownType(Column),
    /// The event's time is malformed.
    #[error("{0}: {why}", why = crate::InvalidTime::Malformed(*.1))]
    BadTime(Column, TimeFault),
    /// The event's day cannot be counted.
    #[error("{0}: {why}", why = crate::InvalidTime::OutOfRange)]
    DayOutOfRange(Column),
}

/// Why no row of a file can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// The file has no header that its rows can be read by.
    #[error("bad header: {0}")]
    BadHeader(BadHeader),
    /// The compressed bytes end early or are damaged.
    #[error(
        "the compressed file is damaged or incomplete: all its rows are rejected, which are those that could be decoded"
    )]
    Damaged,
    /// The compressed bytes need more memory than there is.
    #[error("the zstd file needs a window of more than 16 MiB: compress it without --ultra and --long")]
    WindowTooLarge,
}

impl FileFault {
    /// The stable name under which rejections are counted and filtered.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadHeader(_) => "bad_header",
            Self::Damaged | Self::WindowTooLarge => "damaged_file",
        }
    }
}

impl Reason {
    /// The stable name under which rejections are counted and filtered.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RowTooLong => "row_too_long",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::ControlCharacter => "control_character",
            Self::UnterminatedQuote => "unterminated_quote",
            Self::BadQuote => "bad_quote",
            Self::WrongFieldCount { .. } => "wrong_field_count",
            Self::NoValue => "no_value",
            Self::BadJson => "bad_json",
            Self::WrongRecordType => "wrong_record_type",
            Self::BadSource => "bad_source",
            Self::UnknownAction => "unknown_action",
            Self::MissingColumn(_) => "missing_column",
            Self::FieldTooLong(_) => "field_too_long",
            Self::BadMsisdn => "bad_msisdn",
            Self::BadNumber(_) => "bad_number",
            Self::Negative(_) => "negative",
            Self::TooLarge(_) => "too_large",
            Self::UnknownType(_) => "unknown_type",
            Self::BadTime(..) => "bad_time",
            Self::DayOutOfRange(_) => "day_out_of_range",
        }
    }
}
