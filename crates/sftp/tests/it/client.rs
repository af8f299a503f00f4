use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use expect_test::expect;
use futures::{StreamExt, TryStreamExt, future};
use sftp::{Entry, Error, Stat};

use crate::{Fixture, bytes};

#[tokio::test]
async fn lists_regular_files_only() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    assert_eq!(client.list("/").await.unwrap(), []);

    fs::create_dir_all(fixture.path().join("upload/folder")).unwrap();
    symlink("/etc/passwd", fixture.path().join("upload/link")).unwrap();
    let mtime = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for i in 0..250 {
        let file = fs::File::create(fixture.path().join(format!("upload/{i:03}"))).unwrap();
        file.set_len(i).unwrap();
        file.set_modified(mtime).unwrap();
    }
    let mut entries = client.list("/upload").await.unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let expected = (0..250).map(|i| Entry { name: format!("{i:03}"), size: i, mtime: 1_700_000_000 });
    assert_eq!(entries, expected.collect::<Vec<_>>());
    assert_eq!(client.stat("/upload/007").await.unwrap(), Some(Stat { size: 7, mtime: 1_700_000_000 }));
    assert_eq!(client.stat("/upload/none").await.unwrap(), None);
}

#[tokio::test]
async fn a_file_of_any_length_comes_back_as_it_was_written() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    for len in [0, 1, 65_535, 65_536, 65_537, 10 << 20] {
        let content = bytes(len);
        let path = format!("/file-{len}");
        assert_eq!(client.write_atomic(&path, content.as_slice()).await.unwrap(), len as u64);
        assert!(fs::read(fixture.path().join(&path[1..])).unwrap() == content, "{len} bytes were written as others");
        let read: Vec<_> = client.read(&path).await.unwrap().try_collect().await.unwrap();
        assert!(read.concat() == content, "{len} bytes were read as others");
    }
    assert!(fs::read_dir(fixture.path()).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with('.')));
}

#[tokio::test]
async fn transfers_run_side_by_side() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    let paths: Vec<_> = (0..8).map(|i| format!("/{i}")).collect();
    let content = bytes(1 << 20);
    future::try_join_all(paths.iter().map(|path| client.write_atomic(path, content.as_slice()))).await.unwrap();
    let reads = paths.iter().map(async |path| client.read(path).await?.try_collect::<Vec<_>>().await);
    for read in future::try_join_all(reads).await.unwrap() {
        assert!(read.concat() == content);
    }
}

#[tokio::test]
async fn an_atomic_write_replaces_what_was_there() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    for content in ["first", "second, and longer", "third"] {
        client.write_atomic("/file", content.as_bytes()).await.unwrap();
        assert_eq!(fs::read_to_string(fixture.path().join("file")).unwrap(), content);
    }
}

#[tokio::test]
async fn a_failed_write_leaves_nothing() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(bytes::Bytes::from_static(b"half")),
        Err(std::io::Error::other("disk unplugged")),
    ]));
    let error = client.write_atomic("/file", broken).await.unwrap_err();
    expect!["reading what is to be written: disk unplugged"].assert_eq(&error.to_string());
    assert_eq!(fs::read_dir(fixture.path()).unwrap().count(), 0);

    let error = client.write_atomic("/none/file", b"x".as_slice()).await.unwrap_err();
    expect!["the SFTP server has no /none/.file.part"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_file_that_shrinks_is_noticed() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    let path = fixture.path().join("file");
    // More than is on its way at once.
    fs::write(&path, bytes(8 << 20)).unwrap();
    let mut stream = client.read("/file").await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
}
