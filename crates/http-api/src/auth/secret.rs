use std::fmt;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::net::TcpStream;

use super::Users;

/// Reads a secret through the AWS Parameters and Secrets Lambda extension: a layer that answers plain HTTP inside the
/// sandbox, signs and caches. So this function needs neither an SDK nor TLS.
#[derive(Clone)]
pub struct SecretSource {
    /// The secret's ARN.
    pub arn: String,
    /// Where the extension listens (`PARAMETERS_SECRETS_EXTENSION_HTTP_PORT`, by default 2773).
    pub port: u16,
    /// `AWS_SESSION_TOKEN`: proves to the extension that a request comes from the sandbox.
    pub token: String,
}

/// How long the extension may take: it asks a service of the same region.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer: a secret has at most 64 kB, and JSON in JSON at most doubles it.
const MAX_ANSWER_BYTES: usize = 160 * 1024;

impl SecretSource {
    /// The users that the secret holds now. Not possible before the first invocation: during a cold start the
    /// extension answers that it is not ready.
    ///
    /// # Errors
    /// When the extension or the secret can't be reached, or holds something else.
    pub async fn read(&self) -> anyhow::Result<Users> {
        let read = tokio::time::timeout(TIMEOUT, self.secret_string());
        let users = read.await.map_err(|_| anyhow::anyhow!("no answer within {TIMEOUT:?}")).flatten();
        let users = users.with_context(|| format!("the users can't be read from {}", self.arn))?;
        Users::parse(&users).with_context(|| format!("{} holds no users", self.arn))
    }

    async fn secret_string(&self) -> anyhow::Result<String> {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).await.with_context(|| {
            format!(
                "nothing listens on 127.0.0.1:{}: add the AWS Parameters and Secrets Lambda extension as a layer, or \
                 write the users into API_USERS itself",
                self.port
            )
        })?;
        let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let id = utf8_percent_encode(&self.arn, NON_ALPHANUMERIC);
        let request = Request::get(format!("/secretsmanager/get?secretId={id}"))
            .header(HOST, format!("localhost:{}", self.port))
            .header("X-Aws-Parameters-Secrets-Token", &self.token)
            .body(Empty::<Bytes>::new())?;
        // It owns the sender, so the connection ends with it.
        let answer = async move {
            let answer = requests.send_request(request).await.context("the extension doesn't answer")?;
            let status = answer.status();
            // The body of an error may say anything: it is not repeated.
            anyhow::ensure!(status == StatusCode::OK, "the extension answers {status}");
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer breaks off: {error}"))?.to_bytes();
            let answer: Answer = serde_json::from_slice(&body).ok().context("the secret has no SecretString")?;
            Ok(answer.secret_string)
        };
        // An error of the connection is the answer's error too.
        tokio::join!(answer, connection).0
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSource").field("arn", &self.arn).field("port", &self.port).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "SecretString")]
    secret_string: String,
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::{Expect, expect};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    /// The extension's stand-in: answers with these statuses and secrets, one after the other, and checks what it is asked.
    pub(crate) async fn extension(answers: Vec<(u16, String)>) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            for (status, secret) in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                assert!(head.starts_with("GET /secretsmanager/get?secretId=arn%3Aaws%3Asecretsmanager%3A"), "{head}");
                assert!(head.contains("x-aws-parameters-secrets-token: token\r\n"), "{head}");
                let body = serde_json::json!({"ARN": "arn", "Name": "users", "SecretString": secret}).to_string();
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (port, task)
    }

    async fn check(status: u16, secret: &str, expect: Expect) {
        let (port, task) = extension(vec![(status, secret.into())]).await;
        let source = SecretSource { arn: "arn:aws:secretsmanager:x".into(), port, token: "token".into() };
        match source.read().await {
            Ok(users) => expect.assert_eq(&format!("{users:?}")),
            Err(error) => expect.assert_eq(&format!("{error:#}")),
        }
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_secret_holds_what_the_variable_would() {
        let users = r#"[{"user":"ops","password_hash":"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g","msisdns":"*"}]"#;
        check(200, users, expect![[r#"[User { name: "ops", scope: All, .. }]"#]]).await;
        check(200, r#"{"username":"ops"}"#, expect![[r#"arn:aws:secretsmanager:x holds no users: expected [{"user": "…", "password_hash": "$argon2id$…", "msisdns": "*" or ["2782*", …]}, …]; see line 1 column 0"#]]).await;
        check(
            400,
            "not ready to serve traffic, please wait",
            expect!["the users can't be read from arn:aws:secretsmanager:x: the extension answers 400 Bad Request"],
        )
        .await;
        check(
            200,
            &"x".repeat(MAX_ANSWER_BYTES),
            expect![
                "the users can't be read from arn:aws:secretsmanager:x: the answer breaks off: length limit exceeded"
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn a_missing_extension_is_named() {
        // A port that was just free.
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let source = SecretSource { arn: "arn:aws:secretsmanager:x".into(), port, token: String::new() };
        let error = format!("{:#}", source.read().await.unwrap_err()).replace(&port.to_string(), "PORT");
        expect!["the users can't be read from arn:aws:secretsmanager:x: nothing listens on 127.0.0.1:PORT: add the AWS Parameters and Secrets Lambda extension as a layer, or write the users into API_USERS itself: Connection refused (os error 111)"].assert_eq(&error);
    }
}
