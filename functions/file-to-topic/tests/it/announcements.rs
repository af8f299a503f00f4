//! Announcements: bad ones, and files that one invocation can't finish.

use std::time::Duration;

use expect_test::{Expect, expect};
use file_to_topic::{HAND_OVER_MARGIN, handle};
use futures::future::join_all;
use lake::Announcement;
use lambda_boot::Deadline;
use serde_json::Value;
use stream::Topic;

use crate::world::{PARTITIONS, World};

const NAME: &str = "cdr_voice_20240101_120000.csv";

/// A file in which every tenth row is bad.
fn file(header: &str, rows: u64) -> String {
    let row = |number: u64| {
        let seconds = if number.is_multiple_of(10) { "-1".to_owned() } else { number.to_string() };
        format!("+2782{:07},1523,voice,+27829876543,{seconds},2024-01-01 10:15:30\n", number % 50)
    };
    format!("{header}\n{}", (1..=rows).map(row).collect::<String>())
}

const HEADER: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time";
const ROWS: u64 = 5000;

/// Delivers a file and then its rests, with so little time that each invocation hands over; returns how many there were.
async fn deliver_in_parts(world: &World, announcement: &Announcement) -> usize {
    let hurry = || Deadline::after(HAND_OVER_MARGIN - Duration::from_secs(1));
    let mut invocations = 1;
    handle(&world.deps, world.event(Some(serde_json::to_vec(announcement).unwrap())), hurry()).await.unwrap();
    let name = announcement.name.as_str();
    while world.results(name).await.is_none() {
        // One key, so one partition: the last one is the newest.
        let rest = world.read(&world.config.settings.topics[Topic::LandedFiles]).await.pop().unwrap();
        assert_eq!(rest.key(), name);
        handle(&world.deps, world.event(Some(rest.value().to_vec())), hurry()).await.unwrap();
        invocations += 1;
    }
    invocations
}

#[tokio::test]
async fn a_file_in_parts_is_the_same_as_in_one() {
    for (header, compressed) in [(HEADER, false), (HEADER, true), ("tower_id,header", false)] {
        let file = file(header, ROWS).into_bytes();
        let file = if compressed { zstd::encode_all(&file[..], 3).unwrap() } else { file };
        let (whole, parts) = (World::new().await, World::new().await);
        whole.deliver(&whole.land(NAME, &file).await).await.unwrap();
        let invocations = deliver_in_parts(&parts, &parts.land(NAME, &file).await).await;
        assert_eq!(invocations, 5);
        assert_eq!(parts.results(NAME).await, whole.results(NAME).await);
        assert_eq!(parts.results(NAME).await.unwrap()["rows"], ROWS);

        let lines = async |world: &World| {
            let mut lines = vec![Vec::new(); PARTITIONS as usize];
            for message in world.read(&world.config.settings.topics[Topic::CdrVoice]).await {
                let value: Value = serde_json::from_slice(message.value()).unwrap();
                lines[message.partition as usize].push(value["_source_line"].as_u64().unwrap());
            }
            lines
        };
        let published = lines(&parts).await;
        assert!(published.iter().all(|lines| lines.is_sorted()), "not in order");
        assert_eq!(published, lines(&whole).await);
        assert_eq!(parts.rejected().await, whole.rejected().await);
    }
}

/// Delivers it twice. Returns what was rejected, and asserts that nothing was published.
async fn rejection(value: Option<&str>) -> String {
    let world = World::new().await;
    world.land(NAME, file(HEADER, 10).as_bytes()).await;
    let event = world.event(value.map(|value| value.as_bytes().to_vec()));
    for deliveries in 1..=2 {
        handle(&world.deps, event.clone(), Deadline::NONE).await.unwrap();
        assert_eq!(world.rejected().await.len(), deliveries);
    }
    let rejected = world.rejected().await;
    assert_eq!(rejected[0], rejected[1]);
    let kafka = rejected[0].kafka.as_ref().unwrap();
    assert_eq!((kafka.partition, kafka.offset), (2, 7));
    assert_eq!(rejected[0].raw, value.unwrap_or_default().as_bytes());
    assert_eq!(world.read(&world.config.settings.topics[Topic::CdrVoice]).await, []);
    assert_eq!(world.results(NAME).await, None);
    format!("{}, {} rows: {}", rejected[0].reason, rejected[0].rows, rejected[0].detail)
}

