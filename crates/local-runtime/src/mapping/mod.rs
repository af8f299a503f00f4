//! Kafka event source mappings: a thread each, which owns its consumer.

mod batch;
mod consumer;
mod poller;
mod status;
mod trouble;

pub use poller::{EventSource, Progress};
pub use status::{MappingState, MappingStatus, PartitionStatus};

use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::invoke::Invoker;
use crate::template::Mapping;
use status::Shared;

/// How long a batch that is with its function at the end may take to come back and be committed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// A running mapping. Dropping it tells its thread to end and does not wait for it.
pub(crate) struct RunningMapping {
    shared: Arc<Shared>,
    thread: Thread,
    ended: oneshot::Receiver<()>,
}

impl RunningMapping {
    /// Starts the mapping's thread; it needs no broker to be there.
    pub(crate) fn start(source: SourceConfig, invoker: Arc<dyn Invoker>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(&source.mapping));
        let (end, ended) = oneshot::channel();
        let handle = tokio::runtime::Handle::current();
        let thread: JoinHandle<()> = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("mapping {}", source.mapping.topic)).spawn(move || {
                // Told when the thread ends, in whatever way.
                let _end = end;
                let _guard = StoppedByPanic(&shared);
                EventSource::with(source, invoker, handle, Arc::clone(&shared)).run(SHUTDOWN_GRACE);
            })?
        };
        Ok(Self { shared, thread: thread.thread().clone(), ended })
    }

    pub(crate) fn status(&self) -> MappingStatus {
        self.shared.status()
    }

    pub(crate) fn stop(&self) {
        self.shared.stop();
        self.thread.unpark();
    }

    /// Resolves when the thread has ended.
    pub(crate) async fn ended(&mut self) {
        // The sender is only ever dropped.
        if (&mut self.ended).await.is_err() {}
    }
}

impl Drop for RunningMapping {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Says so when the mapping's own code panics, instead of a mapping that silently does nothing.
struct StoppedByPanic<'a>(&'a Shared);

impl Drop for StoppedByPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a mapping's own code panicked; the mapping has ended");
            self.0.stopped("the mapping's own code panicked".into());
        }
    }
}

/// A mapping and the brokers it really uses.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The mapping.
    pub mapping: Mapping,
    /// `host:port`, comma-joined.
    pub brokers: String,
    /// More properties of the Kafka client, such as `security.protocol`.
    pub properties: Vec<(String, String)>,
    /// The largest event; the service's limit is [`crate::event::kafka::MAX_PAYLOAD_BYTES`].
    pub max_payload_bytes: usize,
}
