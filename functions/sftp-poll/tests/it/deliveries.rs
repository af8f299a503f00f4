//! Files that come twice, in each way that senders have, on OpenSSH's server and an S3 protocol server: what is counted in
//! the end.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use sftp_poll::{Event, Report};
use telecom::FileName;

use crate::published::Counted;
use crate::{Fixture, HEADER, HOUR, NOTHING, Server, calls, file_of};

const FIRST: &str = "cdr_voice_20240301_100000.csv";
const SECOND: &str = "cdr_voice_20240301_100001.csv";

async fn start() -> Fixture {
    Fixture::on(Server::OpenSsh(Arc::new(test_support::sshd().await))).await
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn seconds(seconds: u64) -> Counted {
    Counted { seconds, ..Counted::default() }
}

fn name(name: &str) -> FileName {
    FileName::parse(name).unwrap()
}

/// One file after the other: what both polls reported, and what counts then.
async fn deliver_both(fixture: &Fixture, first: (&str, &[u8]), second: (&str, &[u8])) -> ([Report; 2], Counted) {
    fixture.deliver(first.0, first.1, 2 * HOUR);
    let one = fixture.poll().await;
    fixture.publish().await;
    fixture.deliver(second.0, second.1, HOUR);
    let two = fixture.poll().await;
    let counted = fixture.counted().await;
    // Nothing is left to do.
    let conflicts = two.conflicts;
    assert_eq!(fixture.poll().await, Report { conflicts, ..Report::default() });
    ([one, two], counted)
}

const LANDED: Report = Report { landed: 1, announced: 1, ..NOTHING };

#[tokio::test]
async fn a_compressed_copy_counts_no_call_twice() {
    let fixture = start().await;
    let text = file_of(0..3);
    fixture.deliver(FIRST, text.as_bytes(), 2 * HOUR);
    assert_eq!(fixture.poll().await, LANDED);
    fixture.publish().await;
    // As where a rotation compresses the file in its place.
    fs::remove_file(fixture.path(FIRST)).unwrap();
    fixture.deliver(&format!("{FIRST}.gz"), &gzip(&text), HOUR);
    assert_eq!(fixture.poll().await, LANDED);
    assert_eq!(fixture.counted().await, Counted { duplicates: 3, ..seconds(300) });
}

#[tokio::test]
async fn other_line_ends_make_no_other_file() {
    let text = file_of(0..3);
    let again = text.replace('\n', "\r\n");
    let (reports, counted) = deliver_both(&start().await, (FIRST, text.as_bytes()), (SECOND, again.as_bytes())).await;
    assert_eq!((reports, counted), ([LANDED; 2], Counted { duplicates: 3, ..seconds(300) }));
}

#[tokio::test]
async fn the_same_bytes_again_are_duplicates() {
    let text = file_of(0..3);
    let (reports, counted) = deliver_both(&start().await, (FIRST, text.as_bytes()), (SECOND, text.as_bytes())).await;
    assert_eq!((reports, counted), ([LANDED; 2], Counted { duplicates: 3, ..seconds(300) }));
}

#[tokio::test]
async fn half_a_line_is_waited_for() {
    let fixture = start().await;
    let row = "27820000003,7,voice,27820090000,1800,2024-03-01 10:00:00\n";
    let whole = format!("{HEADER}{}{row}", calls(0..1));
    // It pauses inside the number of seconds, for longer than a file takes to settle.
    let half = &whole[..whole.len() - row.len() + 34];
    assert!(half.ends_with(",18"));
    fixture.deliver(FIRST, half.as_bytes(), 5 * MINUTE);
    assert_eq!(fixture.poll().await, LANDED);
    assert_eq!(fixture.counted().await, seconds(100));
    assert_eq!(fixture.poll().await, Report { waiting_lines: 1, ..Report::default() });
    fixture.deliver(FIRST, whole.as_bytes(), MINUTE / 2);
    // What has landed once is followed at once.
    assert_eq!(fixture.poll().await, Report { grown: 1, announced: 1, ..Report::default() });
    assert_eq!(fixture.counted().await, seconds(1_900));
}

#[tokio::test]
async fn a_last_line_without_a_line_end_is_taken_once_the_file_has_lain_still() {
    let fixture = start().await;
    let text = file_of(0..3);
    fixture.deliver(FIRST, text.trim_end().as_bytes(), 5 * MINUTE);
    assert_eq!(fixture.poll().await, LANDED);
    assert_eq!(fixture.counted().await, seconds(200));
    fixture.touch(FIRST, 20 * MINUTE);
    assert_eq!(fixture.poll().await, Report { grown: 1, announced: 1, ..Report::default() });
    assert_eq!(fixture.counted().await, seconds(300));
    // Its end may still come, and more behind it.
    fixture.deliver(FIRST, file_of(0..4).as_bytes(), MINUTE);
    assert_eq!(fixture.poll().await, Report { grown: 1, announced: 1, ..Report::default() });
    assert_eq!(fixture.counted().await, seconds(400));
    assert_eq!(fixture.poll().await, Report::default());
}

#[tokio::test]
async fn a_line_that_was_taken_and_then_grows_waits_for_a_person() {
    let fixture = start().await;
    let cut = file_of(0..3);
    let cut = &cut[..cut.len() - 2];
    fixture.deliver(FIRST, cut.as_bytes(), HOUR);
    assert_eq!(fixture.poll().await, LANDED);
    fixture.publish().await;
    fixture.deliver(FIRST, file_of(0..3).as_bytes(), HOUR / 2);
    assert_eq!(fixture.poll().await, Report { changed: 1, conflicts: 1, ..Report::default() });
}

#[tokio::test]
async fn a_compressed_file_that_was_cut_comes_whole_under_its_name() {
    let fixture = start().await;
    let gz = gzip(&file_of(0..600));
    let name = format!("{FIRST}.gz");
    let (reports, counted) = deliver_both(&fixture, (&name, &gz[..gz.len() / 2]), (&name, &gz)).await;
    let second = Report { landed: 0, changed: 1, ..LANDED };
    assert_eq!((reports, counted), ([LANDED, second], seconds(60_000)));
}

#[tokio::test]
async fn a_file_that_was_cut_comes_whole_under_another_name() {
    let (first, second) = (file_of(0..2), file_of(0..4));
    let (reports, counted) = deliver_both(&start().await, (FIRST, first.as_bytes()), (SECOND, second.as_bytes())).await;
    assert_eq!((reports, counted), ([LANDED; 2], seconds(400)));
}

#[tokio::test]
async fn a_file_that_is_delivered_shorter_than_before_counts_nothing_again() {
    let (first, second) = (file_of(0..4), file_of(0..2));
    let (reports, counted) = deliver_both(&start().await, (FIRST, first.as_bytes()), (SECOND, second.as_bytes())).await;
    assert_eq!((reports, counted), ([LANDED; 2], seconds(400)));
}

/// A file of three calls, of which the second one is of other seconds.
fn corrected(duration: &str) -> String {
    let rows = [calls(0..1), calls(1..2).replacen(",100,", &format!(",{duration},"), 1), calls(2..3)];
    format!("{HEADER}{}", rows.concat())
}

#[tokio::test]
async fn a_corrected_file_under_its_name_waits_and_takes_the_place_of_the_first() {
    let fixture = start().await;
    let (first, second) = (corrected("100"), corrected("60"));
    let (reports, counted) = deliver_both(&fixture, (FIRST, first.as_bytes()), (FIRST, second.as_bytes())).await;
    let waits = Report { changed: 1, conflicts: 1, ..Report::default() };
    assert_eq!((reports, counted), ([LANDED, waits], seconds(300)));
    fixture.decide(Event::Replace(name(FIRST))).await.unwrap();
    assert_eq!(fixture.counted().await, Counted { withdrawn: 3, ..seconds(260) });
    assert_eq!(fixture.poll().await, Report::default());
}

#[tokio::test]
async fn a_repaired_file_under_another_name_waits_and_takes_the_place_of_the_first() {
    let fixture = start().await;
    let (first, second) = (corrected("1x0"), corrected("100"));
    let (reports, counted) = deliver_both(&fixture, (FIRST, first.as_bytes()), (SECOND, second.as_bytes())).await;
    let waits = Report { landed: 1, conflicts: 1, ..Report::default() };
    assert_eq!((reports, counted), ([LANDED, waits], seconds(200)));
    fixture.decide(Event::Replace(name(SECOND))).await.unwrap();
    assert_eq!(fixture.counted().await, Counted { withdrawn: 2, ..seconds(300) });
    assert_eq!(fixture.poll().await, Report::default());
}

/// What has grown under its name goes on under another one: a rotation that moves the file and begins it anew.
#[tokio::test]
async fn a_rotation_counts_every_call_once() {
    let fixture = start().await;
    fixture.deliver(FIRST, file_of(0..3).as_bytes(), HOUR);
    assert_eq!(fixture.poll().await, LANDED);
    fixture.publish().await;
    fixture.deliver(SECOND, file_of(0..5).as_bytes(), HOUR / 2);
    fixture.deliver(FIRST, file_of(100..102).as_bytes(), HOUR / 2);
    let rotated = fixture.poll().await;
    assert_eq!((rotated.landed, rotated.changed, rotated.conflicts), (1, 1, 0));
    assert_eq!(fixture.counted().await, seconds(700));
}

const MINUTE: std::time::Duration = std::time::Duration::from_mins(1);
