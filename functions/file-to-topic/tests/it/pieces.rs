//! Files that grow, and rows that are not published, published again, taken back or dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use file_to_topic::{HAND_OVER_MARGIN, handle};
use lake::names::{self, PieceKey, VersionKey};
use lake::registers::{Held, Piece};
use lake::{Action, Announcement, Digest, FileResult, Twin};
use lambda_boot::Deadline;
use serde_json::Value;
use stream::Topic;
use telecom::{FileName, RecordRules, SourceId, Zone};

use crate::world::{PARTITIONS, World};

const NAME: &str = "cdr_voice_20240101_120000.csv";
const HEADER: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n";

fn version() -> VersionKey {
    VersionKey::first(FileName::parse(NAME).unwrap())
}

/// Every tenth row can't be used.
fn rows(numbers: std::ops::RangeInclusive<u64>) -> String {
    let row = |number: u64| {
        let seconds = if number.is_multiple_of(10) { "-1".to_owned() } else { number.to_string() };
        format!("+2782{:07},1523,voice,+27829876543,{seconds},2024-01-01 10:15:30\n", number % 50)
    };
    numbers.map(row).collect()
}

/// Puts a piece into the lake, as `sftp-poll` does.
async fn land(world: &World, key: PieceKey, bytes: &[u8], first_line: u64, continued: u64) -> Announcement {
    let piece = Piece { sha256: Digest::of(bytes), bytes: bytes.len() as u64, first_line, continued, twin: None };
    world.lake.put_if_absent(&names::landing(&key), Bytes::copy_from_slice(bytes), &[]).await.unwrap();
    Announcement::of_piece(&key, SourceId([7; 8]), &piece)
}

/// The lines of the topic by the action of their record, and which partitions have them out of order.
async fn lines(world: &World) -> BTreeMap<String, Vec<u64>> {
    let mut lines = BTreeMap::<String, Vec<u64>>::new();
    let mut last = BTreeMap::new();
    for message in world.read(&world.config.settings.topics[Topic::CdrVoice]).await {
        let value: Value = serde_json::from_slice(message.value()).unwrap();
        let line = value["_source_line"].as_u64().unwrap();
        let what =
            format!("{} {}", value["_action"].as_str().unwrap_or("count"), value["_source_id"].as_str().unwrap());
        let before = last.insert((message.partition, what.clone()), line).unwrap_or_default();
        assert!(before < line, "{what}: line {line} behind {before}");
        lines.entry(what).or_default().push(line);
    }
    lines.values_mut().for_each(|lines| lines.sort_unstable());
    lines
}

fn usable(numbers: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    numbers.filter(|number| !number.is_multiple_of(10)).collect()
}

