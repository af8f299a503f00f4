use std::fs;

use futures::{StreamExt, stream};
use lake::Digest;
use lake::names;
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};
use telecom::FileName;
use test_support::cut_off;

use crate::{Fixture, HOUR, piece};

/// The invocation ends at each of its waits in turn; the next one, in a new process, brings everything to its end.
#[tokio::test]
async fn after_a_crash_anywhere_the_next_poll_makes_it_whole() {
    // Side by side, as they mostly wait.
    let mut ended = stream::iter((0..).map(crash_after)).buffered(16);
    let mut crashes = 0;
    while !ended.next().await.unwrap() {
        crashes += 1;
    }
    assert!(crashes > 20, "{crashes} crashes are too few to have met every step");
}

/// Whether the invocation came to its end before it was to crash.
async fn crash_after(waits: usize) -> bool {
    let fixture = Fixture::start().await;
    let files = ["cdr_data_20240101_000000.csv", "cdr_voice_20240101_000000.csv"];
    files.iter().for_each(|name| fixture.deliver(name, name.as_bytes(), HOUR));
    let ended = cut_off(handle(&fixture.deps().await, Event::Poll, Deadline::NONE), waits).await.is_some();
    // What the crashed invocation had asked for may still happen meanwhile.
    let report = fixture.poll().await;
    assert_eq!(report.landed + report.recovered, report.announced, "after {waits} waits");
    // Its notes may come as late; each poll removes those it finds.
    assert_eq!(fixture.poll().await, Report::default(), "after {waits} waits");

    let objects = fixture.objects().await;
    let registers = files.map(|name| names::file(&FileName::parse(name).unwrap()));
    let landed = files.map(|name| names::landing(&piece(name)));
    let keys = [&registers[..], &[names::FORMAT.to_owned()], &landed].concat();
    assert!(objects.keys().eq(&keys), "after {waits} waits: {:?}", objects.keys());
    assert!(files.iter().all(|name| objects[&names::landing(&piece(name))] == *name));
    let announcements = fixture.announcements().await;
    assert!(files.iter().all(|name| announcements.iter().any(|announcement| announcement.name.as_str() == *name)));
    assert!(announcements.iter().all(|a| a.sha256 == Digest::of(a.name.as_str().as_bytes())));
    ended
}

/// A file as an invocation leaves it that ends after the copy: in the lake, and neither registered nor announced.
async fn half_done(fixture: &Fixture, name: &str, content: &'static [u8], mtime: &str) {
    fixture.lake.put_if_absent(&names::unannounced(&piece(name)), (&b""[..]).into(), &[]).await.unwrap();
    let metadata = [("mtime", mtime)];
    fixture.lake.put_if_absent(&names::landing(&piece(name)), content.into(), &metadata).await.unwrap();
}

#[tokio::test]
async fn a_copy_that_was_not_announced_is_announced_as_it_landed() {
    let fixture = Fixture::start().await;
    fixture.poll().await;
    let name = "cdr_data_20240101_000000.csv";
    half_done(&fixture, name, b"landed", "1700000000").await;
    // The server's file is another one by now: that is for the poll after this one.
    fixture.deliver(name, b"changed since", HOUR);
    assert_eq!(fixture.poll().await, Report { recovered: 1, announced: 1, ..Report::default() });
    let announced = fixture.announcements().await;
    assert_eq!((announced.len(), announced[0].sha256, announced[0].bytes), (1, Digest::of(b"landed"), 6));
    fixture.publish().await;
    assert_eq!(fixture.poll().await, Report { changed: 1, announced: 1, ..Report::default() });
    assert_eq!(fixture.poll().await, Report::default());
}

#[tokio::test]
async fn a_copy_that_was_not_announced_is_found_without_the_server() {
    let fixture = Fixture::start().await;
    fixture.poll().await;
    half_done(&fixture, "cdr_data_20240101_000000.csv", b"landed", "1700000000").await;
    half_done(&fixture, "cdr_voice_20230101_000000.csv", b"earlier", "1700000000").await;
    // Taken from the server before it was copied.
    let gone = names::unannounced(&piece("cdr_data_20240102_000000.csv"));
    fixture.lake.put_if_absent(&gone, (&b""[..]).into(), &[]).await.unwrap();
    assert_eq!(fixture.poll().await, Report { recovered: 2, announced: 2, ..Report::default() });
    assert_eq!(fixture.announced().await, ["cdr_voice_20230101_000000.csv", "cdr_data_20240101_000000.csv"]);
    assert_eq!(fixture.poll().await, Report::default());
    // A note without bytes may be somebody's who is about to put them: it stays for a day.
    let objects = fixture.objects().await;
    let notes: Vec<_> = objects.keys().filter(|key| key.starts_with(names::UNANNOUNCED)).collect();
    assert_eq!(notes, [&gone]);
}

#[tokio::test]
async fn a_large_copy_that_is_cut_off_is_made_anew() {
    let fixture = Fixture::start().await;
    let name = "cdr_data_20240101_000000.csv";
    let large = vec![7; 20 << 20];
    fixture.deliver(name, &large, HOUR);
    // It is there as a whole or not at all, wherever the copy is cut off.
    for waits in (10..).step_by(10) {
        let ended = cut_off(handle(&fixture.deps().await, Event::Poll, Deadline::NONE), waits).await;
        let head = fixture.lake.head(&names::landing(&piece(name))).await.unwrap();
        assert!(head.is_none_or(|head| head.bytes == large.len() as u64), "after {waits} waits");
        if ended.is_some() {
            break;
        }
    }
    fixture.poll().await;
    assert_eq!(fixture.objects().await[&names::landing(&piece(name))], Digest::of(&large).to_string());
    fs::remove_file(fixture.path(name)).unwrap();
    assert_eq!(fixture.poll().await, Report::default());
}
