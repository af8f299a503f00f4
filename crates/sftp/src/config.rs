use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{self, Algorithm, EcdsaCurve, HashAlg, PrivateKey, PublicKey, decode_secret_key};
use serde::Deserialize;

use crate::folders::Folders;
use crate::login::RsaKey;

/// The port of SSH.
const PORT: u16 = 22;
/// Where the operator's system delivers by default.
const REMOTE_PATH: &str = "/upload";

/// The server, who it must be and who we are.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Variables")]
pub struct Config {
    /// `SFTP_HOST`: a name or an address.
    pub host: String,
    /// `SFTP_PORT`, by default 22.
    pub port: u16,
    /// `SFTP_USER`.
    pub user: String,
    /// `SFTP_PASSWORD` or `SFTP_PRIVATE_KEY`.
    pub credentials: Credentials,
    /// `SFTP_HOST_KEY`: the server's key, or keys; a server with another one is refused.
    pub host_key: HostKey,
    /// `SFTP_REMOTE_PATH`, by default `/upload`: the folder of deliveries, or a pattern ([`Folders`]).
    pub remote_path: Folders,
    /// `SFTP_FOLLOW_LINKS`, by default true: whether a symbolic link to a file is a file.
    pub follow_links: bool,
}

/// How we show who we are.
#[derive(Clone)]
pub enum Credentials {
    /// A password.
    Password(String),
    /// A private key, Ed25519 or ECDSA.
    PrivateKey(Arc<PrivateKey>),
    /// A private key, RSA.
    RsaKey(Arc<RsaKey>),
}

/// The keys of which the server must show one, usually one: each is a line of its own, an OpenSSH public key (with or
/// without a host name before it, as `ssh-keyscan` prints it) or its `SHA256:…` fingerprint. Two lines see a server
/// through the change of its key.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct HostKey {
    pins: Vec<Pin>,
    /// The place among [`HOST_KEY_TYPES`] of the type that fitted the last time: all clones know it.
    fitted: Arc<AtomicUsize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pin {
    Key(PublicKey),
    Fingerprint(Fingerprint),
}

/// The variables as they are set.
#[derive(Deserialize)]
struct Variables {
    #[serde(rename = "SFTP_HOST")]
    host: String,
    #[serde(rename = "SFTP_PORT", default = "port")]
    port: u16,
    #[serde(rename = "SFTP_USER")]
    user: String,
    #[serde(rename = "SFTP_PASSWORD")]
    password: Option<String>,
    #[serde(rename = "SFTP_PRIVATE_KEY")]
    private_key: Option<String>,
    #[serde(rename = "SFTP_PRIVATE_KEY_PASSPHRASE")]
    passphrase: Option<String>,
    #[serde(rename = "SFTP_HOST_KEY")]
    host_key: HostKey,
    #[serde(rename = "SFTP_REMOTE_PATH", default = "remote_path")]
    remote_path: String,
    #[serde(rename = "SFTP_FOLLOW_LINKS", default = "follow_links")]
    follow_links: bool,
}

fn port() -> u16 {
    PORT
}

fn remote_path() -> String {
    REMOTE_PATH.to_owned()
}

fn follow_links() -> bool {
    true
}

impl TryFrom<Variables> for Config {
    type Error = String;

    fn try_from(set: Variables) -> Result<Self, String> {
        let credentials = match (set.private_key, set.password) {
            (Some(key), _) => Credentials::private_key(&key, set.passphrase.as_deref())?,
            (None, Some(password)) => Credentials::Password(password),
            (None, None) => return Err("SFTP_PASSWORD or SFTP_PRIVATE_KEY is missing: set one of them".to_owned()),
        };
        Ok(Self {
            host: set.host,
            port: set.port,
            user: set.user,
            credentials,
            host_key: set.host_key,
            remote_path: Folders::parse(&set.remote_path).map_err(|why| format!("SFTP_REMOTE_PATH: {why}"))?,
            follow_links: set.follow_links,
        })
    }
}

impl Credentials {
    /// Reads a private key: its PEM text, or the path of a file that holds it. Where both a key and a password are
    /// set, the key is used.
    fn private_key(text: &str, passphrase: Option<&str>) -> Result<Self, String> {
        let pem = if text.contains("-----BEGIN ") {
            with_line_ends(text)
        } else {
            std::fs::read_to_string(text)
                .map_err(|error| format!("SFTP_PRIVATE_KEY is neither a key's PEM text nor a readable file: {error}"))?
        };
        let why = match decode(&pem, passphrase) {
            Ok(key) if key.algorithm().is_rsa() => match RsaKey::new(&key) {
                Ok(key) => return Ok(Self::RsaKey(Arc::new(key))),
                Err(why) => why,
            },
            Ok(key) => return Ok(Self::PrivateKey(Arc::new(key))),
            Err(keys::Error::KeyIsEncrypted) => {
                "it is protected by a passphrase: set SFTP_PRIVATE_KEY_PASSPHRASE".to_owned()
            }
            Err(error) if passphrase.is_some() => format!("{error}: is SFTP_PRIVATE_KEY_PASSPHRASE right?"),
            Err(error) => error.to_string(),
        };
        Err(format!(
            "SFTP_PRIVATE_KEY can't be used ({why}): expected an Ed25519, ECDSA or RSA key, as `ssh-keygen -t ed25519` \
             makes one; `ssh-keygen -p -f KEY` turns other formats into OpenSSH's"
        ))
    }
}

