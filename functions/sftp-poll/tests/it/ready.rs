//! When a file is whole, what becomes of it on the server then, and looking for more than a moment.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lambda_boot::Deadline;
use sftp_poll::{After, Event, Ready, Report, Watch, handle};
use test_support::{Line, cut_off};

use crate::{Fixture, HEADER, HOUR, NOTHING, PATIENCE, calls, file_of};

const NAME: &str = "cdr_voice_20240301_100000.csv";
const TAKEN: Report = Report { announced: 1, landed: 1, ..NOTHING };
const CLEARED: Report = Report { cleared: 1, ..NOTHING };

/// A file without a line end at its end.
fn open_file() -> String {
    file_of(0..3).trim_end().to_owned()
}

#[tokio::test]
async fn a_file_that_comes_by_rename_is_whole_at_once() {
    let mut fixture = Fixture::start().await;
    fixture.config.servers[0].habits.ready = Ready::Rename;
    fs::write(fixture.path(&format!("{NAME}.part")), open_file()).unwrap();
    assert_eq!(fixture.poll().await, NOTHING);
    fs::rename(fixture.path(&format!("{NAME}.part")), fixture.path(NAME)).unwrap();
    assert_eq!(fixture.poll().await, TAKEN);
    fixture.publish().await;
    assert_eq!(fixture.counted().await.seconds, 300);
    assert_eq!(fixture.poll().await, NOTHING);
}

#[tokio::test]
async fn a_file_with_a_marker_is_whole_at_once() {
    let mut fixture = Fixture::start().await;
    fixture.config.servers[0].habits.ready = Ready::Marker(".done".to_owned());
    fixture.deliver(NAME, open_file().as_bytes(), HOUR);
    fixture.deliver("cdr_voice_20240301_110000.csv.done", b"", HOUR);
    assert_eq!(fixture.poll().await, Report { settling: 1, ..NOTHING });
    // One that was left by an earlier file.
    fixture.deliver(&format!("{NAME}.done"), b"", 2 * HOUR);
    assert_eq!(fixture.poll().await, Report { settling: 1, ..NOTHING });
    fixture.touch(&format!("{NAME}.done"), HOUR);
    assert_eq!(fixture.poll().await, TAKEN);
    fixture.publish().await;
    assert_eq!(fixture.counted().await.seconds, 300);
    fixture.config.servers[0].habits.after = After::Delete;
    assert_eq!(fixture.poll().await, CLEARED);
    assert!(!fixture.path(NAME).exists() && !fixture.path(&format!("{NAME}.done")).exists());
}

#[tokio::test]
async fn a_file_is_deleted_when_all_of_it_has_landed_and_is_announced() {
    for mut fixture in Fixture::on_each().await {
        fixture.config.servers[0].habits.after = After::Delete;
        fixture.deliver(NAME, open_file().as_bytes(), Duration::from_secs(100));
        assert_eq!(fixture.poll().await, TAKEN);
        // Its last line has not been taken yet.
        assert_eq!(fixture.poll().await, Report { waiting_lines: 1, ..NOTHING });
        fixture.publish().await;
        fixture.touch(NAME, HOUR);
        assert_eq!(fixture.poll().await, Report { grown: 1, announced: 1, ..NOTHING });
        assert!(fixture.path(NAME).exists());
        assert_eq!(fixture.poll().await, CLEARED);
        assert!(!fixture.path(NAME).exists());
        assert_eq!(fixture.poll().await, NOTHING);
        fixture.publish().await;
        assert_eq!(fixture.counted().await.seconds, 300);
    }
}

#[tokio::test]
async fn a_file_that_waits_for_a_person_stays() {
    let mut fixture = Fixture::start().await;
    fixture.config.servers[0].habits.after = After::Delete;
    let other = "cdr_voice_20240301_110000.csv";
    fixture.deliver(NAME, file_of(0..10).as_bytes(), HOUR);
    fixture.poll().await;
    fixture.publish().await;
    fixture.deliver(other, format!("{HEADER}{}{}", calls(100..101), calls(1..10)).as_bytes(), HOUR);
    assert_eq!(fixture.poll().await, Report { landed: 1, conflicts: 1, cleared: 1, ..NOTHING });
    assert_eq!(fixture.poll().await, Report { conflicts: 1, ..NOTHING });
    assert!(fixture.path(other).exists() && !fixture.path(NAME).exists());
    let drop = Event::Drop(telecom::FileName::parse(other).unwrap());
    handle(&fixture.deps().await, drop, Deadline::NONE).await.unwrap();
    assert_eq!(fixture.poll().await, CLEARED);
}

