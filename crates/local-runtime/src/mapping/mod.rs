//! Kafka event source mappings: a thread each, which owns its consumer.

mod batch;
mod consumer;
mod hearsay;
mod look;
mod partitions;
mod poller;
mod record;
mod start;
mod status;
mod stop;
mod topic_ids;
mod trouble;
mod upkeep;

pub use look::{Found, look};
pub use poller::{EventSource, Progress};
pub use status::{MappingState, MappingStatus, PartitionStatus};
pub use stop::{Stop, StopReason};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::invoke::Invoker;
use crate::template::Mapping;
pub(crate) use status::Shared;
pub(crate) use stop::as_text;
pub(crate) use topic_ids::TopicIds;

/// How long a batch that is with its function at the end may take to come back and be committed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// A running mapping. Dropping it tells its thread to end and does not wait for it.
pub(crate) struct RunningMapping {
    shared: Arc<Shared>,
    ended: oneshot::Receiver<()>,
}

impl RunningMapping {
    /// Starts the mapping's thread; it needs no broker to be there.
    pub(crate) fn start(
        source: SourceConfig,
        invoker: Arc<dyn Invoker>,
        shared: Arc<Shared>,
        topic_ids: Arc<TopicIds>,
    ) -> std::io::Result<Self> {
        let (end, ended) = oneshot::channel();
        let handle = tokio::runtime::Handle::current();
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("mapping {}", source.mapping.topic)).spawn(move || {
                // Told when the thread ends, in whatever way.
                let _end = end;
                let _guard = StoppedByPanic(&shared);
                EventSource::with(source, invoker, handle, Arc::clone(&shared), topic_ids).run(SHUTDOWN_GRACE);
            })?
        };
        shared.set_thread(thread.thread().clone());
        Ok(Self { shared, ended })
    }

    pub(crate) fn stop(&self) {
        self.shared.stop();
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