#[tokio::test]
async fn an_announcement_that_can_not_be_used_is_rejected() {
    let good = World::new().await.land(NAME, file(HEADER, 10).as_bytes()).await;
    let with = |field: &str, value: Value| {
        let mut announcement = serde_json::to_value(&good).unwrap();
        announcement[field] = value;
        Some(announcement.to_string())
    };
    let cases: [(Option<String>, Expect); _] = [
        (None, expect!["bad_announcement, 0 rows: not an announcement: EOF while parsing a value at line 1 column 0"]),
        (
            Some("landing/cdr".to_owned()),
            expect!["bad_announcement, 0 rows: not an announcement: expected value at line 1 column 1"],
        ),
        (
            Some("{}".to_owned()),
            expect!["bad_announcement, 0 rows: not an announcement: missing field `key` at line 1 column 2"],
        ),
        (
            with("name", "report.csv".into()),
            expect![
                "bad_announcement, 0 rows: not an announcement: the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst at line 1 column 119"
            ],
        ),
        (
            with("source_id", "x".into()),
            expect![
                "bad_announcement, 0 rows: not an announcement: a source id has 16 hexadecimal digits at line 1 column 244"
            ],
        ),
        (
            with("key", "landing/report.csv".into()),
            expect!["bad_announcement, 0 rows: landing/report.csv is not where a delivered file lies"],
        ),
        (
            with("key", "results/cdr_voice_20240101_120000.csv".into()),
            expect![
                "bad_announcement, 0 rows: results/cdr_voice_20240101_120000.csv is not where a delivered file lies"
            ],
        ),
        (
            with("action", "forget".into()),
            expect![
                "bad_announcement, 0 rows: not an announcement: unknown variant `forget`, expected one of `publish`, `withdraw`, `drop` at line 1 column 31"
            ],
        ),
        (
            with("action", "withdraw".into()),
            expect![
                "not_published, 0 rows: landing/cdr_voice_20240101_120000.csv has not been published as a whole, so its rows can't be taken back or published again yet"
            ],
        ),
        (
            with("bytes", 1.into()),
            expect![
                "object_changed, 0 rows: landing/cdr_voice_20240101_120000.csv has 654 bytes where 1 were announced: it has been changed after landing"
            ],
        ),
        (
            with("from_byte", 100_000.into()),
            expect![
                "bad_announcement, 0 rows: from_byte 100000 is not the beginning of a row of landing/cdr_voice_20240101_120000.csv"
            ],
        ),
        (
            with("from_byte", 70.into()),
            expect![
                "bad_announcement, 0 rows: from_byte 70 is not the beginning of a row of landing/cdr_voice_20240101_120000.csv"
            ],
        ),
    ];
    let rejections = join_all(cases.iter().map(|(value, _)| rejection(value.as_deref()))).await;
    for ((_, expect), rejection) in cases.iter().zip(rejections) {
        expect.assert_eq(&rejection);
    }
}

#[tokio::test]
async fn a_rest_may_be_empty() {
    let world = World::new().await;
    let file = file(HEADER, 10);
    let announcement = world.land(NAME, file.as_bytes()).await;
    let rest = Announcement { from_byte: file.len() as u64, from_line: 10, accepted: 9, rejected: 1, ..announcement };
    world.deliver(&rest).await.unwrap();
    assert_eq!(world.results(NAME).await.unwrap()["rows"], 10);
    assert_eq!(world.read(&world.config.settings.topics[Topic::CdrVoice]).await, []);
}

#[tokio::test]
async fn a_file_that_is_not_in_the_lake_is_tried_again() {
    let world = World::new().await;
    let announcement = world.land(NAME, b"").await;
    let elsewhere = World::new().await;
    let error = format!("{:#}", elsewhere.deliver(&announcement).await.unwrap_err());
    expect!["publishing cdr_voice_20240101_120000.csv: the lake has no object landing/cdr_voice_20240101_120000.csv"]
        .assert_eq(&error);
    assert_eq!(elsewhere.rejected().await, []);
}

#[tokio::test]
async fn when_kafka_is_down_the_invocation_fails_in_time() {
    let world = World::new().await;
    let announcement = world.land(NAME, file(HEADER, 10).as_bytes()).await;
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let brokers = nobody.local_addr().unwrap().to_string();
    let config = file_to_topic::Config { kafka: kafka_sink::Config::plaintext(brokers), ..world.config.clone() };
    let deps = file_to_topic::Deps::connect(&config).await.unwrap();
    let event = world.event(Some(serde_json::to_vec(&announcement).unwrap()));
    let error = handle(&deps, event, Deadline::after(Duration::from_secs(1))).await.unwrap_err();
    expect!["the time is up and Kafka or the lake still has not answered"].assert_eq(&format!("{error:#}"));
    assert_eq!(world.results(NAME).await, None);
}
