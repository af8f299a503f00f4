use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use expect_test::{Expect, expect};
use lambda_boot::Vars;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Msg, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use sftp::{Client, Config, Credentials, HostKey};
use tokio::net::TcpListener;

use crate::connecting;

/// Lets one key in, and then offers nothing.
struct Gate {
    key: PublicKey,
}

impl russh::server::Handler for Gate {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let right = user == "operator" && key.public_key.key_data() == self.key.key_data();
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(&mut self, id: ChannelId, _: &str, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }
}

#[tokio::test]
async fn a_private_key_opens_the_gate() {
    let [server, right, wrong] = [(); 3].map(|()| PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let host_key = server.public_key().to_openssh().unwrap();
    let config = Arc::new(russh::server::Config {
        keys: vec![server],
        auth_rejection_time: std::time::Duration::ZERO,
        ..russh::server::Config::default()
    });
    let key = right.public_key().clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let gate = Gate { key: key.clone() };
            tokio::spawn(russh::server::run_stream(Arc::clone(&config), stream, gate));
        }
    });

    let check = async |private_key: String, expect: Expect| {
        let vars: Vars = [
            ("SFTP_HOST", "127.0.0.1"),
            ("SFTP_PORT", &port),
            ("SFTP_USER", "operator"),
            ("SFTP_PRIVATE_KEY", &private_key),
            ("SFTP_HOST_KEY", &host_key),
        ]
        .into_iter()
        .collect();
        let error = match vars.read::<Config>() {
            Ok(config) => Client::connect(&config).await.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        expect.assert_eq(&error.unwrap_or_default());
    };
    let pem = |key: &PrivateKey| key.to_openssh(LineEnding::LF).unwrap().to_string();
    // Let in, and then there is nothing.
    check(
        pem(&right),
        expect!["the SFTP server refuses the file protocol to the user operator: it has no subsystem sftp for them"],
    )
    .await;
    // As it comes out of a store of secrets.
    check(
        pem(&right).replace('\n', "\\n"),
        expect!["the SFTP server refuses the file protocol to the user operator: it has no subsystem sftp for them"],
    )
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem(&right)).unwrap();
    check(
        file.path().display().to_string(),
        expect!["the SFTP server refuses the file protocol to the user operator: it has no subsystem sftp for them"],
    )
    .await;

    check(pem(&wrong), expect!["the SFTP server refuses the user operator: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY (it would take: none, password, publickey, hostbased, keyboard-interactive)"]).await;
    check(
        "/no/such/file".to_owned(),
        expect![
            "SFTP_PRIVATE_KEY is neither a key's PEM text nor a readable file: No such file or directory (os error 2)"
        ],
    )
    .await;
    check("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n".to_owned(), expect!["SFTP_PRIVATE_KEY can't be used (SshKey: length invalid): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"]).await;
    let locked = right.encrypt(&mut safe_rng(), "passphrase").unwrap();
    check(pem(&locked), expect!["SFTP_PRIVATE_KEY can't be used (it is protected by a passphrase: set SFTP_PRIVATE_KEY_PASSPHRASE): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"]).await;
}

/// Takes the password only as the answer to a question, and has another question for `careful`.
struct Asks {
    is_known: bool,
}

impl russh::server::Handler for Asks {
    type Error = russh::Error;

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        answers: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let question = |text| Auth::Partial {
            name: "".into(),
            instructions: "".into(),
            prompts: vec![(Cow::Borrowed(text), false)].into(),
        };
        let Some(mut answers) = answers else { return Ok(question("Password: ")) };
        let is_right = answers.next().is_some_and(|answer| *answer == *b"right");
        Ok(match (is_right, user) {
            (true, "careful") if !std::mem::replace(&mut self.is_known, true) => question("Code: "),
            (true, "careful") => panic!("the password was given as the code"),
            (true, _) => Auth::Accept,
            (false, _) => Auth::reject(),
        })
    }
}

#[tokio::test]
async fn a_server_that_asks_for_the_password() {
    let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host_key = HostKey::try_from(key.public_key().to_openssh().unwrap()).unwrap();
    let config = Arc::new(russh::server::Config {
        methods: MethodSet::from([MethodKind::KeyboardInteractive].as_slice()),
        keys: vec![key],
        auth_rejection_time: std::time::Duration::ZERO,
        ..russh::server::Config::default()
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(russh::server::run_stream(Arc::clone(&config), stream, Asks { is_known: false }));
        }
    });
    let check = async |user: &str, password: &str, expect: Expect| {
        let config = Config {
            host: "127.0.0.1".to_owned(),
            port,
            user: user.to_owned(),
            credentials: Credentials::Password(password.to_owned()),
            host_key: host_key.clone(),
            remote_path: sftp::Folders::parse("/").unwrap(),
            follow_links: true,
        };
        expect.assert_eq(&connecting(&config).await.to_string());
    };
    // Let in, and then there is nothing.
    check("operator", "right", expect!["the SFTP server refuses the file protocol to the user operator: it opens no session for them (AdministrativelyProhibited)"]).await;
    check("operator", "wrong", expect!["the SFTP server refuses the user operator: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY (it would take: keyboard-interactive)"]).await;
    check(
        "careful",
        "right",
        expect!["the SFTP server refuses the user careful: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY"],
    )
    .await;
}

#[test]
fn the_variables() {
    const KEY: &str = "SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA";
    fn check(vars: &[(&str, &str)], expect: Expect) {
        let vars: Vars = vars.iter().copied().collect();
        match vars.read::<Config>() {
            Ok(config) => expect.assert_eq(&format!("{config:?}")),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }
    let set = [("SFTP_HOST", "h"), ("SFTP_USER", "u"), ("SFTP_PASSWORD", "secret"), ("SFTP_HOST_KEY", KEY)];
    check(
        &set,
        expect![[
            r#"Config { host: "h", port: 22, user: "u", credentials: Password(…), host_key: HostKey(SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA), remote_path: "/upload", follow_links: true }"#
        ]],
    );
    check(&set[1..], expect!["SFTP_HOST is missing: set this environment variable"]);
    check(&[set[0], set[2], set[3]], expect!["SFTP_USER is missing: set this environment variable"]);
    check(&[set[0], set[1], set[3]], expect!["SFTP_PASSWORD or SFTP_PRIVATE_KEY is missing: set one of them"]);
    check(&set[..3], expect!["SFTP_HOST_KEY is missing: set this environment variable"]);
    check(
        &[set[0], set[1], set[2], ("SFTP_HOST_KEY", "any")],
        expect![
            "SFTP_HOST_KEY is malformed: expected the server's public key (`ssh-ed25519 AAAA…`, as ssh-keyscan prints it; Ed25519, ECDSA or RSA) or its fingerprint (`SHA256:…`)"
        ],
    );
}
