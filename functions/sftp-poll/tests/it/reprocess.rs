use expect_test::expect;
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};
use telecom::FileName;

use crate::{Fixture, HOUR};

const NAME: &str = "cdr_data_20240101_000000.csv";

#[tokio::test]
async fn a_landed_file_is_announced_again() {
    let fixture = Fixture::start().await;
    fixture.deliver(NAME, b"x", HOUR);
    let event = Event::Reprocess(FileName::parse(NAME).unwrap());
    let error = handle(&fixture.deps().await, event, Deadline::NONE).await.unwrap_err();
    expect!["cdr_data_20240101_000000.csv can't be reprocessed: the lake has no landing/cdr_data_20240101_000000.csv; a file that lies on the SFTP server lands by itself"].assert_eq(&error.to_string());

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
