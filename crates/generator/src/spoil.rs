//! Turns a clean file into the file that its faults ask for.

use std::io::{self, Write};

use telecom::csv::MAX_ROW_BYTES;
use telecom::{Column, Compression, MAX_CALL_SECONDS, MAX_FIELD_BYTES, MAX_RECORD_BYTES, RecordType};

use crate::faults::{BadRow, Damage, FileFaults, HeaderDamage, RowFault, Shape};

/// The columns of a type that faults need.
struct Columns {
    amounts: &'static [Column],
    largest_amount: u64,
    kind: Column,
    /// One whose content the pipeline keeps but does not read.
    free: Column,
    time: Column,
}

const DATA: Columns = Columns {
    amounts: &[Column::UpBytes, Column::DownBytes],
    largest_amount: MAX_RECORD_BYTES,
    kind: Column::DataType,
    free: Column::WebsiteUrl,
    time: Column::EventDatetime,
};
const VOICE: Columns = Columns {
    amounts: &[Column::CallDurationSec],
    largest_amount: MAX_CALL_SECONDS,
    kind: Column::CallType,
    free: Column::DestNr,
    time: Column::StartTime,
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file with its faults: `clean` is its header and rows, each with its `\n`, no value quoted.
///
/// # Errors
/// Those of the encoders, which write to memory.
pub(crate) fn spoil(clean: &[u8], record_type: RecordType, faults: &FileFaults) -> io::Result<Vec<u8>> {
    let shape = &faults.shape;
    let mut lines = clean.split(|&byte| byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let mut rows: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();

    let mut out = Vec::with_capacity(clean.len() + clean.len() / 8);
    if shape.byte_order_mark && faults.damage != Some(Damage::Empty) {
        out.extend_from_slice(BYTE_ORDER_MARK);
    }
    let mut header: Vec<Vec<u8>> = shape.arrange(header);
    match faults.damage {
        Some(Damage::Empty) => return compress(out, shape.compression),
        Some(Damage::HeaderOnly) => rows.clear(),
        Some(Damage::BadHeader(HeaderDamage::Misspelt)) => header[0].insert(0, b'x'),
        Some(Damage::BadHeader(HeaderDamage::Repeated)) => header[0] = header[1].clone(),
        _ => {}
    }
    if faults.damage != Some(Damage::BadHeader(HeaderDamage::Absent)) {
        shape.write(&mut out, &header);
    }

    let cut = match faults.damage {
        Some(Damage::Cut(draw)) => rows.pop().map(|row| (row, draw)),
        _ => None,
    };
    let mut bad_rows = faults.bad_rows.iter().peekable();
    for (at, row) in (0..).zip(rows) {
        match bad_rows.next_if(|bad| bad.row == at) {
            Some(bad) => write_bad(&mut out, row, record_type, shape, *bad),
            None => shape.write(&mut out, &shape.arrange(row)),
        }
    }
    if let Some((row, draw)) = cut {
        let row = shape.arrange(row).join(&b',');
        // Before the last comma, so that a field is missing in any order of columns; at least a byte is left.
        let end = row.iter().rposition(|&byte| byte == b',').unwrap_or(1);
        out.extend_from_slice(&row[..1 + draw as usize % end]);
    }
    compress(out, shape.compression)
}

impl Shape {
    /// A clean line's fields, in this shape's order.
    fn arrange(&self, line: &[u8]) -> Vec<Vec<u8>> {
        let fields: Vec<Vec<u8>> = line.split(|&byte| byte == b',').map(<[u8]>::to_vec).collect();
        self.reorder(fields)
    }

    fn reorder(&self, fields: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match &self.column_order {
            Some(order) => order.iter().map(|&column| fields[column].clone()).collect(),
            None => fields,
        }
    }

    fn write(&self, out: &mut Vec<u8>, fields: &[Vec<u8>]) {
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if self.quoted {
                out.push(b'"');
            }
            out.extend_from_slice(field);
            if self.quoted {
                out.push(b'"');
            }
        }
        self.end_line(out);
    }

    fn end_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.crlf { b"\r\n" } else { b"\n" });
    }
}

