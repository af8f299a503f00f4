use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};
use telecom::csv::{Header, MAX_COLUMNS, MAX_ROW_BYTES, Scratch, is_blank, is_separator_line, write_header, write_row};
use telecom::{
    FileFault, FileName, MAX_CALL_SECONDS, MAX_FIELD_BYTES, MAX_RECORD_BYTES, Provenance, Reason, RecordType, SourceId,
    Zone,
};

const DATA: &str = "msisdn,tower_id,up_bytes,down_bytes,data_type,ip_address,website_url,event_datetime";
const VOICE: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time";

/// What a row under a header becomes: what it adds and its JSON, or the reason against it.
fn read(record_type: RecordType, header: &[u8], row: &[u8]) -> String {
    match try_read(record_type, header, row) {
        Ok(text) => text,
        Err(reason) => format!("{}: {reason}", reason.code()),
    }
}

fn try_read(record_type: RecordType, header: &[u8], row: &[u8]) -> Result<String, Reason> {
    let header = Header::parse(header, record_type).unwrap();
    let mut scratch = Scratch::default();
    let row = header.parse_row(row, &Zone::default(), &mut scratch)?;
    let file = FileName::parse(&format!("cdr_{record_type}_20240101_101530.csv")).unwrap();
    let ingested_at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_733_585_025_123_456);
    let mut json = Vec::new();
    row.write_json(&mut json, &Provenance::new(file, SourceId([0xab; 8]), ingested_at), 1);
    let totals = row.event().totals;
    Ok(format!(
        "{} {} {} up {} down {} seconds {} events {} tower {} at {}\n{}",
        row.msisdn(),
        row.event().day,
        row.event().kind,
        totals.up_bytes,
        totals.down_bytes,
        totals.seconds,
        totals.events,
        row.tower_id().map_or("none".to_owned(), |tower| tower.to_string()),
        row.time(),
        String::from_utf8(json).unwrap(),
    ))
}

fn check_data(row: &str, expected: Expect) {
    expected.assert_eq(&read(RecordType::Data, DATA.as_bytes(), row.as_bytes()));
}

fn check_voice(row: &str, expected: Expect) {
    expected.assert_eq(&read(RecordType::Voice, VOICE.as_bytes(), row.as_bytes()));
}

fn check_header(header: impl AsRef<[u8]>, expected: Expect) {
    let found = match Header::parse(header.as_ref(), RecordType::Voice) {
        Ok(header) => format!("a header of {} rows", header.record_type()),
        Err(bad) => {
            let is_header = bad.is_header();
            let fault = FileFault::BadHeader(bad);
            format!("{}, {} header: {fault}", fault.code(), if is_header { "a" } else { "no" })
        }
    };
    expected.assert_eq(&found);
}

