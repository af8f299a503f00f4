//! The Kafka broker.

mod api;
mod files;
mod groups;
mod log;
mod node;
mod producer_ids;
mod refusal;
mod server;
mod settings;
mod topics;
mod wire;

use std::net::TcpListener;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::Data;
use crate::folder::Folder;
use node::Node;
use settings::Settings;

/// What [`Broker::start`] sets: records stay until somebody asks for less, segments are small enough to be read at a start, and a
/// group's first members, which all start now, are waited for a moment.
const DEFAULTS: &[(&str, &str)] =
    &[("group.initial.rebalance.delay.ms", "200"), ("log.retention.ms", "-1"), ("log.segment.bytes", "67108864")];

/// A running Kafka broker on 127.0.0.1, on a thread of its own. Dropping it ends it.
///
/// One node, so every topic has replication 1. It has no transactions; see the crate's documentation for what else it
/// leaves out.
#[derive(Debug)]
pub struct Broker {
    /// `127.0.0.1:port`, for `bootstrap.servers`.
    pub bootstrap_servers: String,
    thread: Option<JoinHandle<()>>,
    /// Dropped, it tells the thread to end.
    stop: Option<oneshot::Sender<()>>,
    ended: mpsc::Receiver<anyhow::Error>,
}

impl Broker {
    /// Starts a broker that keeps everything, and waits until it answers.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub async fn start(data: Data) -> anyhow::Result<Self> {
        Self::start_with(data, DEFAULTS).await
    }

    /// The same with properties of Kafka's broker, and Kafka's defaults for all others.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when a property is not known.
    pub async fn start_with(data: Data, properties: &[(&str, &str)]) -> anyhow::Result<Self> {
        let settings = Settings::new(properties)?;
        let folder = Folder::open(data)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("the Kafka broker found no free port")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let (end, ended) = mpsc::channel(1);
        let work = move || {
            let Err(error) = run(&folder, settings, listener, port, ready, stopped) else { return };
            // Nobody may be there to hear it.
            if let Err(unheard) = end.blocking_send(error) {
                tracing::error!(error = %unheard.0, "the Kafka broker has ended");
            }
        };
        let thread = std::thread::Builder::new().name("kafka-broker".to_owned()).spawn(work)?;
        let bootstrap_servers = format!("127.0.0.1:{port}");
        let mut broker = Self { bootstrap_servers, thread: Some(thread), stop: Some(stop), ended };
        match is_ready.await {
            Ok(()) => Ok(broker),
            Err(_) => Err(broker.ended().await),
        }
    }

    /// Waits until the broker ends by itself, which it should not, and says why.
    pub async fn ended(&mut self) -> anyhow::Error {
        let reason = self.ended.recv().await.unwrap_or_else(|| anyhow::anyhow!("its thread has panicked"));
        reason.context("the Kafka broker has ended")
    }

    /// Ends the broker. What it has acknowledged is already stored.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let reason = self.ended().await;
        tracing::debug!(%reason, "the Kafka broker was told to end");
    }
}

impl Drop for Broker {
    /// Waits for the thread, which ends in a moment: the next broker may want its folder.
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the Kafka broker's thread has panicked");
        }
    }
}

/// The thread's work, until it is told to end.
fn run(
    folder: &Folder,
    settings: Settings,
    listener: TcpListener,
    port: u16,
    ready: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let node = Node::open(folder.path(), settings, port).context("can't open the Kafka broker's log")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        if ready.send(()).is_err() {
            return Ok(());
        }
        tokio::select! {
            never = server::serve(listener, node) => match never {},
            _ = stopped => Ok(()),
        }
    })
}
