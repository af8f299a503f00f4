//! The header row: which field is which column.

use crate::column::Column;
use crate::csv::row::Row;
use crate::csv::{BadHeader, HeaderFault, MAX_COLUMNS, MAX_ROW_BYTES, Scratch, without_line_end};
use crate::kind::RecordType;
use crate::reason::Reason;
use crate::record::{MAX_FIELDS, has_control_character, judge};
use crate::time::Zone;

/// A file's header, by which its rows are read. Columns may stand in any order; ones that the record type does not know
/// are ignored (they stay in the landed file).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    record_type: RecordType,
    /// Fields of each row.
    fields: usize,
    /// The positions of the record type's columns, in the order of [`RecordType::columns`].
    positions: [usize; MAX_FIELDS],
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Header {
    /// Reads a file's header row, with or without its line end, perhaps with a byte order mark. Names are compared
    /// without the blanks around them and without regard to case.
    ///
    /// # Errors
    /// What is wrong with it, and what it looks like.
    pub fn parse(line: &[u8], record_type: RecordType) -> Result<Self, BadHeader> {
        let line = without_line_end(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line));
        read(line, record_type).map_err(|fault| BadHeader::new(fault, &String::from_utf8_lossy(line), record_type))
    }

    /// What its rows are.
    pub const fn record_type(&self) -> RecordType {
        self.record_type
    }

    /// Reads and judges a row, with or without its line end. What is returned borrows from the line and the scratch.
    pub fn parse_row<'a>(&self, line: &'a [u8], zone: &Zone, scratch: &'a mut Scratch) -> Result<Row<'a>, Reason> {
        let line = without_line_end(line);
        if line.len() > MAX_ROW_BYTES {
            return Err(Reason::RowTooLong);
        }
        let line = str::from_utf8(line).map_err(|_| Reason::InvalidUtf8)?;
        if has_control_character(line) {
            return Err(Reason::ControlCharacter);
        }
        let found = scratch.split(line)?;
        if found.count != self.fields {
            return Err(Reason::WrongFieldCount { expected: self.fields, found: found.count });
        }
        let mut fields = [""; MAX_FIELDS];
        for (field, &position) in fields.iter_mut().zip(&self.positions[..self.record_type.columns().len()]) {
            *field = found.get(position).unwrap_or_default();
        }
        let record = judge(self.record_type, &fields, zone)?;
        Ok(Row::new(self.record_type, record, fields))
    }
}

fn read(line: &[u8], record_type: RecordType) -> Result<Header, HeaderFault> {
    if line.is_empty() {
        return Err(HeaderFault::Missing);
    }
    if line.len() > MAX_ROW_BYTES {
        return Err(HeaderFault::TooLong);
    }
    let line = str::from_utf8(line).map_err(|_| HeaderFault::NotText)?;
    if has_control_character(line) {
        return Err(HeaderFault::ControlCharacter);
    }
    let mut scratch = Scratch::default();
    let fields = scratch.split(line).map_err(|_| HeaderFault::BadQuotes)?;
    if fields.count > MAX_COLUMNS {
        return Err(HeaderFault::TooManyColumns);
    }
    let names: Vec<&str> = (0..fields.count).filter_map(|index| fields.get(index)).map(str::trim).collect();
    // Columns without a name are none that anybody could mean.
    let is_repeated = |(index, name): (usize, &&str)| !name.is_empty() && names[..index].contains(name);
    if names.iter().enumerate().any(is_repeated) {
        return Err(HeaderFault::DuplicateColumn);
    }
    let mut positions = [0; MAX_FIELDS];
    for (position, &column) in positions.iter_mut().zip(record_type.columns()) {
        *position = place(&names, column)?;
    }
    Ok(Header { record_type, fields: names.len(), positions })
}

/// The position of the one field with this name.
fn place(names: &[&str], column: Column) -> Result<usize, HeaderFault> {
    let mut places = (0..names.len()).filter(|&index| names[index].eq_ignore_ascii_case(column.as_str()));
    match (places.next(), places.next()) {
        (None, _) => Err(HeaderFault::MissingColumn(column)),
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => Err(HeaderFault::DuplicateColumn),
    }
}
