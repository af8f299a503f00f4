//! Files as OpenSSH's client puts them on OpenSSH's server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use lake::{Digest, names};
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};
use test_support::Sshd;

use crate::{Fixture, HOUR, Server, piece};

async fn start() -> (Fixture, Arc<Sshd>) {
    let sshd = Arc::new(test_support::sshd().await);
    (Fixture::on(Server::OpenSsh(Arc::clone(&sshd))).await, sshd)
}

#[tokio::test]
async fn an_upload_is_taken_when_it_has_its_name() {
    let (fixture, sshd) = start().await;
    let local = tempfile::tempdir().unwrap();
    let file = local.path().join("rows");
    fs::write(&file, "rows").unwrap();
    let name = "cdr_data_20240101_000000.csv";
    sshd.sftp(&format!("put {} {name}.part", file.display())).await;
    fixture.touch(&format!("{name}.part"), HOUR);
    assert_eq!(fixture.poll().await, Report::default());
    sshd.sftp(&format!("rename {name}.part {name}")).await;
    for expected in [Report { landed: 1, announced: 1, ..Report::default() }, Report::default()] {
        assert_eq!(fixture.poll().await, expected);
    }
    assert_eq!(fixture.objects().await[&names::landing(&piece(name))], "rows");
}

/// As where the server's disk is full, or the sender's line breaks.
#[tokio::test]
async fn an_upload_that_was_cut_short_lands_whole_when_it_has_gone_on() {
    let (fixture, sshd) = start().await;
    let local = tempfile::tempdir().unwrap();
    let file = local.path().join("rows");
    let content = "row\n".repeat(100_000);
    fs::write(&file, &content).unwrap();
    let name = "cdr_data_20240101_000000.csv";
    sshd.sftp(&format!("put {} {name}", file.display())).await;
    fs::File::options().write(true).open(fixture.path(name)).unwrap().set_len(65_000).unwrap();
    for _ in 0..2 {
        assert_eq!(fixture.poll().await, Report { settling: 1, ..Report::default() });
    }
    sshd.sftp(&format!("reput {} {name}", file.display())).await;
    assert_eq!(fixture.poll().await, Report { settling: 1, ..Report::default() });
    fixture.touch(name, HOUR);
    assert_eq!(fixture.poll().await, Report { landed: 1, announced: 1, ..Report::default() });
    assert_eq!(fixture.objects().await[&names::landing(&piece(name))], Digest::of(content.as_bytes()).to_string());
}

#[tokio::test]
async fn a_file_that_is_refused_holds_up_no_other() {
    let (fixture, _sshd) = start().await;
    let [first, refused, last] = [0, 1, 2].map(|hour| format!("cdr_data_20240101_{hour:02}0000.csv"));
    for name in [&first, &refused, &last] {
        fixture.deliver(name, name.as_bytes(), HOUR);
    }
    let mode = |mode| fs::set_permissions(fixture.path(&refused), PermissionsExt::from_mode(mode)).unwrap();
    mode(0o000);
    let deps = fixture.deps().await;
    for announced in [2, 0] {
        let error = handle(&deps, Event::Poll, Deadline::NONE).await.unwrap_err();
        let path = format!("{}/{refused}", fixture.config.servers[0].sftp.remote_path);
        assert_eq!(
            format!("{error:#}"),
            format!(
                "polling failed after {announced} files were announced (failures: 1): copying {refused}: the SFTP server \
                 refuses opening {path}: Permission denied"
            )
        );
    }
    mode(0o644);
    let report = handle(&deps, Event::Poll, Deadline::NONE).await.unwrap();
    assert_eq!(report, Report { landed: 1, announced: 1, ..Report::default() });
    assert_eq!(fixture.announced().await, [first, last, refused]);
}

/// sshd is started again in the middle of the night: its sessions end.
#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let (fixture, sshd) = start().await;
    let deps = fixture.deps().await;
    for name in ["cdr_data_20240101_000000.csv", "cdr_data_20240101_010000.csv"] {
        fixture.deliver(name, name.as_bytes(), HOUR);
        sshd.kill().await;
        let error = handle(&deps, Event::Poll, Deadline::NONE).await.unwrap_err();
        assert!(error.to_string().starts_with("the SFTP server can't be reached at 127.0.0.1:"), "{error}");
        sshd.start().await;
        let report = handle(&deps, Event::Poll, Deadline::NONE).await.unwrap();
        assert_eq!(report, Report { landed: 1, announced: 1, ..Report::default() });
    }
}
