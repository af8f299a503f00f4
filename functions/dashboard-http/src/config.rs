use std::fmt;

use http_api::auth::UsersSource;
use lambda_boot::{InlineOrFile, VarError, Vars};
use serde::Deserialize;
use telecom::Tariff;

/// What the environment says.
pub struct Config {
    /// The warehouse's address, which may hold a password.
    pub database_url: String,
    /// The cluster whose lag is shown.
    pub kafka: Option<kafka_sink::Config>,
    /// The prices.
    pub tariff: Tariff,
    /// Who may look.
    pub users: UsersSource,
}

impl Config {
    /// Reads `DATABASE_URL`, `API_USERS` and `TARIFF`, for users in a secret, where its extension listens, and, where
    /// `KAFKA_BROKERS` is set, the cluster's variables.
    ///
    /// # Errors
    /// Names the variable that is missing or malformed, and never shows what it holds.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        let Environment { database_url, tariff } = vars.read()?;
        let kafka = vars.get("KAFKA_BROKERS").map(|_| vars.read()).transpose()?;
        Ok(Self { database_url, kafka, tariff: tariff.0, users: vars.read()? })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("users", &self.users).field("tariff", &self.tariff).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Environment {
    #[serde(rename = "DATABASE_URL")]
    database_url: String,
    #[serde(rename = "TARIFF", default)]
    tariff: InlineOrFile<Tariff>,
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const USERS: &str = r#"[{"user":"ops","password_hash":"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g","msisdns":"*"}]"#;
    const WAREHOUSE: (&str, &str) = ("DATABASE_URL", "postgres://u:secret@h/d");

    fn check(vars: &[(&str, &str)], expect: Expect) {
        match Config::from_vars(&vars.iter().copied().collect()) {
            Ok(config) => expect.assert_eq(&format!("{:?}, Kafka: {}", config.users, config.kafka.is_some())),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn the_environment_is_read_once_and_wrong_variables_are_named() {
        check(
            &[WAREHOUSE, ("API_USERS", USERS)],
            expect![[r#"Inline([User { name: "ops", scope: All, .. }]), Kafka: false"#]],
        );
        check(
            &[WAREHOUSE, ("API_USERS", USERS), ("KAFKA_BROKERS", "h:1")],
            expect![[r#"Inline([User { name: "ops", scope: All, .. }]), Kafka: true"#]],
        );
        check(&[("API_USERS", USERS)], expect!["DATABASE_URL is missing: set this environment variable"]);
        check(&[WAREHOUSE], expect!["API_USERS is missing: set this environment variable"]);
        check(
            &[WAREHOUSE, ("API_USERS", USERS), ("TARIFF", "{}")],
            expect!["TARIFF is malformed: the tariff is not valid: missing field `rows` at line 1 column 2"],
        );
    }
}
