//! What keeps a file's entries: records that wait, and rows that may still come.

use lake::names;

use crate::world::{File, World};

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
    let register = format!(r#"{{"versions":[{{"last_piece":"{0}"}}]}}"#, file.name);
    world.put(&format!("files/{}.json", file.name), &register).await;
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
    let register = format!(r#"{{"versions":[{{"last_piece":"{0}","head":"00ff"}}]}}"#, file.name);
    world.put(&format!("files/{}.json", file.name), &register).await;
    let heads = |state: &str, taken_back: &str, decision: &str| {
        format!(
            r#"{{"entries":[{{"last_piece":"{0}","state":"counted"}},{{"last_piece":"{1}","state":"{state}",
                "taken_back":[{taken_back}],"last":{{"decision":{{"state":"{decision}"}}}}}}]}}"#,
            file.name, longer.name
        )
    };
    world.put(&format!("{}{}.json", names::RESULTS, file.name), "{}").await;
    world.put("heads/00ff.json", &heads("counted", "", "counted")).await;
    world.bring(0, &file, 1..=5).await;
    assert_eq!(world.nights(NIGHTS).await.waiting, 1);

    // It is published, and being taken back.
    world.put(&format!("{}{}.json", names::RESULTS, longer.name), "{}").await;
    world.put("heads/00ff.json", &heads("withdrawn", r#"{"to_line":5}"#, "counted")).await;
    assert_eq!(world.night().await.waiting, 1);
    world.put(&format!("withdrawals/{}.json", longer.name), "{}").await;
    assert_eq!(world.night().await.expired, 1);
}

/// It waited for a person, and another version came: nothing of it is ever published.
#[tokio::test]
async fn a_version_that_was_passed_over_has_no_results() {
    let mut world = world().await;
    let file = File::new(1);
    let register = format!(
        r#"{{"versions":[{{"last_piece":"{0}","decision":{{"state":"counted"}}}},
            {{"last_piece":"{0}@1-2","decision":{{"state":"superseded","by":"{0}@3-4"}}}}]}}"#,
        file.name
    );
    world.put(&format!("files/{}.json", file.name), &register).await;
    world.put(&format!("{}{}.json", names::RESULTS, file.name), "{}").await;
    world.bring(0, &file, 1..=5).await;
    assert_eq!(world.nights(NIGHTS).await.expired, 1);
}

#[tokio::test]
async fn where_nothing_is_left_in_the_log_it_ends_at_its_beginning() {
    let world = world().await;
    let kafka = kafka_sink::Config::plaintext(test_support::broker().await);
    let ends = reconcile::log_ends(&kafka, &world.stream(), std::time::Duration::from_secs(30)).await.unwrap();
    assert!(ends.iter().map(|(_, end)| *end).eq([0, 0]));
    world.publish(1, 3).await;
    let ends = reconcile::log_ends(&kafka, &world.stream(), std::time::Duration::from_secs(30)).await.unwrap();
    assert!(ends.iter().map(|(_, end)| *end).eq([0, 3]));
}