#[tokio::test]
async fn a_file_that_grows_goes_on_with_its_lines() {
    let world = World::new().await;
    let first = format!("\u{feff}{HEADER}{}", rows(1..=25));
    let grown = format!("\n{}", rows(26..=40));
    let later = version().piece_from(first.len() as u64);
    let pieces = [
        land(&world, version().piece(), first.as_bytes(), 0, 0).await,
        land(&world, later, grown.as_bytes(), 25, 0).await,
    ];
    for announcement in &pieces {
        world.deliver(announcement).await.unwrap();
        world.deliver(announcement).await.unwrap();
    }
    assert_eq!(lines(&world).await, [("count 0707070707070707".to_owned(), usable(1..=40))].into());
    let results = world.results(&later.to_string()).await.unwrap();
    expect![[r#"
        {
          "accepted": 13,
          "bytes": 901,
          "continued": 0,
          "filtered": 0,
          "first_line": 25,
          "name": "cdr_voice_20240101_120000.csv",
          "reasons": {
            "negative": 2
          },
          "rejected": 2,
          "rows": 15,
          "rules": {
            "number": 2,
            "zone": "Africa/Johannesburg"
          },
          "sha256": "3fd1b7534e0f1cd8db6e1b401dabfa3e28d15d9384672133dbc4d369ac6afe30",
          "source_id": "0707070707070707"
        }"#]]
    .assert_eq(&format!("{results:#}"));
    let mut rejected: Vec<_> = world.rejected().await.iter().map(|rejected| rejected.key()).collect();
    rejected.sort();
    assert_eq!(rejected, ["10", "20", "30", "40"].map(|line| format!("0707070707070707/{line}")));
}

#[tokio::test]
async fn a_piece_under_a_bad_header_is_rejected_with_a_place_of_its_own() {
    let world = World::new().await;
    let first = format!("tower_id\n{}", rows(1..=2));
    let later = version().piece_from(first.len() as u64);
    world.deliver(&land(&world, version().piece(), first.as_bytes(), 0, 0).await).await.unwrap();
    world.deliver(&land(&world, later, rows(3..=5).as_bytes(), 2, 0).await).await.unwrap();
    let rejected = world.rejected().await;
    let shown: Vec<_> = rejected.iter().map(|r| (r.key(), r.rows, r.reason.to_string())).collect();
    assert_eq!(
        shown,
        [("0", 2), ("3", 3)].map(|(line, rows)| (format!("0707070707070707/{line}"), rows, "bad_header".to_owned()))
    );
    assert_eq!(rejected[1].file.as_ref().unwrap().object, format!("landing/{NAME}"));
    let results = world.results(&later.to_string()).await.unwrap();
    assert_eq!((&results["rows"], &results["rejected"]), (&3.into(), &3.into()));
}

#[tokio::test]
async fn continued_rows_are_not_published() {
    let world = World::new().await;
    let file = format!("{HEADER}{}", rows(1..=30));
    let announcement = land(&world, version().piece(), file.as_bytes(), 0, 12).await;
    world.deliver(&announcement).await.unwrap();
    assert_eq!(lines(&world).await, [("count 0707070707070707".to_owned(), usable(13..=30))].into());
    let results = world.results(NAME).await.unwrap();
    let count = |field: &str| results[field].as_u64().unwrap();
    assert_eq!((count("rows"), count("continued"), count("accepted"), count("rejected")), (30, 12, 16, 2));
}

#[tokio::test]
async fn a_twin_is_published_under_the_other_files_id_as_long_as_that_is_young() {
    let world = World::new().await;
    let file = format!("{HEADER}{}", rows(1..=5));
    let other = VersionKey::first(FileName::parse("cdr_voice_20240101_110000.csv").unwrap()).piece();
    let twin = Some(Twin { source_id: SourceId([9; 8]), piece: other });
    let piece =
        Piece { sha256: Digest::of(file.as_bytes()), bytes: file.len() as u64, first_line: 0, continued: 2, twin };
    let announcement = Announcement::of_piece(&version().piece(), SourceId([7; 8]), &piece);
    land(&world, version().piece(), file.as_bytes(), 0, 0).await;
    world.deliver(&announcement).await.unwrap();
    assert_eq!(lines(&world).await, [("count 0909090909090909".to_owned(), usable(3..=5))].into());
}

#[tokio::test]
async fn what_lies_in_the_results_is_published_again_only_where_that_is_asked_for() {
    let world = World::new().await;
    let first = format!("{HEADER}{}", rows(1..=25));
    let later = version().piece_from(first.len() as u64);
    let pieces = [
        land(&world, version().piece(), first.as_bytes(), 0, 3).await,
        land(&world, later, rows(26..=40).as_bytes(), 25, 2).await,
    ];
    for piece in &pieces {
        world.deliver(piece).await.unwrap();
    }
    let results = world.results(NAME).await;
    let run = Announcement { again: true, to_line: Some(40), ..pieces[0].clone() };
    world.deliver(&run).await.unwrap();
    let published = world.read(&world.config.settings.topics[Topic::CdrVoice]).await;
    let mut published: Vec<u64> = published
        .iter()
        .map(|message| serde_json::from_slice::<Value>(message.value()).unwrap()["_source_line"].as_u64().unwrap())
        .collect();
    published.sort_unstable();
    let expected = usable(4..=25).into_iter().chain(usable(28..=40)).flat_map(|line| [line, line]);
    assert_eq!(published, expected.collect::<Vec<_>>());
    assert_eq!(world.results(NAME).await, results);
}

/// A file of three pieces, of which the rows up to 10 are another file's.
async fn published(world: &World) -> Announcement {
    let mut from_byte = 0;
    let mut first = None;
    for (index, numbers) in [1..=1500, 1501..=1501, 1502..=4000].into_iter().enumerate() {
        let header = if index == 0 { HEADER } else { "" };
        let (first_line, text) = (numbers.start() - 1, format!("{header}{}", rows(numbers)));
        let continued = if index == 0 { 10 } else { 0 };
        let key = version().piece_from(from_byte);
        let announcement = land(world, key, text.as_bytes(), first_line, continued).await;
        world.deliver(&announcement).await.unwrap();
        from_byte += text.len() as u64;
        first.get_or_insert(announcement);
    }
    first.unwrap()
}

fn withdrawal(first: &Announcement) -> Announcement {
    let held =
        |id: u8, to_line: u64, counts: bool| Held { source_id: SourceId([id; 8]), version: version(), to_line, counts };
    Announcement {
        action: Action::Withdraw,
        to_line: Some(3990),
        taken_back: vec![held(1, 10, true), held(7, 100, true), held(2, 200, false), held(7, 3990, true)],
        ..first.clone()
    }
}

#[tokio::test]
async fn what_is_withdrawn_is_taken_back_under_the_ids_that_hold_it() {
    let world = World::new().await;
    let first = published(&world).await;
    let withdrawal = withdrawal(&first);
    world.deliver(&withdrawal).await.unwrap();
    let taken_back = lines(&world).await;
    assert_eq!(taken_back["withdraw 0101010101010101"], usable(1..=10));
    let own: Vec<u64> = usable(11..=100).into_iter().chain(usable(201..=3990)).collect();
    assert_eq!(taken_back["withdraw 0707070707070707"], own);
    assert_eq!(taken_back.len(), 3);
    let done: FileResult = world.lake.get_json(&names::withdrawal(&version().piece())).await.unwrap().unwrap();
    assert_eq!((done.rows, done.accepted, done.continued), (1500, 1500 - 150 - 90, 90));
    // Once more, nothing.
    world.deliver(&withdrawal).await.unwrap();
    assert_eq!(lines(&world).await, taken_back);
    // Those that can't be used were rejected once, when they were published; the other file's were not.
    let unusable = (11_u64..=4000).filter(|number| number.is_multiple_of(10)).count();
    assert_eq!(world.rejected().await.iter().filter(|rejected| rejected.rows > 0).count(), unusable);
}

#[tokio::test]
async fn a_withdrawal_in_parts_is_the_same() {
    let world = World::new().await;
    let first = published(&world).await;
    let hurry = || Deadline::after(HAND_OVER_MARGIN - Duration::from_secs(1));
    let mut next = Some(serde_json::to_vec(&withdrawal(&first)).unwrap());
    let mut invocations = 0;
    while let Some(announcement) = next.take() {
        let before = world.read(&world.config.settings.topics[Topic::LandedFiles]).await.len();
        handle(&world.deps, world.event(Some(announcement)), hurry()).await.unwrap();
        let mut rests = world.read(&world.config.settings.topics[Topic::LandedFiles]).await;
        next = (rests.len() > before).then(|| rests.pop().unwrap().value().to_vec());
        invocations += 1;
    }
    assert!(invocations > 4, "{invocations}");
    let taken_back = lines(&world).await;
    let own: Vec<u64> = usable(11..=100).into_iter().chain(usable(201..=3990)).collect();
    assert_eq!(taken_back["withdraw 0707070707070707"], own);
    assert_eq!(PARTITIONS, 3);
}

#[tokio::test]
async fn what_was_read_otherwise_is_not_taken_back() {
    let world = World::new().await;
    let file = format!("{HEADER}{}", rows(1..=5));
    let announcement = land(&world, version().piece(), file.as_bytes(), 0, 0).await;
    let other = Zone::named("Europe/Budapest").unwrap();
    let result = announcement.clone().into_result(RecordRules::of(&other));
    world.lake.put_json_if_absent(&names::results(&version().piece()), &result).await.unwrap();
    let withdrawal = Announcement { action: Action::Withdraw, to_line: Some(5), ..announcement };
    world.deliver(&withdrawal).await.unwrap();
    let rejected = world.rejected().await;
    expect!["other_rules"].assert_eq(&rejected[0].reason);
    assert_eq!((rejected.len(), rejected[0].rows, lines(&world).await.len()), (1, 0, 0));
}

#[tokio::test]
async fn dropped_rows_are_one_rejected_record() {
    let world = World::new().await;
    let file = format!("{HEADER}{}", rows(1..=25));
    let announcement = land(&world, version().piece(), file.as_bytes(), 0, 4).await;
    let drop = Announcement { action: Action::Drop, ..announcement };
    world.deliver(&drop).await.unwrap();
    world.deliver(&drop).await.unwrap();
    let rejected = world.rejected().await;
    assert_eq!((rejected.len(), rejected[0].rows, &*rejected[0].reason), (1, 21, "dropped"));
    assert!(lines(&world).await.is_empty());
    let results = world.results(NAME).await.unwrap();
    expect![[r#"{"dropped":21}"#]].assert_eq(&results["reasons"].to_string());
    assert_eq!((&results["rows"], &results["continued"]), (&25.into(), &4.into()));
}
