use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use expect_test::expect;
use generator::Options;
use jiff::civil::{DateTime, date};
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
        cdr_data_20240101_000000.csv 1000 rows, fnv 535206fda849bdd8
        +27846019019,402,257536,618023,application,41.230.11.253,https://chat.example.org/sync/55269,2024-01-01 00:00:00
        +27718133925,1258,598671,400034,application,102.228.41.19,https://chat.example.org/sync/72396,2024-01-01 00:16:39
        cdr_data_20240101_001640.csv 1000 rows, fnv 26b3d311fcd3c8be
        +27829146638,854,932310,909697,video,154.197.182.139,https://tv.example.org/live/95768,2024-01-01 00:16:40
        +27846092404,784,804284,315133,video,154.220.114.48,https://video.example.com/watch/14483,2024-01-01 00:33:19
        cdr_data_20240101_003320.csv 345 rows, fnv dc360afc76db6798
        +27845578709,560,354327,809179,text,105.195.249.246,https://forum.example.net/thread/98080,2024-01-01 00:33:20
        +27834623995,1653,251987,542639,image,196.139.197.6,https://gallery.example.org/view/52736,2024-01-01 00:39:04
        cdr_voice_20240101_000000.csv 1000 rows, fnv 65ad13eb85bda66c
        +27790145383,1768,voice,+27615087032,70,2024-01-01 00:00:00
        +27681555084,224,voice,+27724491902,71,2024-01-01 00:16:39
        cdr_voice_20240101_001640.csv 1000 rows, fnv e59476c0450a42b3
        +27635314523,394,voice,+27676151112,160,2024-01-01 00:16:40
        +27840541662,37,voice,+27601643146,106,2024-01-01 00:33:19
        cdr_voice_20240101_003320.csv 345 rows, fnv dc5614916ce4c288
        +27736253851,895,voice,+27817678229,31,2024-01-01 00:33:20
        +27664609318,137,voice,+27682037290,154,2024-01-01 00:39:04
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
    expect!["the busiest 1 % make 6 % of the rows, the busiest 25 % make 49 %"].assert_eq(&format!(
        "the busiest 1 % make {} % of the rows, the busiest 25 % make {} %",
        share(5),
        share(125)
    ));
    assert!(destinations.len() > 3_000, "calls go to many numbers: {}", destinations.len());
    expect![[r#"{"call_type": {"video", "voice"}, "data_type": {"application", "audio", "image", "text", "video"}}"#]]
        .assert_eq(&format!("{values:?}"));
}

/// However few the subscribers, through files, continued runs and nights.
#[tokio::test]
async fn nobody_is_in_two_calls_at_once_or_calls_for_longer_than_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let mut calls: BTreeMap<String, Vec<(DateTime, i64)>> = BTreeMap::new();
    for _ in 0..2 {
        let options = Options {
            continues: true,
            start: date(2024, 2, 28).at(20, 0, 0, 0),
            seconds: 50_000,
            lines_per_second: 2,
            lines_per_file: 3_333,
            subscribers: 30,
            ..small(&folder)
        };
        for (_, content) in complete(&options).await.iter().filter(|(name, _)| name.starts_with("cdr_voice")) {
            for line in str::from_utf8(content).unwrap().lines().skip(1) {
                let [msisdn, .., seconds, time] = line.split(',').collect::<Vec<_>>()[..] else { unreachable!() };
                calls.entry(msisdn.to_owned()).or_default().push((time.parse().unwrap(), seconds.parse().unwrap()));
            }
        }
    }
    assert_eq!(calls.len(), 30);
    let end = |(time, seconds): (DateTime, i64)| time + jiff::Span::new().seconds(seconds);
    for calls in calls.values() {
        assert!(calls.windows(2).all(|two| end(two[0]) <= two[1].0));
        let mut days: BTreeMap<_, i64> = BTreeMap::new();
        calls.iter().for_each(|(time, seconds)| *days.entry(time.date()).or_default() += seconds);
        assert!(days.values().all(|seconds| *seconds <= 86_400), "{days:?}");
    }
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
