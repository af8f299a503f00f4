use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use expect_test::{Expect, expect};
use futures::TryStreamExt;
use sftp::{Client, Config, Credentials, Error, HostKey};
use tokio::net::TcpListener;

use crate::{Fixture, connecting};

#[tokio::test]
async fn a_wrong_password_names_the_user() {
    let fixture = Fixture::start().await;
    let config = Config { credentials: Credentials::Password("wrong".to_owned()), ..fixture.config() };
    let error = connecting(&config).await;
    assert!(!error.is_transient(), "{error}");
    expect!["the SFTP server refuses the user operator: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY"]
        .assert_eq(&error.to_string());
    let error = connecting(&Config { user: "somebody".to_owned(), ..fixture.config() }).await;
    expect!["the SFTP server refuses the user somebody: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY"]
        .assert_eq(&error.to_string());
}

#[tokio::test]
async fn another_host_key_is_refused_before_anything_is_said() {
    let (fixture, other) = (Fixture::start().await, Fixture::start().await);
    let fingerprint = |line: &str| {
        let key: sftp::HostKey = line.to_owned().try_into().unwrap();
        key.to_string()
    };
    let (right, wrong) = (&fixture.server.host_key, &other.server.host_key);
    for pin in [wrong.clone(), fingerprint(wrong)] {
        let config = Config { host_key: HostKey::try_from(pin).unwrap(), ..fixture.config() };
        let error = connecting(&config).await;
        assert!(!error.is_transient());
        let text = error.to_string().replace(&fingerprint(right), "<right>").replace(&fingerprint(wrong), "<wrong>");
        assert_eq!(
            text,
            "the SFTP server's host key is <right>, but SFTP_HOST_KEY says <wrong>: ask its operator which one is right, \
             and set SFTP_HOST_KEY only then"
        );
    }
    // Every form of the right key is accepted.
    for pin in [right.clone(), fingerprint(right), format!("[127.0.0.1]:22 {right}\n")] {
        let config = Config { host_key: HostKey::try_from(pin).unwrap(), ..fixture.config() };
        Client::connect(&config).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_refused() {
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKg\
                         wFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";
    let fixture = Fixture::start().await;
    let config = Config { host_key: HostKey::try_from(ECDSA.to_owned()).unwrap(), ..fixture.config() };
    expect!["the SFTP server's host key is of another type (it has ssh-ed25519), but SFTP_HOST_KEY says SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM: ask its operator which one is right, and set SFTP_HOST_KEY only then"].assert_eq(&connecting(&config).await.to_string());
}

#[tokio::test]
async fn nobody_at_the_address() {
    let fixture = Fixture::start().await;
    let config = fixture.config();
    fixture.server.shutdown().await;
    let error = connecting(&config).await;
    assert!(error.is_transient());
    let text = error.to_string().replace(&config.port.to_string(), "<port>");
    expect!["the SFTP server can't be reached at 127.0.0.1:<port>: Connection refused (os error 111); check SFTP_HOST and SFTP_PORT, or wait for it"].assert_eq(&text);
}

#[tokio::test]
async fn somebody_else_at_the_address() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    };
    let config = Config { port, ..Fixture::start().await.config() };
    let (error, ()) = tokio::join!(connecting(&config), server);
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn nothing_outside_the_folder_can_be_reached() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let fixture = Fixture::start().await;
    fs::create_dir(fixture.path().join("folder")).unwrap();
    fs::write(fixture.path().join("folder/file"), "inside").unwrap();
    symlink(outside.path(), fixture.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), fixture.path().join("secret")).unwrap();
    symlink(outside.path().join("new"), fixture.path().join("dangling")).unwrap();
    symlink("folder", fixture.path().join("in")).unwrap();
    let client = fixture.client().await;

    let check = async |path: &str, expect: Expect| {
        let read = async { client.read(path).await?.try_collect::<Vec<_>>().await }.await;
        let shown = match read {
            Ok(chunks) => String::from_utf8(chunks.concat()).unwrap(),
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&shown);
    };
    check("/in/file", expect!["inside"]).await;
    check("/../../folder/./x/../file", expect!["inside"]).await;
    check("folder/file", expect!["inside"]).await;
    check("/out/secret", expect!["the SFTP server refuses opening /out/secret: permission denied"]).await;
    check("/secret", expect!["the SFTP server refuses opening /secret: permission denied"]).await;
    assert!(client.read(&format!("/../..{}/secret", outside.path().display())).await.is_err());
    assert!(client.list("/out").await.is_err());
    for path in ["/out/new", "/..", "/"] {
        assert!(client.write_atomic(path, b"x".as_slice()).await.is_err(), "{path}");
    }
    client.write_atomic("/out/../../new", b"x".as_slice()).await.unwrap();
    assert!(fixture.path().join("new").exists());
    // Replaced, not followed.
    client.write_atomic("/dangling", b"x".as_slice()).await.unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn variables_are_checked_when_they_are_read() {
    fn check(text: &str, expect: Expect) {
        match HostKey::try_from(text.to_owned()) {
            Ok(key) => expect.assert_eq(&key.to_string()),
            Err(error) => expect.assert_eq(error),
        }
    }
    check(
        "ssh-ed25519",
        expect![
            "expected the server's public key (`ssh-ed25519 AAAA…`, as ssh-keyscan prints it; Ed25519, ECDSA or RSA) or its fingerprint (`SHA256:…`)"
        ],
    );
    check(
        "",
        expect![
            "expected the server's public key (`ssh-ed25519 AAAA…`, as ssh-keyscan prints it; Ed25519, ECDSA or RSA) or its fingerprint (`SHA256:…`)"
        ],
    );
    check(
        "SHA256:abc",
        expect![
            "expected the server's public key (`ssh-ed25519 AAAA…`, as ssh-keyscan prints it; Ed25519, ECDSA or RSA) or its fingerprint (`SHA256:…`)"
        ],
    );
    check(
        "SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA",
        expect!["SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA"],
    );
    check(
        "host,10.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ comment",
        expect!["SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE"],
    );
}
