//! Rows and their places.

use content::{Step, Table};
use expect_test::{Expect, expect};
use telecom::csv::Header;
use telecom::{FileFault, RecordType};

const HEADER: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time";

fn read(mut table: Table, stored: &[u8]) -> String {
    let mut shown = String::new();
    let mut take = |table: &mut Table| {
        loop {
            let step = table.advance();
            let line = table.line();
            let place = format!("in {}..{}", line.from_byte, line.to_byte);
            match step {
                Step::Header => shown += &format!("header {place}\n"),
                Step::Row => {
                    let text: String = String::from_utf8_lossy(line.bytes).chars().take(12).collect();
                    shown += &format!("row {} {place}: {text:?}\n", table.rows());
                }
                Step::More | Step::End => break,
            }
        }
    };
    for piece in stored.chunks(7) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = table.push(rest);
            rest = &rest[taken..];
            take(&mut table);
        }
    }
    table.finish();
    take(&mut table);
    let fault = table.fault().map_or("no fault".to_owned(), |fault| format!("{}: {fault}", FileFault::code(&fault)));
    format!("{shown}{} rows, {fault}", table.rows())
}

fn check(stored: impl AsRef<[u8]>, expect: Expect) {
    expect.assert_eq(&read(Table::new(RecordType::Voice), stored.as_ref()));
}

#[test]
fn headers_and_what_stands_before_them() {
    check(
        format!("{HEADER}\na\n\nb"),
        expect![[r#"
        header in 0..63
        row 1 in 63..65: "a"
        row 2 in 66..67: "b"
        2 rows, no fault"#]],
    );
    check(
        format!("\u{feff}\r\n\nsep=,\r\n{}\r\na\r\n", HEADER.to_uppercase()),
        expect![[r#"
        header in 13..77
        row 1 in 77..80: "a\r"
        1 rows, no fault"#]],
    );
    check(
        format!("\u{feff}sep=;\n{}\na;b\n", HEADER.replace(',', ";")),
        expect![[r#"
        header in 9..72
        row 1 in 72..76: "a;b"
        1 rows, bad_header: bad header: column msisdn is missing; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", separated by ';' instead of ','"#]],
    );
    check("", expect!["0 rows, bad_header: bad header: the file has no header row"]);
    check("\n\n", expect!["0 rows, bad_header: bad header: the file has no header row"]);
    check(
        "a\nb\n",
        expect![[r#"
        row 1 in 0..2: "a"
        row 2 in 2..4: "b"
        2 rows, bad_header: bad header: column msisdn is missing; the first line names no column that is known here: it counts as a row"#]],
    );
    check(
        format!("tower_id,{HEADER}\na\nb\n"),
        expect![[r#"
        header in 0..72
        row 1 in 72..74: "a"
        row 2 in 74..76: "b"
        2 rows, bad_header: bad header: a column is named twice; it names "tower_id", "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time""#]],
    );
    check(
        "msisdn,tower_id,up_bytes,down_bytes,data_type,ip_address,website_url,event_datetime\na\n",
        expect![[r#"
        header in 0..84
        row 1 in 84..86: "a"
        1 rows, bad_header: bad header: column call_type is missing; it names "msisdn", "tower_id", "up_bytes", "down_bytes", "data_type", "ip_address", "website_url", "event_datetime"; these are rather the columns of cdr_data files"#]],
    );
}

#[test]
fn texts_of_other_systems_are_counted() {
    check(
        format!("{HEADER}\ra\rb\r\r\nc"),
        expect![[r#"
        header in 0..63
        row 1 in 63..65: "a"
        row 2 in 65..67: "b"
        row 3 in 69..70: "c"
        3 rows, bad_header: bad header: the file's lines end with CR alone: end them with LF or CRLF; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time""#]],
    );
    check(
        "a\rb\rc\r",
        expect![[r#"
        row 1 in 0..2: "a"
        row 2 in 2..4: "b"
        row 3 in 4..6: "c"
        3 rows, bad_header: bad header: the file's lines end with CR alone: end them with LF or CRLF; the first line names no column that is known here: it counts as a row"#]],
    );
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    check(
        utf16(&format!("\u{feff}{HEADER}\r\na\r\n\r\nb\r\n")),
        expect![[r#"
        header in 0..128
        row 1 in 130..134: "\0a"
        row 2 in 140..144: "\0b"
        2 rows, bad_header: bad header: the file is UTF-16, as its byte order mark says: deliver it as UTF-8; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time""#]],
    );
    check(
        utf16("\u{feff}a\nb"),
        expect![[r#"
        row 1 in 0..6: "��\0a"
        row 2 in 6..8: "\0b"
        2 rows, bad_header: bad header: the file is UTF-16, as its byte order mark says: deliver it as UTF-8; the first line names no column that is known here: it counts as a row"#]],
    );
    check(utf16("\u{feff}"), expect!["0 rows, bad_header: bad header: the file has no header row"]);
}

#[test]
fn a_later_piece_is_read_by_the_first_ones_header() {
    let mut table = Table::continued(RecordType::Voice, 7);
    table.set_header(Header::parse(HEADER.as_bytes(), RecordType::Voice));
    expect![[r#"
        row 8 in 1..3: "a"
        row 9 in 3..6: "\u{1f}�"
        9 rows, no fault"#]]
    .assert_eq(&read(table, b"\na\n\x1f\x8b\n"));
    let mut table = Table::continued(RecordType::Voice, 7);
    table.set_header(Header::parse(b"tower_id", RecordType::Voice));
    expect![[r#"
        row 8 in 0..2: "a"
        8 rows, bad_header: bad header: column msisdn is missing; it names "tower_id""#]]
    .assert_eq(&read(table, b"a\n"));
}

#[test]
fn what_was_decoded_of_a_damaged_file_is_counted() {
    let row = "27821234567,7,voice,27829876543,125,2024-01-01 10:15:30";
    let text = format!("{HEADER}\n{row}\n{row}\n");
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    check(
        [&zst[..], b"no frame"].concat(),
        expect![[r#"
        header in 0..63
        row 1 in 63..119: "27821234567,"
        row 2 in 119..175: "27821234567,"
        2 rows, damaged_file: the compressed file is damaged or incomplete: all its rows are rejected, which are those that could be decoded"#]],
    );
    check(
        &zst[..4],
        expect![
            "0 rows, damaged_file: the compressed file is damaged or incomplete: all its rows are rejected, which are those that could be decoded"
        ],
    );
    // A window of 128 MB, of which the frame's beginning tells.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    check(
        encoder.finish().unwrap(),
        expect![
            "0 rows, damaged_file: the zstd file needs a window of more than 16 MiB: compress it without --ultra and --long"
        ],
    );
}
