//! Showing who we are.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding};

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_encoding::Encode;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, pkcs8::encode_pkcs8};
use russh::{MethodKind, MethodSet, Signer};

use crate::connect::{Check, Connection, Failure};
use crate::{Credentials, Error};

/// Logs in.
pub(crate) async fn log_in(connection: &mut Connection, user: &str, credentials: &Credentials) -> Result<(), Failure> {
    match try_to_log_in(&mut connection.ssh, user, credentials).await {
        Ok(AuthResult::Success) => Ok(()),
        // The library's word for a connection that has ended.
        Ok(AuthResult::Failure { remaining_methods, partial_success: false })
            if remaining_methods.is_empty() && connection.ssh.is_closed() =>
        {
            Err(connection.ended(user, "it closed the connection"))
        }
        Ok(AuthResult::Failure { remaining_methods, .. }) => {
            let accepts = remaining_methods.iter().map(String::from).collect();
            Err(Failure::Known(Error::Credentials { user: user.to_owned(), accepts }))
        }
        Err(Failure::Unreachable(why)) => Err(connection.ended(user, &why)),
        Err(failure) => Err(failure),
    }
}

async fn try_to_log_in(ssh: &mut Handle<Check>, user: &str, credentials: &Credentials) -> Result<AuthResult, Failure> {
    match credentials {
        Credentials::Password(password) => with_password(ssh, user, password).await,
        Credentials::PrivateKey(key) => {
            Ok(ssh.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key), None)).await?)
        }
        Credentials::RsaKey(key) => with_rsa_key(ssh, user, key).await,
    }
}

async fn with_password(ssh: &mut Handle<Check>, user: &str, password: &str) -> Result<AuthResult, Failure> {
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
async fn answer_with(ssh: &mut Handle<Check>, user: &str, password: &str) -> Result<AuthResult, Failure> {
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

/// Signs with the hash that the server says it likes best, and then with the other one: what it says is what its
/// program can do, and not always what its operator allows.
async fn with_rsa_key(ssh: &mut Handle<Check>, user: &str, key: &RsaKey) -> Result<AuthResult, Failure> {
    let hashes = match ssh.best_supported_rsa_hash().await? {
        Some(None) => {
            return Err(Failure::refused(
                "every safe signature with an RSA key",
                "it takes SHA-1 only (ssh-rsa), which is not safe; use an Ed25519 or ECDSA key",
            ));
        }
        Some(Some(HashAlg::Sha512)) => [HashAlg::Sha512, HashAlg::Sha256],
        _ => [HashAlg::Sha256, HashAlg::Sha512],
    };
    let [first, second] = hashes.map(Some);
    let mut signer = RsaSigner(key);
    let public = || key.public.clone();
    let answer = ssh.authenticate_publickey_with(user, public(), first, &mut signer).await.map_err(|error| error.0)?;
    match &answer {
        AuthResult::Failure { remaining_methods, partial_success: false }
            if remaining_methods.contains(&MethodKind::PublicKey) =>
        {
            ssh.authenticate_publickey_with(user, public(), second, &mut signer).await.map_err(|error| error.0)
        }
        _ => Ok(answer),
    }
}

/// An RSA key. It signs with AWS-LC, which takes equal time whatever the key: the implementation that the SSH library
/// has for all else that is RSA does not.
pub struct RsaKey {
    public: PublicKey,
    pair: KeyPair,
}

impl RsaKey {
    pub(crate) fn new(key: &PrivateKey) -> Result<Self, String> {
        let pkcs8 = encode_pkcs8(key).map_err(|error| error.to_string())?;
        let pair = KeyPair::from_pkcs8(&pkcs8).map_err(|error| format!("an RSA key that is refused: {error}"))?;
        Ok(Self { public: key.public_key().clone(), pair })
    }

    /// The signature of `message`, in the form that SSH gives it (RFC 8332).
    fn sign(&self, message: &[u8], hash: HashAlg) -> Result<Vec<u8>, russh::Error> {
        let encoding: &dyn RsaEncoding = if hash == HashAlg::Sha512 { &RSA_PKCS1_SHA512 } else { &RSA_PKCS1_SHA256 };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(encoding, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| russh::Error::RequestDenied)?;
        let mut named = Vec::new();
        let algorithm = Algorithm::Rsa { hash: Some(hash) };
        algorithm.as_str().encode(&mut named).and_then(|()| signature.encode(&mut named))?;
        Ok(named)
    }
}

/// Signs for one login.
struct RsaSigner<'a>(&'a RsaKey);

/// The library wants an error of one's own.
struct SignError(Failure);

impl From<russh::SendError> for SignError {
    fn from(_: russh::SendError) -> Self {
        Self(russh::Error::SendError.into())
    }
}

impl Signer for RsaSigner<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut message: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let failed = |error: russh::Error| SignError(error.into());
        let signature = self.0.sign(&message, hash.unwrap_or(HashAlg::Sha256)).map_err(failed)?;
        // The library sends the message with the signature behind it.
        signature.encode(&mut message).map_err(|error| failed(error.into()))?;
        Ok(message)
    }
}
