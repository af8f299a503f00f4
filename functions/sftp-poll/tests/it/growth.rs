//! A file that grows, while invocations end anywhere.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};
use test_support::cut_off;

use crate::{Fixture, HEADER, Server, calls};

const NAME: &str = "cdr_voice_20240301_100000.csv";
/// By which it grows each time.
const CALLS: u32 = 3;

#[tokio::test]
async fn a_file_that_grows_counts_each_call_once_whatever_ends_in_between() {
    let mut fixture = Fixture::on(Server::OpenSsh(Arc::new(test_support::sshd().await))).await;
    fixture.config.servers[0].habits.settle_s = 0;
    fs::write(fixture.path(NAME), HEADER).unwrap();
    let mut file = fs::File::options().append(true).open(fixture.path(NAME)).unwrap();
    // Each invocation comes a little further before it ends, until one comes to its end.
    let mut appended = 0;
    for waits in (0..).step_by(3) {
        // A line and a half, and later the rest of it.
        let text = calls(appended..appended + CALLS);
        let (now, later) = text.split_at(text.len() - 20);
        file.write_all(now.as_bytes()).unwrap();
        let ended = cut_off(handle(&fixture.deps().await, Event::Poll, Deadline::NONE), waits).await;
        fixture.publish().await;
        file.write_all(later.as_bytes()).unwrap();
        appended += CALLS;
        if ended.is_some_and(|report| report.unwrap().grown > 0) && waits > 60 {
            break;
        }
    }
    // The last piece comes once the one before it is published.
    while fixture.poll().await != Report::default() {
        fixture.publish().await;
    }
    assert_eq!(fixture.counted().await.seconds, u64::from(appended) * 100);
    assert_eq!(fixture.counted().await.duplicates, 0);
}
