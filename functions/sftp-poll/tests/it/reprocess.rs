use expect_test::expect;
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};
use telecom::FileName;

use crate::published::Counted;
use crate::{Fixture, HOUR, file_of};

const NAME: &str = "cdr_data_20240101_000000.csv";

#[tokio::test]
async fn a_landed_file_is_announced_again() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, b"x", HOUR);
    let event = Event::Reprocess(FileName::parse(NAME).unwrap());
    let error = handle(&fixture.deps().await, event, Deadline::NONE).await.unwrap_err();
    expect!["cdr_data_20240101_000000.csv can't be reprocessed: it has not landed; a file that lies on the SFTP server lands by itself"].assert_eq(&error.to_string());

    fixture.poll().await;
    let objects = fixture.objects().await;
    for _ in 0..2 {
        let report = handle(&fixture.deps().await, event, Deadline::NONE).await.unwrap();
        assert_eq!(report, Report { announced: 1, ..Report::default() });
    }
    let announcements = fixture.announcements().await;
    assert_eq!(announcements.len(), 3);
    assert!(announcements.iter().all(|announcement| *announcement == announcements[0]));
    assert_eq!(fixture.objects().await, objects);
}

/// Whole, in its pieces, and as often as it is asked for: each row has the number that it had.
#[tokio::test]
async fn a_file_that_has_grown_is_announced_again_with_all_its_pieces() {
    let fixture = Fixture::start().await;
    let name = "cdr_voice_20240301_100000.csv";
    for calls in [3, 5, 6] {
        fixture.deliver(name, file_of(0..calls).as_bytes(), HOUR);
        fixture.poll().await;
        fixture.publish().await;
    }
    let event = Event::Reprocess(FileName::parse(name).unwrap());
    for _ in 0..2 {
        handle(&fixture.deps().await, event, Deadline::NONE).await.unwrap();
    }
    assert_eq!(fixture.counted().await, Counted { seconds: 600, duplicates: 12, withdrawn: 0 });
}
