//! Who asks, and whose usage they may see: HTTP basic authentication against argon2id hashes.
//!
//! - A right password is hashed once per process and user; after that its keyed digest is remembered for
//!   `VERIFIED_FOR`. A wrong one is never remembered, and costs a hash every time.
//! - After some wrong ones their name and their address have to wait, longer each time. Remembered credentials need not.
//! - A user who doesn't exist costs a hash too, so that time doesn't tell who does.
//! - Hashes run off the async threads, and together use at most `HASHING_MEMORY_KIB`, which is kept for the next ones.

mod attempts;
mod environment;
mod file;
mod memory;
mod password;
mod secret;
mod users;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lambda_http::Request;
use lambda_http::http::header::AUTHORIZATION;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use telecom::Msisdn;
use tokio::sync::Mutex;

use self::attempts::Attempts;
use self::file::Stamp;
use self::memory::Memory;
pub use file::UsersFile;
pub use password::hash_password;
pub use secret::SecretSource;
pub use users::{InvalidUsers, Scope, User, Users};

use crate::client_address;

/// How long a verified password is trusted without hashing it again.
const VERIFIED_FOR: Duration = Duration::from_secs(300);

/// How long users read from a secret are used before they are read again: a withdrawn user is out after this time.
const USERS_FRESH_FOR: Duration = Duration::from_secs(300);

/// What all running hashes may use together: half of the function's 128 MB.
const HASHING_MEMORY_KIB: u32 = 64 * 1024;

/// The most bytes of name and password together; an API's whole header section is 10 kB.
const MAX_CREDENTIALS_BYTES: usize = 1024;

/// Padding may be left out, as some clients do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where `API_USERS` says that the users are. Read from the environment: `API_USERS`, and for a secret
/// `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT` and `AWS_SESSION_TOKEN`.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "environment::Environment")]
pub enum UsersSource {
    /// In the variable itself.
    Inline(Arc<Users>),
    /// In a file.
    File(UsersFile),
    /// In a secret.
    Secret(SecretSource),
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Credentials are missing or wrong.
    Wrong,
    /// There were too many wrong ones with this name, or from this address.
    TooMany {
        /// Until the next attempt is looked at.
        retry_after_seconds: u64,
    },
}

/// Checks credentials.
pub struct Authenticator {
    source: UsersSource,
    known: Mutex<Option<Known>>,
    hashing: Arc<Memory>,
    attempts: Attempts,
    /// Makes the remembered digests worthless outside this process.
    key: [u8; 32],
}

/// Users that were read from elsewhere.
struct Known {
    users: Arc<Users>,
    until: Until,
}

/// How long they are used.
#[derive(Clone, Copy)]
enum Until {
    ReadAgainAt(Instant),
    FileChanges(Stamp),
}

impl Authenticator {
    /// An authenticator for the users of `source`, which is read when the first request comes.
    #[must_use]
    pub fn new(source: UsersSource) -> Self {
        let hashing = Arc::new(Memory::new(HASHING_MEMORY_KIB));
        Self { source, known: Mutex::default(), hashing, attempts: Attempts::default(), key: rand::random() }
    }

