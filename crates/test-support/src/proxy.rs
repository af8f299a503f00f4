//! A TCP proxy that makes a good line a bad one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::service::free_ports;
use crate::{RUNTIME, on_services_runtime};

/// What is read at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// What one direction of one connection holds back at most: a second of delay at half a gigabit. A line never holds less than
/// goes into it during its delay, or the proxy and not the delay would slow its users down.
const IN_FLIGHT_BYTES: usize = 64 * 1024 * 1024;

/// What a line does to all that goes over it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// Each way, so the round trip is twice this and up to 2 ms more, the timer's grain. Connecting takes no time.
    pub delay: Duration,
    /// Each way, for all connections together; `None` is as much as the machine can.
    pub bytes_per_second: Option<u64>,
}

/// A TCP proxy on 127.0.0.1. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Proxy {
    /// `127.0.0.1`.
    pub host: String,
    /// Its port.
    pub port: u16,
    state: Arc<State>,
    acceptor: tokio::sync::Mutex<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    target: String,
    line: Line,
    to_target: Pace,
    to_client: Pace,
    is_stalled: watch::Sender<bool>,
    /// How often all connections have been cut.
    cuts: watch::Sender<u64>,
    /// How many bytes may still pass before the next cut.
    bytes_to_cut: Mutex<Option<u64>>,
}

/// When the line can take the next byte of one direction.
#[derive(Debug, Default)]
struct Pace(Mutex<Option<Instant>>);

impl Proxy {
    pub(crate) async fn start(target: String, line: Line) -> anyhow::Result<Self> {
        let [port] = free_ports().await?;
        let state = Arc::new(State {
            target,
            line,
            to_target: Pace::default(),
            to_client: Pace::default(),
            is_stalled: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            bytes_to_cut: Mutex::default(),
        });
        let acceptor = listen(port, Arc::clone(&state)).await?.into();
        Ok(Self { host: "127.0.0.1".to_owned(), port, state, acceptor })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Cuts all connections when so many more bytes have come through, both ways counted together. Later ones are as before.
    pub fn cut_after(&self, bytes: u64) {
        *self.state.bytes_to_cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    }

    /// Cuts all connections now. Later ones are as before.
    pub fn cut(&self) {
        self.state.cut();
    }

    /// From now on nothing comes through, and connections stay.
    pub fn stall(&self) {
        self.state.is_stalled.send_replace(true);
    }

    /// What was held back goes on.
    pub fn resume(&self) {
        self.state.is_stalled.send_replace(false);
    }

    /// From now on connections are refused, as where no server is. Those that are open stay.
    pub async fn refuse(&self) {
        let mut acceptor = self.acceptor.lock().await;
        acceptor.abort();
        // The listener is closed when its task has ended, which is an error only by being aborted.
        if let Err(aborted) = (&mut *acceptor).await {
            assert!(aborted.is_cancelled(), "the proxy has failed: {aborted}");
        }
    }

    /// Connections are taken again, after [`Proxy::refuse`].
    pub async fn accept(&self) {
        let (port, state) = (self.port, Arc::clone(&self.state));
        *self.acceptor.lock().await = on_services_runtime(async move { listen(port, state).await }).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.get_mut().abort();
        self.cut();
    }
}

impl State {
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Takes bytes off the count to the next cut. `Some` is how many of them may still pass.
    fn count(&self, bytes: usize) -> Option<usize> {
        let mut left = self.bytes_to_cut.lock().unwrap_or_else(PoisonError::into_inner);
        let after = left.as_ref()?.checked_sub(bytes as u64);
        match after {
            Some(after) => {
                *left = Some(after);
                None
            }
            // Not more than `bytes`, so it is a usize.
            None => left.take().map(|passing| passing as usize),
        }
    }
}

impl Pace {
    /// When these bytes have left, if they are given to the line now.
    fn leave(&self, bytes: usize, line: Line) -> Instant {
        let now = Instant::now();
        let Some(bytes_per_second) = line.bytes_per_second else { return now };
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left =
            free.map_or(now, |free| free.max(now)) + Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
        *free = Some(left);
        left
    }
}

async fn listen(port: u16, state: Arc<State>) -> anyhow::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let accept = async move {
        // Connections outlive the listener: refusing does not cut.
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, Arc::clone(&state)));
        }
    };
    Ok(RUNTIME.spawn(accept))
}

/// Carries one connection until both sides have ended it, or it is cut.
async fn carry(client: TcpStream, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    // A target that refuses is seen as a connection that ends.
    let Ok(target) = TcpStream::connect(&state.target).await else { return };
    for stream in [&client, &target] {
        if stream.set_nodelay(true).is_err() {
            return;
        }
    }
    let (client_read, client_write) = client.into_split();
    let (target_read, target_write) = target.into_split();
    let mut directions = JoinSet::new();
    directions.spawn(pump(client_read, target_write, Arc::clone(&state), |state| &state.to_target));
    directions.spawn(pump(target_read, client_write, Arc::clone(&state), |state| &state.to_client));
    tokio::select! {
        // Ended or not: dropping the set closes both sockets.
        _ = cuts.changed() => {}
        () = async { while directions.join_next().await.is_some() {} } => {}
    }
}

/// Carries one direction to its end. How a connection ends says nothing that its sides don't see.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>, pace: fn(&State) -> &Pace) {
    let (sender, mut in_flight) = mpsc::unbounded_channel::<(Instant, BytesMut)>();
    let room = Arc::new(Semaphore::new(IN_FLIGHT_BYTES));
    let reading = {
        let (state, room) = (Arc::clone(&state), Arc::clone(&room));
        async move {
            loop {
                let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
                if !from.read_buf(&mut chunk).await.is_ok_and(|bytes| bytes > 0) {
                    return;
                }
                let Ok(taken) = room.acquire_many(chunk.len() as u32).await else { return };
                taken.forget();
                let arrival = pace(&state).leave(chunk.len(), state.line) + state.line.delay;
                if sender.send((arrival, chunk)).is_err() {
                    return;
                }
            }
        }
    };
    let writing = async move {
        let mut is_stalled = state.is_stalled.subscribe();
        while let Some((arrival, chunk)) = in_flight.recv().await {
            sleep_until(arrival).await;
            if is_stalled.wait_for(|stalled| !stalled).await.is_err() {
                return;
            }
            if let Some(passing) = state.count(chunk.len()) {
                if to.write_all(&chunk[..passing]).await.is_ok() {
                    state.cut();
                }
                return;
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
            room.add_permits(chunk.len());
        }
        // Dropping the writing half passes the end on.
    };
    tokio::join!(reading, writing);
}
