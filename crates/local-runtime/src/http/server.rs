//! The server: connections, and their end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
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

/// Far more than a person or a load test on one machine opens; it keeps a runaway client from taking every descriptor.
const MAX_CONNECTIONS: usize = 1_024;
/// How long open requests may take when the server ends.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Accepting fails when descriptors run out; trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Something that answers requests.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The answer to a request that came from `peer` to `local`.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> BoxFuture<'static, Response<Full<Bytes>>>;
}

/// A running listener.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    accepting: AbortOnDropHandle<()>,
}

impl Server {
    /// Listens on `address`, where port 0 is any free one.
    pub(crate) async fn start(address: SocketAddr, front: Arc<dyn Answer>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, address, front, stop.clone())));
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

async fn accept(listener: TcpListener, local: SocketAddr, front: Arc<dyn Answer>, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some(slot) = stop.run_until_cancelled(slots.clone().acquire_owned()).await {
        while connections.try_join_next().is_some() {}
        match stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, peer))) => {
                let connection = serve(stream, (peer, local), Arc::clone(&front), &graceful);
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
    (peer, local): (SocketAddr, SocketAddr),
    front: Arc<dyn Answer>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(request, peer, local).await) }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, client.address = %peer, "a connection ended badly");
        }
    }
}
