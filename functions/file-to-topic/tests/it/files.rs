//! What becomes of a file, whatever it is like.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use expect_test::{Expect, expect};
use flate2::write::GzEncoder;
use futures::future::join_all;
use serde_json::Value;
use stream::Topic;

use crate::world::World;

const NAME: &str = "cdr_data_20240101_120000.csv";
const HEADER: &str = "msisdn,tower_id,up_bytes,down_bytes,data_type,ip_address,website_url,event_datetime";

fn row(number: u64) -> String {
    format!("+2782{:07},7,{number},2,video,41.202.45.12,https://example.com,2024-01-01 10:15:30", number % 50)
}

fn rows(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(|number| row(number) + "\n").collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn case(bytes: impl AsRef<[u8]>, expect: Expect) -> (Vec<u8>, Expect) {
    (bytes.as_ref().to_vec(), expect)
}

/// Tries several files side by side.
async fn check<const N: usize>(cases: [(Vec<u8>, Expect); N]) {
    let outcomes = join_all(cases.iter().map(|(bytes, _)| outcome(NAME, bytes))).await;
    for ((_, expect), outcome) in cases.iter().zip(outcomes) {
        expect.assert_eq(&outcome);
    }
}

/// Delivers the file twice. Shows its results, the lines that were published and what was rejected.
async fn outcome(name: &str, bytes: &[u8]) -> String {
    let world = World::new().await;
    let announcement = world.land(name, bytes).await;
    world.deliver(&announcement).await.unwrap();
    let results = world.results(name).await.unwrap();
    let published = world.read(&world.config.settings.topics[Topic::CdrData]).await;
    let rejected = world.rejected().await;

    let counted = |field: &str| results[field].as_u64().unwrap();
    let mut text = format!(
        "rows {} accepted {} rejected {} {}\n",
        counted("rows"),
        counted("accepted"),
        counted("rejected"),
        results["reasons"]
    );
    let mut lines = BTreeMap::new();
    for message in &published {
        let value: Value = serde_json::from_slice(message.value()).unwrap();
        lines.insert(value["_source_line"].as_u64().unwrap(), message.key().to_owned());
    }
    for (line, key) in lines.iter().take(5) {
        writeln!(text, "line {line} of {key}").unwrap();
    }
    if lines.len() > 5 {
        writeln!(text, "and {} more", lines.len() - 5).unwrap();
    }
    for rejected in &rejected {
        let file = rejected.file.as_ref().unwrap();
        let raw: String = String::from_utf8_lossy(&rejected.raw).chars().take(24).collect();
        let place = format!("line {} in {}..{}", file.line, file.from_byte, file.to_byte);
        writeln!(text, "{} for {} rows: {place}, {} bytes {raw:?}", rejected.reason, rejected.rows, rejected.raw.len())
            .unwrap();
        assert_eq!(rejected.truncated, file.to_byte - file.from_byte > rejected.raw.len() as u64 + 2);
    }
    assert_eq!(counted("rows"), counted("accepted") + counted("rejected"));
    assert_eq!(counted("accepted"), published.len() as u64);
    assert_eq!(counted("rejected"), rejected.iter().map(|rejected| rejected.rows).sum::<u64>());

    // What has its results is not published again.
    world.deliver(&announcement).await.unwrap();
    assert_eq!(world.results(name).await.unwrap(), results);
    assert_eq!(world.read(&world.config.settings.topics[Topic::CdrData]).await.len(), published.len());
    assert_eq!(world.rejected().await.len(), rejected.len());
    text
}

#[tokio::test]
async fn good_files_in_every_form() {
    let good = format!("{HEADER}\n{}", rows(1..=4));
    let windows = format!("\u{feff}{}\r\n", good.trim_end().replace('\n', "\r\n"));
    let (first, second) = good.as_bytes().split_at(100);
    let forms = [
        (NAME, good.clone().into_bytes()),
        (NAME, windows.into_bytes()),
        (NAME, good.trim_end().as_bytes().to_vec()),
        (NAME, good.replace('\n', "\n\n\r\n").into_bytes()),
        // What may stand before the header, and how it may be written.
        (NAME, format!("\n\r\nsep=,\n{good}").into_bytes()),
        (NAME, good.replace(HEADER, &HEADER.to_uppercase().replace(',', ", ")).into_bytes()),
        ("cdr_data_20240101_120000.csv.gz", gzip(good.as_bytes())),
        ("cdr_data_20240101_120000.csv.zst", zst(good.as_bytes())),
        // The bytes count, not the name.
        ("cdr_data_20240101_120000.csv.gz", good.clone().into_bytes()),
        (NAME, zst(good.as_bytes())),
        // Several members or frames are one file.
        (NAME, [gzip(first), gzip(second)].concat()),
        (NAME, [zst(first), zst(b""), zst(second)].concat()),
        (NAME, [b"\x5a\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zst(good.as_bytes())].concat()),
        (NAME, [gzip(good.as_bytes()), vec![0; 1000]].concat()),
    ];
    let outcomes = join_all(forms.iter().map(|(name, bytes)| outcome(name, bytes))).await;
    expect![[r#"
        rows 4 accepted 4 rejected 0 {}
        line 1 of 27820000001
        line 2 of 27820000002
        line 3 of 27820000003
        line 4 of 27820000004
    "#]]
    .assert_eq(&outcomes[0]);
    for (form, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome, &outcomes[0], "form {form}");
    }
    let another_order = "note,event_datetime,website_url,ip_address,data_type,down_bytes,up_bytes,tower_id,msisdn\n\
         \"a, \"\"b\"\"\",2024-01-01T00:00:00,,,text,1,2,3,0027821234567\n";
    check([case(
        another_order,
        expect![[r#"
        rows 1 accepted 1 rejected 0 {}
        line 1 of 27821234567
    "#]],
    )])
    .await;
}

#[tokio::test]
async fn files_without_rows() {
    check([
        case(
            "",
            expect![[r#"
            rows 0 accepted 0 rejected 0 {}
            bad_header for 0 rows: line 0 in 0..0, 0 bytes ""
        "#]],
        ),
        case(
            HEADER,
            expect![[r#"
            rows 0 accepted 0 rejected 0 {}
        "#]],
        ),
        case(
            format!("{HEADER}\n\n"),
            expect![[r#"
            rows 0 accepted 0 rejected 0 {}
        "#]],
        ),
        case(
            gzip(b""),
            expect![[r#"
            rows 0 accepted 0 rejected 0 {}
            bad_header for 0 rows: line 0 in 0..0, 0 bytes ""
        "#]],
        ),
        case(
            zst(b""),
            expect![[r#"
            rows 0 accepted 0 rejected 0 {}
            bad_header for 0 rows: line 0 in 0..0, 0 bytes ""
        "#]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_header_rejects_the_whole_file() {
    let without_tower = HEADER.replace("tower_id", "tower");
    check([
        case(
            format!("{without_tower}\n{}\n{}", rows(1..=3), row(4)),
            expect![[r#"
            rows 4 accepted 0 rejected 4 {"bad_header":4}
            bad_header for 4 rows: line 0 in 0..81, 80 bytes "msisdn,tower,up_bytes,do"
        "#]],
        ),
        // No header at all.
        case(
            rows(1..=3),
            expect![[r#"
                rows 3 accepted 0 rejected 3 {"bad_header":3}
                bad_header for 3 rows: line 0 in 0..78, 77 bytes "+27820000001,7,1,2,video"
            "#]],
        ),
        case(
            [b"\xff\xfe\n", rows(1..=3).as_bytes()].concat(),
            expect![[r#"
                rows 1 accepted 0 rejected 1 {"bad_header":1}
                bad_header for 1 rows: line 0 in 0..237, 237 bytes "��\n+27820000001,7,1,2,vi"
            "#]],
        ),
        case(
            format!("{}\n{}", "x".repeat(100_000), rows(1..=3)),
            expect![[r#"
                rows 4 accepted 0 rejected 4 {"bad_header":4}
                bad_header for 4 rows: line 0 in 0..100001, 65536 bytes "xxxxxxxxxxxxxxxxxxxxxxxx"
            "#]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn bad_rows_are_rejected_one_by_one() {
    let bad = [
        "+2782,7,1,2,video,,,2024-01-01 10:15:30",
        "+27821234567,7,-1,2,video,,,2024-01-01 10:15:30",
        "+27821234567,7,1,1e3,video,,,2024-01-01 10:15:30",
        "+27821234567,7,99999999999999999999,2,video,,,2024-01-01 10:15:30",
        "+27821234567,7,1,2,smell,,,2024-01-01 10:15:30",
        "+27821234567,7,1,2,video,,,yesterday",
        "+27821234567,7,1,2,video,,,1969-12-31 23:59:59",
        "+27821234567,7,1,2,video,,\"open,2024-01-01 10:15:30",
        "+27821234567,7,1,2",
    ];
    let file = format!("{HEADER}\n{}\n{}\n{}", row(1), bad.join("\n"), row(2));
    let not_text = [HEADER.as_bytes(), b"\n", row(1).as_bytes(), b"\n27821234567,\xff\n", row(2).as_bytes()].concat();
    let long_field = row(1).replace("https://example.com", &"x".repeat(9000));
    let long_row = row(1).replace("https://example.com", &"x".repeat(70_000));
    check([
        case(file, expect![[r#"
            rows 11 accepted 2 rejected 9 {"bad_msisdn":1,"bad_number":1,"bad_time":1,"day_out_of_range":1,"negative":1,"too_large":1,"unknown_type":1,"unterminated_quote":1,"wrong_field_count":1}
            line 1 of 27820000001
            line 11 of 27820000002
            bad_msisdn for 1 rows: line 2 in 162..202, 39 bytes "+2782,7,1,2,video,,,2024"
            negative for 1 rows: line 3 in 202..250, 47 bytes "+27821234567,7,-1,2,vide"
            bad_time for 1 rows: line 7 in 412..449, 36 bytes "+27821234567,7,1,2,video"
            wrong_field_count for 1 rows: line 10 in 548..567, 18 bytes "+27821234567,7,1,2"
            bad_number for 1 rows: line 4 in 250..299, 48 bytes "+27821234567,7,1,1e3,vid"
            too_large for 1 rows: line 5 in 299..365, 65 bytes "+27821234567,7,999999999"
            unknown_type for 1 rows: line 6 in 365..412, 46 bytes "+27821234567,7,1,2,smell"
            day_out_of_range for 1 rows: line 8 in 449..496, 46 bytes "+27821234567,7,1,2,video"
            unterminated_quote for 1 rows: line 9 in 496..548, 51 bytes "+27821234567,7,1,2,video"
        "#]]),
        case(not_text, expect![[r#"
            rows 3 accepted 2 rejected 1 {"invalid_utf8":1}
            line 1 of 27820000001
            line 3 of 27820000002
            invalid_utf8 for 1 rows: line 2 in 162..176, 13 bytes "27821234567,�"
        "#]]),
        case(format!("{HEADER}\n{long_field}\n{long_row}\n{}", row(2)), expect![[r#"
            rows 3 accepted 1 rejected 2 {"field_too_long":1,"row_too_long":1}
            line 3 of 27820000002
            field_too_long for 1 rows: line 1 in 84..9143, 9058 bytes "+27820000001,7,1,2,video"
            row_too_long for 1 rows: line 2 in 9143..79202, 65536 bytes "+27820000001,7,1,2,video"
        "#]]),
    ])
    .await;
}

#[tokio::test]
async fn files_that_end_early() {
    let good = format!("{HEADER}\n{}", rows(1..=3000));
    let gz = gzip(good.as_bytes());
    let zst = zst(good.as_bytes());
    check([
        case(
            &good[..good.len() - 30],
            expect![[r#"
            rows 3000 accepted 2999 rejected 1 {"wrong_field_count":1}
            line 1 of 27820000001
            line 2 of 27820000002
            line 3 of 27820000003
            line 4 of 27820000004
            line 5 of 27820000005
            and 2994 more
            wrong_field_count for 1 rows: line 3000 in 241896..241947, 51 bytes "+27820000000,7,3000,2,vi"
        "#]],
        ),
        case(
            &gz[..gz.len() / 2],
            expect![[r#"
            rows 1435 accepted 0 rejected 1435 {"damaged_file":1435}
            damaged_file for 1435 rows: line 0 in 0..84, 83 bytes "msisdn,tower_id,up_bytes"
        "#]],
        ),
        // All of its rows are there; only the checksum is missing.
        case(
            &gz[..gz.len() - 8],
            expect![[r#"
            rows 3000 accepted 0 rejected 3000 {"damaged_file":3000}
            damaged_file for 3000 rows: line 0 in 0..84, 83 bytes "msisdn,tower_id,up_bytes"
        "#]],
        ),
        case(
            // Rows that look good follow the damage.
            [&gz[..5000], &[0xff; 600], &gz[5600..]].concat(),
            expect![[r#"
                rows 2890 accepted 0 rejected 2890 {"damaged_file":2890}
                damaged_file for 2890 rows: line 0 in 0..84, 83 bytes "msisdn,tower_id,up_bytes"
            "#]],
        ),
        case(
            &zst[..zst.len() - 10],
            expect![[r#"
            rows 1631 accepted 0 rejected 1631 {"damaged_file":1631}
            damaged_file for 1631 rows: line 0 in 0..84, 83 bytes "msisdn,tower_id,up_bytes"
        "#]],
        ),
        case(
            &gz[..5],
            expect![[r#"
            rows 0 accepted 0 rejected 0 {}
            damaged_file for 0 rows: line 0 in 0..0, 0 bytes ""
        "#]],
        ),
        case(
            [b"\x28\xb5\x2f\xfd", &[0xff; 600][..]].concat(),
            expect![[r#"
            rows 0 accepted 0 rejected 0 {}
            damaged_file for 0 rows: line 0 in 0..0, 0 bytes ""
        "#]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_records_are_those_of_the_seed() {
    let world = World::new().await;
    let data = world.land(NAME, format!("{HEADER}\n{}\n", row(1)).as_bytes()).await;
    let voice = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n\
                 +27821234567,1523,voice,+27829876543,125,2024-01-01 10:15:30\n";
    let voice = world.land("cdr_voice_20240101_120000.csv", voice.as_bytes()).await;
    world.deliver(&data).await.unwrap();
    world.deliver(&voice).await.unwrap();
    let mut text = String::new();
    for topic in Topic::CALL_RECORDS {
        for message in world.read(&world.config.settings.topics[topic]).await {
            let mut value: Value = serde_json::from_slice(message.value()).unwrap();
            let at = value["_ingestion_timestamp"].take();
            assert_eq!(at.as_str().unwrap().len(), "2024-12-07T15:23:45.123456".len());
            writeln!(text, "{} {value:#}", message.key()).unwrap();
        }
    }
    expect![[r#"
        27820000001 {
          "_ingestion_timestamp": null,
          "_record_type": "data",
          "_source_file": "cdr_data_20240101_120000.csv",
          "_source_id": "fb865c99f7f79d7b",
          "_source_line": 1,
          "data_type": "video",
          "down_bytes": "2",
          "event_datetime": "2024-01-01 10:15:30",
          "ip_address": "41.202.45.12",
          "msisdn": "+27820000001",
          "tower_id": "7",
          "up_bytes": "1",
          "website_url": "https://example.com"
        }
        27821234567 {
          "_ingestion_timestamp": null,
          "_record_type": "voice",
          "_source_file": "cdr_voice_20240101_120000.csv",
          "_source_id": "c61840ab37ddc268",
          "_source_line": 1,
          "call_duration_sec": "125",
          "call_type": "voice",
          "dest_nr": "+27829876543",
          "msisdn": "+27821234567",
          "start_time": "2024-01-01 10:15:30",
          "tower_id": "1523"
        }
    "#]]
    .assert_eq(&text);
}
