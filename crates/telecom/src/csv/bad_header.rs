//! What is wrong with a file's header, for those who have to repair it.

use std::fmt;

use crate::column::Column;
use crate::csv::MAX_COLUMNS;
use crate::kind::RecordType;

/// A first line that is not a header that rows can be read by. `Display` says why, what the line is like, and never
/// shows the content of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHeader {
    /// Why it is not a header.
    pub fault: HeaderFault,
    likeness: Likeness,
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeaderFault {
    /// The file is empty, or all its lines are.
    #[error("the file has no header row")]
    Missing,
    /// A column that its rows need is not named.
    #[error("column {0} is missing")]
    MissingColumn(Column),
    /// A column is named twice.
    #[error("a column is named twice")]
    DuplicateColumn,
    /// There are more columns than [`MAX_COLUMNS`](crate::csv::MAX_COLUMNS).
    #[error("there are more than {} columns", crate::csv::MAX_COLUMNS)]
    TooManyColumns,
    /// It is longer than [`MAX_ROW_BYTES`](crate::csv::MAX_ROW_BYTES).
    #[error("it is longer than {} bytes", crate::csv::MAX_ROW_BYTES)]
    TooLong,
    /// It is not UTF-8.
    #[error("it is not valid UTF-8 text")]
    NotText,
    /// It has a control character other than a tab.
    #[error("it has a control character")]
    ControlCharacter,
    /// The file begins with the byte order mark of UTF-16.
    #[error("the file is UTF-16, as its byte order mark says: deliver it as UTF-8")]
    Utf16,
    /// The file's lines end as they did on old Macintosh computers.
    #[error("the file's lines end with CR alone: end them with LF or CRLF")]
    CrLineEnds,
    /// Its quotes are wrong.
    #[error("its quotes are not those of RFC 4180")]
    BadQuotes,
}

/// What a line looks like that should be a header and is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Likeness {
    /// The names in it, if it looks like a header at all.
    names: Vec<String>,
    /// How many of the known columns are among them.
    known: usize,
    separator: char,
    /// The type whose columns it names, where that is not the file's own.
    record_type: Option<RecordType>,
}

/// Separators that tables use, the right one first.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];
/// The most names that are shown, and the most characters of each.
const SHOWN_NAMES: usize = 16;
const SHOWN_CHARS: usize = 40;

impl BadHeader {
    pub(super) fn new(fault: HeaderFault, line: &str, record_type: RecordType) -> Self {
        Self { fault, likeness: Likeness::of(line, record_type) }
    }

    /// A fault of a whole file, whose first line, as far as it is text, is this.
    pub fn of_file(fault: HeaderFault, first_line: &str, record_type: RecordType) -> Self {
        Self::new(fault, first_line, record_type)
    }

    /// Whether the line names a column, so that it is a header, though a bad one. Otherwise it is a row.
    pub fn is_header(&self) -> bool {
        self.likeness.known > 0
    }
}

impl Likeness {
    fn of(line: &str, record_type: RecordType) -> Self {
        let read = SEPARATORS.map(|separator| {
            let names = line.split(separator).take(MAX_COLUMNS).map(plain_name).collect::<Vec<_>>();
            let known = RecordType::ALL.map(|record_type| known(&names, record_type));
            (separator, names, known)
        });
        // Of those that are as good, the right separator.
        let best = read.into_iter().rev().max_by_key(|(.., known)| known.iter().max().copied());
        let Some((separator, names, known)) = best else { return Self::default() };
        let most = known.into_iter().max().unwrap_or_default();
        let own = known[record_type as usize];
        let other = RecordType::ALL.into_iter().find(|other| own < most && known[*other as usize] == most);
        Self { names: if most > 0 { names } else { Vec::new() }, known: most, separator, record_type: other }
    }
}

/// A name as it is compared: without blanks and quotes around it, in lower case.
fn plain_name(name: &str) -> String {
    name.trim().trim_matches('"').trim().to_lowercase()
}

fn known(names: &[String], record_type: RecordType) -> usize {
    record_type.columns().iter().filter(|column| names.iter().any(|name| name == column.as_str())).count()
}

impl std::error::Error for BadHeader {}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)?;
        let Likeness { names, known, separator, record_type } = &self.likeness;
        if self.fault == HeaderFault::Missing {
            return Ok(());
        }
        if *known == 0 {
            return f.write_str("; the first line names no column that is known here: it counts as a row");
        }
        f.write_str("; it names ")?;
        for (index, name) in names.iter().take(SHOWN_NAMES).enumerate() {
            let name: String = name.chars().take(SHOWN_CHARS).collect();
            write!(f, "{}{name:?}", if index > 0 { ", " } else { "" })?;
        }
        if names.len() > SHOWN_NAMES {
            write!(f, " and {} more", names.len() - SHOWN_NAMES)?;
        }
        if *separator != SEPARATORS[0] {
            write!(f, ", separated by {separator:?} instead of ','")?;
        }
        if let Some(record_type) = record_type {
            write!(f, "; these are rather the columns of cdr_{record_type} files")?;
        }
        Ok(())
    }
}
