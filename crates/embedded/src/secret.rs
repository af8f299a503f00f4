use std::fmt;

/// A password or key. `Debug` hides it; there is no `Display`; [`Secret::expose`] is the one way to read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A fresh one of 122 random bits, in letters and digits only: safe in URLs, shells and SQL.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_hides_it_and_every_one_is_new() {
        let secret = Secret::random();
        assert_eq!(format!("{secret:?}"), "***");
        assert!(secret.expose().len() == 32 && secret.expose().bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(secret, Secret::random());
    }
}
