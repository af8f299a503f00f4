//! A change of what is read from a record is a change of the rules, and has to have another number.

use telecom::csv::{Header, Scratch, write_row};
use telecom::{Column, RULES, RecordType, UsageEvent, Zone, json};

/// What each number of the rules made of the records below. A rule is added, with the next number, where a change of the
/// code makes the last line differ; only the line of a number that was never released may be changed.
const JUDGED: [(u32, u64); 1] = [(2, 0x27af_be4d_a517_0c7c)];

const ZONES: [&str; 3] = ["Africa/Johannesburg", "Europe/Budapest", "America/New_York"];

#[test]
fn another_judgement_has_another_number() {
    let (number, judged) = JUDGED[JUDGED.len() - 1];
    assert_eq!(RULES, number, "the rules have a number that is not listed: add ({RULES}, {:#x})", hash(&judgements()));
    assert_eq!(
        hash(&judgements()),
        judged,
        "records are read otherwise than by the rules {number}: raise telecom::RULES, and add ({}, {:#x})",
        number + 1,
        hash(&judgements())
    );
    assert!(JUDGED.is_sorted_by(|one, next| one.0 < next.0));
}

/// What becomes of every field that is odd in some way, in rows and in messages, in several zones.
fn judgements() -> String {
    let mut judged = String::new();
    for zone in ZONES.map(|name| Zone::named(name).unwrap()) {
        for record_type in [RecordType::Data, RecordType::Voice] {
            for (index, column) in record_type.columns().iter().enumerate() {
                for odd in odd_values(*column) {
                    let mut fields: Vec<_> = record_type.columns().iter().map(|column| usual_value(*column)).collect();
                    fields[index] = odd;
                    judged += &judge(record_type, &fields, &zone);
                }
            }
        }
    }
    judged
}

fn judge(record_type: RecordType, fields: &[&str], zone: &Zone) -> String {
    let mut header = Vec::new();
    telecom::csv::write_header(&mut header, record_type);
    let header = Header::parse(&header, record_type).unwrap();
    let mut row = Vec::new();
    write_row(&mut row, fields.iter().copied());
    let mut scratch = Scratch::default();
    let as_row = header.parse_row(&row, zone, &mut scratch).map(|row| (row.event(), row.tower_id()));
    let columns = record_type.columns().iter().zip(fields);
    let object: serde_json::Map<_, _> =
        columns.map(|(column, text)| (column.to_string(), serde_json::Value::from(*text))).collect();
    let message = serde_json::to_vec(&object).unwrap();
    let as_message = json::parse(&message, record_type, zone).map(|record| (record.event, record.tower_id));
    format!("{fields:?}: {}; {}\n", shown(as_row), shown(as_message))
}

fn shown(read: Result<(UsageEvent, Option<u32>), telecom::Reason>) -> String {
    match read {
        Ok((event, tower_id)) => {
            let UsageEvent { msisdn, day, kind, totals } = event;
            format!("{} {day} {kind} {totals:?} {tower_id:?}", msisdn.as_u64())
        }
        Err(reason) => reason.code().to_owned(),
    }
}

const fn usual_value(column: Column) -> &'static str {
    match column {
        Column::Msisdn => "27821234567",
        Column::TowerId => "1523",
        Column::UpBytes | Column::DownBytes => "4096",
        Column::DataType => "text",
        Column::CallType => "voice",
        Column::CallDurationSec => "125",
        Column::EventDatetime | Column::StartTime => "2024-01-01 10:15:30",
        Column::IpAddress | Column::WebsiteUrl | Column::DestNr => "any",
    }
}

const fn odd_values(column: Column) -> &'static [&'static str] {
    match column {
        Column::Msisdn => &[
            "+27821234567",
            "0027821234567",
            " 27821234567 ",
            "\t27821234567",
            "027821234567",
            "1234",
            "12345",
            "123456789012345",
            "1234567890123456",
            "27 82 123 4567",
            "27-82-1234567",
            "2.7821234567e10",
            "",
            "Ext.101",
        ],
        Column::TowerId => &["0", "4294967295", "4294967296", "", " 7", "7 ", "-1", "+7", "7.0", "A7"],
        Column::UpBytes | Column::DownBytes => &[
            "0",
            "10000000000000",
            "10000000000001",
            "99999999999999999999",
            "",
            " 1",
            "1 ",
            "\t1",
            "-1",
            "+1",
            "1.0",
            "1e3",
        ],
        Column::CallDurationSec => &["0", "86400", "86401", "", " 1", "1 ", "-1", "1.5", "00:02:05", "7"],
        Column::DataType => &["video", "audio", "image", "application", "Text", " text", "text ", "", "fax"],
        Column::CallType => &["video", "Voice", "VIDEO", " voice", "voice ", "", "fax"],
        Column::EventDatetime | Column::StartTime => &[
            "2024-01-01T10:15:30",
            "2024-01-01 10:15:30.123456789",
            "2024-01-01 23:59:60",
            "2024-01-01 23:30:00Z",
            "2024-01-01 00:30:00+02:00",
            "2024-01-01 00:30:00 +0200",
            "2024-01-01 00:30:00 UTC",
            "2024-01-01 00:30:00-11",
            "2024-03-10 02:30:00",
            "2024-03-31 02:30:00",
            "2024-11-03 01:30:00",
            "2024-10-27 02:30:00",
            "1969-12-31 23:59:59",
            "1970-01-01 00:00:00",
            "2100-12-31 23:59:59",
            "2101-01-01 00:00:00",
            "2024-02-30 00:00:00",
            "2024-01-01",
            "01/02/2024 10:00:00",
            "1704104130",
            "2024-1-1 1:1:1",
            " 2024-01-01 10:15:30",
            "",
        ],
        Column::IpAddress | Column::WebsiteUrl | Column::DestNr => &["", "a\tb", "a\u{1}b", "é, \"quoted\""],
    }
}

/// FNV-1a: short, and the same for ever.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
