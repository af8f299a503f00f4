//! Files from servers of other makes, and with other habits.

use std::path::Path;
use std::sync::Arc;

use lake::names;
use sftp_poll::Report;
use test_support::{SftpMake, sftp_peer};

use crate::{Fixture, HOUR, Server, file_of, piece};

const FILES: u32 = 20;
const LANDED: u64 = FILES as u64;

fn name(number: u32) -> String {
    format!("cdr_voice_20240301_{number:02}0000.csv")
}

/// Twenty files land in one poll, each with its own content, and are known in the next one.
async fn check(make: SftpMake, settings: &[&str], are_kept: bool) {
    let fixture = Fixture::on(Server::Peer(Arc::new(sftp_peer(make, settings).await))).await;
    let content = |number: u32| file_of(number * 100..(number + 1) * 100);
    for number in 0..FILES {
        fixture.deliver(&name(number), content(number).as_bytes(), HOUR);
    }
    let taken = Report { landed: LANDED, announced: LANDED, ..Report::default() };
    assert_eq!(fixture.poll().await, taken, "{make:?} {settings:?}");
    for number in 0..FILES {
        assert_eq!(fixture.path(&name(number)).exists(), are_kept, "{make:?} {settings:?}");
    }
    let objects = fixture.objects().await;
    for number in 0..FILES {
        let digest = lake::Digest::of(content(number).as_bytes()).to_string();
        assert_eq!(objects[&names::landing(&piece(&name(number)))], digest, "{make:?} {settings:?}");
    }
    assert_eq!(fixture.poll().await, Report::default(), "{make:?} {settings:?}");
}

#[tokio::test]
async fn a_server_that_allows_two_open_files() {
    check(SftpMake::Mina, &["max-open-handles-per-session=2"], true).await;
}

#[tokio::test]
async fn a_server_that_gives_several_files_one_handle() {
    check(SftpMake::Erlang, &[], true).await;
}

#[tokio::test]
async fn a_listing_without_attributes() {
    check(SftpMake::AsyncSsh, &["bare"], true).await;
}

#[tokio::test]
async fn a_server_that_removes_what_was_read() {
    check(SftpMake::AsyncSsh, &["pick-up"], false).await;
}

/// A link to the newest file is one of the files, by its content; one to nothing is counted as what nobody takes.
#[tokio::test]
async fn links() {
    let fixture = Fixture::on(Server::OpenSsh(Arc::new(test_support::sshd().await))).await;
    fixture.deliver(&name(0), file_of(0..3).as_bytes(), HOUR);
    let link = |to: &Path, from: &str| std::os::unix::fs::symlink(to, fixture.path(from)).unwrap();
    link(Path::new("nothing"), &name(2));
    let taken = Report { landed: 1, announced: 1, unmatched: 1, ..Report::default() };
    assert_eq!(fixture.poll().await, taken);
    link(&fixture.path(&name(0)), &name(1));
    assert_eq!(fixture.poll().await, taken);
    fixture.publish().await;
    let counted = fixture.counted().await;
    assert_eq!((counted.seconds, counted.duplicates), (300, 3));
}
