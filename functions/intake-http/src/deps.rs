use http_api::auth::Authenticator;
use kafka_sink::Sink;
use telecom::Zone;

use crate::config::Config;

/// What a request needs.
pub struct Deps {
    pub(crate) sink: Sink,
    pub(crate) topic: String,
    pub(crate) zone: Zone,
    pub(crate) users: Authenticator,
}

impl Deps {
    /// Makes the clients. Kafka may be down: it is waited for when a request needs it.
    ///
    /// # Errors
    /// When the producer refuses its configuration.
    pub fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            sink: Sink::new(&config.kafka)?,
            topic: config.topic.clone(),
            zone: config.zone.clone(),
            users: Authenticator::new(config.users.clone()),
        })
    }
}