#[tokio::test]
async fn a_file_is_moved_and_never_over_another_one() {
    for mut fixture in Fixture::on_each().await {
        fixture.config.servers[0].habits.after = After::Move("done".to_owned());
        fixture.deliver(NAME, file_of(0..3).as_bytes(), HOUR);
        assert_eq!(fixture.poll().await, TAKEN);
        let error = handle(&fixture.deps().await, Event::Poll, Deadline::NONE).await.unwrap_err();
        let expected = format!(
            "polling failed after 0 files were announced (failures: 1): SFTP_AFTER: clearing {NAME} away: is there a folder \
             done on the SFTP server? Create it: "
        );
        assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
        fs::create_dir(fixture.path("done")).unwrap();
        // The server's user is another one than the tests'.
        fs::set_permissions(fixture.path("done"), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(fixture.poll().await, CLEARED);
        // The same once more, with another time.
        fixture.deliver(NAME, file_of(0..3).as_bytes(), 2 * HOUR);
        fixture.poll().await;
        assert_eq!(fixture.poll().await, CLEARED);
        let mut moved: Vec<_> =
            fs::read_dir(fixture.path("done")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        moved.sort();
        assert_eq!(moved, [NAME.to_owned(), format!("{NAME}.2")].map(std::ffi::OsString::from));
        fixture.publish().await;
        assert_eq!(fixture.counted().await.seconds, 300);
    }
}

#[tokio::test]
async fn nothing_is_deleted_before_it_is_announced_whatever_ends_in_between() {
    let mut fixture = Fixture::start().await;
    fixture.config.servers[0].habits.after = After::Delete;
    fixture.deliver(NAME, file_of(0..3).as_bytes(), HOUR);
    for waits in 0.. {
        let ended = cut_off(handle(&fixture.deps().await, Event::Poll, Deadline::NONE), waits).await;
        if !fixture.path(NAME).exists() {
            assert!(!fixture.announced().await.is_empty(), "deleted after {waits} steps, and never announced");
        }
        if ended.is_some() && !fixture.path(NAME).exists() {
            break;
        }
    }
    fixture.publish().await;
    assert_eq!(fixture.counted().await.seconds, 300);
}

#[tokio::test]
async fn files_that_come_while_it_looks_are_taken_also_over_a_line_that_breaks() {
    let fixture = Fixture::start().await;
    let line = fixture.line(Line::default()).await;
    let deps = sftp_poll::Deps::connect(&fixture.over(&line)).await.unwrap();
    let watch = Watch { every: Duration::from_millis(20), lasts: PATIENCE };
    let watching = handle(&deps, Event::Watch(watch), Deadline::NONE);
    let delivering = async {
        for number in 0..3 {
            fixture.deliver(
                &format!("cdr_voice_20240301_{number:02}0000.csv"),
                file_of(number..number + 1).as_bytes(),
                HOUR,
            );
            while fixture.announced().await.len() <= number as usize {}
            line.cut();
        }
    };
    tokio::select! {
        ended = watching => panic!("it ended by itself: {ended:?}"),
        () = delivering => {}
    }
}

#[tokio::test]
async fn looking_ends_in_time_and_tells_all_that_was_done() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, file_of(0..3).as_bytes(), HOUR);
    fixture.deliver("README", b"", HOUR);
    let watch = Watch { every: Duration::from_millis(10), lasts: Duration::from_millis(100) };
    let watched = handle(&fixture.deps().await, Event::Watch(watch), Deadline::NONE).await.unwrap();
    assert_eq!(watched, Report { unmatched: 1, ..TAKEN });
    // However long it may look: the invocation's own time is shorter.
    let watch = Watch { lasts: 10 * HOUR, ..watch };
    let deadline = Deadline::after(Duration::from_millis(10_100));
    let watched = handle(&fixture.deps().await, Event::Watch(watch), deadline).await.unwrap();
    assert_eq!(watched, Report { unmatched: 1, ..NOTHING });
}
