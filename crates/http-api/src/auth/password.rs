use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use subtle::ConstantTimeEq;

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
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl PasswordHash {
    /// Reads a PHC string; the error says what is wrong with it, without it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let phc = Phc::new(text).map_err(|_| "is not a PHC string, such as $argon2id$v=19$m=19456,t=2,p=1$…$…")?;
        if phc.algorithm != ARGON2ID_IDENT {
            return Err(format!("is made with {}: make it with argon2id", phc.algorithm));
        }
        let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else {
            return Err("is cut short: it needs a salt and a hash".into());
        };
        let version = phc.version.map_or(Ok(Version::default()), Version::try_from);
        let version = version.map_err(|_| "has a version that argon2id doesn't know")?;
        let params = Params::try_from(&phc).map_err(|_| "has parameters that argon2id doesn't know")?;
        if params.m_cost() > HASHING_MEMORY_KIB || params.t_cost() > MAX_PASSES {
            return Err(format!(
                "is too costly: make it with m at most {HASHING_MEMORY_KIB} and t at most {MAX_PASSES}"
            ));
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
        Ok(Self { argon2, salt: salt.as_ref().to_vec(), hash: hash.as_bytes().to_vec() })
    }

    /// Whether this is the password's hash. It computes, in memory of [`Self::memory_kib`]: not on an async thread.
    pub(super) fn verify(&self, password: &str, memory: &mut [Block]) -> bool {
        let mut computed = vec![0; self.hash.len()];
        let made = self.argon2.hash_password_into_with_memory(password.as_bytes(), &self.salt, &mut computed, memory);
        made.is_ok() && bool::from(computed.ct_eq(&self.hash))
    }

    /// What a verification needs.
    pub(super) fn memory_kib(&self) -> u32 {
        self.argon2.params().m_cost()
    }

    /// What a verification costs, for comparison only.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.memory_kib()) * u64::from(self.argon2.params().t_cost())
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
        let mut memory = vec![Block::new(); hash.memory_kib() as usize];
        for (password, is_right) in [("Tr0ub4dor&3", true), ("Tr0ub4dor&4", false), ("Tr0ub4dor&3", true)] {
            assert_eq!(hash.verify(password, &mut memory), is_right, "{password}, in used memory");
        }
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
