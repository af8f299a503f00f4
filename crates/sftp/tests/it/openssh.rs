use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{Fixture, PASSWORD, USER, bytes};

/// Runs a batch of OpenSSH's `sftp`; shows whether it succeeded, and what it printed.
async fn sftp(fixture: &Fixture, local: &Path, batch: &str) -> (bool, String) {
    // OpenSSH takes a password only from a terminal or from a program.
    let ask = local.join("ask.sh");
    fs::write(&ask, format!("#!/bin/sh\necho '{PASSWORD}'\n")).unwrap();
    fs::set_permissions(&ask, fs::Permissions::from_mode(0o700)).unwrap();
    let known_hosts = local.join("known_hosts");
    let address = fixture.server.address;
    let line = format!("[{}]:{} {}\n", address.ip(), address.port(), fixture.server.host_key);
    fs::write(&known_hosts, line).unwrap();

    let mut child = Command::new("sftp")
        .args(["-F", "none", "-o", "BatchMode=no", "-o", "PreferredAuthentications=password"])
        .args(["-o", "StrictHostKeyChecking=yes", "-o", &format!("UserKnownHostsFile={}", known_hosts.display())])
        .args(["-P", &address.port().to_string(), "-b", "-", &format!("{USER}@{}", address.ip())])
        .env("SSH_ASKPASS", &ask)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .current_dir(local)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this test needs OpenSSH's `sftp` on the PATH: install OpenSSH's client (Debian: openssh-client)");
    child.stdin.take().unwrap().write_all(batch.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn openssh_can_use_the_server() {
    let fixture = Fixture::start().await;
    let local = tempfile::tempdir().unwrap();
    let content = bytes(3 << 20);
    let file = local.path().join("cdr.csv");
    fs::write(&file, &content).unwrap();
    let mtime = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(&file).unwrap().set_modified(mtime).unwrap();

    let batch = "pwd\nmkdir in\ncd in\nput -p cdr.csv .cdr.csv.part\nrename .cdr.csv.part cdr.csv\nchmod 600 cdr.csv\n\
                 ls -l\nget -p cdr.csv back.csv\nput cdr.csv again.csv\nrename again.csv cdr.csv\nmkdir sub\nrmdir sub\n\
                 cd ..\nls -la in\n";
    let (done, text) = sftp(&fixture, local.path(), batch).await;
    assert!(done, "{text}");
    assert!(text.contains("Remote working directory: /\n"), "{text}");
    assert!(text.contains("-rw-------"), "{text}");
    assert!(fs::read(local.path().join("back.csv")).unwrap() == content);
    assert_eq!(fs::metadata(local.path().join("back.csv")).unwrap().modified().unwrap(), mtime);
    let names: Vec<_> = fs::read_dir(fixture.path().join("in")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["cdr.csv"]);

    let (done, text) = sftp(&fixture, local.path(), "get in/none\n").await;
    assert!(!done && text.contains("not found"), "{text}");
    let (done, text) = sftp(&fixture, local.path(), "rm in/cdr.csv\nrmdir in\n").await;
    assert!(done, "{text}");
    assert_eq!(fs::read_dir(fixture.path()).unwrap().count(), 0);
}