#[test]
fn the_operators_rows() {
    check_data(
        "+27821234567,1523,523456,1234567,video,41.202.45.12,https://example.com,2024-01-01 10:15:30",
        expect![[r#"
            27821234567 2024-01-01 data/video up 523456 down 1234567 seconds 0 events 1 tower 1523 at 2024-01-01 10:15:30
            {"msisdn":"+27821234567","tower_id":"1523","up_bytes":"523456","down_bytes":"1234567","data_type":"video","ip_address":"41.202.45.12","website_url":"https://example.com","event_datetime":"2024-01-01 10:15:30","_source_file":"cdr_data_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"data","_source_id":"abababababababab","_source_line":1}"#]],
    );
    check_voice(
        "+27821234567,1523,voice,+27829876543,125,2024-01-01 10:15:30",
        expect![[r#"
        27821234567 2024-01-01 call/voice up 0 down 0 seconds 125 events 1 tower 1523 at 2024-01-01 10:15:30
        {"msisdn":"+27821234567","tower_id":"1523","call_type":"voice","dest_nr":"+27829876543","call_duration_sec":"125","start_time":"2024-01-01 10:15:30","_source_file":"cdr_voice_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"voice","_source_id":"abababababababab","_source_line":1}"#]],
    );
}

#[test]
fn rows_that_are_written_otherwise() {
    // Quotes, commas, backslashes, tabs, text beyond ASCII.
    check_data(
        "\" 0027821234567 \",\"1\",0,007,text,\"a \"\"b\"\", c\",\"C:\\d\te€\",\"2024-01-01T10:15:30.5\"\r\n",
        expect![[r#"
            27821234567 2024-01-01 data/text up 0 down 7 seconds 0 events 1 tower 1 at 2024-01-01 10:15:30.500000
            {"msisdn":" 0027821234567 ","tower_id":"1","up_bytes":"0","down_bytes":"007","data_type":"text","ip_address":"a \"b\", c","website_url":"C:\\d\te€","event_datetime":"2024-01-01T10:15:30.5","_source_file":"cdr_data_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"data","_source_id":"abababababababab","_source_line":1}"#]],
    );
    // Empty descriptive fields, an offset that moves the event to the next day.
    check_voice(
        "27821234567,0,video,,0,2024-01-01T23:15:30.123456789Z\n",
        expect![[r#"
        27821234567 2024-01-02 call/video up 0 down 0 seconds 0 events 1 tower 0 at 2024-01-02 01:15:30.123456
        {"msisdn":"27821234567","tower_id":"0","call_type":"video","dest_nr":"","call_duration_sec":"0","start_time":"2024-01-01T23:15:30.123456789Z","_source_file":"cdr_voice_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"voice","_source_id":"abababababababab","_source_line":1}"#]],
    );
    // Nothing but a quote, doubled.
    check_voice(
        r#"27821234567,0,video,"""",0,"2024-01-01 00:00:00""#,
        expect![[r#"
        27821234567 2024-01-01 call/video up 0 down 0 seconds 0 events 1 tower 0 at 2024-01-01 00:00:00
        {"msisdn":"27821234567","tower_id":"0","call_type":"video","dest_nr":"\"","call_duration_sec":"0","start_time":"2024-01-01 00:00:00","_source_file":"cdr_voice_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"voice","_source_id":"abababababababab","_source_line":1}"#]],
    );
}

#[test]
fn columns_in_another_order_and_unknown_ones() {
    let header = "\u{feff}start_time,operator,call_duration_sec,dest_nr,\"call_type\",tower_id,msisdn,\r\n";
    let row = "2024-01-01 10:15:30,\"x,y\",60,112,voice,9,27821234567,\r\n";
    expect![[r#"
        27821234567 2024-01-01 call/voice up 0 down 0 seconds 60 events 1 tower 9 at 2024-01-01 10:15:30
        {"msisdn":"27821234567","tower_id":"9","call_type":"voice","dest_nr":"112","call_duration_sec":"60","start_time":"2024-01-01 10:15:30","_source_file":"cdr_voice_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"voice","_source_id":"abababababababab","_source_line":1}"#]].assert_eq(&read(RecordType::Voice, header.as_bytes(), row.as_bytes()));
}

#[test]
fn bad_headers() {
    check_header(VOICE, expect!["a header of voice rows"]);
    check_header("", expect!["bad_header, no header: bad header: the file has no header row"]);
    check_header("\u{feff}\r\n", expect!["bad_header, no header: bad header: the file has no header row"]);
    check_header(
        DATA,
        expect![[
            r#"bad_header, a header: bad header: column call_type is missing; it names "msisdn", "tower_id", "up_bytes", "down_bytes", "data_type", "ip_address", "website_url", "event_datetime"; these are rather the columns of cdr_data files"#
        ]],
    );
    check_header(VOICE.to_uppercase(), expect!["a header of voice rows"]);
    check_header(VOICE.replace(',', " , ") + " ", expect!["a header of voice rows"]);
    check_header(
        VOICE.replace("tower_id", "tower"),
        expect![[
            r#"bad_header, a header: bad header: column tower_id is missing; it names "msisdn", "tower", "call_type", "dest_nr", "call_duration_sec", "start_time""#
        ]],
    );
    check_header(
        VOICE.replace(',', ";"),
        expect![[
            r#"bad_header, a header: bad header: column msisdn is missing; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", separated by ';' instead of ','"#
        ]],
    );
    check_header(
        VOICE.replace(',', "\t"),
        expect![[
            r#"bad_header, a header: bad header: column msisdn is missing; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", separated by '\t' instead of ','"#
        ]],
    );
    check_header(
        VOICE.replace(',', " | "),
        expect![[
            r#"bad_header, a header: bad header: column msisdn is missing; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", separated by '|' instead of ','"#
        ]],
    );
    check_header(
        "27821234567,1523,voice,27829876543,125,2024-01-01 10:15:30",
        expect![
            "bad_header, no header: bad header: column msisdn is missing; the first line names no column that is known here: it counts as a row"
        ],
    );
    check_header(
        "Msisdn;Tower_Id",
        expect![[
            r#"bad_header, a header: bad header: column msisdn is missing; it names "msisdn", "tower_id", separated by ';' instead of ','"#
        ]],
    );
    check_header(format!("{VOICE},,"), expect!["a header of voice rows"]);
    check_header(
        format!("{VOICE}, Tower_ID"),
        expect![[
            r#"bad_header, a header: bad header: a column is named twice; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "tower_id""#
        ]],
    );
    check_header(
        format!("{VOICE},tower_id"),
        expect![[
            r#"bad_header, a header: bad header: a column is named twice; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "tower_id""#
        ]],
    );
    check_header(
        format!("{VOICE},other,other"),
        expect![[
            r#"bad_header, a header: bad header: a column is named twice; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "other", "other""#
        ]],
    );
    check_header(
        format!("{VOICE}{}", (7..MAX_COLUMNS).map(|n| format!(",c{n}")).collect::<String>()),
        expect!["a header of voice rows"],
    );
    check_header(
        format!("{VOICE}{}", (7..MAX_COLUMNS + 2).map(|n| format!(",c{n}")).collect::<String>()),
        expect![[
            r#"bad_header, a header: bad header: there are more than 64 columns; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "c7", "c8", "c9", "c10", "c11", "c12", "c13", "c14", "c15", "c16" and 48 more"#
        ]],
    );
    check_header(
        format!("{VOICE},{}", "c".repeat(MAX_ROW_BYTES)),
        expect![[
            r#"bad_header, a header: bad header: it is longer than 65536 bytes; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "cccccccccccccccccccccccccccccccccccccccc""#
        ]],
    );
    check_header(
        format!("{VOICE},\"other"),
        expect![[
            r#"bad_header, a header: bad header: its quotes are not those of RFC 4180; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "other""#
        ]],
    );
    check_header(
        format!("{VOICE},oth\"er"),
        expect![[
            r#"bad_header, a header: bad header: its quotes are not those of RFC 4180; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "oth\"er""#
        ]],
    );
    check_header(
        [VOICE.as_bytes(), b",\xff"].concat(),
        expect![[
            r#"bad_header, a header: bad header: it is not valid UTF-8 text; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "�""#
        ]],
    );
    check_header(
        format!("{VOICE},\0"),
        expect![[
            r#"bad_header, a header: bad header: it has a control character; it names "msisdn", "tower_id", "call_type", "dest_nr", "call_duration_sec", "start_time", "\0""#
        ]],
    );
}

#[test]
fn rows_written_by_hand_and_by_spreadsheets() {
    // Blanks around numbers, types and times; a type in capitals; no tower; a tab before the subscriber.
    let blanks = VOICE.replace(',', ", ");
    let row = b"27821234567, 7, Voice, +27829876543, 125,\t2024-01-01 10:15:30 UTC ";
    expect![[r#"
        27821234567 2024-01-01 call/voice up 0 down 0 seconds 125 events 1 tower 7 at 2024-01-01 12:15:30
        {"msisdn":"27821234567","tower_id":" 7","call_type":" Voice","dest_nr":" +27829876543","call_duration_sec":" 125","start_time":"\t2024-01-01 10:15:30 UTC ","_source_file":"cdr_voice_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"voice","_source_id":"abababababababab","_source_line":1}"#]].assert_eq(&read(RecordType::Voice, blanks.as_bytes(), row));
    check_voice(
        "\t27821234567 ,,VOICE,,\"125\",2024-01-01 10:15:30",
        expect![[r#"
        27821234567 2024-01-01 call/voice up 0 down 0 seconds 125 events 1 tower none at 2024-01-01 10:15:30
        {"msisdn":"\t27821234567 ","tower_id":"","call_type":"VOICE","dest_nr":"","call_duration_sec":"125","start_time":"2024-01-01 10:15:30","_source_file":"cdr_voice_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"voice","_source_id":"abababababababab","_source_line":1}"#]],
    );
    check_voice(
        "27821234567, ,voice,,125,2024-01-01 10:15:30",
        expect![[r#"
        27821234567 2024-01-01 call/voice up 0 down 0 seconds 125 events 1 tower none at 2024-01-01 10:15:30
        {"msisdn":"27821234567","tower_id":" ","call_type":"voice","dest_nr":"","call_duration_sec":"125","start_time":"2024-01-01 10:15:30","_source_file":"cdr_voice_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"voice","_source_id":"abababababababab","_source_line":1}"#]],
    );
    for line in ["sep=,", "SEP=;\r\n", "\"sep=,\"", "sep=\t\n"] {
        assert!(is_separator_line(line.as_bytes()), "{line:?}");
    }
    for line in ["", "sep=", "sep=,,", "sep=,msisdn", " sep=,", "msisdn"] {
        assert!(!is_separator_line(line.as_bytes()), "{line:?}");
    }
}

#[test]
fn rows_of_a_wrong_form() {
    check_voice("", expect!["wrong_field_count: the row has 1 fields where the header has 6"]);
    check_voice("27821234567,1,voice,1,1", expect!["wrong_field_count: the row has 5 fields where the header has 6"]);
    check_voice(
        "27821234567,1,voice,1,1,2024-01-01 10:15:30,",
        expect!["wrong_field_count: the row has 7 fields where the header has 6"],
    );
    check_voice(
        &",".repeat(MAX_ROW_BYTES),
        expect!["wrong_field_count: the row has 65537 fields where the header has 6"],
    );
    check_voice(
        "27821234567,1,voice,\"1,1,2024-01-01 10:15:30",
        expect!["unterminated_quote: a quoted field has no closing quote on its line"],
    );
    check_voice(
        "27821234567,1,voice,\"1\"\",1,2024-01-01 10:15:30",
        expect!["unterminated_quote: a quoted field has no closing quote on its line"],
    );
    check_voice(
        "27821234567,1,voice,\"1\"2,1,2024-01-01 10:15:30",
        expect!["bad_quote: a quote stands inside an unquoted field, or text follows a closing quote"],
    );
    check_voice(
        "27821234567,1,voice, \"1\",1,2024-01-01 10:15:30",
        expect!["bad_quote: a quote stands inside an unquoted field, or text follows a closing quote"],
    );
    check_voice(
        "27821234567,1,voice,1\"2,1,2024-01-01 10:15:30",
        expect!["bad_quote: a quote stands inside an unquoted field, or text follows a closing quote"],
    );
    check_voice(
        "27821234567,1,voice,\0,1,2024-01-01 10:15:30",
        expect!["control_character: the record contains a control character"],
    );
    check_voice(
        "27821234567,1,voice,1\r,1,2024-01-01 10:15:30",
        expect!["control_character: the record contains a control character"],
    );
    check_voice(&"x".repeat(MAX_ROW_BYTES + 1), expect!["row_too_long: the row is longer than 65536 bytes"]);
    let row = b"27821234567,1,voice,\xc3\x28,1,2024-01-01 10:15:30";
    expect!["invalid_utf8: the record is not valid UTF-8"].assert_eq(&read(RecordType::Voice, VOICE.as_bytes(), row));
}

/// The reason against a good data row with one other field.
fn data_with(column: usize, field: &str) -> String {
    let good = ["27821234567", "1", "2", "3", "video", "10.0.0.1", "https://example.com", "2024-01-01 10:15:30"];
    let mut row = Vec::new();
    let fields = good.iter().enumerate().map(|(index, good)| if index == column { field } else { good });
    write_row(&mut row, fields);
    match try_read(RecordType::Data, DATA.as_bytes(), &row) {
        Ok(_) => "good".to_owned(),
        Err(reason) => format!("{}: {reason}", reason.code()),
    }
}

fn voice_with(column: usize, field: &str) -> String {
    let good = ["27821234567", "1", "voice", "112", "60", "2024-01-01 10:15:30"];
    let mut row = Vec::new();
    let fields = good.iter().enumerate().map(|(index, good)| if index == column { field } else { good });
    write_row(&mut row, fields);
    match try_read(RecordType::Voice, VOICE.as_bytes(), &row) {
        Ok(_) => "good".to_owned(),
        Err(reason) => format!("{}: {reason}", reason.code()),
    }
}

fn check_fields(reason_of: fn(usize, &str) -> String, fields: &[(usize, &str)], expected: Expect) {
    let lines = fields.iter().map(|&(column, field)| {
        let shown: String = field.chars().take(24).collect();
        format!("{column} {shown:?} → {}\n", reason_of(column, field))
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn fields_that_cannot_be_used() {
    let too_long = "x".repeat(MAX_FIELD_BYTES + 1);
    let longest = "x".repeat(MAX_FIELD_BYTES);
    let (most, too_much) = (MAX_RECORD_BYTES.to_string(), (MAX_RECORD_BYTES + 1).to_string());
    check_fields(
        data_with,
        &[
            (0, ""),
            (0, "+"),
            (0, "0821234567"),
            (0, "++27821234567"),
            (0, "2782123456x"),
            (0, "1234"),
            (0, "1234567890123456"),
            (1, ""),
            (1, "-1"),
            (1, "4294967295"),
            (1, "4294967296"),
            (1, "1.0"),
            (2, ""),
            (2, "abc"),
            (2, " 5"),
            (2, "+5"),
            (2, "-"),
            (2, "-5"),
            (2, "-0"),
            (2, "1e3"),
            (2, "12.5"),
            (2, "١"),
            (2, "NaN"),
            (2, &most),
            (2, &too_much),
            (3, &most),
            (3, &too_much),
            (3, "-1"),
            (3, "99999999999999999999999999999999"),
            (3, "00000000000000000000000000000007"),
            (4, ""),
            (4, "voice"),
            (4, "VIDEO"),
            (5, ""),
            (5, &too_long),
            (6, &longest),
            (6, &too_long),
            (7, ""),
            (7, "2024-02-30 10:15:30"),
            (7, "1969-12-31 23:59:59"),
            (7, "2101-01-01 00:00:00"),
        ],
        expect![[r#"
            0 "" → bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00
            0 "+" → bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00
            0 "0821234567" → bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00
            0 "++27821234567" → bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00
            0 "2782123456x" → bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00
            0 "1234" → bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00
            0 "1234567890123456" → bad_msisdn: msisdn: an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00
            1 "" → good
            1 "-1" → negative: tower_id is negative
            1 "4294967295" → good
            1 "4294967296" → too_large: tower_id is larger than any real record's
            1 "1.0" → bad_number: tower_id is not a whole number
            2 "" → bad_number: up_bytes is not a whole number
            2 "abc" → bad_number: up_bytes is not a whole number
            2 " 5" → good
            2 "+5" → bad_number: up_bytes is not a whole number
            2 "-" → bad_number: up_bytes is not a whole number
            2 "-5" → negative: up_bytes is negative
            2 "-0" → negative: up_bytes is negative
            2 "1e3" → bad_number: up_bytes is not a whole number
            2 "12.5" → bad_number: up_bytes is not a whole number
            2 "١" → bad_number: up_bytes is not a whole number
            2 "NaN" → bad_number: up_bytes is not a whole number
            2 "10000000000000" → good
            2 "10000000000001" → too_large: up_bytes is larger than any real record's
            3 "10000000000000" → good
            3 "10000000000001" → too_large: down_bytes is larger than any real record's
            3 "-1" → negative: down_bytes is negative
            3 "999999999999999999999999" → too_large: down_bytes is larger than any real record's
            3 "000000000000000000000000" → good
            4 "" → unknown_type: data_type is unknown
            4 "voice" → unknown_type: data_type is unknown
            4 "VIDEO" → good
            5 "" → good
            5 "xxxxxxxxxxxxxxxxxxxxxxxx" → field_too_long: ip_address is longer than 8192 bytes
            6 "xxxxxxxxxxxxxxxxxxxxxxxx" → good
            6 "xxxxxxxxxxxxxxxxxxxxxxxx" → field_too_long: website_url is longer than 8192 bytes
            7 "" → bad_time: event_datetime: it is empty; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset
            7 "2024-02-30 10:15:30" → bad_time: event_datetime: the calendar has no such day; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset
            7 "1969-12-31 23:59:59" → day_out_of_range: event_datetime: the day lies outside 1970-01-01 to 2100-12-31
            7 "2101-01-01 00:00:00" → day_out_of_range: event_datetime: the day lies outside 1970-01-01 to 2100-12-31
        "#]],
    );
    let (longest_call, too_long_call) = (MAX_CALL_SECONDS.to_string(), (MAX_CALL_SECONDS + 1).to_string());
    check_fields(
        voice_with,
        &[
            (2, "audio"),
            (2, ""),
            (3, "private"),
            (3, &too_long),
            (4, "-1"),
            (4, "0"),
            (4, &longest_call),
            (4, &too_long_call),
            (4, "ten"),
            (5, "yesterday"),
        ],
        expect![[r#"
            2 "audio" → unknown_type: call_type is unknown
            2 "" → unknown_type: call_type is unknown
            3 "private" → good
            3 "xxxxxxxxxxxxxxxxxxxxxxxx" → field_too_long: dest_nr is longer than 8192 bytes
            4 "-1" → negative: call_duration_sec is negative
            4 "0" → good
            4 "86400" → good
            4 "86401" → too_large: call_duration_sec is larger than any real record's
            4 "ten" → bad_number: call_duration_sec is not a whole number
            5 "yesterday" → bad_time: start_time: it does not begin with a date as YYYY-MM-DD; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset
        "#]],
    );
}

#[test]
fn blank_lines_are_no_rows() {
    for blank in ["", "\n", "\r\n", "\r"] {
        assert!(is_blank(blank.as_bytes()), "{blank:?}");
    }
    for row in [" \n", ",\n", "\"\"\r\n", "x"] {
        assert!(!is_blank(row.as_bytes()), "{row:?}");
    }
}

#[test]
fn files_are_written_as_the_operator_does() {
    let mut file = Vec::new();
    write_header(&mut file, RecordType::Data);
    write_header(&mut file, RecordType::Voice);
    write_row(&mut file, ["plain", "", "a,b", "say \"x\"", "two words"]);
    expect![[r#"
        msisdn,tower_id,up_bytes,down_bytes,data_type,ip_address,website_url,event_datetime
        msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time
        plain,,"a,b","say ""x""",two words
    "#]]
    .assert_eq(&String::from_utf8(file).unwrap());
}
