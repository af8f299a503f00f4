use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use expect_test::expect;
use generator::Options;
use telecom::csv::{Header, Scratch};
use telecom::{FileName, RecordType, Zone};

use crate::memory::complete;
use crate::small;

#[tokio::test]
async fn the_same_options_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let options = small(&folder);
    let files = complete(&options).await;

    let again = tempfile::tempdir().unwrap();
    assert_eq!(files, complete(&small(&again)).await);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(files, complete(&Options { seed: 2, ..small(&other) }).await);

    // Other bytes from the same options are a new output version: raise `OUTPUT_VERSION` in src/index.rs.
    let shown: String = files
        .iter()
        .map(|(name, content)| {
            let text = str::from_utf8(content).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            format!(
                "{name} {} rows, fnv {:016x}\n{}\n{}\n",
                lines.len() - 1,
                fnv(content),
                lines[1],
                lines[lines.len() - 1]
            )
        })
        .collect();
    expect![[r#"
        cdr_data_20240101_000000.csv 1000 rows, fnv 244a87b289c67c97
        +27619029222,1544,244441,543212,video,154.71.61.138,https://tv.example.org/live/3631,2024-01-01 00:00:00
        +27641452345,111,377955,583410,video,196.141.123.209,https://video.example.com/watch/12345,2024-01-01 00:16:39
        cdr_data_20240101_001640.csv 1000 rows, fnv 66f7de4ad2e3498e
        +27822935431,1313,539749,694497,video,154.206.63.144,https://shorts.example.net/v/90464,2024-01-01 00:16:40
        +27646929702,1394,897703,828692,video,154.159.218.147,https://tv.example.org/live/58064,2024-01-01 00:33:19
        cdr_data_20240101_003320.csv 345 rows, fnv 198a1040c53b268f
        +27658544881,647,343424,480227,video,102.99.52.36,https://shorts.example.net/v/97510,2024-01-01 00:33:20
        +27607047118,1295,279485,304108,application,197.118.64.49,https://store.example.net/download/54157,2024-01-01 00:39:04
        cdr_voice_20240101_000000.csv 1000 rows, fnv 50d5314bd054b99b
        +27613405095,962,voice,+27845578709,411,2024-01-01 00:00:00
        +27601936686,1857,voice,+27675343877,1,2024-01-01 00:16:39
        cdr_voice_20240101_001640.csv 1000 rows, fnv 6b6d0e0c96f52387
        +27681701854,1637,voice,+27799597829,55,2024-01-01 00:16:40
        +27795475970,1490,voice,+27745259517,24,2024-01-01 00:33:19
        cdr_voice_20240101_003320.csv 345 rows, fnv 4e29267b50c615e9
        +27735886926,234,voice,+27624640007,537,2024-01-01 00:33:20
        +27747428720,1735,voice,+27681922009,1650,2024-01-01 00:39:04
    "#]].assert_eq(&shown);
}

#[tokio::test]
async fn a_shorter_run_is_the_beginning_of_a_longer_one() {
    let (short, long) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let short = complete(&Options { seconds: 2_000, ..small(&short) }).await;
    let long = complete(&small(&long)).await;
    assert!(short.iter().all(|(name, content)| long.get(name) == Some(content)));
}

/// Every row can be read, lies in its column's range and in its file's interval.
#[tokio::test]
async fn rows_are_what_the_columns_promise() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { seconds: 4_000, lines_per_second: 3, ..small(&folder) };
    let mut rows_of = BTreeMap::<u64, u64>::new();
    let mut destinations = BTreeSet::new();
    let mut times = BTreeMap::<RecordType, Vec<String>>::new();
    let mut values = BTreeMap::<&str, BTreeSet<String>>::new();
    for (name, content) in &complete(&options).await {
        let file_name = FileName::parse(name).unwrap();
        let record_type = file_name.record_type();
        let mut lines = content.split(|&byte| byte == b'\n');
        let header = Header::parse(lines.next().unwrap(), record_type).unwrap();
        let (zone, mut scratch) = (Zone::default(), Scratch::default());
        let rows: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        for (at, line) in rows.iter().enumerate() {
            let row = header.parse_row(line, &zone, &mut scratch).unwrap();
            let number = row.msisdn().as_u64();
            assert!(
                row.fields()[0].strip_prefix('+').is_some_and(|digits| digits.starts_with("27") && digits.len() == 11)
            );
            *rows_of.entry(number).or_default() += 1;
            assert!((1..=2_000).contains(&row.tower_id().unwrap()));
            let time = row.fields().last().unwrap();
            let compact: String = time.chars().filter(char::is_ascii_digit).collect();
            let in_name: String = name.chars().filter(char::is_ascii_digit).collect();
            assert!(if at == 0 { compact == in_name } else { compact >= in_name });
            times.entry(record_type).or_default().push((*time).to_owned());
            match record_type {
                RecordType::Data => {
                    let [_, _, up, down, kind, address, url, _] = row.fields() else { unreachable!() };
                    for bytes in [up, down] {
                        assert!((100_000..=1_000_000).contains(&bytes.parse::<u64>().unwrap()));
                    }
                    let address: Ipv4Addr = address.parse().unwrap();
                    assert!(!address.is_private() && !address.is_loopback() && !address.is_multicast());
                    assert!(url.starts_with("https://") && url.len() < 100);
                    values.entry("data_type").or_default().insert((*kind).to_owned());
                }
                RecordType::Voice => {
                    let [_, _, kind, destination, seconds, _] = row.fields() else { unreachable!() };
                    assert!((1..=1_800).contains(&seconds.parse::<u64>().unwrap()));
                    let destination = destination.parse::<telecom::Msisdn>().unwrap().as_u64();
                    assert_ne!(destination, number);
                    destinations.insert(destination);
                    values.entry("call_type").or_default().insert((*kind).to_owned());
                }
            }
        }
    }
    for times in times.values() {
        assert!(times.is_sorted(), "files in the order of their names have their rows in the order of time");
        let per_second = times.chunk_by(|a, b| a == b).map(<[String]>::len);
        assert!(per_second.clone().all(|rows| rows == 3) && per_second.count() == 4_000);
    }
    assert!(rows_of.len() <= 500 && rows_of.len() > 490, "{} subscribers were seen", rows_of.len());
    let mut counts: Vec<u64> = rows_of.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let share = |subscribers: usize| 100 * counts[..subscribers].iter().sum::<u64>() / counts.iter().sum::<u64>();
    expect!["the busiest 1 % make 9 % of the rows, the busiest 25 % make 49 %"].assert_eq(&format!(
        "the busiest 1 % make {} % of the rows, the busiest 25 % make {} %",
        share(5),
        share(125)
    ));
    assert!(destinations.len() > 3_000, "calls go to many numbers: {}", destinations.len());
    expect![[r#"{"call_type": {"video", "voice"}, "data_type": {"application", "audio", "image", "text", "video"}}"#]]
        .assert_eq(&format!("{values:?}"));
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
