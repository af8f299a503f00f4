use std::fmt;
use std::sync::Arc;

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey, decode_secret_key};
use serde::Deserialize;

/// The port of SSH.
const PORT: u16 = 22;
/// Where the operator's system delivers, unless it is told otherwise.
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
    /// `SFTP_HOST_KEY`: the server's key; a server with another one is refused.
    pub host_key: HostKey,
    /// `SFTP_REMOTE_PATH`, by default `/upload`: the folder of deliveries.
    pub remote_path: String,
}

/// How we show who we are.
#[derive(Clone)]
pub enum Credentials {
    /// A password.
    Password(String),
    /// A private key (Ed25519 or ECDSA) without a passphrase.
    PrivateKey(Arc<PrivateKey>),
}

/// The key that the server must show: an OpenSSH public key line (with or without a host name before it, as
/// `ssh-keyscan` prints it), or its `SHA256:…` fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostKey(Pin);

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
    #[serde(rename = "SFTP_HOST_KEY")]
    host_key: HostKey,
    #[serde(rename = "SFTP_REMOTE_PATH", default = "remote_path")]
    remote_path: String,
}

fn port() -> u16 {
    PORT
}

fn remote_path() -> String {
    REMOTE_PATH.to_owned()
}

impl TryFrom<Variables> for Config {
    type Error = String;

    fn try_from(set: Variables) -> Result<Self, String> {
        let credentials = match (set.private_key, set.password) {
            (Some(key), _) => Credentials::private_key(&key)?,
            (None, Some(password)) => Credentials::Password(password),
            (None, None) => return Err("SFTP_PASSWORD or SFTP_PRIVATE_KEY is missing: set one of them".to_owned()),
        };
        Ok(Self {
            host: set.host,
            port: set.port,
            user: set.user,
            credentials,
            host_key: set.host_key,
            remote_path: set.remote_path,
        })
    }
}

impl Credentials {
    /// Reads a private key: its PEM text, or the path of a file that holds it. Where both a key and a password are
    /// set, the key is used.
    fn private_key(text: &str) -> Result<Self, String> {
        let pem = if text.contains("-----BEGIN ") {
            // Stores of secrets and shells like to write a line's end as \n.
            text.replace("\\n", "\n")
        } else {
            std::fs::read_to_string(text)
                .map_err(|error| format!("SFTP_PRIVATE_KEY is neither a key's PEM text nor a readable file: {error}"))?
        };
        let key = decode_secret_key(&pem, None).map_err(|error| {
            format!(
                "SFTP_PRIVATE_KEY can't be read ({error}): expected an Ed25519 or ECDSA key without a passphrase, in \
                 OpenSSH or PKCS #8 format"
            )
        })?;
        Ok(Self::PrivateKey(Arc::new(key)))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::PrivateKey(_) => "PrivateKey(…)",
        })
    }
}

impl HostKey {
    /// The one algorithm to agree on, where the pin says it: a server with keys of several types then shows this one.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        match &self.0 {
            Pin::Key(key) => Some(key.algorithm()),
            Pin::Fingerprint(_) => None,
        }
    }

    /// Whether the server's key is the expected one.
    pub(crate) fn accepts(&self, shown: &PublicKey) -> bool {
        match &self.0 {
            Pin::Key(key) => key.key_data() == shown.key_data(),
            Pin::Fingerprint(fingerprint) => shown.fingerprint(fingerprint.algorithm()) == *fingerprint,
        }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pin::Key(key) => key.fingerprint(HashAlg::Sha256).fmt(f),
            Pin::Fingerprint(fingerprint) => fingerprint.fmt(f),
        }
    }
}

impl TryFrom<String> for HostKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let text = text.trim();
        if let Ok(fingerprint) = text.parse::<Fingerprint>() {
            return Ok(Self(Pin::Fingerprint(fingerprint)));
        }
        let without_host = || text.split_once(' ').and_then(|(_, key)| PublicKey::from_openssh(key).ok());
        let key = PublicKey::from_openssh(text).ok().or_else(without_host);
        key.map(|key| Self(Pin::Key(key))).ok_or(
            "expected the server's public key (`ssh-ed25519 AAAA…`, as ssh-keyscan prints it) or its fingerprint \
             (`SHA256:…`)",
        )
    }
}
