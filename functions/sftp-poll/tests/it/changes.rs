use std::fs;
use std::time::Duration;

use expect_test::expect;
use lake::{Digest, names};
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};

use crate::{Fixture, HOUR};

const NAME: &str = "cdr_data_20240101_000000.csv";

#[tokio::test]
async fn a_file_that_changes_after_landing_is_kept_beside_the_first() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, b"first", HOUR);
    let deps = fixture.deps().await;
    handle(&deps, Event::Poll, Deadline::NONE).await.unwrap();

    fixture.deliver(NAME, b"second version", HOUR / 2);
    assert_eq!(handle(&deps, Event::Poll, Deadline::NONE).await.unwrap(), Report { changed: 1, ..Report::default() });
    // The same again, in this process and in another one: nothing.
    assert_eq!(handle(&deps, Event::Poll, Deadline::NONE).await.unwrap(), Report::default());
    assert_eq!(fixture.poll().await, Report::default());
    // And once more.
    fixture.deliver(NAME, b"third", HOUR / 3);
    assert_eq!(handle(&deps, Event::Poll, Deadline::NONE).await.unwrap(), Report { changed: 1, ..Report::default() });

    let objects = fixture.objects().await;
    assert_eq!(objects[&names::landing(NAME)], "first");
    assert_eq!(objects[&names::landing_version(NAME, &Digest::of(b"second version"))], "second version");
    assert_eq!(objects[&names::landing_version(NAME, &Digest::of(b"third"))], "third");
    assert_eq!(fixture.announced().await, [NAME]);
    let note = objects.iter().find(|(key, _)| key.starts_with("changed/cdr_data_20240101_000000.csv/14-")).unwrap();
    let mut note: serde_json::Value = serde_json::from_str(note.1).unwrap();
    note["mtime"] = 0.into();
    expect![[r#"
        {
          "bytes": 14,
          "key": "landing/cdr_data_20240101_000000.csv.ebfa015966891a400bf353bdf8ef30444a71b1751e2808ef6c014db34d168d85",
          "mtime": 0,
          "sha256": "ebfa015966891a400bf353bdf8ef30444a71b1751e2808ef6c014db34d168d85",
          "source_id": "ebfa015966891a40"
        }"#]].assert_eq(&serde_json::to_string_pretty(&note).unwrap());
}

#[tokio::test]
async fn a_file_that_was_only_touched_is_read_once_and_not_reported() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, b"first", HOUR);
    fixture.poll().await;
    fixture.touch(NAME, HOUR / 2);
    assert_eq!(fixture.poll().await, Report::default());
    let objects = fixture.objects().await;
    assert_eq!(objects.keys().filter(|key| key.starts_with(names::LANDING)).count(), 1);
    assert_eq!(objects.keys().filter(|key| key.starts_with(names::CHANGED)).count(), 1);
    // It can't be read any more, and is not.
    fs::set_permissions(fixture.path(NAME), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    assert_eq!(fixture.poll().await, Report::default());
}

#[tokio::test]
async fn a_file_that_is_still_written_to_is_left_alone() {
    let mut fixture = Fixture::start().await;
    // Nothing but the copy's own check protects it.
    fixture.config.settings.settle_s = 0;
    fixture.deliver(NAME, &vec![b'x'; 4 << 20], HOUR);
    let deps = fixture.deps().await;
    let writer = async {
        for _ in 0..200 {
            use std::io::Write;
            fs::File::options().append(true).open(fixture.path(NAME)).unwrap().write_all(&[b'y'; 100]).unwrap();
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let polled = tokio::select! {
        polled = handle(&deps, Event::Poll, Deadline::NONE) => polled.unwrap(),
        () = writer => panic!("the poll did not end"),
    };
    assert_eq!(polled, Report { settling: 1, ..Report::default() });
    assert!(fixture.lake.head(&names::landing(NAME)).await.unwrap().is_none());
    // Now it is whole.
    let content = fs::read(fixture.path(NAME)).unwrap();
    assert_eq!(handle(&deps, Event::Poll, Deadline::NONE).await.unwrap().landed, 1);
    assert_eq!(fixture.announcements().await[0].sha256, Digest::of(&content));
}
