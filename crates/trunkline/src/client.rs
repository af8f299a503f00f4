//! A client of the API: basic authentication, a time limit, and another attempt if the API asks for it.

use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::figures::Api;

/// The pause before another attempt if the API does not name one.
const PAUSE_SECONDS: u64 = 5;

/// How long an API is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// The longest wait for an answer.
    pub(crate) answer: Duration,
    /// How often a request is sent if the API answers 503, as its services are busy or away.
    pub(crate) attempts: u32,
}

pub(crate) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    authorization: String,
    patience: Patience,
}

impl Client {
    /// A client of an API over HTTP, or over HTTPS with the certificates that this system trusts (or those of
    /// `SSL_CERT_FILE`).
    ///
    /// # Errors
    /// When the system's certificates can't be read.
    pub(crate) fn new(api: &Api, patience: Patience) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .context("can't read the certificates that this system trusts (SSL_CERT_FILE names others)")?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self {
            http: HyperClient::builder(TokioExecutor::new()).build(connector),
            url: api.url.trim_end_matches('/').to_owned(),
            authorization: format!("Basic {}", STANDARD.encode(format!("{}:{}", api.user, api.password))),
            patience,
        })
    }

    /// The answer to a GET.
    ///
    /// # Errors
    /// When there is no answer. An answer with an error's status is one.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        self.send(Method::GET, path, None).await
    }

    /// The answer to a POST of a body of this type.
    ///
    /// # Errors
    /// As [`get`](Self::get)'s.
    pub(crate) async fn post(&self, path: &str, media_type: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        self.send(Method::POST, path, Some((media_type, body))).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut attempt = 1;
        loop {
            let answer = self.once(&method, path, body.as_ref()).await;
            let (head, answer) = answer.with_context(|| format!("the API did not answer {method} {path}"))?;
            if head.status != StatusCode::SERVICE_UNAVAILABLE || attempt == self.patience.attempts {
                return Ok((head.status, answer));
            }
            let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let pause = Duration::from_secs(seconds.unwrap_or(PAUSE_SECONDS)).min(self.patience.answer);
            tracing::warn!("the API is not available just now: trying again in {pause:?}");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn once(&self, method: &Method, path: &str, body: Option<&(&str, Bytes)>) -> anyhow::Result<(Parts, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, &self.authorization);
        if let Some((media_type, _)) = body {
            request = request.header(CONTENT_TYPE, *media_type);
        }
        let body = body.map(|(_, body)| body.clone()).unwrap_or_default();
        let request = request.body(Full::new(body)).context("the API's address is not a URL")?;
        let answer = async {
            let (head, body) = self.http.request(request).await?.into_parts();
            anyhow::Ok((head, body.collect().await?.to_bytes()))
        };
        let wait = self.patience.answer;
        tokio::time::timeout(wait, answer).await.map_err(|_| anyhow!("no answer within {wait:?}")).flatten()
    }
}
