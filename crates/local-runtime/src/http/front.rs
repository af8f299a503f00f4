//! The HTTP API: request → event → function → response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::{Answer, Router};
use crate::event;
use crate::event::http::Matched;
use crate::event::kafka::MAX_PAYLOAD_BYTES;
use crate::health::Health;
use crate::invoke::{Call, InvokeError, Invoker};
use crate::template::Route;

/// The service's limit for the request line and the headers' values together:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>.
const MAX_HEAD_BYTES: usize = 10_240;

/// Routes to functions.
pub(crate) struct Front {
    pub(crate) router: Router,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) health: Option<Health>,
}

impl Answer for Front {
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> BoxFuture<'static, Response<Full<Bytes>>> {
        async move { self.answer_one(request, peer, local).await }.boxed()
    }
}

impl Front {
    async fn answer_one(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        if head_bytes(&parts) > MAX_HEAD_BYTES {
            return message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large");
        }
        if let Some(answer) = self.health.as_ref().and_then(|health| health.answer(&parts.method, parts.uri.path())) {
            return answer.map(Full::new);
        }
        let Some((route, matched)) = self.router.find(&parts.method, parts.uri.path()) else {
            return message(StatusCode::NOT_FOUND, "Not Found");
        };
        let body = match Limited::new(body, MAX_PAYLOAD_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
            }
            Err(_) => return message(StatusCode::BAD_REQUEST, "Bad Request"),
        };
        let mut call = Call::new(&route.function, Bytes::new(), route.timeout);
        let now = jiff::Timestamp::now();
        let connection = event::http::Connection { source_ip: peer.ip(), port: local.port() };
        call.payload = event::http::event(&parts, &body, &matched, connection, &call.request_id, now);
        if call.payload.len() > MAX_PAYLOAD_BYTES {
            return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        }
        self.invoked(route, &matched, &parts, call).await
    }

    /// The function's response, or the service's own for a failure.
    async fn invoked(&self, route: &Route, matched: &Matched, parts: &Parts, call: Call) -> Response<Full<Bytes>> {
        let request_id = call.request_id.clone();
        let began = Instant::now();
        let outcome = tokio::time::timeout(route.integration_timeout, self.invoker.invoke(call)).await;
        let outcome = outcome.map_err(|_| Failure::Late).and_then(|answer| {
            let answer = answer.map_err(Failure::Invoke)?;
            event::http::response(&answer).context("the answer is no HTTP response").map_err(Failure::Answer)
        });
        let (mut response, failure) = match outcome {
            Ok(response) => (self.completed(parts.uri.path(), response).map(Full::new), None),
            Err(failure) => (failure.response(), Some(failure.to_string())),
        };
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match failure {
            Some(error) => tracing::error!(
                function.name = %route.function, http.route = %matched.route_key, request.id = %request_id, duration_ms,
                error, "a request failed"
            ),
            None => tracing::debug!(
                function.name = %route.function, http.route = %matched.route_key, request.id = %request_id, duration_ms,
                http.status = response.status().as_u16(), "a request was answered"
            ),
        }
        response
    }

    fn completed(&self, path: &str, response: Response<Bytes>) -> Response<Bytes> {
        match &self.health {
            Some(health) => health.complete(path, response),
            None => response,
        }
    }
}

/// The request line, and the headers' values: their names do not count.
fn head_bytes(parts: &Parts) -> usize {
    let line = parts.method.as_str().len() + " ".len() + parts.uri.to_string().len() + " HTTP/1.1".len();
    line + parts.headers.values().map(HeaderValue::len).sum::<usize>()
}

/// Why the service's own answer is sent instead of the function's.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the function took longer than the API waits")]
    Late,
    #[error(transparent)]
    Invoke(InvokeError),
    #[error("{0:#}")]
    Answer(anyhow::Error),
}

impl Failure {
    fn response(&self) -> Response<Full<Bytes>> {
        match self {
            Self::Late => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
            Self::Invoke(InvokeError::Unreachable(_)) => message(StatusCode::BAD_GATEWAY, "Bad Gateway"),
            Self::Invoke(InvokeError::TimedOut(_)) => message(StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout"),
            Self::Invoke(InvokeError::Failed(_) | InvokeError::Unknown(_)) | Self::Answer(_) => {
                message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        }
    }
}

fn message(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{{\"message\":\"{text}\"}}"))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
