//! From an address to a session with the file protocol.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::client::{DisconnectReason, Handle, Msg, RemoteDisconnectInfo};
use russh::keys::{Algorithm, HashAlg, PublicKeyOrCertificate};
use russh::{
    AlgorithmKind, Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Preferred, cipher, kex,
};
use tokio_util::task::AbortOnDropHandle;

use crate::login::log_in;
use crate::session::Session;
use crate::wire::{self, Answers, Greeting, Malformed};
use crate::{Config, Error, HostKey};

/// From the first packet to a session with the file protocol.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection that says nothing for so long, not even to a keepalive, is gone.
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(60);
/// Three of these fit into the inactivity timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How much the server may send without an acknowledgement, for all files together. The SSH default of 2 MiB limits a
/// connection over 20 ms to 100 MB/s.
const WINDOW_BYTES: u32 = 16 << 20;
/// The largest packet that the library takes.
const PACKET_BYTES: u32 = 65_535;
/// How much of what a program says in the place of the file protocol is shown: a line.
const SHOWN_CHARS: usize = 100;
/// The fastest first, on a processor with AES instructions: for 1 GB, AES-GCM takes this client 0.5 s, ChaCha20 1.0 s
/// and AES-CTR with its MAC 2.4 s.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
/// The library's own choice, and the NIST curves, which RFC 9142 recommends and some servers have alone.
const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G18_SHA512,
    kex::DH_G17_SHA512,
    kex::DH_G16_SHA512,
    kex::DH_G15_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// A connection to a server with the expected key.
pub(crate) struct Connection {
    /// Ends the connection when dropped.
    pub(crate) ssh: Handle<Check>,
    pub(crate) goodbye: Goodbye,
}

/// What the server says when it ends the connection.
#[derive(Clone, Default)]
pub(crate) struct Goodbye(Arc<OnceLock<Farewell>>);

#[derive(Debug)]
struct Farewell {
    why: String,
    /// It has nothing against us, but against who we say we are.
    is_refusal: bool,
}

/// A channel on which the server has begun to speak the file protocol.
pub(crate) struct Greeted {
    pub(crate) greeting: Greeting,
    pub(crate) answers: Answers,
    pub(crate) incoming: ChannelReadHalf,
    pub(crate) outgoing: ChannelWriteHalf<Msg>,
}

/// Connects, checks the host key, and logs in.
pub(crate) async fn connect(config: &Config) -> Result<Session, Error> {
    let opening = contained(open(config.clone()));
    let why = match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
        Ok(Ok(session)) => return Ok(session),
        Ok(Err(Failure::Known(error))) => return Err(error),
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => format!("no session after {} s", CONNECT_TIMEOUT.as_secs()),
    };
    Err(Error::Unreachable { address: format!("{}:{}", config.host, config.port), why })
}

/// Does something with the SSH library in a task of its own: should it panic, no more than this connection is lost.
async fn contained<T: Send + 'static>(
    something: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    match AbortOnDropHandle::new(tokio::spawn(something)).await {
        Ok(done) => done,
        Err(error) => Err(Failure::Unreachable(format!("the SSH library failed: {error}"))),
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It is known what must be done.
    #[error(transparent)]
    Known(Error),
    #[error("it has another host key, {fingerprint}")]
    OtherKey { fingerprint: String },
    #[error("it has host keys of other types only: {0}")]
    OtherTypes(String),
    #[error("it refuses the login, and takes no other")]
    NoMoreMethods,
    /// Nobody answers as a server of SSH does.
    #[error("{0}")]
    Unreachable(String),
}

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        match error {
            russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, ours, theirs }
                if theirs.iter().any(|name| name == "ssh-rsa") && ours.iter().any(|name| name.starts_with("rsa-")) =>
            {
                Self::refused(
                    "every safe signature with its host key",
                    "it signs with SHA-1 only (ssh-rsa), which is not safe; let it offer rsa-sha2-256, with the same \
                     key",
                )
            }
            russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. } => Self::OtherTypes(theirs.join(", ")),
            russh::Error::NoCommonAlgo { kind, ours, theirs } => {
                let kind = format!("{kind:?}").to_lowercase();
                let [ours, theirs] = [ours, theirs]
                    .map(|names| names.into_iter().filter(|name| !is_extension(name)).collect::<Vec<_>>().join(", "));
                Self::refused(
                    &format!("every {kind} algorithm that is still safe"),
                    &format!("it has only {theirs}; let it offer one of {ours}"),
                )
            }
            russh::Error::NoAuthMethod => Self::NoMoreMethods,
            error => Self::Unreachable(error.to_string()),
        }
    }
}

