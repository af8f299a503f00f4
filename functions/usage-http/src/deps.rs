use http_api::auth::Authenticator;
use telecom::Tariff;
use usage_store::Store;

use crate::config::Config;

/// What a request needs.
pub struct Deps {
    pub(crate) store: Store,
    pub(crate) tariff: Tariff,
    pub(crate) users: Authenticator,
}

impl Deps {
    /// The store's clients. Users in a secret are read when the first request comes.
    ///
    /// # Errors
    /// When the store can't be used.
    pub fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            store: Store::connect(&config.usage_store)?,
            tariff: config.tariff.clone(),
            users: Authenticator::new(config.users.clone()),
        })
    }
}
