//! What servers of other makes do.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use expect_test::expect;
use futures::{TryStreamExt, future};
use sftp::{Client, Config, Credentials, Entry, Error, Listing, Stat};
use test_support::{SftpMake, SftpPeer, sftp_peer};

use crate::{bytes, connecting, peer_config};

const FILES: usize = 20;
const MTIME: u64 = 1_700_000_000;

fn deliver(folder: &Path, name: &str, content: &[u8]) {
    fs::write(folder.join(name), content).unwrap();
    let file = fs::File::options().write(true).open(folder.join(name)).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(MTIME)).unwrap();
}

/// Delivers files of many lengths, by name and content.
fn deliveries(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = (0..FILES).map(|i| (format!("cdr_{i:02}.csv"), bytes(i * 40_000))).collect::<Vec<_>>();
    for (name, content) in &files {
        deliver(folder, name, content);
    }
    files
}

async fn client(peer: &SftpPeer) -> Client {
    Client::connect(&peer_config(peer)).await.unwrap()
}

fn path(peer: &SftpPeer, name: &str) -> String {
    format!("{}/{name}", peer.remote_path.trim_end_matches('/'))
}

/// As a poll does: lists, and reads all files at once, each checked before it is closed.
async fn collect(client: &Client, peer: &SftpPeer) -> Vec<(String, Vec<u8>)> {
    let Listing { files, left_out } = client.list(&peer.remote_path).await.unwrap();
    assert_eq!(left_out, []);
    let reads = files.into_iter().map(async |Entry { name, size, mtime }| {
        let file = client.open(&path(peer, &name)).await?;
        let read: Vec<_> = file.read(0..size).try_collect().await?;
        assert_eq!((file.stat(), file.stat_now().await?), (Stat { size, mtime }, Stat { size, mtime }));
        file.close().await?;
        Ok::<_, Error>((name, read.concat()))
    });
    let mut files = future::try_join_all(reads).await.unwrap();
    files.sort();
    files
}

/// What holds of every server.
async fn check(make: SftpMake) {
    let peer = sftp_peer(make, &[]).await;
    let client = client(&peer).await;
    assert_eq!(client.list(&peer.remote_path).await.unwrap(), Listing::default());
    let files = deliveries(&peer.folder);
    assert!(collect(&client, &peer).await == files, "{make:?}: files were read as others");
    let stat = client.stat(&path(&peer, "cdr_01.csv")).await.unwrap();
    assert_eq!(stat, Some(Stat { size: 40_000, mtime: MTIME }), "{make:?}");
    assert_eq!(client.stat(&path(&peer, "none")).await.unwrap(), None, "{make:?}");

    // Twice: the second one replaces the first.
    for content in [bytes(100_000), bytes(70_000)] {
        client.write_atomic(&path(&peer, "written.csv"), content.as_slice()).await.unwrap();
        assert!(
            fs::read(peer.folder.join("written.csv")).unwrap() == content,
            "{make:?}: bytes were written as others"
        );
    }
    // AsyncSSH counts what it opens, in four bytes: the 129th is no text.
    for _ in 0..150 {
        client.open(&path(&peer, "cdr_01.csv")).await.unwrap().close().await.unwrap();
    }
    let error = client.list(&path(&peer, "cdr_01.csv")).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { why, .. } if why == "it is not a folder"), "{make:?}: {error}");
    let error = client.open(&path(&peer, "none")).await.err().unwrap();
    assert!(matches!(error, Error::NotFound { .. }), "{make:?}: {error}");
    // What was refused has ended nothing.
    assert_eq!(client.list(&peer.remote_path).await.unwrap().files.len(), FILES + 1, "{make:?}");

    let wrong = Config { credentials: Credentials::Password("wrong".to_owned()), ..peer_config(&peer) };
    let error = connecting(&wrong).await;
    assert!(matches!(error, Error::Credentials { .. }), "{make:?}: {error}");
}

#[tokio::test]
async fn apache_mina_gives_its_files() {
    check(SftpMake::Mina).await;
}

#[tokio::test]
async fn asyncssh_gives_its_files() {
    check(SftpMake::AsyncSsh).await;
}

