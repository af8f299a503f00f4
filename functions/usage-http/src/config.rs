use std::fmt;

use http_api::auth::UsersSource;
use lambda_boot::{InlineOrFile, VarError, Vars};
use serde::Deserialize;
use telecom::Tariff;

/// What the environment says.
pub struct Config {
    /// The store's URL, which may hold a password.
    pub usage_store: String,
    /// The prices.
    pub tariff: Tariff,
    /// Who may ask.
    pub users: UsersSource,
}

impl Config {
    /// Reads `USAGE_STORE`, `API_USERS` and `TARIFF`, and, for users in a secret, where its extension listens.
    ///
    /// # Errors
    /// Names the variable that is missing or malformed, and never shows what it holds.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        let Environment { usage_store, tariff } = vars.read()?;
        Ok(Self { usage_store, tariff: tariff.0, users: vars.read()? })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("users", &self.users).field("tariff", &self.tariff).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Environment {
    #[serde(rename = "USAGE_STORE")]
    usage_store: String,
    #[serde(rename = "TARIFF", default)]
    tariff: InlineOrFile<Tariff>,
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const USERS: &str = r#"[{"user":"ops","password_hash":"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g","msisdns":"*"}]"#;
    const STORE: (&str, &str) = ("USAGE_STORE", "postgres://u:secret@h/d");
    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:trunkline-users-AbCdEf";

    fn check(vars: &[(&str, &str)], expect: Expect) {
        match Config::from_vars(&vars.iter().copied().collect()) {
            Ok(config) => expect.assert_eq(&format!("{:?}", config.users)),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn the_environment_is_read_once_and_wrong_variables_are_named() {
        check(&[STORE, ("API_USERS", USERS)], expect![[r#"Inline([User { name: "ops", scope: All, .. }])"#]]);
        check(
            &[STORE, ("API_USERS", ARN), ("AWS_SESSION_TOKEN", "secret")],
            expect![[
                r#"Secret(SecretSource { arn: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:trunkline-users-AbCdEf", port: 2773, .. })"#
            ]],
        );
        check(
            &[STORE, ("API_USERS", ARN), ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "80000")],
            expect!["PARAMETERS_SECRETS_EXTENSION_HTTP_PORT is malformed: number too large to fit in target type"],
        );
        check(
            &[STORE, ("API_USERS", "arn:aws:ssm:eu-west-1:123456789012:parameter/users")],
            expect!["API_USERS is malformed: this ARN is not that of a secret (arn:aws:secretsmanager:…)"],
        );
        check(&[STORE], expect!["API_USERS is missing: set this environment variable"]);
        check(&[("API_USERS", USERS)], expect!["USAGE_STORE is missing: set this environment variable"]);
        check(
            &[STORE, ("API_USERS", "ops:secret")],
            expect![[
                r#"API_USERS is malformed: expected [{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]; see line 1 column 1"#
            ]],
        );
        check(
            &[STORE, ("API_USERS", USERS), ("TARIFF", "/nowhere/tariff.json")],
            expect!["TARIFF is malformed: /nowhere/tariff.json: No such file or directory (os error 2)"],
        );
        check(
            &[STORE, ("API_USERS", USERS), ("TARIFF", "{}")],
            expect!["TARIFF is malformed: the tariff is not valid: missing field `rows` at line 1 column 2"],
        );
    }
}
