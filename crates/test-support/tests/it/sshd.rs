//! OpenSSH's server, by OpenSSH's client.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use test_support::{Sshd, SshdOptions};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_client_puts_and_lists_files() {
    let sshd = test_support::sshd().await;
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), "a,b\n1,2\n").unwrap();
    let commands = format!("put {} x.csv.part\nrename x.csv.part x.csv\nls -1", source.path().display());
    let printed = sshd.sftp(&commands).await;
    assert_eq!(printed.lines().last(), Some("x.csv"));
    assert_eq!(std::fs::read_to_string(sshd.upload().join("x.csv")).unwrap(), "a,b\n1,2\n");
}

#[tokio::test]
async fn files_of_others_are_refused() {
    let sshd = test_support::sshd().await;
    let file = sshd.upload().join("secret.csv");
    std::fs::write(&file, "x").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    let copy = tempfile::tempdir().unwrap().path().join("copy");
    // A hyphen before a command: it may fail.
    sshd.sftp(&format!("-get secret.csv {}", copy.display())).await;
    assert!(!copy.exists());
}

/// One listing with a password, by OpenSSH's client.
async fn password_is_taken(sshd: &Sshd, password: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let ask = folder.path().join("ask");
    std::fs::write(&ask, format!("#!/bin/sh\necho {password}\n")).unwrap();
    std::fs::set_permissions(&ask, PermissionsExt::from_mode(0o700)).unwrap();
    let status = Command::new("sftp")
        .args(["-q", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"])
        .args(["-P", &sshd.port.to_string(), &format!("{}@{}", sshd.user, sshd.host)])
        .env("SSH_ASKPASS", &ask)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

#[tokio::test]
async fn a_password_lets_in_and_a_wrong_one_does_not() {
    let sshd = test_support::sshd().await;
    assert!(password_is_taken(&sshd, sshd.password.expose()).await);
    assert!(!password_is_taken(&sshd, "another").await);
}

#[tokio::test]
async fn it_serves_as_it_is_told_and_again_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let options = SshdOptions {
        config: "PasswordAuthentication no".to_owned(),
        host_keys: &["rsa"],
        folder: Some(folder.path().to_owned()),
    };
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let sshd = test_support::sshd_with(options).await;
    assert!(matches!(&sshd.host_keys[..], [key] if key.starts_with("ssh-rsa ")), "{:?}", sshd.host_keys);
    assert!(!password_is_taken(&sshd, sshd.password.expose()).await);
    sshd.kill().await;
    assert!(TcpStream::connect((sshd.host.as_str(), sshd.port)).await.is_err());
    sshd.start().await;
    sshd.sftp("mkdir made").await;
    assert!(folder.path().join("made").is_dir());
}