/// A row that must be rejected for its fault's reason, whatever the file's shape. Its fields are never quoted.
fn write_bad(out: &mut Vec<u8>, row: &[u8], record_type: RecordType, shape: &Shape, bad: BadRow) {
    let columns = match record_type {
        RecordType::Data => &DATA,
        RecordType::Voice => &VOICE,
    };
    let mut fields: Vec<Vec<u8>> = row.split(|&byte| byte == b',').map(<[u8]>::to_vec).collect();
    let of = |column| record_type.columns().iter().position(|name| *name == column).expect("a column of this type");
    let amount = of(pick(columns.amounts, bad.variant));
    let number = pick(&[of(Column::TowerId), amount], bad.variant >> 8);
    let (free, time) = (of(columns.free), of(columns.time));
    match bad.fault {
        RowFault::BadMsisdn => fields[of(Column::Msisdn)] = pick(&BAD_MSISDNS, bad.variant).to_vec(),
        // Without a tower a row is a row.
        RowFault::BadNumber if number == of(Column::TowerId) => {
            fields[number] = pick(&BAD_NUMBERS[1..], bad.variant).to_vec();
        }
        RowFault::BadNumber => fields[number] = pick(&BAD_NUMBERS, bad.variant).to_vec(),
        RowFault::BadTime => fields[time] = pick(&BAD_TIMES, bad.variant).to_vec(),
        RowFault::DayOutOfRange => fields[time] = pick(&BAD_DAYS, bad.variant).to_vec(),
        RowFault::UnknownType => fields[of(columns.kind)] = pick(&UNKNOWN_TYPES, bad.variant).to_vec(),
        RowFault::Negative => fields[amount].insert(0, b'-'),
        RowFault::TooLarge => fields[amount] = (columns.largest_amount + 1).to_string().into_bytes(),
        RowFault::ControlCharacter => fields[free].push(pick(CONTROL_CHARACTERS, bad.variant)),
        RowFault::InvalidUtf8 => fields[free].extend_from_slice(pick(&NOT_UTF8, bad.variant)),
        RowFault::FieldTooLong => fields[free].resize(MAX_FIELD_BYTES + 1, b'0'),
        RowFault::RowTooLong => fields[free].resize(MAX_ROW_BYTES + 1, b'0'),
        RowFault::BadQuote => fields[free].extend_from_slice(b"\"quoted\""),
        RowFault::UnterminatedQuote | RowFault::WrongFieldCount => {}
    }
    let mut fields = shape.reorder(fields);
    match bad.fault {
        RowFault::WrongFieldCount if bad.variant.is_multiple_of(2) => fields.truncate(fields.len() - 1),
        RowFault::WrongFieldCount => fields.push(b"surplus".to_vec()),
        RowFault::UnterminatedQuote => {
            if let Some(last) = fields.last_mut() {
                last.insert(0, b'"');
            }
        }
        _ => {}
    }
    out.extend_from_slice(&fields.join(&b','));
    shape.end_line(out);
}

const BAD_MSISDNS: [&[u8]; 6] = [b"", b"unknown", b"+1234", b"0821234567", b"+2782123456712345", b"+27 82 123 4567"];
const BAD_NUMBERS: [&[u8]; 4] = [b"", b"many", b"12.5", b"0x1f"];
const BAD_TIMES: [&[u8]; 5] = [b"", b"yesterday", b"2024-02-30 10:00:00", b"2024-01-01 24:30:00", b"01/02/2024 10:00"];
const BAD_DAYS: [&[u8]; 2] = [b"1969-12-31 23:59:59", b"2101-01-01 00:00:00"];
const UNKNOWN_TYPES: [&[u8]; 3] = [b"", b"fax", b"telepathy"];
const CONTROL_CHARACTERS: &[u8] = b"\x00\x07\x1b";
const NOT_UTF8: [&[u8]; 3] = [b"\xff", b"caf\xe9", b"\xe2\x82"];

fn pick<T: Copy>(choices: &[T], variant: u32) -> T {
    choices[variant as usize % choices.len()]
}

fn compress(bytes: Vec<u8>, compression: Option<Compression>) -> io::Result<Vec<u8>> {
    match compression {
        None => Ok(bytes),
        Some(Compression::Gzip) => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&bytes)?;
            encoder.finish()
        }
        Some(Compression::Zstd) => zstd::encode_all(&bytes[..], zstd::DEFAULT_COMPRESSION_LEVEL),
    }
}
