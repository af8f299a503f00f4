//! The server: request → event → function → response.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Router;
use crate::event;
use crate::event::kafka::MAX_PAYLOAD_BYTES;
use crate::health::Health;
use crate::invoke::{Call, InvokeError, Invoker};

/// Far more than a person or a load test on one machine opens; it keeps a runaway client from taking every descriptor.
const MAX_CONNECTIONS: usize = 1_024;
/// How long open requests may take when the server ends.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Accepting fails when descriptors run out; trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running front.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    accepting: AbortOnDropHandle<()>,
}

impl Server {
    /// Listens on `address`, where port 0 is any free one.
    pub(crate) async fn start(
        address: SocketAddr,
        router: Router,
        invoker: Arc<dyn Invoker>,
        health: Option<Health>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let front = Arc::new(Front { router, invoker, health });
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, front, stop.clone())));
        Ok(Self { address, stop, accepting })
    }

    /// Takes no more requests and waits for the open ones, up to the grace time.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "the HTTP front ended badly");
        }
    }
}

async fn accept(listener: TcpListener, front: Arc<Front>, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some(slot) = stop.run_until_cancelled(slots.clone().acquire_owned()).await {
        while connections.try_join_next().is_some() {}
        match stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, peer))) => {
                let connection = serve(stream, peer, Arc::clone(&front), &graceful);
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still open at the end and are dropped");
    }
}

fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(request, peer).await) }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, client.address = %peer, "a connection ended badly");
        }
    }
}

struct Front {
    router: Router,
    invoker: Arc<dyn Invoker>,
    health: Option<Health>,
}

impl Front {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
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
        let source_ip = peer.ip().to_string();
        call.payload = event::http::event(&parts, &body, &matched, &source_ip, &call.request_id, now);
        if call.payload.len() > MAX_PAYLOAD_BYTES {
            return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        }
        let request_id = call.request_id.clone();
        let began = Instant::now();
        let outcome = tokio::time::timeout(route.integration_timeout, self.invoker.invoke(call)).await;
        let outcome = outcome.map_err(|_| Failure::Late).and_then(|answer| {
            let answer = answer.map_err(Failure::Invoke)?;
            event::http::response(&answer).context("the answer is no HTTP response").map_err(Failure::Answer)
        });
        let (response, failure) = match outcome {
            Ok(response) => (self.completed(parts.uri.path(), response).map(Full::new), None),
            Err(failure) => (failure.response(), Some(failure.to_string())),
        };
        let mut response = response;
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
