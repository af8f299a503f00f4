//! What keeps a file's entries: records that wait, and rows that may still come.

use lake::names;
use serde_json::{Value, json};

use crate::world::{File, World};

const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const NO_ID: &str = "0000000000000000";
const HEAD: &str = "00000000000000ff";

/// `files/NAME.json`: versions, each by what follows the name in its key, and what was decided of it.
async fn register(world: &World, file: &File, head: Option<&str>, versions: &[(&str, Value)]) {
    let name = file.name.as_str();
    let version = |(later, decision): &(&str, Value)| {
        let key = format!("{name}{later}");
        json!({
            "key": key, "stat": {"size": 0, "mtime": 0}, "bytes": 0, "last_piece": key,
            "piece": {"sha256": NO_DIGEST, "bytes": 0}, "decision": decision, "rows": 0, "head": head,
            "source_id": NO_ID, "landed_at": 0,
        })
    };
    let versions: Vec<_> = versions.iter().map(version).collect();
    world.put(&format!("files/{name}.json"), &json!({"name": name, "versions": versions}).to_string()).await;
}

/// An entry of `heads/HEAD.json`.
fn entry(file: &File, state: &Value) -> Value {
    let extent = json!({"rows": 0, "digest": NO_DIGEST});
    let mut entry = json!({
        "version": file.name, "rows": 0, "digest": NO_DIGEST, "source_id": NO_ID, "first": extent, "shared": 0,
        "held": [], "last_piece": file.name,
        "last": {"decision": {"state": "counted"}, "first_line": 0, "continued": 0},
    });
    entry.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
    entry
}

/// After so many nights everything that may go has gone.
const NIGHTS: usize = 40;

async fn world() -> World {
    World::new(&test_support::postgres_database().await).await
}

#[tokio::test]
async fn a_file_goes_with_its_claim_once() {
    let mut world = world().await;
    world.bring(0, &File::new(1), 1..=5).await;
    world.bring(1, &File::new(1), 6..=7).await;
    let report = world.nights(NIGHTS).await;
    assert_eq!((report.expired, report.entries), (1, 2));
    assert_eq!(world.store.file_accounts().await.unwrap(), []);
    assert_eq!(world.events().await, 7);
}

#[tokio::test]
async fn a_lane_that_is_not_counted_keeps_everything() {
    let mut world = world().await;
    world.bring(0, &File::new(1), 1..=5).await;
    world.publish(0, 3).await;
    // The record that waits was there before the first mark, so no mark is reached.
    assert_eq!(world.nights(NIGHTS).await.expired, 0);
    // Another file's; and a row of the first file that had waited all the time.
    world.count(0, &File::new(2), 1..=2).await;
    let counted = world.count(0, &File::new(1), 5..=5).await;
    assert_eq!((counted.counted, counted.repeats), (0, 1));
    assert_eq!(world.nights(NIGHTS).await.expired, 2);
    assert_eq!(world.events().await, 7);
}

#[tokio::test]
async fn a_file_that_is_not_published_to_its_end_stays() {
    let mut world = world().await;
    let file = File::new(1);
    register(&world, &file, None, &[("", json!({"state": "counted"}))]).await;
    world.bring(0, &file, 1..=5).await;
    let report = world.nights(NIGHTS).await;
    assert_eq!((report.expired, report.waiting), (0, 1));

    // Its results are put at the tests' time, which the driven clock has left behind.
    world.put(&format!("{}{}.json", names::RESULTS, file.name), "{}").await;
    assert_eq!(world.night().await.expired, 1);
}

