use std::sync::Arc;

use serde::Deserialize;

use super::{SecretSource, Users, UsersFile, UsersSource};

/// The variables that say where the users are.
#[derive(Deserialize)]
pub(super) struct Environment {
    #[serde(rename = "API_USERS")]
    api_users: ApiUsers,
    #[serde(rename = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", default = "extension_port")]
    extension_port: u16,
    #[serde(rename = "AWS_SESSION_TOKEN", default)]
    session_token: String,
}

/// The extension's default.
fn extension_port() -> u16 {
    2773
}

impl From<Environment> for UsersSource {
    fn from(Environment { api_users, extension_port, session_token }: Environment) -> Self {
        match api_users {
            ApiUsers::Here(users) => Self::Inline(users),
            ApiUsers::InFile(file) => Self::File(file),
            ApiUsers::InSecret(arn) => Self::Secret(SecretSource { arn, port: extension_port, token: session_token }),
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
enum ApiUsers {
    Here(Arc<Users>),
    InFile(UsersFile),
    InSecret(String),
}

impl TryFrom<String> for ApiUsers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("arn:") {
            if text.split(':').nth(2) != Some("secretsmanager") {
                return Err("this ARN is not that of a secret (arn:aws:secretsmanager:…)".into());
            }
            return Ok(Self::InSecret(text.to_owned()));
        }
        if text.starts_with('/') {
            let file = UsersFile { path: text.into() };
            // What is wrong with it is to be known at the start.
            return file.read().map(|_| Self::InFile(file)).map_err(|error| format!("{error:#}"));
        }
        Users::parse(text).map(|users| Self::Here(Arc::new(users))).map_err(|error| error.to_string())
    }
}
