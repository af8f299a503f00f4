use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;
use subtle::ConstantTimeEq;
use telecom::Msisdn;

use super::password::PasswordHash;

/// The users of the API: at least one, each name once.
pub struct Users(Vec<Arc<User>>);

/// One user.
pub struct User {
    name: String,
    hash: PasswordHash,
    scope: Scope,
    may_post: bool,
    verified: Mutex<Option<Verified>>,
}

/// Whose usage a user may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// That of subscribers that one of these fits.
    Some(Vec<Pattern>),
}

/// One subscriber, or all whose numbers begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `27821234567`
    One(Msisdn),
    /// `2782*`, kept as `2782`
    Prefix(String),
}

/// The users can't be used. It shows names, never hashes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUsers(String);

/// The keyed digest of a password that was verified by its hash, for a while.
struct Verified {
    digest: [u8; 32],
    until: Instant,
}

impl Users {
    /// Reads `[{"user", "password_hash", "msisdns", "may_post"}]`; `may_post` may be absent, and then is false.
    ///
    /// # Errors
    /// Says which user is wrong, and how.
    pub fn parse(json: &str) -> Result<Self, InvalidUsers> {
        const SHAPE: &str = r#"[{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]"#;
        // serde's message may repeat a value, which may be a hash: only the position is shown.
        let entries: Vec<Entry> = serde_json::from_str(json).map_err(|error| {
            InvalidUsers(format!("expected {SHAPE}; see line {} column {}", error.line(), error.column()))
        })?;
        let mut users: Vec<Arc<User>> = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.user.clone();
            let user = User::new(entry).map_err(|why| InvalidUsers(format!("user {name:?}: {why}")))?;
            if users.iter().any(|other| other.name == user.name) {
                return Err(InvalidUsers(format!("user {name:?} is there twice")));
            }
            users.push(Arc::new(user));
        }
        if users.is_empty() {
            return Err(InvalidUsers(format!("there is no user: write {SHAPE}")));
        }
        Ok(Self(users))
    }

    /// The user of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<User>> {
        self.0.iter().find(|user| user.name == name)
    }

    /// Where nobody has the asked name, this user's hash is computed, in vain, as costly as any.
    pub(super) fn decoy(&self) -> &Arc<User> {
        self.0.iter().max_by_key(|user| user.hash.cost()).unwrap_or_else(|| unreachable!("there is at least one user"))
    }
}

impl User {
    fn new(entry: Entry) -> Result<Self, String> {
        if entry.user.is_empty() || entry.user.contains(|c: char| c == ':' || c.is_control()) {
            return Err("a name has at least one character, and neither ':' nor control characters".into());
        }
        let hash = PasswordHash::parse(&entry.password_hash).map_err(|why| format!("password_hash {why}"))?;
        let scope = Scope::new(entry.msisdns, entry.may_post)?;
        Ok(Self { name: entry.user, hash, scope, may_post: entry.may_post, verified: Mutex::default() })
    }

    /// The name, for the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this user may see the subscriber.
    #[must_use]
    pub fn may_see(&self, msisdn: Msisdn) -> bool {
        self.scope.includes(msisdn)
    }

    /// Whether this user may see what is everybody's.
    #[must_use]
    pub fn may_see_everybody(&self) -> bool {
        self.scope == Scope::All
    }

    /// Whether this user may send us records. Reading everything gives no such right.
    #[must_use]
    pub fn may_post(&self) -> bool {
        self.may_post
    }

    pub(super) fn hash(&self) -> &PasswordHash {
        &self.hash
    }

    pub(super) fn is_verified(&self, digest: &[u8; 32], now: Instant) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.as_ref().is_some_and(|verified| now < verified.until && bool::from(verified.digest.ct_eq(digest)))
    }

    pub(super) fn remember(&self, digest: [u8; 32], until: Instant) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(Verified { digest, until });
    }
}

impl Scope {
    /// Who posts need not see anybody.
    fn new(msisdns: Msisdns, may_see_nobody: bool) -> Result<Self, String> {
        match msisdns {
            Msisdns::All(text) if text == "*" => Ok(Self::All),
            Msisdns::All(text) => Err(format!("msisdns: write \"*\" or [{text:?}]")),
            Msisdns::Some(patterns) if patterns.is_empty() && !may_see_nobody => {
                Err("msisdns is empty: write \"*\", or whose usage this user may see".into())
            }
            Msisdns::Some(patterns) => {
                Ok(Self::Some(patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?))
            }
        }
    }

