//! Rows of the operator's files: CSV as in RFC 4180, but a row is one line.
//!
//! The caller splits the stream into lines, passes over blank ones ([`is_blank`]) and a spreadsheet's first line
//! ([`is_separator_line`]), takes the first other one for [`Header::parse`], and numbers those behind it from 1.

mod bad_header;
mod header;
mod row;
mod split;

pub use bad_header::{BadHeader, HeaderFault};
pub use header::Header;
pub use row::{Provenance, Row};
pub use split::Scratch;

use crate::kind::RecordType;

/// The longest row, in bytes without its line end. A real row has some 150; as JSON, escaped at its worst, 64 KiB still
/// fit a Kafka message of 1 MB.
pub const MAX_ROW_BYTES: usize = 64 * 1024;

/// The most columns of a header: the operator's files have 8, other producers add some.
pub const MAX_COLUMNS: usize = 64;

/// Whether a line is not a row: it has only a line end. Blank lines are neither counted nor numbered.
pub fn is_blank(line: &[u8]) -> bool {
    without_line_end(line).is_empty()
}

/// Whether it is the line that spreadsheets put before the header, `sep=,`, which names the separator. One that names
/// another separator is skipped as well: the header behind it then shows what is wrong.
pub fn is_separator_line(line: &[u8]) -> bool {
    let line = without_line_end(line);
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    matches!(line.split_at_checked(4), Some((name, [_])) if name.eq_ignore_ascii_case(b"sep="))
}

/// Appends the header row of a type's files, with its line end.
pub fn write_header(out: &mut Vec<u8>, record_type: RecordType) {
    write_row(out, record_type.columns().iter().map(|column| column.as_str()));
}

/// Appends a row, with its line end. Fields that need quotes get them; a line end inside a field has no form that could
/// be read again.
pub fn write_row<'a>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = &'a str>) {
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_field(out, field);
    }
    out.push(b'\n');
}

/// Appends one field, in quotes if it needs them.
pub fn write_field(out: &mut Vec<u8>, field: &str) {
    if memchr::memchr3(b',', b'"', b'\r', field.as_bytes()).is_none() && !field.contains('\n') {
        out.extend_from_slice(field.as_bytes());
        return;
    }
    out.push(b'"');
    for (index, part) in field.split('"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

/// The line without its LF or CRLF, if it has one.
fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
