//! What only OpenSSH's server can be asked: logins, host keys, its limits, and files that its own client put there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use expect_test::{Expect, expect};
use futures::{TryStreamExt, future};
use lambda_boot::Vars;
use sftp::{Client, Config, Credentials, HostKey, Listing};
use tempfile::TempDir;
use test_support::{SshdOptions, eventually};
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::{bytes, connecting, sshd_config};

/// Makes a key without a passphrase, or with one; the folder has it as `key`.
fn keygen(arguments: &[&str], passphrase: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut ssh_keygen = Command::new("ssh-keygen");
    ssh_keygen.args(["-q", "-N", passphrase, "-f"]).arg(folder.path().join("key")).args(arguments);
    assert!(ssh_keygen.status().unwrap().success());
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// The configuration with a private key, as variables give it.
fn with_key(config: &Config, key: &str, passphrase: &str) -> Result<Config, String> {
    let vars: Vars = [
        ("SFTP_PRIVATE_KEY_PASSPHRASE", passphrase),
        ("SFTP_HOST", config.host.as_str()),
        ("SFTP_PORT", &config.port.to_string()),
        ("SFTP_USER", &config.user),
        ("SFTP_PRIVATE_KEY", key),
        ("SFTP_HOST_KEY", &config.host_key.to_string()),
        ("SFTP_REMOTE_PATH", &config.remote_path.to_string()),
    ]
    .into_iter()
    .collect();
    vars.read().map_err(|error| error.to_string())
}

#[tokio::test]
async fn keys_of_these_types_open_the_door() {
    let types: [(&[&str], &str); 11] = [
        (&["-t", "ed25519"], ""),
        (&["-t", "ecdsa", "-b", "256"], ""),
        (&["-t", "ecdsa", "-b", "384"], ""),
        (&["-t", "ecdsa", "-b", "521"], ""),
        (&["-t", "ecdsa", "-m", "PKCS8"], ""),
        (&["-t", "rsa", "-b", "2048"], ""),
        (&["-t", "rsa", "-b", "3072", "-m", "PEM"], ""),
        (&["-t", "ed25519"], "a passphrase"),
        (&["-t", "ecdsa", "-m", "PKCS8"], "a passphrase"),
        (&["-t", "rsa", "-b", "2048", "-m", "PEM"], "a passphrase"),
        (&["-t", "rsa", "-b", "2048", "-m", "PKCS8"], "a passphrase"),
    ];
    let keys = types.map(|(arguments, passphrase)| (keygen(arguments, passphrase), passphrase));
    let authorized = keys[0].0.path().join("authorized_keys");
    let lines = keys.iter().map(|(key, _)| fs::read_to_string(key.path().join("key.pub")).unwrap());
    fs::write(&authorized, lines.collect::<String>()).unwrap();
    let config = format!("PasswordAuthentication no\nAuthorizedKeysFile {}", authorized.display());
    let sshd = test_support::sshd_with(SshdOptions { config, ..SshdOptions::default() }).await;
    for (key, passphrase) in &keys {
        // Where a key has none, one that is set does no harm.
        let passphrase = if passphrase.is_empty() { "unused" } else { passphrase };
        let config = with_key(&sshd_config(&sshd), &key.path().join("key").display().to_string(), passphrase).unwrap();
        assert_eq!(Client::connect(&config).await.unwrap().list_all(&config.remote_path).await.unwrap().files, []);
    }

    for arguments in [["-t", "ed25519"].as_slice(), &["-t", "rsa", "-b", "2048"]] {
        let stranger = keygen(arguments, "");
        let pem = fs::read_to_string(stranger.path().join("key")).unwrap();
        let error = connecting(&with_key(&sshd_config(&sshd), &pem, "").unwrap()).await;
        assert!(!error.is_transient());
        expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY (it would take: publickey)"].assert_eq(&error.to_string());
    }
    // A password, where only keys are taken.
    let error = connecting(&sshd_config(&sshd)).await;
    expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY (it would take: publickey)"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn an_rsa_key_signs_with_either_hash_and_never_with_sha_1() {
    let key = keygen(&["-t", "rsa", "-b", "2048"], "");
    let path = key.path().join("key").display().to_string();
    let connect = async |algorithms: &str| {
        let config = format!("PubkeyAcceptedAlgorithms {algorithms}\nAuthorizedKeysFile {path}.pub");
        let sshd = test_support::sshd_with(SshdOptions { config, ..SshdOptions::default() }).await;
        let connected = Client::connect(&with_key(&sshd_config(&sshd), &path, "").unwrap()).await;
        connected.err().map(|error| error.to_string()).unwrap_or_default()
    };
    expect![""].assert_eq(&connect("rsa-sha2-256").await);
    expect![""].assert_eq(&connect("rsa-sha2-512").await);
    expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY (it would take: publickey, password)"].assert_eq(&connect("ssh-rsa").await);
}

#[tokio::test]
async fn keys_that_can_not_be_used_are_named_before_anybody_is_asked() {
    let config = crate::Fixture::start().await.config();
    let check = |arguments: &[&str], passphrase: &str, given: &str, expect: Expect| {
        let key = keygen(arguments, passphrase);
        expect.assert_eq(&with_key(&config, &key.path().join("key").display().to_string(), given).unwrap_err());
    };
    check(
        &["-t", "ed25519"],
        "passphrase",
        "",
        expect![
            "SFTP_PRIVATE_KEY can't be used (it is protected by a passphrase: set SFTP_PRIVATE_KEY_PASSPHRASE): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ],
    );
    check(
        &["-t", "ecdsa", "-m", "PEM"],
        "passphrase",
        "",
        expect![
            "SFTP_PRIVATE_KEY can't be used (it is protected by a passphrase: set SFTP_PRIVATE_KEY_PASSPHRASE): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ],
    );
    check(
        &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
        "passphrase",
        "",
        expect![
            "SFTP_PRIVATE_KEY can't be used (it is protected by a passphrase: set SFTP_PRIVATE_KEY_PASSPHRASE): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ],
    );
    check(
        &["-t", "ecdsa", "-m", "PEM"],
        "passphrase",
        "passphrase",
        expect![
            "SFTP_PRIVATE_KEY can't be used (Pkcs1: PKCS#1 ASN.1 error: unexpected ASN.1 DER tag: expected INTEGER, got OCTET STRING: is SFTP_PRIVATE_KEY_PASSPHRASE right?): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ],
    );
    check(
        &["-t", "ed25519"],
        "passphrase",
        "another",
        expect![
            "SFTP_PRIVATE_KEY can't be used (SshKey: cryptographic error: is SFTP_PRIVATE_KEY_PASSPHRASE right?): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ],
    );
    check(
        &["-t", "ecdsa", "-m", "PKCS8"],
        "passphrase",
        "another",
        expect![
            "SFTP_PRIVATE_KEY can't be used (Pkcs8: PKCS#5 decryption failed: is SFTP_PRIVATE_KEY_PASSPHRASE right?): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ],
    );
    check(
        &["-t", "rsa", "-b", "1024"],
        "",
        "",
        expect![
            "SFTP_PRIVATE_KEY can't be used (an RSA key that is refused: TooSmall): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ],
    );
}

#[tokio::test]
async fn a_password_opens_the_door_and_another_one_does_not() {
    let sshd = test_support::sshd().await;
    let config = sshd_config(&sshd);
    Client::connect(&config).await.unwrap();
    let error = connecting(&Config { credentials: Credentials::Password("expired".to_owned()), ..config }).await;
    assert!(!error.is_transient());
    expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY (it would take: publickey, password)"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn the_host_key_may_be_of_any_type_and_in_any_form() {
    let (sshd, other) = (test_support::sshd().await, test_support::sshd().await);
    let pin = |text: String| Config { host_key: HostKey::try_from(text).unwrap(), ..sshd_config(&sshd) };
    let fingerprint = |key: &String| HostKey::try_from(key.clone()).unwrap().to_string();
    assert_eq!(sshd.host_keys.len(), 3);
    for key in &sshd.host_keys {
        for text in [key.clone(), fingerprint(key), format!("[{}]:{} {key}", sshd.host, sshd.port)] {
            Client::connect(&pin(text)).await.unwrap();
        }
    }
    // As ssh-keyscan prints them, and while a key is being changed.
    Client::connect(&pin(format!("# a comment\n{}\n", sshd.host_keys.join("\n")))).await.unwrap();
    Client::connect(&pin(format!("{}\n{}", fingerprint(&other.host_keys[1]), sshd.host_keys[1]))).await.unwrap();

    // Another server has all of these, as after a change of its keys.
    for (key, changed) in other.host_keys.iter().zip(&sshd.host_keys) {
        let error = connecting(&pin(key.clone())).await;
        assert!(!error.is_transient());
        assert_eq!(
            error.to_string(),
            format!(
                "the SFTP server's host key is {}, but SFTP_HOST_KEY says {}: ask its operator which one is right, and set \
                 SFTP_HOST_KEY only then",
                fingerprint(changed),
                fingerprint(key)
            )
        );
    }
    // A fingerprint may be that of any of the server's keys.
    let shown = connecting(&pin(fingerprint(&other.host_keys[0]))).await.to_string();
    let all: Vec<_> = sshd.host_keys.iter().map(fingerprint).collect();
    assert!(shown.contains(&all.join(", ")), "{shown}");
}

#[tokio::test]
async fn a_server_that_has_an_rsa_key_only() {
    let sshd = test_support::sshd_with(SshdOptions { host_keys: &["rsa"], ..SshdOptions::default() }).await;
    let config = sshd_config(&sshd);
    Client::connect(&config).await.unwrap();
    let by_fingerprint = HostKey::try_from(config.host_key.to_string()).unwrap();
    Client::connect(&Config { host_key: by_fingerprint, ..config.clone() }).await.unwrap();
    // Signatures with SHA-1 prove nothing.
    let options = SshdOptions { config: "HostKeyAlgorithms ssh-rsa".to_owned(), host_keys: &["rsa"], folder: None };
    let old = test_support::sshd_with(options).await;
    let error = connecting(&sshd_config(&old)).await.to_string();
    expect!["the SFTP server refuses every safe signature with its host key: it signs with SHA-1 only (ssh-rsa), which is not safe; let it offer rsa-sha2-256, with the same key"]
        .assert_eq(&error.replace(&sshd_config(&old).host_key.to_string(), "<key>"));
}

#[tokio::test]
async fn key_exchange_on_each_of_the_nist_curves() {
    for curve in ["256", "384", "521"] {
        let config = format!("KexAlgorithms ecdh-sha2-nistp{curve}");
        let sshd = test_support::sshd_with(SshdOptions { config, ..SshdOptions::default() }).await;
        Client::connect(&sshd_config(&sshd)).await.unwrap();
    }
}

/// A port whose connections are passed on, and counted.
async fn counted(target: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            let mut server = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (port, count)
}

#[tokio::test]
async fn a_fingerprint_of_an_rsa_key_takes_one_connection_when_its_type_is_known() {
    let sshd = test_support::sshd().await;
    let rsa = HostKey::try_from(sshd.host_keys[2].clone()).unwrap();
    let config = Config { host_key: HostKey::try_from(rsa.to_string()).unwrap(), ..sshd_config(&sshd) };
    let (port, count) = counted(format!("{}:{}", sshd.host, sshd.port)).await;
    let config = Config { port, ..config };
    let connections = async |config: &Config| {
        Client::connect(config).await.unwrap();
        count.swap(0, Ordering::Relaxed)
    };
    assert_eq!(connections(&config).await, 3);
    // A clone knows it, too: each poll takes one.
    assert_eq!(connections(&config.clone()).await, 1);
    assert_eq!(connections(&config).await, 1);
}

#[tokio::test]
async fn more_files_than_a_byte_counts_are_open_one_after_the_other_and_at_once() {
    let sshd = test_support::sshd().await;
    let client = Client::connect(&sshd_config(&sshd)).await.unwrap();
    fs::write(sshd.upload().join("file"), "content").unwrap();
    let path = format!("{}/file", sshd.remote_path);
    // OpenSSH's handles are numbers, no texts.
    let files = future::try_join_all((0..150).map(|_| client.open(&path))).await.unwrap();
    for file in files {
        let read: Vec<_> = file.read(0..7).try_collect().await.unwrap();
        assert_eq!(read.concat(), b"content");
    }
}

#[tokio::test]
async fn a_name_that_is_no_utf_8_hides_no_other_file() {
    let sshd = test_support::sshd().await;
    fs::write(sshd.upload().join("cdr.csv"), "content").unwrap();
    fs::write(sshd.upload().join(OsStr::from_bytes(b"r\xe9sum\xe9.csv")), "content").unwrap();
    let client = Client::connect(&sshd_config(&sshd)).await.unwrap();
    let Listing { files, left_out } = client.list(&sshd.remote_path).await.unwrap();
    assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["cdr.csv"]);
    assert_eq!(
        left_out.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["r\u{fffd}sum\u{fffd}.csv (its name is not UTF-8)"]
    );
}

#[tokio::test]
async fn files_that_openssh_has_put_there() {
    let sshd = test_support::sshd().await;
    let local = tempfile::tempdir().unwrap();
    let content = bytes(3 << 20);
    fs::write(local.path().join("cdr.csv"), &content).unwrap();
    let file = local.path().join("cdr.csv").display().to_string();
    sshd.sftp(&format!("put -p {file} cdr.csv.part\nrename cdr.csv.part cdr.csv\nput {file} whole.csv.part")).await;
    let client = Client::connect(&sshd_config(&sshd)).await.unwrap();
    let mut entries = client.list(&sshd.remote_path).await.unwrap().files;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let shown: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.size)).collect();
    assert_eq!(shown, [("cdr.csv", content.len() as u64), ("whole.csv.part", content.len() as u64)]);
    let path = format!("{}/cdr.csv", sshd.remote_path);
    let read: Vec<_> = client.read(&path).await.unwrap().try_collect().await.unwrap();
    assert!(read.concat() == content);
}

#[tokio::test]
async fn one_session_is_enough() {
    let config = "MaxSessions 1\nMaxStartups 1:100:1\nClientAliveInterval 1\nClientAliveCountMax 3".to_owned();
    let sshd = test_support::sshd_with(SshdOptions { config, ..SshdOptions::default() }).await;
    let patience = Duration::from_secs(30);
    // Whoever started the server may still be on the only place.
    eventually(patience, async || Client::connect(&sshd_config(&sshd)).await.is_ok()).await;
    let client = Client::connect(&sshd_config(&sshd)).await.unwrap();
    let path = format!("{}/file", sshd.remote_path);
    client.write_atomic(&path, b"x".as_slice()).await.unwrap();
    // Whoever has not logged in takes the only place of those who have not, and is sent away by and by.
    let mut idler = TcpStream::connect((sshd.host.as_str(), sshd.port)).await.unwrap();
    idler.read_u8().await.unwrap();
    let error = connecting(&sshd_config(&sshd)).await;
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().starts_with("the SFTP server can't be reached at"), "{error}");
    drop(idler);
    eventually(patience, async || Client::connect(&sshd_config(&sshd)).await.is_ok()).await;
    assert_eq!(client.list(&sshd.remote_path).await.unwrap().files.len(), 1);
}

#[tokio::test]
async fn no_session_is_too_few() {
    let check = async |config: &str, expect: Expect| {
        let options = SshdOptions { config: config.to_owned(), ..SshdOptions::default() };
        let sshd = test_support::sshd_with(options).await;
        let error = connecting(&sshd_config(&sshd)).await;
        assert!(!error.is_transient());
        expect.assert_eq(&error.to_string());
    };
    check("MaxSessions 0", expect!["the SFTP server refuses the file protocol to the user trunkline: it opens no session for them (ConnectFailed)"]).await;
    check("ForceCommand /bin/false", expect!["the SFTP server refuses the file protocol to the user trunkline: it ends the session at once: is the account locked, its password expired, its shell none, or its folder missing?"]).await;
    check("ForceCommand echo 'Your password has expired.'", expect![[r#"the SFTP server refuses the file protocol to the user trunkline: in its place something else is printed at the login: "Your password has expired."; what the account's start files (.bashrc) print for people must not be printed to programs, and a password or an account that has expired must be renewed"#]]).await;
    check("ForceCommand sh -c 'echo Welcome to cdr-host.; exec /usr/lib/openssh/sftp-server'", expect![[r#"the SFTP server refuses the file protocol to the user trunkline: in its place something else is printed at the login: "Welcome to cdr-host."; what the account's start files (.bashrc) print for people must not be printed to programs, and a password or an account that has expired must be renewed"#]]).await;
    check("ForceCommand sh -c 'echo no sftp for you >&2'", expect!["the SFTP server refuses the file protocol to the user trunkline: it ends the session at once: is the account locked, its password expired, its shell none, or its folder missing?"]).await;
    check("DenyUsers trunkline", expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY (it would take: publickey, password)"]).await;
    check("KexAlgorithms diffie-hellman-group14-sha1", expect!["the SFTP server refuses every kex algorithm that is still safe: it has only diffie-hellman-group14-sha1; let it offer one of mlkem768x25519-sha256, curve25519-sha256, curve25519-sha256@libssh.org, ecdh-sha2-nistp256, ecdh-sha2-nistp384, ecdh-sha2-nistp521, diffie-hellman-group-exchange-sha256, diffie-hellman-group18-sha512, diffie-hellman-group17-sha512, diffie-hellman-group16-sha512, diffie-hellman-group15-sha512, diffie-hellman-group14-sha256"]).await;
    check(
        "MaxAuthTries 1\nPasswordAuthentication no\nKbdInteractiveAuthentication yes",
        expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY"],
    )
    .await;
    check(
        "Ciphers aes128-cbc",
        expect!["the SFTP server refuses every cipher algorithm that is still safe: it has only aes128-cbc; let it offer one of aes256-gcm@openssh.com, aes128-gcm@openssh.com, chacha20-poly1305@openssh.com, aes256-ctr, aes192-ctr, aes128-ctr"],
    )
    .await;
}

#[tokio::test]
async fn one_file_that_is_refused() {
    let sshd = test_support::sshd().await;
    let client = Client::connect(&sshd_config(&sshd)).await.unwrap();
    for (name, mode) in [("secret", 0o000), ("public", 0o644)] {
        fs::write(sshd.upload().join(name), name).unwrap();
        fs::set_permissions(sshd.upload().join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let Err(error) = client.read(&format!("{}/secret", sshd.remote_path)).await else { panic!("opened") };
    assert!(!error.is_transient());
    expect!["the SFTP server refuses opening <folder>/secret: Permission denied"]
        .assert_eq(&error.to_string().replace(&sshd.remote_path, "<folder>"));
    let read: Vec<_> = client.read(&format!("{}/public", sshd.remote_path)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.concat(), b"public");
}

#[tokio::test]
async fn a_disk_that_is_full() {
    let sshd = test_support::sshd().await;
    let client = Client::connect(&sshd_config(&sshd)).await.unwrap();
    // Linux's own full disk, in the place of the temporary file.
    symlink("/dev/full", sshd.upload().join(".cdr.csv.part")).unwrap();
    let path = format!("{}/cdr.csv", sshd.remote_path);
    let error = client.write_atomic(&path, bytes(100_000).as_slice()).await.unwrap_err();
    expect!["the SFTP server refuses writing <folder>/.cdr.csv.part: Failure; is its disk full, or a quota used up?"]
        .assert_eq(&error.to_string().replace(&sshd.remote_path, "<folder>"));
    // Nothing is left of it, and there is room again.
    assert_eq!(client.list(&sshd.remote_path).await.unwrap().files, []);
    client.write_atomic(&path, bytes(100_000).as_slice()).await.unwrap();
    assert!(fs::read(sshd.upload().join("cdr.csv")).unwrap() == bytes(100_000));
}