/// Reads a private key. A passphrase is for a key that needs one.
fn decode(pem: &str, passphrase: Option<&str>) -> Result<PrivateKey, keys::Error> {
    // Only OpenSSH's own format is seen to be encrypted by the library.
    let is_encrypted = pem.contains("BEGIN ENCRYPTED") || pem.contains("Proc-Type: 4,ENCRYPTED");
    let key = if is_encrypted { Err(keys::Error::KeyIsEncrypted) } else { decode_secret_key(pem, None) };
    match (key, passphrase) {
        (Err(keys::Error::KeyIsEncrypted), Some(passphrase)) => decode_secret_key(pem, Some(passphrase)),
        (key, _) => key,
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::PrivateKey(_) => "PrivateKey(…)",
            Self::RsaKey(_) => "RsaKey(…)",
        })
    }
}

/// The types of host keys, best first. Signatures with SHA-1 are not among them.
const HOST_KEY_TYPES: [&[Algorithm]; 3] = [
    &[Algorithm::Ed25519],
    &[
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    ],
    &[Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }],
];

impl HostKey {
    /// The algorithms of keys that can be the expected one, by type: a server shows one key of those it is asked for.
    /// The type that fitted the last time comes first.
    pub(crate) fn algorithms(&self) -> Vec<Vec<Algorithm>> {
        let expected = |algorithm: &&Algorithm| self.pins.iter().any(|pin| pin.may_have(algorithm));
        let fitted = self.fitted.load(Ordering::Relaxed);
        let others = (0..HOST_KEY_TYPES.len()).filter(|place| *place != fitted);
        let places = HOST_KEY_TYPES.get(fitted).map(|_| fitted).into_iter().chain(others);
        let types = places.map(|place| HOST_KEY_TYPES[place].iter().filter(expected).cloned().collect::<Vec<_>>());
        types.filter(|algorithms| !algorithms.is_empty()).collect()
    }

    /// Whether the server's key is an expected one.
    pub(crate) fn accepts(&self, shown: &PublicKey) -> bool {
        let fits = self.pins.iter().any(|pin| match pin {
            Pin::Key(key) => key.key_data() == shown.key_data(),
            Pin::Fingerprint(fingerprint) => shown.fingerprint(fingerprint.algorithm()) == *fingerprint,
        });
        let has_its_type = |algorithm: &Algorithm| is_of_type(shown, algorithm);
        if fits && let Some(place) = HOST_KEY_TYPES.iter().position(|types| types.iter().any(has_its_type)) {
            self.fitted.store(place, Ordering::Relaxed);
        }
        fits
    }
}

/// Whether a key can sign so.
fn is_of_type(key: &PublicKey, algorithm: &Algorithm) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => key.algorithm().is_rsa(),
        algorithm => key.algorithm() == *algorithm,
    }
}

impl Pin {
    fn may_have(&self, algorithm: &Algorithm) -> bool {
        match self {
            Self::Key(key) => is_of_type(key, algorithm),
            Self::Fingerprint(_) => true,
        }
    }

    fn parse(line: &str) -> Option<Self> {
        if let Ok(fingerprint) = line.parse() {
            return Some(Self::Fingerprint(fingerprint));
        }
        let without_host = || line.split_once(' ').and_then(|(_, key)| PublicKey::from_openssh(key).ok());
        let key = Self::Key(PublicKey::from_openssh(line).ok().or_else(without_host)?);
        HOST_KEY_TYPES
            .iter()
            .any(|algorithms| algorithms.iter().any(|algorithm| key.may_have(algorithm)))
            .then_some(key)
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({self})")
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, pin) in self.pins.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " or " })?;
            match pin {
                Pin::Key(key) => key.fingerprint(HashAlg::Sha256).fmt(f)?,
                Pin::Fingerprint(fingerprint) => fingerprint.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for HostKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let text = with_line_ends(&text);
        // ssh-keyscan says in comments whom it asked.
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pins = lines.map(Pin::parse).collect::<Option<Vec<_>>>().filter(|pins| !pins.is_empty());
        // None is the type that has fitted.
        let key = |pins| Self { pins, fitted: Arc::new(AtomicUsize::new(HOST_KEY_TYPES.len())) };
        pins.map(key).ok_or(
            "expected the server's public key (`ssh-ed25519 AAAA…`, as ssh-keyscan prints it; Ed25519, ECDSA or RSA) or its \
             fingerprint (`SHA256:…`)",
        )
    }
}

/// Stores of secrets and shells like to write a line's end as `\n`.
fn with_line_ends(text: &str) -> String {
    text.replace("\\n", "\n")
}
