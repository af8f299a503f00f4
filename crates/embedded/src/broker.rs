//! The Kafka broker.

#[cfg(feature = "broker")]
mod nisshi;

use crate::Data;

/// A running Kafka broker on 127.0.0.1, in this process. Dropping it ends it.
///
/// One node, so every topic has replication 1. It keeps offsets, groups and idempotent producers; it has no
/// transactions and can't add partitions to a topic.
#[derive(Debug)]
pub struct Broker {
    /// `127.0.0.1:port`, for `bootstrap.servers`.
    pub bootstrap_servers: String,
    #[cfg(feature = "broker")]
    running: nisshi::Running,
}

#[cfg(feature = "broker")]
impl Broker {
    /// Starts a broker and waits until it answers.
    ///
    /// # Errors
    /// When the folder can't be used or the broker does not start.
    pub async fn start(data: Data) -> anyhow::Result<Self> {
        let (port, running) = nisshi::start(data).await?;
        Ok(Self { bootstrap_servers: format!("127.0.0.1:{port}"), running })
    }

    /// Waits until the broker ends by itself, which it should not, and says why.
    pub async fn ended(&mut self) -> anyhow::Error {
        self.running.ended().await
    }

    /// Ends the broker. What it has acknowledged is already stored.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

#[cfg(not(feature = "broker"))]
impl Broker {
    /// Says that this build has no broker.
    ///
    /// # Errors
    /// Always: see the feature `broker`.
    pub async fn start(_data: Data) -> anyhow::Result<Self> {
        anyhow::bail!(
            "this program was built without its Kafka broker: run it with `make demo`, \
             or build it with `--features broker --ignore-rust-version`"
        )
    }

    /// Never returns: there is no broker that could end.
    pub async fn ended(&mut self) -> anyhow::Error {
        std::future::pending().await
    }

    /// Does nothing: there is no broker to end.
    pub async fn stop(self) {}
}