    /// The user whose credentials a request has. Wrong ones are logged with the name and the address.
    ///
    /// # Errors
    /// When the users can't be read.
    pub async fn authenticate(&self, request: &Request) -> anyhow::Result<Result<Arc<User>, Denied>> {
        let authorization =
            request.headers().get(AUTHORIZATION).and_then(|value| str::from_utf8(value.as_bytes()).ok());
        let Some(credentials) = authorization.and_then(Credentials::parse) else { return Ok(Err(Denied::Wrong)) };
        let users = self.users(Instant::now()).await?;
        let user = users.find(&credentials.name);
        let digest = self.digest(&credentials);
        let verified = || user.filter(|user| user.is_verified(&digest, Instant::now())).cloned();
        if let Some(user) = verified() {
            return Ok(Ok(user));
        }
        let (name, address) = (&credentials.name, client_address(request));
        let too_many = || {
            let wait = self.attempts.wait(name, address, Instant::now())?;
            Some(Denied::TooMany { retry_after_seconds: wait.as_millis().div_ceil(1_000) as u64 })
        };
        if let Some(denied) = too_many() {
            return Ok(Err(denied));
        }
        let hash = user.unwrap_or(users.decoy()).hash().clone();
        let mut memory = self.hashing.lend(hash.memory_kib()).await?;
        // Another request with the same password may have been first, or others with wrong ones.
        if let Some(user) = verified() {
            return Ok(Ok(user));
        }
        if let Some(denied) = too_many() {
            return Ok(Err(denied));
        }
        // The memory goes along: a hash whose request is given up still runs to its end.
        let password = credentials.password;
        let computing = tokio::task::spawn_blocking(move || hash.verify(&password, memory.blocks()));
        let right = computing.await?;
        Ok(match user.filter(|_| right) {
            Some(user) => {
                self.attempts.succeeded(name);
                user.remember(digest, Instant::now() + VERIFIED_FOR);
                Ok(Arc::clone(user))
            }
            None => {
                self.attempts.failed(name, address, Instant::now());
                tracing::warn!(user = shown(name), client.address = address, "wrong name or password");
                Err(Denied::Wrong)
            }
        })
    }

    async fn users(&self, now: Instant) -> anyhow::Result<Arc<Users>> {
        // Held while they are read, so that they are read once.
        let mut known = self.known.lock().await;
        let is_current = |until: Until| match (&self.source, until) {
            (UsersSource::File(file), Until::FileChanges(stamp)) => Ok(file.stamp()? == stamp),
            (_, Until::ReadAgainAt(then)) => Ok(now < then),
            _ => anyhow::Ok(false),
        };
        if let Some(Known { users, until }) = &*known
            && is_current(*until)?
        {
            return Ok(Arc::clone(users));
        }
        let (users, until) = match &self.source {
            UsersSource::Inline(users) => return Ok(Arc::clone(users)),
            UsersSource::Secret(source) => (source.read().await?, Until::ReadAgainAt(now + USERS_FRESH_FOR)),
            // Asked before the file is read: what changes meanwhile is seen the next time.
            UsersSource::File(file) => {
                let stamp = file.stamp()?;
                (file.read()?, Until::FileChanges(stamp))
            }
        };
        let users = Arc::new(users);
        *known = Some(Known { users: Arc::clone(&users), until });
        Ok(users)
    }

    fn digest(&self, credentials: &Credentials) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(credentials.name.len().to_le_bytes());
        digest.update(&credentials.name);
        digest.update(&credentials.password);
        digest.finalize().into()
    }
}

/// A name for the log: what is a subscriber's number is masked.
fn shown(name: &str) -> String {
    Msisdn::parse(name).map_or_else(|_| name.to_owned(), |msisdn| msisdn.masked().to_string())
}