/// Of two files that begin alike, either may bring rows of the other.
#[tokio::test]
async fn a_file_waits_for_those_that_begin_as_it_does() {
    let mut world = world().await;
    let [file, longer] = [File::new(1), File::new(2)];
    register(&world, &file, Some(HEAD), &[("", json!({"state": "counted"}))]).await;
    let counted = json!({"state": "counted"});
    let heads = |state: &Value| json!({"entries": [entry(&file, &counted), entry(&longer, state)]}).to_string();
    let key = format!("heads/{HEAD}.json");
    world.put(&format!("{}{}.json", names::RESULTS, file.name), "{}").await;
    world.put(&key, &heads(&counted)).await;
    world.bring(0, &file, 1..=5).await;
    assert_eq!(world.nights(NIGHTS).await.waiting, 1);

    // It is published, and being taken back.
    world.put(&format!("{}{}.json", names::RESULTS, longer.name), "{}").await;
    let held = json!({"source_id": NO_ID, "version": longer.name, "to_line": 5, "counts": true});
    let by = format!("{}@1-2", longer.name);
    world.put(&key, &heads(&json!({"state": "withdrawn", "by": by, "taken_back": [held]}))).await;
    assert_eq!(world.night().await.waiting, 1);
    world.put(&format!("withdrawals/{}.json", longer.name), "{}").await;
    assert_eq!(world.night().await.expired, 1);
}

/// It waited for a person, and another version came: nothing of it is ever published.
#[tokio::test]
async fn a_version_that_was_passed_over_has_no_results() {
    let mut world = world().await;
    let file = File::new(1);
    let superseded = json!({"state": "superseded", "by": format!("{}@3-4", file.name)});
    register(&world, &file, None, &[("", json!({"state": "counted"})), ("@1-2", superseded)]).await;
    world.put(&format!("{}{}.json", names::RESULTS, file.name), "{}").await;
    world.bring(0, &file, 1..=5).await;
    assert_eq!(world.nights(NIGHTS).await.expired, 1);
}

/// It grew, its newest piece waited, and another version came and replaced it: the pieces before are published and taken back.
#[tokio::test]
async fn a_file_whose_newest_piece_was_passed_over_goes_when_those_before_are_taken_back() {
    let mut world = world().await;
    let file = File::new(1);
    let name = file.name.as_str();
    let [second, third] = [100, 200].map(|from_byte: u64| format!("{name}+{from_byte:020}"));
    let by = format!("{name}@3-4");
    register(&world, &file, Some(HEAD), &[("", json!({"state": "withdrawn", "by": by}))]).await;
    let mut withdrawn = entry(
        &file,
        &json!({
            "state": "withdrawn", "by": by, "last_piece": third,
            "taken_back": [{"source_id": NO_ID, "version": name, "to_line": 5, "counts": true}],
            "ends": [{"rows": 5, "digest": NO_DIGEST, "next_byte": 200}],
        }),
    );
    withdrawn["last"]["decision"] = json!({"state": "superseded", "by": by});
    world.put(&format!("heads/{HEAD}.json"), &json!({"entries": [withdrawn]}).to_string()).await;
    for piece in [name, &second, &third] {
        world.put(&format!("landing/{piece}"), "").await;
    }
    world.put(&format!("results/{name}.json"), "{}").await;
    world.bring(0, &file, 1..=5).await;
    assert_eq!(world.nights(NIGHTS).await.waiting, 1);
    world.put(&format!("results/{second}.json"), "{}").await;
    assert_eq!(world.night().await.waiting, 1);
    world.put(&format!("withdrawals/{second}.json"), "{}").await;
    assert_eq!(world.night().await.expired, 1);
}

#[tokio::test]
async fn where_nothing_is_left_in_the_log_it_ends_at_its_beginning() {
    let world = world().await;
    let kafka = kafka_sink::Config::plaintext(test_support::broker().await);
    let ends = async || {
        let within = std::time::Duration::from_secs(30);
        let ends = reconcile::log_ends(&kafka, &world.topics, world.epoch, within).await.unwrap();
        ends.iter().map(|(_, end)| *end).collect::<Vec<_>>()
    };
    assert_eq!(ends().await, [0, 0]);
    world.publish(1, 3).await;
    assert_eq!(ends().await, [0, 3]);
}
