//! From an address to a session with the file protocol.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, ChannelMsg, MethodKind, MethodSet, Preferred, cipher};
use russh_sftp::client::{Config as SftpConfig, RawSftpSession};
use russh_sftp::extensions::LIMITS;

use crate::{Config, Credentials, Error, HostKey};

/// From the first packet to a session with the file protocol.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest wait for an answer; with all reads in flight, a line of 2 Mbit/s takes this long to bring a file's share.
const REQUEST_TIMEOUT_S: u64 = 40;
/// A connection that says nothing for so long, not even to a keepalive, is gone.
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(60);
/// Three of these fit into the inactivity timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// What the server may send before it hears from us, for all files together. The SSH default of 2 MiB limits a
/// connection over 20 ms to 100 MB/s.
const WINDOW_BYTES: u32 = 16 << 20;
/// The largest packet that the library takes.
const PACKET_BYTES: u32 = 65_535;
/// The longest read: with its header, the answer fits into a packet of the file protocol, by custom 256 KiB.
const LONGEST_READ_BYTES: u32 = 255 << 10;
/// Reads of this length are answered whole by servers that don't tell their limit.
const USUAL_READ_BYTES: u32 = 32 << 10;
/// The fastest first, on a processor with AES instructions: for 1 GB, AES-GCM takes this client 0.5 s, ChaCha20 1.0 s and
/// AES-CTR with its MAC 2.4 s.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
/// OpenSSH's rename that replaces its target in one step.
pub(crate) const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// A connection with the file protocol.
pub(crate) struct Session {
    pub(crate) sftp: RawSftpSession,
    /// Ends the connection when dropped.
    pub(crate) ssh: Handle<Check>,
    /// Whether the server has OpenSSH's replacing rename.
    pub(crate) has_posix_rename: bool,
    /// The longest read that the server answers whole.
    pub(crate) read_bytes: u32,
}

/// Connects, checks the host key, and logs in.
pub(crate) async fn connect(config: &Config) -> Result<Session, Error> {
    let why = match tokio::time::timeout(CONNECT_TIMEOUT, open(config)).await {
        Ok(Ok(session)) => return Ok(session),
        Ok(Err(Failure::Known(error))) => return Err(error),
        Ok(Err(Failure::Unreachable(why) | Failure::OtherKey(why) | Failure::OtherTypes(why))) => why,
        Err(_) => format!("no session after {} s", CONNECT_TIMEOUT.as_secs()),
    };
    Err(Error::Unreachable { address: format!("{}:{}", config.host, config.port), why })
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is known what must be done.
    Known(Error),
    /// The server showed another key.
    OtherKey(String),
    /// The server has keys of other types only: these.
    OtherTypes(String),
    /// Nobody answers as a server of SSH does.
    Unreachable(String),
}

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        match error {
            russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. } => Self::OtherTypes(theirs.join(", ")),
            russh::Error::NoCommonAlgo { kind, theirs, .. } => {
                let kind = format!("{kind:?}").to_lowercase();
                let doing = format!("every {kind} algorithm that is still safe");
                Self::Known(Error::Refused { doing, why: format!("it has only {}", theirs.join(", ")) })
            }
            error => Self::Unreachable(error.to_string()),
        }
    }
}

async fn open(config: &Config) -> Result<Session, Failure> {
    let mut ssh = secure(config).await?;
    let user = &config.user;
    if let AuthResult::Failure { remaining_methods, .. } = log_in(&mut ssh, user, &config.credentials).await? {
        let accepts = remaining_methods.iter().map(String::from).collect();
        return Err(Failure::Known(Error::Credentials { user: user.clone(), accepts }));
    }
    let refused = |why: &str| {
        let doing = format!("the file protocol to the user {user}");
        Failure::Known(Error::Refused { doing, why: why.to_owned() })
    };
    let mut channel = ssh.channel_open_session().await.map_err(|error| match error {
        russh::Error::ChannelOpenFailure(why) => refused(&format!("it opens no session for them ({why:?})")),
        error => error.into(),
    })?;
    channel.request_subsystem(true, "sftp").await?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::WindowAdjusted { .. }) => {}
            _ => return Err(refused("it has no subsystem sftp for them")),
        }
    }
    let limits = SftpConfig { request_timeout_secs: REQUEST_TIMEOUT_S, ..SftpConfig::default() };
    let sftp = RawSftpSession::new_with_config(channel.into_stream(), limits);
    // The user's shell or another command may have begun in the place of the file protocol.
    let version = sftp.init().await.map_err(|_| {
        refused("it ends the session at once: is the account locked, its password expired, its shell none, or its folder missing?")
    })?;
    let read_bytes = if version.extensions.contains_key(LIMITS) {
        let limits =
            sftp.limits().await.map_err(|error| Failure::Known(Error::from_sftp("asking its limits", "", error)))?;
        u32::try_from(limits.max_read_len).unwrap_or(u32::MAX).clamp(USUAL_READ_BYTES, LONGEST_READ_BYTES)
    } else {
        USUAL_READ_BYTES
    };
    Ok(Session { sftp, ssh, has_posix_rename: version.extensions.contains_key(POSIX_RENAME), read_bytes })
}