#[tokio::test]
async fn proftpd_gives_its_files() {
    check(SftpMake::ProFtpd).await;
}

#[tokio::test]
async fn dropbear_gives_its_files() {
    check(SftpMake::Dropbear).await;
}

#[tokio::test]
async fn go_gives_its_files() {
    check(SftpMake::Go).await;
}

#[tokio::test]
async fn erlang_gives_its_files() {
    check(SftpMake::Erlang).await;
}

#[tokio::test]
async fn a_server_that_allows_two_open_files_and_one_session() {
    let settings = ["max-open-handles-per-session=2", "max-concurrent-sessions=1"];
    let peer = sftp_peer(SftpMake::Mina, &settings).await;
    let client = client(&peer).await;
    let files = deliveries(&peer.folder);
    assert!(collect(&client, &peer).await == files, "files were read as others");

    // With both of them held, a third one waits.
    let [one, two] = ["cdr_01.csv", "cdr_02.csv"].map(|name| path(&peer, name));
    let (first, second) = (client.open(&one).await.unwrap(), client.open(&two).await.unwrap());
    let (third, ()) = tokio::join!(client.open(&two), async { first.close().await.unwrap() });
    assert_eq!(third.unwrap().stat().size, 80_000);
    drop(second);
    // What is dropped is closed.
    for _ in 0..10 {
        let mut stream = client.read(&two).await.unwrap();
        stream.try_next().await.unwrap().unwrap();
    }

    let error = connecting(&peer_config(&peer)).await;
    assert!(error.is_transient());
    expect![[r#"the SFTP server ended the login of the user trunkline (it said "Too many concurrent connections (1) - max. allowed: 1"): it may have too many sessions, or be about to restart; nothing is wrong with the credentials as far as it said, and a later try may succeed"#]].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_server_that_allows_no_open_file() {
    let peer = sftp_peer(SftpMake::Mina, &["max-open-handles-per-session=0"]).await;
    let error = client(&peer).await.list(&peer.remote_path).await.unwrap_err();
    assert!(matches!(error, Error::TooManyHandles { .. }) && error.is_transient(), "{error}");
    expect!["the SFTP server refuses listing /: No space left on device; other clients have too many files open there: a later try may succeed, or raise the server's limit"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_folder_in_one_answer() {
    let peer = sftp_peer(SftpMake::Erlang, &[]).await;
    for i in 0..2_000 {
        fs::write(peer.folder.join(format!("cdr_data_20240101_{i:06}.csv")), "").unwrap();
    }
    assert_eq!(client(&peer).await.list(&peer.remote_path).await.unwrap().files.len(), 2_000);
}

#[tokio::test]
async fn what_a_listing_does_not_tell_is_asked() {
    for habits in [["bare"].as_slice(), &["untyped", "extended"]] {
        let peer = sftp_peer(SftpMake::AsyncSsh, habits).await;
        let client = client(&peer).await;
        let files = deliveries(&peer.folder);
        fs::create_dir(peer.folder.join("folder")).unwrap();
        // As `collect` checks, each is listed as it is when it is open.
        assert!(collect(&client, &peer).await == files, "{habits:?}: files were read as others");
    }
}

#[tokio::test]
async fn a_name_that_is_no_utf_8_is_named() {
    let peer = sftp_peer(SftpMake::AsyncSsh, &["latin-1"]).await;
    deliver(&peer.folder, "cdr.csv", b"content");
    let listing = client(&peer).await.list("/").await.unwrap();
    assert_eq!(listing.files, [Entry { name: "cdr.csv".to_owned(), size: 7, mtime: MTIME }]);
    assert_eq!(listing.left_out[0].to_string(), "r\u{fffd}sum\u{fffd}.csv (its name is not UTF-8)");
}

#[tokio::test]
async fn a_file_that_is_removed_when_it_was_read_is_known_to_be_whole() {
    let peer = sftp_peer(SftpMake::AsyncSsh, &["pick-up"]).await;
    let client = client(&peer).await;
    let files = deliveries(&peer.folder);
    assert!(collect(&client, &peer).await == files, "files were read as others");
    assert_eq!(client.list("/").await.unwrap(), Listing::default());
}
