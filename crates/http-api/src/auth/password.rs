use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordHasher, PasswordVerifier};

use super::HASHING_MEMORY_KIB;

/// The most passes of a hash: with all the memory that is allowed, about half a second.
const MAX_PASSES: u32 = 10;

/// The hash of a password for `API_USERS`: argon2id with 19 MiB and two passes, OWASP's recommendation, and a random
/// salt, as a PHC string.
///
/// It computes for some hundredths of a second.
///
/// # Errors
/// When the system has no random numbers.
pub fn hash_password(password: &str) -> anyhow::Result<String> {
    let hash: Phc = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| anyhow::anyhow!("the password can't be hashed: {error}"))?;
    Ok(hash.to_string())
}

/// A whole argon2id hash that this function has the memory for.
#[derive(Clone)]
pub(super) struct PasswordHash {
    phc: Phc,
    memory_kib: u32,
    passes: u32,
}

impl PasswordHash {
    /// Reads a PHC string; the error says what is wrong with it, without it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let phc = Phc::new(text).map_err(|_| "is not a PHC string, such as $argon2id$v=19$m=19456,t=2,p=1$…$…")?;
        if phc.algorithm != ARGON2ID_IDENT {
            return Err(format!("is made with {}: make it with argon2id", phc.algorithm));
        }
        if phc.salt.is_none() || phc.hash.is_none() {
            return Err("is cut short: it needs a salt and a hash".into());
        }
        let params = Params::try_from(&phc).map_err(|_| "has parameters that argon2id doesn't know")?;
        if params.m_cost() > HASHING_MEMORY_KIB || params.t_cost() > MAX_PASSES {
            return Err(format!(
                "is too costly: make it with m at most {HASHING_MEMORY_KIB} and t at most {MAX_PASSES}"
            ));
        }
        Ok(Self { phc, memory_kib: params.m_cost(), passes: params.t_cost() })
    }

    /// Whether this is the password's hash. It computes: not on an async thread.
    pub(super) fn verify(&self, password: &str) -> bool {
        Argon2::default().verify_password(password.as_bytes(), &self.phc).is_ok()
    }

    pub(super) fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// What a verification costs, for comparison only.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn a_made_hash_verifies_its_password_alone() {
        let made = hash_password("Tr0ub4dor&3").unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(made, hash_password("Tr0ub4dor&3").unwrap(), "salts are random");
        let hash = PasswordHash::parse(&made).unwrap();
        assert!(hash.verify("Tr0ub4dor&3"));
        assert!(!hash.verify("Tr0ub4dor&4"));
    }

    fn check(text: &str, expect: Expect) {
        expect.assert_eq(&PasswordHash::parse(text).err().unwrap_or_default());
    }

    #[test]
    fn whole_and_affordable_argon2id_hashes_alone_are_taken() {
        check("hunter2", expect!["is not a PHC string, such as $argon2id$v=19$m=19456,t=2,p=1$…$…"]);
        check(
            "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            expect!["is made with argon2i: make it with argon2id"],
        );
        check(
            "$2b$10$abcdefghijklmnopqrstuu",
            expect!["is not a PHC string, such as $argon2id$v=19$m=19456,t=2,p=1$…$…"],
        );
        check("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ", expect!["is cut short: it needs a salt and a hash"]);
        check(
            "$argon2id$v=19$m=64,t=1,x=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            expect!["has parameters that argon2id doesn't know"],
        );
        check(
            "$argon2id$v=19$m=65537,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            expect!["is too costly: make it with m at most 65536 and t at most 10"],
        );
        check(
            "$argon2id$v=19$m=64,t=11,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            expect!["is too costly: make it with m at most 65536 and t at most 10"],
        );
        check("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g", expect![""]);
    }
}