/// Names that stand among the key exchanges, and are none.
fn is_extension(name: &str) -> bool {
    name.starts_with("ext-info-") || name.starts_with("kex-strict-")
}

impl Failure {
    pub(crate) fn refused(doing: &str, why: &str) -> Self {
        Self::Known(Error::Refused { doing: doing.to_owned(), why: why.to_owned() })
    }

    fn no_files(user: &str, why: &str) -> Self {
        Self::refused(&format!("the file protocol to the user {user}"), why)
    }
}

async fn open(config: Config) -> Result<Session, Failure> {
    let user = config.user.as_str();
    let mut connection = secure(&config).await?;
    log_in(&mut connection, user, &config.credentials).await?;
    let channel = begin_subsystem(&connection, user).await?;
    let greeted = greet(&connection, channel, user).await?;
    let failed = |trouble| Failure::Known(Error::from_trouble("asking its limits", "", trouble));
    Session::begin(connection, greeted).await.map_err(failed)
}

/// A connection to a server with the expected key. A server with keys of several types shows a key of the requested
/// type. A fingerprint does not name its type, so the client requests one type after the other, beginning with the one
/// that matched last time.
async fn secure(config: &Config) -> Result<Connection, Failure> {
    let (mut shown, mut types) = (Vec::new(), String::new());
    for algorithms in config.host_key.algorithms() {
        let goodbye = Goodbye::default();
        let check = Check { host_key: config.host_key.clone(), goodbye: goodbye.clone() };
        let address = (config.host.as_str(), config.port);
        match russh::client::connect(Arc::new(ssh_config(algorithms)), address, check).await {
            Ok(ssh) => return Ok(Connection { ssh, goodbye }),
            Err(Failure::OtherKey { fingerprint }) => shown.push(fingerprint),
            Err(Failure::OtherTypes(theirs)) => types = theirs,
            Err(failure) => return Err(failure),
        }
    }
    let found = if shown.is_empty() { format!("of another type (it has {types})") } else { shown.join(", ") };
    Err(Failure::Known(Error::HostKey { expected: config.host_key.to_string(), found }))
}

/// Asks for the file protocol on a channel of its own.
async fn begin_subsystem(connection: &Connection, user: &str) -> Result<Channel<Msg>, Failure> {
    let ended = |error: russh::Error| connection.ended(user, &error.to_string());
    let mut channel = connection.ssh.channel_open_session().await.map_err(|error| match error {
        russh::Error::ChannelOpenFailure(why) => {
            Failure::no_files(user, &format!("it opens no session for them ({why:?})"))
        }
        error => ended(error),
    })?;
    channel.request_subsystem(true, "sftp").await.map_err(ended)?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(channel),
            Some(ChannelMsg::WindowAdjusted { .. }) => {}
            None => return Err(connection.ended(user, "no answer to the request for the file protocol")),
            Some(_) => return Err(Failure::no_files(user, "it has no subsystem sftp for them")),
        }
    }
}

/// Says the first word of the file protocol, and waits for the server's. The user's shell or another command may have
/// begun in the place of the file protocol, or beside it.
async fn greet(connection: &Connection, channel: Channel<Msg>, user: &str) -> Result<Greeted, Failure> {
    let (mut incoming, outgoing) = channel.split();
    outgoing.data_bytes(wire::init()).await.map_err(|error| connection.ended(user, &error.to_string()))?;
    let (mut answers, mut complaint) = (Answers::default(), Vec::new());
    loop {
        match answers.greeting() {
            Ok(Some(greeting)) => return Ok(Greeted { greeting, answers, incoming, outgoing }),
            Ok(None) => {}
            Err(Malformed) => return Err(says_something_else(user, &answers.rest())),
        }
        match incoming.wait().await {
            Some(ChannelMsg::Data { data }) => answers.push(data),
            Some(ChannelMsg::ExtendedData { data, .. }) => complaint = data.to_vec(),
            // Its error output may come after the end of its normal output.
            Some(ChannelMsg::Close) => break,
            None => return Err(connection.ended(user, "it closed the connection")),
            Some(_) => {}
        }
    }
    Err(match (answers.rest().as_slice(), first_line(&complaint)) {
        ([], None) => Failure::no_files(
            user,
            "it ends the session at once: is the account locked, its password expired, its shell none, or its folder \
             missing?",
        ),
        ([], Some(line)) => Failure::no_files(user, &format!("it ends the session at once, and says: {line}")),
        (said, _) => says_something_else(user, said),
    })
}

