use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use expect_test::expect;
use futures::{StreamExt, TryStreamExt, future};
use sftp::{Client, Config, Entry, Error, Listing, Stat};
use test_support::Line;

use crate::{bytes, servers};

#[tokio::test]
async fn lists_files_only() {
    for server in servers().await {
        let client = server.client().await;
        let folder = server.remote("upload");
        fs::create_dir_all(server.path().join("upload/folder")).unwrap();
        assert_eq!(client.list(&folder).await.unwrap(), Listing::default());

        let mtime = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for i in 0..250 {
            let file = fs::File::create(server.path().join(format!("upload/{i:03}"))).unwrap();
            file.set_len(i).unwrap();
            file.set_modified(mtime).unwrap();
        }
        let mut listing = client.list(&folder).await.unwrap();
        listing.files.sort_by(|a, b| a.name.cmp(&b.name));
        let expected = (0..250).map(|i| Entry { name: format!("{i:03}"), size: i, mtime: 1_700_000_000 });
        assert_eq!(listing, Listing { files: expected.collect(), left_out: Vec::new() });
        let stat = client.stat(&server.remote("upload/007")).await.unwrap();
        assert_eq!(stat, Some(Stat { size: 7, mtime: 1_700_000_000 }));
        assert_eq!(client.stat(&server.remote("upload/none")).await.unwrap(), None);

        let error = client.list(&server.remote("upload/007")).await.unwrap_err();
        assert!(!error.is_transient());
        assert!(error.to_string().ends_with("upload/007: it is not a folder"), "{error}");
        let error = client.list(&server.remote("none")).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_link_to_a_file_is_a_file_unless_links_are_not_followed() {
    for server in servers().await {
        let upload = server.path().join("upload");
        fs::create_dir_all(upload.join("folder")).unwrap();
        fs::write(upload.join("cdr.csv"), "content").unwrap();
        for (target, link) in [("cdr.csv", "latest.csv"), ("folder", "to-folder"), ("none", "to-nothing")] {
            symlink(target, upload.join(link)).unwrap();
        }
        let list = async |follow_links| {
            let client = Client::connect(&Config { follow_links, ..server.config() }).await.unwrap();
            let Listing { files, left_out } = client.list(&server.remote("upload")).await.unwrap();
            let files = files.iter().map(|file| format!("{} {}", file.name, file.size));
            let mut shown: Vec<_> = files.chain(left_out.iter().map(ToString::to_string)).collect();
            shown.sort();
            shown.join("\n")
        };
        expect![[r"
            cdr.csv 7
            latest.csv 7
            to-nothing (a symbolic link to nothing)"]]
        .assert_eq(&list(true).await);
        expect![[r"
            cdr.csv 7
            latest.csv (a symbolic link, and SFTP_FOLLOW_LINKS is false)
            to-folder (a symbolic link, and SFTP_FOLLOW_LINKS is false)
            to-nothing (a symbolic link, and SFTP_FOLLOW_LINKS is false)"]]
        .assert_eq(&list(false).await);
        let read: Vec<_> =
            server.client().await.read(&server.remote("upload/latest.csv")).await.unwrap().try_collect().await.unwrap();
        assert_eq!(read.concat(), b"content");
    }
}

#[tokio::test]
async fn an_open_file_tells_its_attributes_also_when_it_has_another_name_or_none() {
    for server in servers().await {
        let client = server.client().await;
        let path = server.path().join("file");
        fs::write(&path, bytes(100_000)).unwrap();
        let file = client.open(&server.remote("file")).await.unwrap();
        let read: Vec<_> = file.read(0..file.stat().size).try_collect().await.unwrap();
        assert!(read.concat() == bytes(100_000));
        assert_eq!(file.stat_now().await.unwrap(), file.stat());
        fs::remove_file(&path).unwrap();
        assert_eq!(file.stat_now().await.unwrap(), file.stat());
        file.close().await.unwrap();
        assert_eq!(client.stat(&server.remote("file")).await.unwrap(), None);

        fs::write(&path, "first").unwrap();
        let file = client.open(&server.remote("file")).await.unwrap();
        fs::File::options().append(true).open(&path).unwrap().write_all(b" and more").unwrap();
        assert_eq!((file.stat().size, file.stat_now().await.unwrap().size), (5, 14));
    }
}

#[tokio::test]
async fn a_file_of_any_length_comes_back_as_it_was_written() {
    for server in servers().await {
        let client = server.client().await;
        // Around one read of either server, and more than is on its way at once.
        for len in [0, 1, 32_767, 32_768, 32_769, 261_119, 261_120, 261_121, 10 << 20] {
            let content = bytes(len);
            let name = format!("file-{len}");
            let path = server.remote(&name);
            assert_eq!(client.write_atomic(&path, content.as_slice()).await.unwrap(), len as u64);
            assert!(fs::read(server.path().join(name)).unwrap() == content, "{len} bytes were written as others");
            let read: Vec<_> = client.read(&path).await.unwrap().try_collect().await.unwrap();
            assert!(read.concat() == content, "{len} bytes were read as others");
            let file = client.open(&path).await.unwrap();
            for range in [0..len / 2, len / 3..len, len / 2..len / 2, len.saturating_sub(7)..len] {
                let part = file.read(range.start as u64..range.end as u64);
                let part: Vec<_> = part.try_collect().await.unwrap();
                assert!(part.concat() == content[range.clone()], "{range:?} of {len} bytes were read as others");
            }
            let beyond = file.read(0..len as u64 + 1).try_collect::<Vec<_>>().await;
            assert!(matches!(beyond.err(), Some(Error::Changed { .. })));
        }
        let mut names = fs::read_dir(server.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.all(|name| !name.to_string_lossy().starts_with('.')));
    }
}

#[tokio::test]
async fn transfers_run_side_by_side() {
    for server in servers().await {
        let client = server.client().await;
        let paths: Vec<_> = (0..8).map(|i| server.remote(&i.to_string())).collect();
        let content = bytes(1 << 20);
        future::try_join_all(paths.iter().map(|path| client.write_atomic(path, content.as_slice()))).await.unwrap();
        let reads = paths.iter().map(async |path| client.read(path).await?.try_collect::<Vec<_>>().await);
        for read in future::try_join_all(reads).await.unwrap() {
            assert!(read.concat() == content);
        }
    }
}

#[tokio::test]
async fn an_atomic_write_replaces_what_was_there() {
    for server in servers().await {
        let client = server.client().await;
        for content in ["first", "second, and longer", "third"] {
            client.write_atomic(&server.remote("file"), content.as_bytes()).await.unwrap();
            assert_eq!(fs::read_to_string(server.path().join("file")).unwrap(), content);
        }
    }
}

#[tokio::test]
async fn a_failed_write_leaves_nothing() {
    for server in servers().await {
        let client = server.client().await;
        let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
            Ok(bytes::Bytes::from_static(b"half")),
            Err(std::io::Error::other("disk unplugged")),
        ]));
        let error = client.write_atomic(&server.remote("file"), broken).await.unwrap_err();
        expect!["reading what is to be written: disk unplugged"].assert_eq(&error.to_string());
        assert_eq!(fs::read_dir(server.path()).unwrap().count(), 0);

        let error = client.write_atomic(&server.remote("none/file"), b"x".as_slice()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the SFTP server has no {}", server.remote("none/.file.part")));
    }
}

#[tokio::test]
async fn a_file_that_shrinks_is_noticed() {
    for server in servers().await {
        let client = server.client().await;
        let path = server.path().join("file");
        // More than is on its way at once.
        fs::write(&path, bytes(40 << 20)).unwrap();
        let mut stream = client.read(&server.remote("file")).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_line_that_breaks_in_the_middle_of_a_file() {
    for server in servers().await {
        fs::write(server.path().join("file"), bytes(32 << 20)).unwrap();
        let Config { host, port, .. } = server.config();
        let line = test_support::proxy(format!("{host}:{port}"), Line::default()).await;
        let client = Client::connect(&Config { port: line.port, ..server.config() }).await.unwrap();
        line.cut_after(16 << 20);
        let stream = client.read(&server.remote("file")).await.unwrap();
        let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(error, Error::Lost { .. }) && error.is_transient(), "{error}");
        let error = client.list(&server.remote("")).await.unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_waited_for_for_ever() {
    for server in servers().await {
        fs::write(server.path().join("file"), bytes(32 << 20)).unwrap();
        let Config { host, port, .. } = server.config();
        let line = test_support::proxy(format!("{host}:{port}"), Line::default()).await;
        let client = Client::connect(&Config { port: line.port, ..server.config() }).await.unwrap();
        let mut stream = client.read(&server.remote("file")).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        line.stall();
        // From here on, this test's clock goes to the next moment that somebody waits for.
        tokio::time::pause();
        let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
        tokio::time::resume();
        assert!(matches!(error, Error::Lost { .. }) && error.is_transient(), "{error}");
        assert!(error.to_string().contains("no answer in time"), "{error}");
        // Another connection does it all.
        line.resume();
        let read: Vec<_> =
            server.client().await.read(&server.remote("file")).await.unwrap().try_collect().await.unwrap();
        assert!(read.concat() == bytes(32 << 20));
    }
}