/// A connection to a server with the expected key. A server with keys of several types shows one of the types that it is
/// asked for; as a fingerprint does not tell its type, one after the other is asked for.
async fn secure(config: &Config) -> Result<Handle<Check>, Failure> {
    let (mut shown, mut types) = (Vec::new(), String::new());
    for algorithms in config.host_key.algorithms() {
        let check = Check { host_key: config.host_key.clone() };
        let address = (config.host.as_str(), config.port);
        match russh::client::connect(Arc::new(ssh_config(algorithms)), address, check).await {
            Err(Failure::OtherKey(key)) => shown.push(key),
            Err(Failure::OtherTypes(theirs)) => types = theirs,
            connected => return connected,
        }
    }
    let found = if shown.is_empty() { format!("of another type (it has {types})") } else { shown.join(", ") };
    Err(Failure::Known(Error::HostKey { expected: config.host_key.to_string(), found }))
}

async fn log_in(ssh: &mut Handle<Check>, user: &str, credentials: &Credentials) -> Result<AuthResult, russh::Error> {
    let password = match credentials {
        Credentials::Password(password) => password,
        Credentials::PrivateKey(key) => {
            return ssh.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key), None)).await;
        }
    };
    let answer = ssh.authenticate_password(user, password).await?;
    match &answer {
        // The server takes passwords, but only when it asks for them; a refused one is not tried twice.
        AuthResult::Failure { remaining_methods: methods, .. }
            if methods.contains(&MethodKind::KeyboardInteractive) && !methods.contains(&MethodKind::Password) =>
        {
            answer_with(ssh, user, password).await
        }
        _ => Ok(answer),
    }
}

/// Gives the password to the one question for it. Another question is one for a person: for a second factor, or for a
/// new password.
async fn answer_with(ssh: &mut Handle<Check>, user: &str, password: &str) -> Result<AuthResult, russh::Error> {
    let mut password = Some(password.to_owned());
    let mut asked = ssh.authenticate_keyboard_interactive_start(user, None).await?;
    loop {
        let answers = match asked {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                return Ok(AuthResult::Failure { remaining_methods, partial_success });
            }
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => match prompts.as_slice() {
                // A server may have something to say, or nothing.
                [] => Vec::new(),
                [question] if !question.echo && password.is_some() => password.take().into_iter().collect(),
                _ => return Ok(AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: true }),
            },
        };
        asked = ssh.authenticate_keyboard_interactive_respond(answers).await?;
    }
}

fn ssh_config(host_key_algorithms: Vec<Algorithm>) -> russh::client::Config {
    let preferred =
        Preferred { key: Cow::Owned(host_key_algorithms), cipher: Cow::Borrowed(CIPHERS), ..Preferred::default() };
    russh::client::Config {
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        inactivity_timeout: Some(INACTIVITY_TIMEOUT),
        keepalive_interval: Some(KEEPALIVE_INTERVAL),
        nodelay: true,
        preferred,
        ..russh::client::Config::default()
    }
}

/// Lets only the pinned key pass, before anything else is said to the server.
pub(crate) struct Check {
    host_key: HostKey,
}

impl russh::client::Handler for Check {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let shown = shown.public_key();
        if self.host_key.accepts(&shown) {
            Ok(true)
        } else {
            Err(Failure::OtherKey(shown.fingerprint(HashAlg::Sha256).to_string()))
        }
    }
}