/// What a client says in its `Authorization` header (RFC 7617).
struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    fn parse(header: &str) -> Option<Self> {
        let (scheme, encoded) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_CREDENTIALS_BYTES {
            return None;
        }
        let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use argon2::{Argon2, Params, PasswordHasher};

    use lambda_http::RequestExt;
    use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
    use lambda_http::request::RequestContext;

    use super::*;

    /// As cheap as argon2id can be.
    fn users(names_and_passwords: &[(&str, &str)]) -> String {
        let cheap =
            Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let user = |(name, password): &(&str, &str)| {
            let hash = cheap.hash_password(password.as_bytes()).unwrap().to_string();
            serde_json::json!({"user": name, "password_hash": hash, "msisdns": "*"})
        };
        serde_json::Value::from_iter(names_and_passwords.iter().map(user)).to_string()
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
    }

    fn authenticator(users_json: &str) -> Authenticator {
        Authenticator::new(UsersSource::Inline(Arc::new(Users::parse(users_json).unwrap())))
    }

    /// From an address of its own.
    fn request(header: Option<&str>) -> Request {
        static REQUESTS: AtomicU32 = AtomicU32::new(0);
        let address = REQUESTS.fetch_add(1, Ordering::Relaxed).to_string();
        request_from(&address, header)
    }

    fn request_from(address: &str, header: Option<&str>) -> Request {
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.http.source_ip = Some(address.to_owned());
        let mut request = Request::default().with_request_context(RequestContext::ApiGatewayV2(context));
        if let Some(header) = header {
            request.headers_mut().insert(AUTHORIZATION, header.parse().unwrap());
        }
        request
    }

    async fn name(authenticator: &Authenticator, header: &str) -> Option<String> {
        let user = authenticator.authenticate(&request(Some(header))).await.unwrap();
        user.ok().map(|user| user.name().to_owned())
    }

    #[tokio::test]
    async fn right_credentials_name_their_user() {
        let users = authenticator(&users(&[("ops", "pa:ss"), ("shop", "héllo")]));
        assert_eq!(name(&users, &basic("ops:pa:ss")).await.as_deref(), Some("ops"));
        assert_eq!(name(&users, &basic("shop:héllo")).await.as_deref(), Some("shop"));
        assert_eq!(name(&users, "bAsIc b3BzOnBhOnNz").await.as_deref(), Some("ops"));
        let unpadded = basic("shop:héllo").trim_end_matches('=').to_owned();
        assert_eq!(name(&users, &unpadded).await.as_deref(), Some("shop"));
    }

    #[tokio::test]
    async fn everything_else_is_nobody() {
        let users = authenticator(&users(&[("ops", "pass"), ("shop", "word")]));
        for header in [
            "",
            "Basic",
            "Basic ",
            "Basic ???",
            "Basic b3Bz",
            "Basic /w==",
            "Bearer b3BzOnBhc3M=",
            &basic("ops:"),
            &basic("ops:word"),
            &basic("ops:pass "),
            &basic("OPS:pass"),
            &basic("nobody:pass"),
            &basic(":pass"),
            &format!("{}, {}", basic("ops:pass"), basic("ops:pass")),
            &basic(&format!("ops:{}", "x".repeat(MAX_CREDENTIALS_BYTES))),
        ] {
            assert_eq!(name(&users, header).await, None, "{header}");
        }
        assert!(users.authenticate(&request(None)).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn only_verified_credentials_are_not_hashed_again() {
        let users = authenticator(&users(&[("ops", "pass"), ("shop", "word")]));
        assert!(name(&users, &basic("ops:pass")).await.is_some());
        assert!(name(&users, &basic("shop:pass")).await.is_none());
        // From now on nothing can be hashed.
        users.hashing.close();
        assert!(name(&users, &basic("ops:pass")).await.is_some());
        for credentials in ["ops:wrong", "shop:pass", "shop:word", "nobody:pass"] {
            assert!(
                users.authenticate(&request(Some(&basic(credentials)))).await.is_err(),
                "{credentials} costs a hash"
            );
        }
    }

    #[tokio::test]
    async fn verified_credentials_are_trusted_for_a_while() {
        let json = users(&[("ops", "pass")]);
        let users = authenticator(&json);
        assert!(name(&users, &basic("ops:pass")).await.is_some());
        let UsersSource::Inline(list) = &users.source else { unreachable!() };
        let digest = users.digest(&Credentials { name: "ops".into(), password: "pass".into() });
        let ops = list.find("ops").unwrap();
        assert!(ops.is_verified(&digest, Instant::now()));
        assert!(!ops.is_verified(&digest, Instant::now() + VERIFIED_FOR));
        let other_process = authenticator(&json);
        assert_ne!(other_process.digest(&Credentials { name: "ops".into(), password: "pass".into() }), digest);
    }

    #[tokio::test]
    async fn many_wrong_ones_have_to_wait_and_remembered_ones_do_not() {
        let users = authenticator(&users(&[("ops", "pass"), ("shop", "word")]));
        assert!(name(&users, &basic("shop:word")).await.is_some());
        let guess = request(Some(&basic("shop:guess")));
        let mut answers = Vec::new();
        for _ in 0..7 {
            answers.push(users.authenticate(&guess).await.unwrap().err().unwrap());
        }
        assert_eq!(answers[..6], [Denied::Wrong; 6]);
        assert_eq!(answers[6], Denied::TooMany { retry_after_seconds: 1 });
        assert!(name(&users, &basic("shop:word")).await.is_some(), "who is known goes on");
        assert!(name(&users, &basic("ops:pass")).await.is_some(), "and who comes from elsewhere");
        let same_address = request_from(client_address(&guess), Some(&basic("nobody:x")));
        assert!(matches!(users.authenticate(&same_address).await.unwrap(), Err(Denied::TooMany { .. })));
    }

    #[tokio::test]
    async fn many_at_once_stay_within_the_memory() {
        let costly = Params::new(HASHING_MEMORY_KIB / 4, 1, 1, None).unwrap();
        let hash =
            Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, costly).hash_password(b"pass").unwrap();
        let users = authenticator(
            &serde_json::json!([{"user": "ops", "password_hash": hash.to_string(), "msisdns": "*"}]).to_string(),
        );
        let (users, header) = (Arc::new(users), basic("ops:pass"));
        let requests = (0..8).map(|_| {
            let (users, header) = (Arc::clone(&users), header.clone());
            tokio::spawn(async move { name(&users, &header).await })
        });
        for request in requests.collect::<Vec<_>>() {
            assert_eq!(request.await.unwrap().as_deref(), Some("ops"));
        }
        assert_eq!(users.hashing.held_kib(), HASHING_MEMORY_KIB as usize);
    }

    #[tokio::test]
    async fn users_in_a_secret_are_read_again_after_a_while() {
        let first = users(&[("ops", "pass")]);
        let second = users(&[("shop", "word")]);
        let (port, extension) = secret::tests::extension(vec![(200, first), (200, second), (400, String::new())]).await;
        let source = SecretSource { arn: "arn:aws:secretsmanager:x".into(), port, token: "token".into() };
        let authenticator = Authenticator::new(UsersSource::Secret(source));
        let knows = async |user: &str, later: Duration| {
            authenticator.users(Instant::now() + later).await.map(|users| users.find(user).is_some()).ok()
        };
        assert_eq!(knows("ops", Duration::ZERO).await, Some(true));
        assert_eq!(knows("ops", USERS_FRESH_FOR / 2).await, Some(true));
        assert_eq!(knows("ops", USERS_FRESH_FOR * 2).await, Some(false));
        assert_eq!(knows("shop", USERS_FRESH_FOR * 2).await, Some(true));
        assert_eq!(knows("shop", USERS_FRESH_FOR * 4).await, None, "users that can't be read again are not trusted");
        extension.await.unwrap();
    }

    #[tokio::test]
    async fn users_in_a_file_are_those_that_it_holds_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        std::fs::write(&path, users(&[("ops", "pass")])).unwrap();
        let authenticator = Authenticator::new(UsersSource::File(UsersFile { path: path.clone() }));
        assert!(name(&authenticator, &basic("ops:pass")).await.is_some());
        // Written anew, and replaced.
        std::fs::write(&path, users(&[("ops", "pass"), ("shop", "word")])).unwrap();
        assert!(name(&authenticator, &basic("shop:word")).await.is_some());
        let next = folder.path().join("next.json");
        std::fs::write(&next, users(&[("shop", "word")])).unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(name(&authenticator, &basic("ops:pass")).await, None, "who is no longer there is out at once");
        assert!(name(&authenticator, &basic("shop:word")).await.is_some());
        std::fs::write(&path, "[]").unwrap();
        let error = authenticator.authenticate(&request(Some(&basic("shop:word")))).await.unwrap_err();
        assert!(format!("{error:#}").contains("users.json holds no users"), "{error:#}");
        std::fs::remove_file(&path).unwrap();
        let error = authenticator.authenticate(&request(Some(&basic("shop:word")))).await.unwrap_err();
        assert!(format!("{error:#}").contains("the users can't be read from"), "{error:#}");
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(text in ".*", bytes: Vec<u8>) {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
            for header in [text.clone(), format!("Basic {text}"), format!("Basic {encoded}")] {
                let credentials = Credentials::parse(&header);
                proptest::prop_assert!(credentials.is_none_or(|it| !it.name.contains(':')));
            }
        }
    }
}