fn says_something_else(user: &str, said: &[u8]) -> Failure {
    let line = first_line(said).unwrap_or_else(|| "bytes that are no text".to_owned());
    let why = format!(
        "in its place something else is printed at the login: {line}; what the account's start files (.bashrc) print for \
         people must not be printed to programs, and a password or an account that has expired must be renewed"
    );
    Failure::no_files(user, &why)
}

/// The first line of a text for people, in quotes.
fn first_line(said: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let shown: String = line.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    (!shown.is_empty()).then(|| format!("\"{shown}\""))
}

fn ssh_config(host_key_algorithms: Vec<Algorithm>) -> russh::client::Config {
    let preferred = Preferred {
        key: Cow::Owned(host_key_algorithms),
        kex: Cow::Borrowed(KEY_EXCHANGES),
        cipher: Cow::Borrowed(CIPHERS),
        ..Preferred::default()
    };
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

impl Connection {
    /// The server hung up where it should have gone on.
    pub(crate) fn ended(&self, user: &str, seen: &str) -> Failure {
        let user = user.to_owned();
        Failure::Known(match self.goodbye.0.get() {
            Some(Farewell { is_refusal: true, .. }) => Error::Credentials { user, accepts: Vec::new() },
            Some(Farewell { why, .. }) => Error::LoginEnded { user, why: why.clone() },
            None => Error::LoginEnded { user, why: seen.to_owned() },
        })
    }
}

impl Goodbye {
    /// Why the server ended the connection, in its words.
    pub(crate) fn said(&self) -> Option<&str> {
        self.0.get().map(|farewell| farewell.why.as_str())
    }
}

impl From<DisconnectReason<Failure>> for Farewell {
    fn from(reason: DisconnectReason<Failure>) -> Self {
        match reason {
            DisconnectReason::ReceivedDisconnect(RemoteDisconnectInfo { reason_code, message, .. }) => {
                // OpenSSH has no number for it: it says "Too many authentication failures".
                let is_refusal =
                    matches!(reason_code, Disconnect::NoMoreAuthMethodsAvailable | Disconnect::IllegalUserName)
                        || message.to_ascii_lowercase().contains("authentication fail");
                let why = first_line(message.as_bytes()).unwrap_or_else(|| format!("{reason_code:?}"));
                Self { why: format!("it said {why}"), is_refusal }
            }
            DisconnectReason::Error(failure) => {
                Self { why: failure.to_string(), is_refusal: matches!(failure, Failure::NoMoreMethods) }
            }
        }
    }
}

/// Lets only the pinned key pass, before anything else is said to the server.
pub(crate) struct Check {
    host_key: HostKey,
    goodbye: Goodbye,
}

impl russh::client::Handler for Check {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let shown = shown.public_key();
        if self.host_key.accepts(&shown) {
            Ok(true)
        } else {
            Err(Failure::OtherKey { fingerprint: shown.fingerprint(HashAlg::Sha256).to_string() })
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        self.goodbye.0.get_or_init(|| reason.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_library_ends_the_connection_only() {
        let panics = async || -> Result<(), Failure> { panic!("index out of bounds") };
        let Err(Failure::Unreachable(why)) = contained(panics()).await else { panic!("it went on") };
        assert!(why.starts_with("the SSH library failed") && why.contains("index out of bounds"), "{why}");
    }

    #[test]
    fn what_is_shown_of_a_text() {
        let show = |said: &[u8]| first_line(said).unwrap_or_default();
        expect![[r#""Welcome to \ host!""#]].assert_eq(&show(b"\r\n  Welcome \x1b\x07to \\ host!\nSecond line"));
        expect![""].assert_eq(&show(b"\0\0\n"));
        assert!(show(&[b'x'; 1_000]).len() < 200);
    }
}
