use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use lake::names;
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};

use crate::{Fixture, HEADER, HOUR, calls, file_of};

const NAME: &str = "cdr_voice_20240101_000000.csv";

#[tokio::test]
async fn a_file_that_changes_after_landing_is_kept_beside_the_first_and_waits() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, file_of(0..3).as_bytes(), HOUR);
    let deps = fixture.deps().await;
    let poll = async || handle(&deps, Event::Poll, Deadline::NONE).await.unwrap();
    poll().await;
    fixture.publish().await;

    let changed = Report { changed: 1, conflicts: 1, ..Report::default() };
    let waits = Report { conflicts: 1, ..Report::default() };
    fixture.deliver(NAME, file_of(10..14).as_bytes(), HOUR / 2);
    assert_eq!(poll().await, changed);
    // The same again, in this process and in another one: nothing.
    assert_eq!(poll().await, waits);
    assert_eq!(fixture.poll().await, waits);
    // And once more, a shorter one: the newest version waits, the one before it does no more.
    fixture.deliver(NAME, file_of(20..22).as_bytes(), HOUR / 3);
    assert_eq!(poll().await, changed);
    assert_eq!(poll().await, waits);

    let landed: Vec<_> =
        fixture.objects().await.into_iter().filter(|(key, _)| key.starts_with(names::LANDING)).collect();
    let sizes: Vec<_> = landed.iter().map(|(_, content)| content.lines().count() - 1).collect();
    assert_eq!(sizes, [3, 4, 2]);
    assert_eq!(fixture.announced().await, [NAME]);
    assert_eq!(fixture.counted().await.seconds, 300);
}

#[tokio::test]
async fn a_version_of_which_nothing_was_counted_gives_way() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, file_of(0..3).replace("start_time", "begin").as_bytes(), HOUR);
    fixture.poll().await;
    assert_eq!(fixture.counted().await.seconds, 0);
    fixture.deliver(NAME, file_of(0..3).as_bytes(), HOUR / 2);
    assert_eq!(fixture.poll().await, Report { changed: 1, announced: 1, ..Report::default() });
    assert_eq!(fixture.counted().await.seconds, 300);
}

#[tokio::test]
async fn a_file_that_was_only_touched_is_read_once_and_not_reported() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, file_of(0..3).as_bytes(), HOUR);
    fixture.poll().await;
    fixture.publish().await;
    fixture.touch(NAME, HOUR / 2);
    assert_eq!(fixture.poll().await, Report::default());
    let objects = fixture.objects().await;
    assert_eq!(objects.keys().filter(|key| key.starts_with(names::LANDING)).count(), 1);
    // It can't be read any more, and is not.
    fs::set_permissions(fixture.path(NAME), PermissionsExt::from_mode(0o000)).unwrap();
    assert_eq!(fixture.poll().await, Report::default());
}

#[tokio::test]
async fn a_file_that_is_still_written_to_is_left_alone() {
    let mut fixture = Fixture::start().await;
    // Nothing but the copy's own check protects it.
    fixture.config.servers[0].habits.settle_s = 0;
    fixture.deliver(NAME, file_of(0..80_000).as_bytes(), HOUR);
    let deps = fixture.deps().await;
    let writer = async {
        for number in 0..200 {
            use std::io::Write;
            let row = calls(number..number + 1);
            fs::File::options().append(true).open(fixture.path(NAME)).unwrap().write_all(row.as_bytes()).unwrap();
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let polled = tokio::select! {
        polled = handle(&deps, Event::Poll, Deadline::NONE) => polled.unwrap(),
        () = writer => panic!("the poll did not end"),
    };
    assert_eq!(polled, Report { settling: 1, ..Report::default() });
    assert!(fixture.objects().await.keys().all(|key| !key.starts_with(names::LANDING)));
    // Now it is whole.
    let rows = fs::read_to_string(fixture.path(NAME)).unwrap().lines().count() - HEADER.lines().count();
    assert_eq!(handle(&deps, Event::Poll, Deadline::NONE).await.unwrap().landed, 1);
    assert_eq!(fixture.counted().await.seconds, rows as u64 * 100);
}