    /// Whether the subscriber is in this scope.
    #[must_use]
    pub fn includes(&self, msisdn: Msisdn) -> bool {
        match self {
            Self::All => true,
            Self::Some(patterns) => patterns.iter().any(|pattern| match pattern {
                Pattern::One(one) => *one == msisdn,
                Pattern::Prefix(prefix) => msisdn.to_string().starts_with(prefix.as_str()),
            }),
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "msisdns: {text:?} is neither a number, such as \"27821234567\", nor its beginning, such as \"2782*\""
            )
        };
        match text.trim().strip_suffix('*') {
            None => Msisdn::parse(text).map(Self::One).map_err(|_| wrong()),
            Some(prefix) => {
                let digits = prefix.strip_prefix('+').unwrap_or(prefix);
                let is_prefix =
                    digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() && !digits.starts_with('0');
                is_prefix.then(|| Self::Prefix(digits.to_owned())).ok_or_else(wrong)
            }
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    user: String,
    password_hash: String,
    msisdns: Msisdns,
    #[serde(default)]
    may_post: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Msisdns {
    All(String),
    Some(Vec<String>),
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

    fn check(json: &str, expect: Expect) {
        match Users::parse(&json.replace("HASH", HASH)) {
            Ok(users) => expect.assert_eq(&format!("{users:?}")),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn users_are_read_and_wrong_ones_are_named() {
        check(
            r#"[{"user":"ops","password_hash":"HASH","msisdns":"*"},
                {"user":"shop","password_hash":"HASH","msisdns":["27821234567","+27831234567","2784*","+2785*"]}]"#,
            expect![[
                r#"[User { name: "ops", scope: All, .. }, User { name: "shop", scope: Some([One(Msisdn(********567)), One(Msisdn(********567)), Prefix("2784"), Prefix("2785")]), .. }]"#
            ]],
        );
        check(
            "[]",
            expect![[
                r#"there is no user: write [{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]"#
            ]],
        );
        check(
            "{",
            expect![[
                r#"expected [{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]; see line 1 column 0"#
            ]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH"}]"#,
            expect![[
                r#"expected [{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]; see line 1 column 115"#
            ]],
        );
        check(
            r#"[{"user":"a","password_hash":7,"msisdns":"*"}]"#,
            expect![[
                r#"expected [{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]; see line 1 column 30"#
            ]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH","msisdns":"*","admin":true}]"#,
            expect![[
                r#"expected [{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]; see line 1 column 136"#
            ]],
        );
        check(
            r#"[{"user":"a","password_hash":"hunter2","msisdns":"*"}]"#,
            expect![[r#"user "a": password_hash is not a PHC string, such as $argon2id$v=19$m=19456,t=2,p=1$…$…"#]],
        );
        check(
            r#"[{"user":"a:b","password_hash":"HASH","msisdns":"*"}]"#,
            expect![[r#"user "a:b": a name has at least one character, and neither ':' nor control characters"#]],
        );
        check(
            r#"[{"user":"","password_hash":"HASH","msisdns":"*"}]"#,
            expect![[r#"user "": a name has at least one character, and neither ':' nor control characters"#]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH","msisdns":"2782"}]"#,
            expect![[r#"user "a": msisdns: write "*" or ["2782"]"#]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH","msisdns":[]}]"#,
            expect![[r#"user "a": msisdns is empty: write "*", or whose usage this user may see"#]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH","msisdns":["2782"]}]"#,
            expect![[
                r#"user "a": msisdns: "2782" is neither a number, such as "27821234567", nor its beginning, such as "2782*""#
            ]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH","msisdns":["*"]}]"#,
            expect![[
                r#"user "a": msisdns: "*" is neither a number, such as "27821234567", nor its beginning, such as "2782*""#
            ]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH","msisdns":["082*"]}]"#,
            expect![[
                r#"user "a": msisdns: "082*" is neither a number, such as "27821234567", nor its beginning, such as "2782*""#
            ]],
        );
        check(
            r#"[{"user":"a","password_hash":"HASH","msisdns":"*"},{"user":"a","password_hash":"HASH","msisdns":"*"}]"#,
            expect![[r#"user "a" is there twice"#]],
        );
    }

    #[test]
    fn who_posts_need_not_see_anybody() {
        let chat = format!(r#"[{{"user":"chat","password_hash":"{HASH}","msisdns":[],"may_post":true}}]"#);
        let users = Users::parse(&chat).unwrap();
        let chat = users.find("chat").unwrap();
        assert!(chat.may_post() && !chat.may_see_everybody());
        assert!(!chat.may_see(Msisdn::parse("27821234567").unwrap()));
    }

    #[test]
    fn a_scope_includes_what_it_names() {
        let users = Users::parse(&format!(
            r#"[{{"user":"shop","password_hash":"{HASH}","msisdns":["27821234567","2784*"]}},
                {{"user":"ops","password_hash":"{HASH}","msisdns":"*"}}]"#
        ))
        .unwrap();
        let sees = |user: &str| {
            ["27821234567", "27821234568", "278412345", "278312345"]
                .map(|msisdn| users.find(user).unwrap().may_see(Msisdn::parse(msisdn).unwrap()))
        };
        assert_eq!(sees("shop"), [true, false, true, false]);
        assert_eq!(sees("ops"), [true; 4]);
        let everybody = |user: &str| users.find(user).unwrap().may_see_everybody();
        assert_eq!((everybody("shop"), everybody("ops")), (false, true));
        assert!(!users.find("ops").unwrap().may_post(), "reading everything is no right to write");
        assert!(users.find("Shop").is_none());
    }
}
